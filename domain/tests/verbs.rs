//! What a new checkout is given, and the tasks that only delete.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::PortFuture;
use domain::checkout::{
    Answer, Begin, Begun, Checkout, CheckoutExpiry, CheckoutId, CheckoutRefusal, CheckoutRequest, CheckoutStore,
    NewCheckout, Outcome, Settlement,
};
use domain::clock::{Clock, Timestamp};
use domain::context::{Caller, Deadline, RequestContext, RequestId, TraceContext};
use domain::fault::{Failure, Fault};
use domain::id::PageToken;
use domain::idempotency::{IdempotencyPurge, IdempotencyStore, KeyClaim, RETENTION, Write};
use domain::money::Currency;
use domain::task::{BackgroundTask, Progress};
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

#[derive(Clone, Default)]
struct Store {
    calls: Arc<Mutex<Vec<String>>>,
    expired: (u32, u32),
    purged: u32,
}

impl Store {
    fn record<T: Send + 'static, E: Send + 'static>(&self, what: String, answer: Result<T, E>) -> PortFuture<T, E> {
        self.calls.lock().expect("not poisoned").push(what);
        Box::pin(async move { answer })
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().expect("not poisoned"))
    }
}

fn never<T: Send + 'static, E: From<Fault> + Send + 'static>() -> PortFuture<T, E> {
    Box::pin(async { Err(Fault::internal("test.port", "not calls for here").into()) })
}

/// Whole seconds from now.
fn from_now(at: Timestamp) -> i64 {
    (at - NOW).whole_seconds()
}

impl CheckoutStore for Store {
    fn create(&self, _: &RequestContext, _: Write, _: NewCheckout) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        never()
    }
    fn read(&self, _: &RequestContext, _: CheckoutId) -> PortFuture<Checkout, Failure<CheckoutRefusal>> {
        never()
    }
    fn read_page(&self, _: &RequestContext, _: PageToken) -> PortFuture<Option<Checkout>, Fault> {
        never()
    }
    fn update(
        &self,
        _: &RequestContext,
        _: Write,
        _: CheckoutId,
        _: CheckoutRequest,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        never()
    }
    fn cancel(&self, _: &RequestContext, _: Write, _: CheckoutId) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        never()
    }
    fn begin_completion(&self, _: &RequestContext, _: Begin) -> PortFuture<Begun, Failure<CheckoutRefusal>> {
        never()
    }
    fn settle(&self, _: &RequestContext, _: Settlement) -> PortFuture<Outcome, Fault> {
        never()
    }
    fn completion(
        &self,
        _: &RequestContext,
        _: KeyClaim,
        _: CheckoutId,
    ) -> PortFuture<Begun, Failure<CheckoutRefusal>> {
        never()
    }
    fn expire(
        &self,
        _: &RequestContext,
        now: Timestamp,
        forget_before: Timestamp,
        limit: u32,
    ) -> PortFuture<(u32, u32), Fault> {
        self.record(format!("expire {} {} {limit}", from_now(now), from_now(forget_before)), Ok(self.expired))
    }
}

impl IdempotencyStore for Store {
    fn purge(&self, _: &RequestContext, before: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        self.record(format!("purge {} {limit}", from_now(before)), Ok(self.purged))
    }
    fn age(&self, _: &RequestContext, _: String, _: u32) -> PortFuture<u32, Fault> {
        never()
    }
}

impl Clock for Store {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn pause(&self, _: &RequestContext, _: Duration) -> PortFuture<(), Fault> {
        never()
    }
}

fn ctx(budget: Duration) -> RequestContext {
    let (log, caller) = (slog::Logger::root(slog::Discard, slog::o!()), Caller::Anonymous);
    let (trace, deadline) = (TraceContext::start(), Deadline::after(budget));
    RequestContext::new(&log, RequestId::generate(), trace, caller, deadline, CancellationToken::new())
}

#[test]
fn new_checkout_has_its_own_id_and_page_and_expires() {
    let new = || NewCheckout::of(CheckoutRequest::default(), NOW, Currency::USD, Duration::from_secs(60));
    let (one, other) = (new(), new());
    assert_eq!((one.currency, from_now(one.expires_at)), (Currency::USD, 60));
    assert!(one.id != other.id && one.page != other.page);
}

#[tokio::test]
async fn pass_that_reached_its_limit_runs_again_at_once() {
    let day = Duration::from_secs(24 * 60 * 60);
    for (expired, expected) in [
        ((0, 0), Progress::Idle),
        ((1, 0), Progress::Done(1)),
        ((0, 2), Progress::Done(2)),
        ((499, 499), Progress::Done(998)),
        ((500, 0), Progress::More(500)),
        ((0, 500), Progress::More(500)),
        ((500, 500), Progress::More(1_000)),
        ((499, 500), Progress::More(999)),
        ((500, 499), Progress::More(999)),
    ] {
        let store = Arc::new(Store { expired, ..Store::default() });
        let task = CheckoutExpiry::new(store.clone(), store.clone(), day);
        assert_eq!(task.pass(&ctx(day)).await.expect("a pass"), expected, "{expired:?}");
        assert_eq!(store.calls(), ["expire 0 -86400 500"]);
        assert_eq!(task.name(), "checkout_expiry");
    }
    for (purged, expected) in
        [(0, Progress::Idle), (1, Progress::Done(1)), (999, Progress::Done(999)), (1_000, Progress::More(1_000))]
    {
        let store = Arc::new(Store { purged, ..Store::default() });
        let task = IdempotencyPurge::new(store.clone(), store.clone());
        assert_eq!(task.pass(&ctx(day)).await.expect("a pass"), expected, "{purged}");
        assert_eq!(store.calls(), [format!("purge -{} 1000", RETENTION.as_secs())]);
        assert_eq!(task.name(), "idempotency_purge");
    }
}
