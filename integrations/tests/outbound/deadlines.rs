//! A call ends at its deadline in every phase, and reports whether it may have had an effect.

use std::net::SocketAddr;
use std::time::Duration;

use domain::context::Stopwatch;
use domain::fault::{Fault, FaultKind};
use integrations::outbound::{Call, CallError, Effect, Outbound, OutboundConfig, Reason};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::kit::{AMPLE, SOON, STATUS, Server, Visit, WHOLE, config, ctx, given, limits, outbound, post};

const SHORT: Duration = Duration::from_millis(300);

async fn drip(mut visit: Visit) {
    if visit.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await.is_err() {
        return;
    }
    while visit.send("0123456789").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn endless_header(mut visit: Visit) {
    let _ = visit.send("HTTP/1.1 200 OK\r\nx-long: ").await;
    while visit.send("x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn ended(error: &CallError, watch: Stopwatch) -> (Reason, Effect, bool) {
    (error.reason, error.effect, watch.elapsed() < SOON)
}

#[tokio::test]
async fn dripping_body_ends_at_the_deadline() {
    let server = Server::start(drip).await;
    let outbound = outbound();
    let watch = Stopwatch::start();
    let call = post(given(&outbound, &server), limits(SHORT, WHOLE));
    let error = outbound.send(&ctx(AMPLE), call).await.expect_err("too slow");
    assert_eq!(ended(&error, watch), (Reason::Deadline, Effect::Unknown, true));
    assert!(watch.elapsed() >= SHORT);
    assert_eq!(Fault::from(error).kind(), FaultKind::OutcomeUnknown);
}

#[tokio::test]
async fn dripping_body_returns_the_status_if_only_the_status_is_needed() {
    let server = Server::start(drip).await;
    let outbound = outbound();
    let call = post(given(&outbound, &server), limits(SHORT, STATUS));
    let reply = outbound.send(&ctx(AMPLE), call).await.expect("a status");
    assert!(reply.status == 200 && reply.body.len() < 1000, "{reply:?}");
}

#[tokio::test]
async fn earlier_deadline_of_the_caller_ends_the_call() {
    let server = Server::start(drip).await;
    let outbound = outbound();
    let watch = Stopwatch::start();
    let call = post(given(&outbound, &server), limits(AMPLE, WHOLE));
    let error = outbound.send(&ctx(SHORT), call).await.expect_err("too slow");
    assert_eq!(ended(&error, watch), (Reason::Deadline, Effect::Unknown, true));
}

#[tokio::test]
async fn endless_header_ends_at_the_deadline() {
    let server = Server::start(endless_header).await;
    let outbound = outbound();
    let watch = Stopwatch::start();
    let call = post(given(&outbound, &server), limits(SHORT, WHOLE));
    let error = outbound.send(&ctx(AMPLE), call).await.expect_err("too slow");
    assert_eq!(ended(&error, watch), (Reason::Deadline, Effect::Unknown, true));
}

#[tokio::test]
async fn silent_server_leaves_effect_unknown_except_for_reads() {
    let server = Server::start(Visit::hang).await;
    let outbound = outbound();
    let error = outbound.send(&ctx(AMPLE), post(given(&outbound, &server), limits(SHORT, WHOLE))).await;
    assert_eq!(error.expect_err("silence").effect, Effect::Unknown);
    let read = Call::get("test.get", given(&outbound, &server), limits(SHORT, WHOLE));
    let error = outbound.send(&ctx(SHORT), read).await.expect_err("silence");
    assert_eq!((error.reason, error.effect), (Reason::Deadline, Effect::None));
    assert_eq!(Fault::from(error).kind(), FaultKind::DeadlineExceeded);
    // A request without a body always counts as sent.
    let empty = Call::post("test.post", given(&outbound, &server), limits(SHORT, WHOLE));
    assert_eq!(outbound.send(&ctx(AMPLE), empty).await.expect_err("silence").effect, Effect::Unknown);
}

#[tokio::test]
async fn cancellation_ends_the_call() {
    let server = Server::start(drip).await;
    let outbound = outbound();
    let (ctx, watch) = (ctx(AMPLE), Stopwatch::start());
    let call = post(given(&outbound, &server), limits(AMPLE, WHOLE));
    let leave = async {
        while server.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ctx.cancellation().cancel();
    };
    let (outcome, ()) = tokio::join!(outbound.send(&ctx, call), leave);
    assert_eq!(ended(&outcome.expect_err("gone"), watch), (Reason::Cancelled, Effect::Unknown, true));
}

#[tokio::test]
async fn call_after_deadline_or_cancellation_is_not_begun() {
    let server = Server::start(drip).await;
    let outbound = outbound();
    let call = || post(given(&outbound, &server), limits(AMPLE, WHOLE));
    let error = outbound.send(&ctx(Duration::ZERO), call()).await.expect_err("late");
    assert_eq!((error.reason, error.effect), (Reason::Deadline, Effect::None));
    assert_eq!(Fault::from(error).kind(), FaultKind::DeadlineExceeded);
    let gone = ctx(AMPLE);
    gone.cancellation().cancel();
    let error = outbound.send(&gone, call()).await.expect_err("gone");
    assert_eq!((error.reason, error.effect), (Reason::Cancelled, Effect::None));
    assert_eq!(Fault::from(error).kind(), FaultKind::Cancelled);
    assert!(server.requests().is_empty());
}

/// Returns a listener whose queue is full, so that it neither accepts nor refuses the next connection. The connections
/// in the queue are returned too, because they keep it full.
async fn full_queue() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("listens");
    let address = listener.local_addr().expect("bound");
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(stream.expect("connects"));
    }
    (address, listener, waiting)
}

#[tokio::test]
async fn hanging_connection_has_no_effect() {
    let (address, _listener, _waiting) = full_queue().await;
    let hasty = Outbound::new(OutboundConfig { connect_timeout: SHORT, ..config() }).expect("a client");
    for (outbound, budget, reason) in [(hasty, AMPLE, Reason::Unreachable), (outbound(), SHORT, Reason::Deadline)] {
        let watch = Stopwatch::start();
        let to = outbound.untrusted(&format!("http://{address}/")).expect("allowed");
        let error = outbound.send(&ctx(budget), post(to, limits(AMPLE, WHOLE))).await.expect_err("no connection");
        assert_eq!(ended(&error, watch), (reason, Effect::None, true));
    }
}

#[tokio::test]
async fn hanging_tls_handshake_has_no_effect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let outbound = Outbound::new(OutboundConfig { connect_timeout: SHORT, ..config() }).expect("a client");
    let watch = Stopwatch::start();
    let address = listener.local_addr().expect("bound");
    let to = outbound.untrusted(&format!("https://{address}/")).expect("allowed");
    let error = outbound.send(&ctx(AMPLE), post(to, limits(AMPLE, WHOLE))).await.expect_err("no connection");
    assert_eq!(ended(&error, watch), (Reason::Unreachable, Effect::None, true));
    assert_eq!(Fault::from(error).kind(), FaultKind::Unavailable);
}
