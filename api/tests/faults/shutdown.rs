//! The steps of a graceful shutdown: readiness fails first, and a second signal forces the exit.

use std::io::Write;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::database::{Database, Item, stock};
use crate::extent::{PATIENCE, until};
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform, connect, receive, send};

const ITEMS: &[Item] = &[("bun", 250, 100)];

crate::on_both_engines!(
    second_signal_forces_the_exit_and_logs_unfinished_work,
    second_signal_after_http_has_drained_ends_the_process_at_once,
    requests_under_way_at_shutdown_are_finished_and_answered,
);

mod any_engine {
    crate::on_sqlite!(
        readiness_fails_before_listening_stops,
        idle_connection_does_not_delay_shutdown,
        request_that_outlasts_the_drain_is_named_and_fails_the_shutdown,
        hangup_and_user_signals_are_ignored
    );
    use super::{
        hangup_and_user_signals_are_ignored, idle_connection_does_not_delay_shutdown,
        readiness_fails_before_listening_stops, request_that_outlasts_the_drain_is_named_and_fails_the_shutdown,
    };
}

/// The first log line of this operation.
pub fn logged(log: &[Value], op: &str) -> Option<Value> {
    log.iter().find(|line| line["op"] == op).cloned()
}

async fn second_signal_forces_the_exit_and_logs_unfinished_work(place: Place) {
    stock(&place, ITEMS);
    let server = Server::launch(
        &place,
        &[("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "30000"), ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "90000")],
    );
    let mut platform = Platform::at(server.address());
    let id = platform.checkout("bun", 1);
    let mut waiting = connect(server.address()).expect("a connection");
    send(&mut waiting, &Call::complete(&id, &fresh_key(), "hang_token")).expect("sent");
    until("the payment hangs", PATIENCE, || {
        (platform.read(&id).checkout_status() == "complete_in_progress").then_some(())
    });

    server.terminate();
    until("the shutdown begins", PATIENCE, || logged(&server.log(), "shutdown.begin"));
    let began = Instant::now();
    server.terminate();
    let stopped = server.wait(PATIENCE);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(stopped.status.code(), Some(1));
    let forced = logged(&stopped.log, "shutdown.forced").expect("the log line");
    assert_eq!((forced["level"].as_str(), forced["error_code"].as_str()), (Some("error"), Some("forced")), "{forced}");
    assert!(forced["left"].as_str().is_some_and(|left| left.contains("checkout.complete of ")), "{forced}");
    // A caller that still gets an answer sees the payment in progress, never as failed.
    if let Ok(reply) = receive(&mut waiting) {
        assert_eq!(reply.expect(200).checkout_status(), "complete_in_progress");
    }
    // The unfinished work is stored for the next process.
    assert_eq!((Database::open(&place).level("bun"), Database::open(&place).undecided()), ((100, 1), 2));
}

/// The client has disconnected, so HTTP has no request to wait for. The command goes on.
async fn second_signal_after_http_has_drained_ends_the_process_at_once(place: Place) {
    stock(&place, ITEMS);
    let server = Server::launch(
        &place,
        &[
            ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "30000"),
            ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "90000"),
            ("TUCKSHOP_SHUTDOWN_DRAIN_MS", "60000"),
        ],
    );
    let mut platform = Platform::at(server.address());
    let id = platform.checkout("bun", 1);
    let mut leaving = connect(server.address()).expect("a connection");
    send(&mut leaving, &Call::complete(&id, &fresh_key(), "hang_token")).expect("sent");
    until("the payment hangs", PATIENCE, || {
        (platform.read(&id).checkout_status() == "complete_in_progress").then_some(())
    });
    drop(leaving);
    drop(platform);

    server.terminate();
    until("the server stops listening", PATIENCE, || std::net::TcpStream::connect(server.address()).err());
    let began = Instant::now();
    server.terminate();
    let stopped = server.wait(PATIENCE);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(stopped.status.code(), Some(1));
    let forced = logged(&stopped.log, "shutdown.forced").expect("a line about it");
    assert!(forced["left"].as_str().is_some_and(|left| left.contains("checkout.complete of ")), "{forced}");
}

