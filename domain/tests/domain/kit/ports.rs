//! A fake of the stores of checkouts, payments and idempotency keys, of the payment gateway, and of the clock.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::PortFuture;
use domain::checkout::{
    Answer, BeginCompletion, Checkout, CheckoutId, CheckoutRefusal, CheckoutRequest, CheckoutStore, CompletionState,
    Expired, NewCheckout, Outcome, Settlement, Status,
};
use domain::clock::{Clock, Timestamp};
use domain::context::{Deadline, RequestContext};
use domain::fault::{Failure, Fault, FaultKind};
use domain::id::PageToken;
use domain::idempotency::{IdempotencyStore, KeyClaim, Write};
use domain::payment::{
    Attempt, AttemptId, AttemptState, AttemptStore, AuthorizationEnd, AuthorizedAttempt, Credential, Decline,
    GatewayEvent, GatewayState, LONGEST_PASS, PaymentChoice, PaymentGateway, PaymentHandler, PaymentOutcome,
    PaymentReference, Refund, RefundRefusal, RefundState, RefundStore, RefundWanted,
};

use super::{NOW, attempt, checkout, details, instrument, seconds_from_now};

type Scripted<T> = Result<T, FaultKind>;

/// The results that the fake returns, and the calls that it records.
#[derive(Default)]
pub struct Script {
    /// The price of the only line of the checkout that is completed.
    pub price: i64,
    /// The results of the first calls of `begin_completion`. Later calls claim the completion.
    pub begun: Mutex<Vec<CompletionState>>,
    /// The results of the calls of `completion`. The last result is repeated.
    pub states: Mutex<Vec<CompletionState>>,
    /// The outcome of another attempt with the same key that was settled before. `settle` returns it for a payment that
    /// was not attempted.
    pub overtaken_by: Option<Outcome>,
    pub held: Vec<AuthorizedAttempt>,
    pub due: Vec<Attempt>,
    pub refunds: Vec<Refund>,
    /// The result of `expire`.
    pub expired: Expired,
    /// The number that `purge` returns.
    pub purged: u32,
    /// Faults of storage methods: the name of a method, and the fault of one of its calls.
    pub failing: Mutex<Vec<(&'static str, FaultKind)>>,
    /// The name of a storage method, and the fault of all its calls.
    pub broken: Option<(&'static str, FaultKind)>,
    /// The fault of `open`.
    pub open: Option<FaultKind>,
    /// Whether the gateway refuses to open the payment.
    pub open_refused: bool,
    pub confirm: Option<Scripted<GatewayState>>,
    pub look_up: Option<Scripted<GatewayState>>,
    pub capture: Option<Scripted<GatewayState>>,
    pub cancel: Option<Scripted<GatewayState>>,
    pub refund: Option<Scripted<RefundState>>,
    /// The result of `find`.
    pub payment: Option<Scripted<Option<PaymentReference>>>,
    /// The result of `look_up_refund`.
    pub found: Option<Scripted<Option<RefundState>>>,
    /// Whether pauses take real time.
    pub slow_pause: bool,
    /// The requested pauses, at most a hundred.
    pub pauses: Mutex<Vec<Duration>>,
    /// The recorded calls, at most a hundred, because one test polls with pauses that take no time.
    pub calls: Mutex<Vec<String>>,
    /// The moment of the last call of `begin_completion`.
    pub began: Mutex<Option<Instant>>,
    /// The different deadlines of the calls, each with the time that was left until the deadline.
    pub given: Mutex<Vec<(Deadline, Duration)>>,
}

/// All ports of the use cases and tasks of checkouts, payments and idempotency keys.
#[derive(Clone, Default)]
pub struct FakePorts(pub Arc<Script>);

impl FakePorts {
    pub fn of(script: Script) -> Arc<Self> {
        Arc::new(Self(Arc::new(script)))
    }

    pub fn calls(&self) -> Vec<String> {
        self.0.calls.lock().expect("not poisoned").clone()
    }

    fn record_call(&self, what: impl Into<String>) {
        let mut calls = self.0.calls.lock().expect("not poisoned");
        if calls.len() < 100 {
            calls.push(what.into());
        }
    }

    /// Records the deadline of a call, unless the same deadline is already recorded.
    fn record_deadline(&self, ctx: &RequestContext) {
        let mut given = self.0.given.lock().expect("not poisoned");
        if given.iter().all(|(known, _)| *known != ctx.deadline()) {
            given.push((ctx.deadline(), ctx.deadline().remaining()));
        }
    }

    /// Records the call of a storage method and returns `result`, or the scripted fault of the method.
    fn store<T: Send + 'static>(
        &self,
        ctx: &RequestContext,
        method: &'static str,
        call: String,
        result: T,
    ) -> PortFuture<T, Fault> {
        self.record_deadline(ctx);
        self.record_call(call);
        let mut failing = self.0.failing.lock().expect("not poisoned");
        let next = failing.iter().position(|(of, _)| *of == method).map(|position| failing.remove(position));
        ready(match next.or(self.0.broken.filter(|(of, _)| *of == method)) {
            Some((_, kind)) => Err(Fault::new(kind, method)),
            None => Ok(result),
        })
    }

    /// Records a call of the gateway and returns the scripted result.
    fn ask<T: Clone + Send + 'static>(
        &self,
        ctx: &RequestContext,
        call: &str,
        result: Option<&Scripted<T>>,
    ) -> PortFuture<T, Fault> {
        self.record_deadline(ctx);
        self.record_call(call);
        let result = result.cloned().unwrap_or(Err(FaultKind::Internal));
        ready(result.map_err(|kind| Fault::new(kind, "test.gateway")))
    }

