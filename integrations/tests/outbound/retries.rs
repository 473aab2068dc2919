//! A call is repeated if that is harmless, before its deadline and within the retry budget of its destination.

use std::time::Duration;

use domain::context::Stopwatch;
use integrations::outbound::{Call, Effect, Limits, Outbound, OutboundConfig, Reason, Repeat};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::kit::{AMPLE, Lines, SOON, Server, Visit, WHOLE, config, ctx, ctx_with, given, limits, outbound, post};

const KEYED: Limits = limits(AMPLE, WHOLE);

fn keyed(outbound: &Outbound, server: &Server) -> Call {
    post(given(outbound, server), KEYED).header("idempotency-key", "key-1").repeat(Repeat::USUAL)
}

#[tokio::test]
async fn keyed_call_is_repeated_with_its_key() {
    let server = Server::start(|visit: Visit| async move {
        match visit.number {
            0 => visit.reset(),
            1 => visit.answer("503 Busy", "", "").await,
            _ => visit.answer("200 OK", "", "done").await,
        }
    })
    .await;
    let outbound = outbound();
    let reply = outbound.send(&ctx(AMPLE), keyed(&outbound, &server)).await.expect("an answer");
    assert_eq!((reply.status, reply.attempts, reply.in_doubt), (200, 3, true));
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.contains("idempotency-key: key-1") && request.ends_with("a body")));
}

