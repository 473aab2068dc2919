//! The log goes to a full pipe without a reader. Requests are not delayed, and the number of dropped lines is logged
//! later.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::database::{Item, stock};
use crate::extent::{PATIENCE, until};
use crate::kit::Place;
use crate::kit::client::fresh_key;
use crate::kit::process::TUCKSHOP;
use crate::platform::{Call, Platform};
use crate::rolling_restart::own_address;

crate::on_sqlite!(unread_log_pipe_blocks_no_request, unread_log_pipe_blocks_no_shutdown);

const ITEMS: &[Item] = &[("bun", 250, 1_000)];
/// More lines than the pipe and the buffer hold.
const REQUESTS: usize = 12_000;
/// Far more than a request takes, and far less than one that waits for a reader.
const SOON: Duration = Duration::from_secs(2);

/// A shop whose standard output is a pipe. The test holds the other end. The process is killed when dropped.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a shop and sends requests until the pipe and the buffer are full. Returns the longest time of a request.
fn fill(place: &Place, address: SocketAddr) -> (Unread, Duration) {
    stock(place, ITEMS);
    let mut settings = place.settings();
    settings.push(("TUCKSHOP_HTTP_ADDRESS".to_owned(), address.to_string()));
    settings.push(("TUCKSHOP_SHUTDOWN_DRAIN_MS".to_owned(), "2000".to_owned()));
    let mut command = Command::new(TUCKSHOP);
    command.arg("serve").env_clear().envs(settings);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let server = Unread(command.spawn().expect("the shop starts"));
    until("the shop is ready", PATIENCE, || {
        Platform::at(address).ask(&Call::get("/readyz")).ok().filter(|reply| reply.status == 200)
    });
    let slowest = std::thread::scope(|scope| {
        let clients = [(); 4].map(|()| {
            scope.spawn(|| {
                let mut platform = Platform::at(address);
                let took = (0..REQUESTS / 4).map(|_| {
                    let began = Instant::now();
                    platform.reply_to(&Call::get("/livez")).expect(200);
                    began.elapsed()
                });
                took.max().expect("some")
            })
        });
        clients.into_iter().map(|client| client.join().expect("answers")).max().expect("some")
    });
    (server, slowest)
}

fn stop(server: &Unread) {
    kill_process(Pid::from_child(&server.0), Signal::TERM).expect("signalled");
}

async fn unread_log_pipe_blocks_no_request(place: Place) {
    let address = own_address(8_110);
    let (mut server, slowest) = fill(&place, address);
    assert!(slowest < SOON, "{slowest:?}");
    // The shop still sells.
    let mut platform = Platform::at(address);
    let call = Call::complete(&platform.checkout("bun", 2), &fresh_key(), "success_token");
    assert_eq!(platform.reply_to(&call).expect(200).checkout_status(), "completed");

    // The test reads the pipe: it contains whole lines, and the number of dropped lines.
    let out = server.0.stdout.take().expect("piped");
    let reading = std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).collect::<Vec<_>>());
    // The number of dropped lines is written with the next line.
    platform.reply_to(&Call::get("/livez"));
    stop(&server);
    assert!(server.0.wait().expect("our own child").success());
    let lines = reading.join().expect("read");
    let whole = lines.iter().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count();
    assert_eq!(whole, lines.len(), "a line was cut");
    assert!(lines.len() < REQUESTS, "no line was dropped: the test had no effect");
    let dropped: Vec<_> = lines.iter().filter(|line| line.contains("dropped")).collect();
    println!("{} lines of {REQUESTS}; {dropped:?}; the slowest request took {slowest:?}", lines.len());
    assert!(!dropped.is_empty(), "the number of dropped lines is not logged");
}

async fn unread_log_pipe_blocks_no_shutdown(place: Place) {
    let (mut server, _) = fill(&place, own_address(8_111));
    stop(&server);
    let began = Instant::now();
    let status = until("the shop ends", PATIENCE, || server.0.try_wait().expect("our own child"));
    // The drain, and the time for the last lines.
    assert!(status.success() && began.elapsed() < Duration::from_secs(8), "{status} after {:?}", began.elapsed());
}