    fn claim<T: Clone + Send + 'static>(
        &self,
        ctx: &RequestContext,
        lease: Duration,
        due: &[T],
    ) -> PortFuture<Vec<T>, Fault> {
        assert!(lease > LONGEST_PASS, "another pass could claim an item of a running pass");
        self.record_deadline(ctx);
        ready(Ok(due.to_vec()))
    }
}

pub fn ready<T: Send + 'static, E: Send + 'static>(result: Result<T, E>) -> PortFuture<T, E> {
    Box::pin(async move { result })
}

pub fn unexpected<T, E>() -> PortFuture<T, E> {
    unreachable!("no use case and no task calls this method")
}

pub fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 60 * 60)
}

impl CheckoutStore for FakePorts {
    fn create(&self, _: &RequestContext, _: Write, _: NewCheckout) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        unexpected()
    }
    fn read(&self, _: &RequestContext, _: CheckoutId) -> PortFuture<Checkout, Failure<CheckoutRefusal>> {
        unexpected()
    }
    fn read_page(&self, _: &RequestContext, _: PageToken) -> PortFuture<Option<Checkout>, Fault> {
        unexpected()
    }
    fn update(
        &self,
        _: &RequestContext,
        _: Write,
        _: CheckoutId,
        _: CheckoutRequest,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        unexpected()
    }
    fn cancel(&self, _: &RequestContext, _: Write, _: CheckoutId) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        unexpected()
    }
    fn begin_completion(
        &self,
        _: &RequestContext,
        begin: BeginCompletion,
    ) -> PortFuture<CompletionState, Failure<CheckoutRefusal>> {
        self.record_call("begin");
        *self.0.began.lock().expect("not poisoned") = Some(Deadline::after(Duration::ZERO).instant());
        let mut begun = self.0.begun.lock().expect("not poisoned");
        if !begun.is_empty() {
            return ready(Ok(begun.remove(0)));
        }
        let ready_checkout = checkout(Status::ReadyForComplete, details(self.0.price, Vec::new()));
        let checkout = ready_checkout.completing(begin.attempt.clone(), begin.instrument, NOW);
        let mut attempt = Attempt { id: begin.attempt, reference: None, checks: 0, ..attempt(AttemptState::Opened) };
        attempt.money.amount = checkout.details.totals.total();
        ready(Ok(CompletionState::Claimed { checkout, attempt }))
    }
    fn settle(&self, ctx: &RequestContext, settlement: Settlement) -> PortFuture<Outcome, Fault> {
        let of_status = |status| checkout(status, details(self.0.price, Vec::new()));
        let outcome = match &settlement.outcome {
            PaymentOutcome::Confirmed => Outcome::Checkout(of_status(Status::Completed)),
            PaymentOutcome::NotAttempted => match &self.0.overtaken_by {
                Some(other) => other.clone(),
                None => Outcome::Checkout(of_status(Status::ReadyForComplete)),
            },
            _ => Outcome::Declined(of_status(Status::ReadyForComplete)),
        };
        self.store(ctx, "settle", format!("settle {}", settlement.outcome.into_str()), outcome)
    }
    fn completion(
        &self,
        _: &RequestContext,
        _: KeyClaim,
        _: CheckoutId,
    ) -> PortFuture<CompletionState, Failure<CheckoutRefusal>> {
        let mut states = self.0.states.lock().expect("not poisoned");
        ready(Ok(if states.len() > 1 { states.remove(0) } else { states[0].clone() }))
    }
    fn expire(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        forget_before: Timestamp,
        limit: u32,
    ) -> PortFuture<Expired, Fault> {
        let call = format!("expire {} {} {limit}", seconds_from_now(now), seconds_from_now(forget_before));
        self.store(ctx, "expire", call, self.0.expired)
    }
}