#[tokio::test]
async fn call_without_a_key_is_sent_once() {
    let server = Server::start(|visit: Visit| visit.answer("503 Busy", "stripe-should-retry: true\r\n", "")).await;
    let outbound = outbound();
    let reply = outbound.send(&ctx(AMPLE), post(given(&outbound, &server), KEYED)).await.expect("an answer");
    assert_eq!((reply.status, reply.attempts, reply.in_doubt), (503, 1, false));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn earlier_attempt_leaves_doubt_after_a_later_refusal() {
    let server = Server::start(|visit: Visit| async move {
        match visit.number {
            0 => visit.reset(),
            _ => visit.answer("429 Too Many", "stripe-should-retry: false\r\n", "").await,
        }
    })
    .await;
    let outbound = outbound();
    let reply = outbound.send(&ctx(AMPLE), keyed(&outbound, &server)).await.expect("an answer");
    assert_eq!((reply.status, reply.attempts, reply.in_doubt), (429, 2, true));
}

#[tokio::test]
async fn earlier_attempt_leaves_doubt_after_a_refused_connection() {
    let port = faultkit::Port::keep();
    let (address, listener) = (port.address(), TcpListener::from_std(port.listen()).expect("a listener"));
    let outbound = outbound();
    let to = outbound.untrusted(&format!("http://{address}/")).expect("allowed");
    let call = post(to, KEYED).repeat(Repeat::USUAL);
    let serve_once = async move {
        let (mut stream, _) = listener.accept().await.expect("a visit");
        drop(listener);
        stream.read_exact(&mut [0; 100]).await.expect("a request");
        stream.set_zero_linger().expect("a socket");
    };
    let ctx = ctx(AMPLE);
    let (outcome, ()) = tokio::join!(outbound.send(&ctx, call), serve_once);
    let error = outcome.expect_err("no listener");
    assert_eq!((error.reason, error.effect), (Reason::Unreachable, Effect::Unknown));
}

#[tokio::test]
async fn retry_after_delays_the_retry() {
    let server = Server::start(|visit: Visit| async move {
        match visit.number {
            0 => visit.answer("503 Busy", "retry-after: 1\r\n", "").await,
            _ => visit.answer("200 OK", "", "").await,
        }
    })
    .await;
    let (outbound, watch) = (outbound(), Stopwatch::start());
    let reply = outbound.send(&ctx(AMPLE), keyed(&outbound, &server)).await.expect("an answer");
    assert_eq!((reply.status, reply.attempts), (200, 2));
    assert!(watch.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn retry_after_beyond_the_deadline_ends_the_call() {
    let server = Server::start(|visit: Visit| visit.answer("503 Busy", "retry-after: 60\r\n", "")).await;
    let (outbound, watch) = (outbound(), Stopwatch::start());
    let reply = outbound.send(&ctx(AMPLE), keyed(&outbound, &server)).await.expect("an answer");
    assert_eq!((reply.status, reply.attempts), (503, 1));
    assert_eq!(reply.retry_after(), Some(Duration::from_secs(60)));
    assert!(watch.elapsed() < SOON);
}

#[tokio::test]
async fn stripe_should_retry_decides_about_the_retry() {
    for (status, header, expected) in [
        ("500 Oops", "stripe-should-retry: false\r\n", 1),
        ("409 Conflict", "stripe-should-retry: true\r\n", 2),
        ("409 Conflict", "", 1),
    ] {
        let server = Server::start(move |visit: Visit| async move {
            match visit.number {
                0 => visit.answer(status, header, "").await,
                _ => visit.answer("200 OK", "", "").await,
            }
        })
        .await;
        let outbound = outbound();
        let reply = outbound.send(&ctx(AMPLE), keyed(&outbound, &server)).await.expect("an answer");
        assert_eq!(reply.attempts, expected, "{status} {header}");
    }
}

#[tokio::test]
async fn retries_end_before_the_deadline() {
    let server = Server::start(|visit: Visit| async { visit.reset() }).await;
    let half = OutboundConfig { jitter: std::sync::Arc::new(|most| most), ..config() };
    let (outbound, watch) = (Outbound::new(half).expect("a client"), Stopwatch::start());
    let error = outbound.send(&ctx(Duration::from_millis(700)), keyed(&outbound, &server)).await.expect_err("broken");
    assert_eq!((error.reason, error.effect), (Reason::Broken, Effect::Unknown));
    // The deadline leaves time for backoffs of 100 ms and 200 ms, but not for a further backoff of 400 ms.
    assert_eq!(server.requests().len(), 3);
    assert!(watch.elapsed() < Duration::from_millis(700));
}

#[tokio::test]
async fn slow_attempt_leaves_time_for_another() {
    let server = Server::start(|visit: Visit| async move {
        match visit.number {
            0 => visit.hang().await,
            _ => visit.answer("200 OK", "", "").await,
        }
    })
    .await;
    let outbound = outbound();
    let call = post(given(&outbound, &server), limits(Duration::from_millis(300), WHOLE)).repeat(Repeat::USUAL);
    let reply = outbound.send(&ctx(AMPLE), call).await.expect("an answer");
    assert_eq!((reply.status, reply.attempts, reply.in_doubt), (200, 2, true));
}

#[tokio::test]
async fn failing_destination_gets_only_a_fifth_more_calls() {
    let server = Server::start(|visit: Visit| visit.answer("503 Busy", "", "")).await;
    let other = Server::start(|visit: Visit| visit.answer("503 Busy", "", "")).await;
    let outbound = outbound();
    let (lines, watch) = (Lines::default(), Stopwatch::start());
    for _ in 0..50 {
        let reply = outbound.send(&ctx_with(&lines, AMPLE), keyed(&outbound, &server)).await.expect("an answer");
        assert_eq!(reply.status, 503);
    }
    // 50 calls, 10 retries (a fifth of the calls) and 10 more retries (one for each second of the period). There are
    // more retries only if the test is slow.
    let later = usize::try_from(2 * watch.elapsed().as_secs()).expect("small");
    let made = server.requests().len();
    assert!((70..=70 + later).contains(&made), "{made}");
    assert!(lines.all().iter().any(|line| line.contains("outcome=retry_budget_exhausted")));
    // The other destination has a separate retry budget.
    let reply = outbound.send(&ctx(AMPLE), keyed(&outbound, &other)).await.expect("an answer");
    assert!(reply.attempts > 1);
}