async fn hangup_and_user_signals_are_ignored(place: Place) {
    let server = Server::launch(&place, &[]);
    for (signal, name) in [(Signal::HUP, "SIGHUP"), (Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        server.signal(signal);
        until("the signal is logged", PATIENCE, || server.log().into_iter().find(|line| line["signal"] == name));
        assert_eq!(Platform::at(server.address()).reply_to(&Call::get("/livez")).status, 200, "{name}");
    }
    assert_eq!(server.stop().status.code(), Some(0));
}

async fn requests_under_way_at_shutdown_are_finished_and_answered(place: Place) {
    stock(&place, ITEMS);
    let server = Server::launch(&place, &[("TUCKSHOP_SIMULATION_SLOW_MS", "1500")]);
    let mut platform = Platform::at(server.address());
    let id = platform.checkout("bun", 1);
    let mut waiting = connect(server.address()).expect("a connection");
    send(&mut waiting, &Call::complete(&id, &fresh_key(), "slow_token")).expect("sent");
    until("the payment is under way", PATIENCE, || {
        (platform.read(&id).checkout_status() == "complete_in_progress").then_some(())
    });
    server.terminate();
    let reply = receive(&mut waiting).expect("a whole answer").expect(200);
    assert_eq!((reply.checkout_status(), reply.closes), ("completed", true), "{reply:?}");
    let stopped = server.wait(PATIENCE);
    assert_eq!(stopped.status.code(), Some(0));
    let drained = logged(&stopped.log, "shutdown.drained").expect("the log line");
    assert_eq!(drained["left"], "", "{drained}");
    assert_eq!(Database::open(&place).level("bun"), (99, 0));
}

async fn readiness_fails_before_listening_stops(place: Place) {
    const WINDOW: Duration = Duration::from_millis(1_500);
    let server = Server::launch(&place, &[("TUCKSHOP_SHUTDOWN_LISTEN_MS", "1500")]);
    let ask = |path| Platform::at(server.address()).ask(&Call::get(path));
    assert_eq!(ask("/readyz").expect("an answer").status, 200);
    let began = Instant::now();
    server.terminate();
    until("readiness fails", WINDOW, || (ask("/readyz").expect("an answer").status == 503).then_some(()));
    let mut checks = 0;
    // Half of the window, so that a slow machine does not fail the test.
    while began.elapsed() < WINDOW / 2 {
        let (ready, live) = (ask("/readyz").expect("an answer"), ask("/livez").expect("an answer"));
        assert_eq!((ready.status, live.status), (503, 200));
        assert_eq!(ready.json["reason"], "stopping");
        // The answer asks the client to close its connection.
        assert!(ready.closes && live.closes);
        checks += 1;
    }
    assert!(checks > 0);
    let stopped = server.wait(PATIENCE);
    assert!(began.elapsed() >= WINDOW, "{:?}", began.elapsed());
    assert_eq!(stopped.status.code(), Some(0));
}

async fn idle_connection_does_not_delay_shutdown(place: Place) {
    let server = Server::launch(&place, &[]);
    let mut idle = Platform::at(server.address());
    assert_eq!(idle.reply_to(&Call::get("/livez")).status, 200);
    let began = Instant::now();
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let drained = logged(&stopped.log, "shutdown.drained").expect("the log line");
    assert_eq!(drained["left"], "", "{drained}");
}

async fn request_that_outlasts_the_drain_is_named_and_fails_the_shutdown(place: Place) {
    // The web server measures its own limit in whole seconds, so whole seconds are the case in which both limits meet.
    let settings = [("TUCKSHOP_SHUTDOWN_DRAIN_MS", "1000"), ("TUCKSHOP_HTTP_BODY_TIMEOUT_MS", "60000")];
    let server = Server::launch(&place, &settings);
    let mut sending = connect(server.address()).expect("a connection");
    let whole = Call::create(&fresh_key(), "bun", 1).bytes();
    sending.write_all(&whole[..whole.len() - 1]).expect("sent");
    let mut platform = Platform::at(server.address());
    // The request for the number is in flight too.
    until("the request is in flight", PATIENCE, || (platform.status_number("requests_in_flight") == 2).then_some(()));
    drop(platform);
    let stopped = server.stop();
    let drained = logged(&stopped.log, "shutdown.drained").expect("the log line");
    assert_eq!((drained["left"].as_str(), stopped.status.code()), (Some("1 requests"), Some(1)), "{drained}");
}
