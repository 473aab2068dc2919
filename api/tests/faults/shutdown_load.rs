//! SIGTERM under load: every request that reached the server is answered.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::database::{Database, Item, stock};
use crate::extent::{Chance, PATIENCE, extent, until};
use crate::invariants::violations;
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, connect, is_closed, receive, send};
use crate::shutdown::logged;

const ITEMS: &[Item] = &[("bun", 250, 100_000)];
const CLIENTS: u64 = 12;
/// The value of the setting below.
const LISTEN: Duration = Duration::from_millis(300);
const SETTINGS: &[(&str, &str)] = &[("TUCKSHOP_SHUTDOWN_LISTEN_MS", "300"), ("TUCKSHOP_SIMULATION_SLOW_MS", "400")];
/// The server may have closed a connection that was idle for longer than this.
const FRESH: Duration = Duration::from_millis(200);

crate::on_both_engines!(sigterm_under_load_answers_every_request_whose_head_was_sent);

/// The observations of all clients.
#[derive(Default)]
struct Seen {
    answered: u64,
    /// When a request without a complete answer was sent, and what happened instead.
    unanswered: Vec<(Instant, String)>,
    /// When the first connection was refused: from then on the server did not listen.
    closed: Option<Instant>,
}

async fn sigterm_under_load_answers_every_request_whose_head_was_sent(place: Place) {
    stock(&place, ITEMS);
    for round in 0..extent(2, 10) {
        let seed = 0x516_0000 + round;
        let moment = Chance::of(seed).between(300, 900);
        let server = Server::launch(&place, SETTINGS);
        let (address, seen) = (server.address(), Mutex::new(Seen::default()));
        let stopped = std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (seen, chance) = (&seen, Chance::of(seed << 8 | client));
                scope.spawn(move || send_until_refused(address, client % 2 == 0, chance, seen));
            }
            // Not a wait for a condition: the moment is the fault.
            std::thread::sleep(Duration::from_millis(moment));
            server.terminate();
            if round % 2 == 1 {
                suspend_around_the_close(&server, Chance::of(seed));
            }
            server.wait(PATIENCE)
        });
        let Seen { answered, unanswered, closed } = seen.into_inner().expect("clients do not panic");
        let closed = closed.expect("a refused connection");
        println!("round {round}: seed {seed:#x}, stopped after {moment} ms, {answered} answered");
        let before = unanswered.into_iter().filter(|(sent, _)| *sent < closed);
        let cut_off: Vec<_> =
            before.map(|(sent, what)| format!("{:?} before the first refusal: {what}", closed - sent)).collect();
        assert!(cut_off.is_empty(), "{} of {answered}: {cut_off:?}", cut_off.len());
        assert!(answered > 20, "the load had no effect");

        assert_eq!(stopped.status.code(), Some(0));
        let line = |op| logged(&stopped.log, op).unwrap_or_else(|| panic!("no line {op}"));
        let begin = line("shutdown.begin");
        assert_eq!(begin["signal"], "SIGTERM");
        assert!(begin["requests_in_flight"].is_u64() && begin["commands_in_flight"].is_u64(), "{begin}");
        let drained = line("shutdown.drained");
        assert!(drained["refused"].is_u64() && drained["left"] == "", "{drained}");
        assert_eq!(line("shutdown.done")["drained"], true);
    }
    let mut database = Database::open(&place);
    let server = Server::launch(&place, SETTINGS);
    until("every payment is settled", PATIENCE, || (database.undecided() == 0).then_some(()));
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
    assert!(server.stop().status.success());
}

/// Suspends the process for longer than each of its pauses, around the moment at which it stops accepting.
fn suspend_around_the_close(server: &Server, mut chance: Chance) {
    std::thread::sleep(
        LISTEN.saturating_sub(Duration::from_millis(10)) + Duration::from_millis(chance.between(0, 130)),
    );
    server.suspend();
    std::thread::sleep(Duration::from_millis(250));
    server.resume();
}

/// Sends requests one after the other, on one connection for as long as the server keeps it, or on a new one for each.
fn send_until_refused(address: SocketAddr, keeps: bool, mut chance: Chance, seen: &Mutex<Seen>) {
    let mut kept: Option<(TcpStream, Instant)> = None;
    let mut checkout: Option<String> = None;
    loop {
        let call = next(&mut checkout, &mut chance);
        let reused = kept.take().filter(|(stream, _)| !is_closed(stream));
        let is_fresh = reused.as_ref().is_none_or(|(_, since)| since.elapsed() < FRESH);
        let mut stream = match reused {
            Some((stream, _)) => stream,
            None => match connect(address) {
                Ok(stream) => stream,
                // Refused, or reset before it was established: the server no longer listens.
                Err(error) => {
                    let gone = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
                    assert!(gone.contains(&error.kind()), "connecting: {error}");
                    let mut seen = seen.lock().expect("seen");
                    seen.closed.get_or_insert_with(Instant::now);
                    return;
                }
            },
        };
        let sending = send(&mut stream, &call);
        let sent = Instant::now();
        match sending.and_then(|()| receive(&mut stream)) {
            Ok(reply) => {
                seen.lock().expect("seen").answered += 1;
                checkout = (reply.status == 201).then(|| reply.id());
                kept = (keeps && !reply.closes).then(|| (stream, Instant::now()));
            }
            Err(error) if is_fresh => {
                let what = format!("{error} ({:?} after it was sent): {call:?}", sent.elapsed());
                seen.lock().expect("seen").unanswered.push((sent, what));
            }
            // The server may close an idle connection at the moment of a request. The client must expect that.
            Err(_) => {}
        }
    }
}

/// The next request: it creates a checkout, and reads or completes the last one.
fn next(checkout: &mut Option<String>, chance: &mut Chance) -> Call {
    match (checkout.take(), chance.between(0, 4)) {
        (Some(id), 0) => Call::get(&format!("/checkout-sessions/{id}")),
        (Some(id), 1) => Call::complete(&id, &fresh_key(), "slow_token"),
        (Some(id), _) => Call::complete(&id, &fresh_key(), "success_token"),
        (None, 0) => Call::get("/livez"),
        (None, _) => Call::create(&fresh_key(), "bun", 1),
    }
}