impl IdempotencyStore for FakePorts {
    fn purge(&self, ctx: &RequestContext, before: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        self.store(ctx, "purge", format!("purge {} {limit}", seconds_from_now(before)), self.0.purged)
    }
    fn age(&self, _: &RequestContext, _: String, _: u32) -> PortFuture<u32, Fault> {
        unexpected()
    }
}

impl AttemptStore for FakePorts {
    fn record_reference(&self, ctx: &RequestContext, _: AttemptId, to: PaymentReference) -> PortFuture<(), Fault> {
        self.store(ctx, "record_reference", format!("record_reference {}", to.0), ())
    }
    fn record_unknown(&self, ctx: &RequestContext, _: AttemptId, _: Timestamp) -> PortFuture<(), Fault> {
        self.store(ctx, "record_unknown", "record_unknown".to_owned(), ())
    }
    fn claim_due(
        &self,
        ctx: &RequestContext,
        _: Timestamp,
        lease: Duration,
        _: u32,
    ) -> PortFuture<Vec<Attempt>, Fault> {
        self.claim(ctx, lease, &self.0.due)
    }
    fn postpone(&self, ctx: &RequestContext, claimed: &Attempt, at: Timestamp) -> PortFuture<(), Fault> {
        let of_tasks = self.0.due.iter().chain(self.0.held.iter().map(|held| &held.attempt));
        let known = of_tasks.into_iter().find(|known| known.id == claimed.id);
        let (state, checks) = known.map_or((AttemptState::Opened, 0), |known| (known.state, known.checks));
        assert_eq!((claimed.state, claimed.checks), (state, checks), "the attempt as it was claimed");
        self.store(ctx, "postpone", format!("postpone {}", seconds_from_now(at)), ())
    }
    fn claim_authorized(
        &self,
        ctx: &RequestContext,
        _: Timestamp,
        lease: Duration,
        _: u32,
    ) -> PortFuture<Vec<AuthorizedAttempt>, Fault> {
        self.claim(ctx, lease, &self.0.held)
    }
    fn record_captured(&self, ctx: &RequestContext, _: AttemptId, end: AuthorizationEnd) -> PortFuture<(), Fault> {
        let call = match end {
            AuthorizationEnd::Captured => "captured",
            AuthorizationEnd::Released => "released",
        };
        self.store(ctx, "record_captured", call.to_owned(), ())
    }
    fn record_event(&self, _: &RequestContext, _: GatewayEvent, _: Timestamp) -> PortFuture<bool, Fault> {
        unexpected()
    }
}

