//! Three instances behind haproxy are restarted one after the other under load, and no request fails.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faultkit::provided::HAPROXY;

use crate::database::{Database, Item, stock};
use crate::extent::{Chance, PATIENCE, extent, until};
use crate::gateway::{self, VISA};
use crate::invariants::{State, violations};
use crate::kit::client::fresh_key;
use crate::kit::process::Process;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform, Reply};

crate::on_postgres!(rolling_restart_of_three_instances_fails_no_request);

const ITEMS: &[Item] = &[("bun", 250, 1_000_000)];
/// The interval of haproxy's readiness checks. Two failed checks remove an instance. The check timeout is longer, so
/// that a busy instance is not removed.
const CHECK_MS: u64 = 200;
/// How long a stopping instance goes on listening: long enough for haproxy to see that it is not ready.
const LISTEN_MS: &str = "1500";
const FIRST_PORT: u16 = 8_101;

/// A loopback address that only this process uses, so that the ports of restarted instances stay free.
pub fn own_address(port: u16) -> SocketAddr {
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    (Ipv4Addr::new(127, 44, high, low.clamp(1, 254)), port).into()
}

fn config(front: SocketAddr, instances: &[SocketAddr]) -> String {
    let servers: Vec<String> =
        instances.iter().enumerate().map(|(index, address)| format!("  server s{index} {address}\n")).collect();
    format!(
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n  \
         timeout check 2s\n  retries 3\n  \
         option redispatch\n\
         frontend shop\n  bind {front}\n  default_backend instances\n\
         backend instances\n  balance roundrobin\n  option httpchk GET /readyz\n  http-check expect status 200\n  \
         default-server check inter {CHECK_MS}ms fall 2 rise 1\n{}",
        servers.concat()
    )
}

/// The observations of all clients.
#[derive(Default)]
struct Seen {
    answered: u64,
    orders: u64,
    failed: Vec<String>,
}

async fn rolling_restart_of_three_instances_fails_no_request(place: Place) {
    let Some(haproxy) = HAPROXY.get() else { return };
    stock(&place, ITEMS);
    let gateway = gateway::start();
    let own = gateway::settings(&gateway);
    let front = own_address(FIRST_PORT - 1);
    let addresses: Vec<SocketAddr> = (FIRST_PORT..FIRST_PORT + 3).map(own_address).collect();
    let launch = |address: &SocketAddr| {
        let address = address.to_string();
        let others = [
            ("TUCKSHOP_HTTP_PUBLIC_URL", "http://shop.example"),
            ("TUCKSHOP_SHUTDOWN_LISTEN_MS", LISTEN_MS),
            ("TUCKSHOP_HTTP_ADDRESS", address.as_str()),
        ];
        Server::launch(&place, &gateway::beside(&own, &others))
    };
    let mut servers: Vec<Server> = addresses.iter().map(launch).collect();
    let file = place.directory().join("haproxy.cfg");
    std::fs::write(&file, config(front, &addresses)).expect("written");
    let mut proxy = Process::start(Command::new(&haproxy).args(["-db", "-f"]).arg(&file));
    until("haproxy forwards a request", PATIENCE, || {
        assert_eq!(proxy.exit_status(), None, "{}", proxy.output());
        Platform::at(front).ask(&Call::get("/livez")).ok().filter(|reply| reply.status == 200)
    });
    for server in &servers {
        until("haproxy uses every instance", PATIENCE, || {
            Platform::at(front).ask(&Call::get("/livez")).expect("an answer");
            serves_requests(server).then_some(())
        });
    }

    let (seen, done) = (Mutex::new(Seen::default()), AtomicBool::new(false));
    let began = Instant::now();
    let mut restarts = 0;
    std::thread::scope(|scope| {
        for client in 0..extent(8, 16) {
            let (seen, done) = (&seen, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    ask(front, client, seen, done);
                }
            });
        }
        for index in (0..3).cycle().take(extent(3, 15)) {
            let stopped = servers.remove(index).stop();
            assert_eq!(stopped.status.code(), Some(0));
            servers.insert(index, launch(&addresses[index]));
            until("haproxy uses the restarted instance", PATIENCE, || serves_requests(&servers[index]).then_some(()));
            restarts += 1;
        }
        done.store(true, Ordering::SeqCst);
    });
    HAPROXY.used();
    let seen = seen.into_inner().expect("clients do not panic");
    println!(
        "{restarts} restarts in {} s: {} requests, {} orders, {} failed",
        began.elapsed().as_secs(),
        seen.answered,
        seen.orders,
        seen.failed.len()
    );
    assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    assert!(seen.orders > 10 && seen.answered > 100, "the load had no effect");
    let mut database = Database::open(&place);
    until("every payment is settled", PATIENCE, || (database.undecided() == 0).then_some(()));
    let state = State { charges: gateway::charges(&gateway), ..database.state(&place, ITEMS) };
    assert_eq!(violations(&state), Vec::<String>::new());
    for server in servers {
        assert!(server.stop().status.success());
    }
}

/// Whether the instance got a request other than readiness checks.
fn serves_requests(server: &Server) -> bool {
    server.log().iter().any(|line| line["op"] == "http.request" && line["route"] != "/readyz")
}

/// Buys and reads, on one connection or on a new one for each request.
fn ask(front: SocketAddr, client: u64, seen: &Mutex<Seen>, done: &AtomicBool) {
    let mut chance = Chance::of(client);
    let mut kept = Platform::at(front);
    let mut must = |call: &Call, status: u16| -> Option<Reply> {
        let mut fresh = Platform::at(front);
        let platform = if client.is_multiple_of(2) { &mut kept } else { &mut fresh };
        let answer = platform.ask(call);
        let mut seen = seen.lock().expect("seen");
        seen.answered += 1;
        match answer {
            Ok(reply) if reply.status == status => Some(reply),
            other => {
                seen.failed.push(format!("{call:?}: {other:?}"));
                None
            }
        }
    };
    while !done.load(Ordering::SeqCst) {
        let Some(created) = must(&Call::create(&fresh_key(), "bun", 1), 201) else { continue };
        let id = created.id();
        for _ in 0..chance.between(1, 4) {
            must(&Call::get(&format!("/checkout-sessions/{id}")), 200);
        }
        let paid = must(&Call::pay(&id, &fresh_key(), VISA), 200);
        if paid.is_some_and(|reply| reply.checkout_status() == "completed") {
            seen.lock().expect("seen").orders += 1;
        }
        // The client pauses at times, so that idle connections are reused.
        std::thread::sleep(Duration::from_millis(chance.between(0, 120)));
    }
}
