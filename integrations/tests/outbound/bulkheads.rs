//! A destination that hangs does not affect other destinations.

use std::time::Duration;

use domain::context::Stopwatch;
use domain::fault::{Fault, FaultKind};
use integrations::outbound::{BulkheadLimits, Effect, Reason};
use tokio::task::JoinSet;

use crate::kit::{AMPLE, Server, Visit, WHOLE, ctx, given, limits, outbound_with, post};

const WAIT: Duration = Duration::from_millis(400);
const LIMITS: BulkheadLimits =
    BulkheadLimits { concurrency: 2, waiting: 1, wait: WAIT, retries_per_second: 1, destinations: 10 };

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn hanging_destination_uses_up_only_its_own_permits() {
    let hung = Server::start(Visit::hang).await;
    let healthy = Server::start(|visit: Visit| visit.answer("200 OK", "", "")).await;
    let outbound = outbound_with(LIMITS);
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        let (outbound, call) = (outbound.clone(), post(given(&outbound, &hung), limits(AMPLE, WHOLE)));
        calls.spawn(async move { outbound.send(&ctx(AMPLE), call).await });
    }
    until(|| hung.requests().len() == 2).await;

    let watch = Stopwatch::start();
    let call = || post(given(&outbound, &hung), limits(AMPLE, WHOLE));
    let (long, short) = (ctx(AMPLE), ctx(AMPLE));
    let (waited, refused) = tokio::join!(outbound.send(&long, call()), async {
        let refused = outbound.send(&short, call()).await;
        (refused, watch.elapsed())
    });
    let (refused, at) = refused;
    for outcome in [waited, refused] {
        let error = outcome.expect_err("no permit");
        assert_eq!((error.reason, error.effect), (Reason::Busy, Effect::None));
        assert_eq!(Fault::from(error).kind(), FaultKind::Unavailable);
    }
    assert!(at < WAIT && watch.elapsed() >= WAIT, "one call waited, the other was refused at once");

    let reply = outbound.send(&ctx(AMPLE), post(given(&outbound, &healthy), limits(AMPLE, WHOLE))).await;
    assert_eq!(reply.expect("an answer").status, 200);
    assert_eq!(hung.requests().len(), 2);
}

#[tokio::test]
async fn free_permit_goes_to_a_waiting_call() {
    let server = Server::start(|visit: Visit| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        visit.answer("200 OK", "", "").await;
    })
    .await;
    let outbound = outbound_with(BulkheadLimits { concurrency: 1, waiting: 10, wait: AMPLE, ..LIMITS });
    let mut calls = JoinSet::new();
    for _ in 0..5 {
        let (outbound, call) = (outbound.clone(), post(given(&outbound, &server), limits(AMPLE, WHOLE)));
        calls.spawn(async move { outbound.send(&ctx(AMPLE), call).await.expect("an answer").status });
    }
    assert_eq!(calls.join_all().await, [200; 5]);
}

#[tokio::test]
async fn wait_for_a_permit_ends_at_deadline_or_cancellation() {
    let hung = Server::start(Visit::hang).await;
    let outbound = outbound_with(BulkheadLimits { concurrency: 1, waiting: 10, wait: AMPLE, ..LIMITS });
    let mut calls = JoinSet::new();
    let (first, call) = (outbound.clone(), post(given(&outbound, &hung), limits(AMPLE, WHOLE)));
    calls.spawn(async move { first.send(&ctx(AMPLE), call).await });
    until(|| !hung.requests().is_empty()).await;

    let call = || post(given(&outbound, &hung), limits(AMPLE, WHOLE));
    let error = outbound.send(&ctx(Duration::from_millis(200)), call()).await.expect_err("late");
    assert_eq!((error.reason, error.effect), (Reason::Deadline, Effect::None));
    let gone = ctx(AMPLE);
    let leave = async {
        tokio::task::yield_now().await;
        gone.cancellation().cancel();
    };
    let (outcome, ()) = tokio::join!(outbound.send(&gone, call()), leave);
    assert_eq!(outcome.expect_err("gone").reason, Reason::Cancelled);
}

#[tokio::test]
async fn destinations_of_one_host_can_have_separate_permits() {
    let server = Server::start(|visit: Visit| async move {
        match visit.number {
            0 => visit.hang().await,
            _ => visit.answer("200 OK", "", "").await,
        }
    })
    .await;
    let outbound = outbound_with(LIMITS);
    let to = |name: &str| given(&outbound, &server).in_bulkhead(name);
    let mut calls = JoinSet::new();
    let (first, call) = (outbound.clone(), post(to("one"), limits(AMPLE, WHOLE)).concurrency(1));
    calls.spawn(async move { first.send(&ctx(AMPLE), call).await });
    until(|| !server.requests().is_empty()).await;
    let full = outbound.send(&ctx(AMPLE), post(to("one"), limits(AMPLE, WHOLE))).await;
    assert_eq!(full.expect_err("no permit").reason, Reason::Busy);
    assert!(outbound.send(&ctx(AMPLE), post(to("two"), limits(AMPLE, WHOLE))).await.is_ok());
}