impl RefundStore for FakePorts {
    fn request(&self, _: &RequestContext, _: RefundWanted) -> PortFuture<Refund, Failure<RefundRefusal>> {
        unexpected()
    }
    fn claim_due(&self, ctx: &RequestContext, _: Timestamp, lease: Duration, _: u32) -> PortFuture<Vec<Refund>, Fault> {
        self.claim(ctx, lease, &self.0.refunds)
    }
    fn record(&self, ctx: &RequestContext, _: &Refund, state: RefundState, at: Timestamp) -> PortFuture<(), Fault> {
        self.store(ctx, "record", format!("record {state:?} {}", seconds_from_now(at)), ())
    }
}

impl PaymentGateway for FakePorts {
    fn handler(&self) -> PaymentHandler {
        PaymentHandler {
            name: "test.handler".to_owned(),
            id: instrument().handler,
            version: "2026-04-08".to_owned(),
            spec: String::new(),
            schema: String::new(),
            instruments: vec![instrument().kind],
            config: "{}".to_owned(),
        }
    }
    fn on_file(&self, _: &RequestContext, _: &PaymentChoice) -> PortFuture<Option<Credential>, Fault> {
        ready(Ok(None))
    }
    fn open(&self, ctx: &RequestContext, _: &Attempt) -> PortFuture<PaymentReference, Failure<Decline>> {
        self.record_deadline(ctx);
        self.record_call("open");
        ready(match self.0.open {
            _ if self.0.open_refused => Err(Failure::Refused("too small".into())),
            Some(kind) => Err(Fault::new(kind, "payment.open").into()),
            None => Ok(PaymentReference("opened".to_owned())),
        })
    }
    fn confirm(
        &self,
        ctx: &RequestContext,
        _: &Attempt,
        _: &PaymentReference,
        _: &Credential,
    ) -> PortFuture<GatewayState, Fault> {
        self.ask(ctx, "confirm", self.0.confirm.as_ref().or(Some(&Ok(GatewayState::Confirmed))))
    }
    fn find(&self, ctx: &RequestContext, _: &Attempt) -> PortFuture<Option<PaymentReference>, Fault> {
        self.ask(ctx, "find", self.0.payment.as_ref())
    }
    fn look_up(&self, ctx: &RequestContext, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.ask(ctx, "look_up", self.0.look_up.as_ref())
    }
    fn cancel(&self, ctx: &RequestContext, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.ask(ctx, "cancel", self.0.cancel.as_ref().or(Some(&Ok(GatewayState::Cancelled))))
    }
    fn capture(&self, ctx: &RequestContext, _: &Attempt, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.ask(ctx, "capture", self.0.capture.as_ref())
    }
    fn refund(&self, ctx: &RequestContext, _: &Refund) -> PortFuture<RefundState, Fault> {
        self.ask(ctx, "refund", self.0.refund.as_ref())
    }
    fn look_up_refund(&self, ctx: &RequestContext, _: &Refund) -> PortFuture<Option<RefundState>, Fault> {
        self.ask(ctx, "look_up_refund", self.0.found.as_ref())
    }
}

impl Clock for FakePorts {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn pause(&self, _: &RequestContext, time: Duration) -> PortFuture<(), Fault> {
        self.record_call("pause");
        let mut pauses = self.0.pauses.lock().expect("not poisoned");
        if pauses.len() < 100 {
            pauses.push(time);
        }
        match self.0.slow_pause {
            true => Box::pin(async move {
                tokio::time::sleep(time).await;
                Ok(())
            }),
            false => ready(Ok(())),
        }
    }
}
