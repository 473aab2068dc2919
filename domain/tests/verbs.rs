//! The use cases that only pass on what they are given, and the passes that only count.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::PortFuture;
use domain::checkout::{
    Answer, Begin, Begun, CancelCheckout, CancelCommand, Checkout, CheckoutExpiry, CheckoutId, CheckoutRefusal,
    CheckoutRequest, CheckoutStore, CreateCheckout, CreateCommand, NewCheckout, Outcome, Settlement, UpdateCheckout,
    UpdateCommand,
};
use domain::clock::{Clock, Timestamp};
use domain::context::{Caller, Deadline, PlatformId, RequestContext, RequestId, TraceContext};
use domain::fault::{Failure, Fault, FaultKind};
use domain::id::PageToken;
use domain::idempotency::{Fingerprint, IdempotencyPurge, IdempotencyStore, Key, KeyClaim, RETENTION, Write};
use domain::money::Currency;
use domain::task::{BackgroundTask, Progress};
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

#[derive(Clone, Default)]
struct Book {
    asked: Arc<Mutex<Vec<String>>>,
    expired: (u32, u32),
    purged: u32,
}

impl Book {
    fn ask<T: Send + 'static, E: Send + 'static>(&self, what: String, answer: Result<T, E>) -> PortFuture<T, E> {
        self.asked.lock().expect("not poisoned").push(what);
        Box::pin(async move { answer })
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("not poisoned"))
    }
}

fn done() -> Result<Answer, Failure<CheckoutRefusal>> {
    Ok(Answer { outcome: Outcome::NothingToSell(Vec::new()), replayed: false })
}

fn never<T: Send + 'static, E: From<Fault> + Send + 'static>() -> PortFuture<T, E> {
    Box::pin(async { Err(Fault::internal("test.port", "not asked for here").into()) })
}

/// Whole seconds from now.
fn from_now(at: Timestamp) -> i64 {
    (at - NOW).whole_seconds()
}

impl CheckoutStore for Book {
    fn create(
        &self,
        _: &RequestContext,
        write: Write,
        new: NewCheckout,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        let (at, expires) = (from_now(write.now), from_now(new.expires_at));
        self.ask(format!("create {} {at} {expires} {}", write.claim.key.as_str(), new.currency.code()), done())
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
        write: Write,
        id: CheckoutId,
        _: CheckoutRequest,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        self.ask(format!("update {} {} {id}", write.claim.key.as_str(), from_now(write.now)), done())
    }
    fn cancel(&self, _: &RequestContext, write: Write, id: CheckoutId) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        self.ask(format!("cancel {} {} {id}", write.claim.key.as_str(), from_now(write.now)), done())
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
        self.ask(format!("expire {} {} {limit}", from_now(now), from_now(forget_before)), Ok(self.expired))
    }
}

impl IdempotencyStore for Book {
    fn purge(&self, _: &RequestContext, before: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        self.ask(format!("purge {} {limit}", from_now(before)), Ok(self.purged))
    }
    fn age(&self, _: &RequestContext, _: String, _: u32) -> PortFuture<u32, Fault> {
        never()
    }
}

impl Clock for Book {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn pause(&self, _: &RequestContext, _: Duration) -> PortFuture<(), Fault> {
        never()
    }
}

fn ctx(budget: Duration) -> RequestContext {
    let (log, principal) = (slog::Logger::root(slog::Discard, slog::o!()), Caller::Anonymous);
    let (trace, deadline) = (TraceContext::start(), Deadline::after(budget));
    RequestContext::new(&log, RequestId::generate(), trace, principal, deadline, CancellationToken::new())
}

fn claim() -> KeyClaim {
    KeyClaim {
        principal: PlatformId("https://platform.example/".to_owned()),
        operation: "checkout.test",
        resource: String::new(),
        key: Key::parse("key").expect("valid"),
        fingerprint: Fingerprint("f".to_owned()),
    }
}

#[tokio::test]
async fn verbs_pass_on_what_they_are_given_to_a_caller_who_still_waits() {
    let (book, id) = (Arc::new(Book::default()), CheckoutId::generate(NOW));
    let create = CreateCheckout::new(book.clone(), book.clone(), Currency::USD, Duration::from_secs(60));
    let update = UpdateCheckout::new(book.clone(), book.clone());
    let cancel = CancelCheckout::new(book.clone(), book.clone());
    for (budget, expected) in [(Duration::from_secs(60), None), (Duration::ZERO, Some(FaultKind::DeadlineExceeded))] {
        let ctx = ctx(budget);
        let answers = [
            create.run(&ctx, CreateCommand { claim: claim(), request: CheckoutRequest::default() }).await,
            update
                .run(&ctx, UpdateCommand { claim: claim(), id: id.clone(), request: CheckoutRequest::default() })
                .await,
            cancel.run(&ctx, CancelCommand { claim: claim(), id: id.clone() }).await,
        ];
        for answer in answers {
            let fault = answer.err().map(|error| match error {
                Failure::Fault(fault) => fault.kind(),
                Failure::Refused(refusal) => panic!("{refusal:?}"),
            });
            assert_eq!(fault, expected);
        }
        let asked = ["create key 0 60 USD".to_owned(), format!("update key 0 {id}"), format!("cancel key 0 {id}")];
        assert_eq!(book.asked(), if expected.is_none() { asked.to_vec() } else { vec![] });
    }
}

#[tokio::test]
async fn passes_that_hit_their_bound_run_again_at_once() {
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
        let book = Arc::new(Book { expired, ..Book::default() });
        let task = CheckoutExpiry::new(book.clone(), book.clone(), day);
        assert_eq!(task.pass(&ctx(day)).await.expect("a pass"), expected, "{expired:?}");
        assert_eq!(book.asked(), ["expire 0 -86400 500"]);
        assert_eq!(task.name(), "checkout_expiry");
    }
    for (purged, expected) in
        [(0, Progress::Idle), (1, Progress::Done(1)), (999, Progress::Done(999)), (1_000, Progress::More(1_000))]
    {
        let book = Arc::new(Book { purged, ..Book::default() });
        let task = IdempotencyPurge::new(book.clone(), book.clone());
        assert_eq!(task.pass(&ctx(day)).await.expect("a pass"), expected, "{purged}");
        assert_eq!(book.asked(), [format!("purge -{} 1000", RETENTION.as_secs())]);
        assert_eq!(task.name(), "idempotency_purge");
    }
}
