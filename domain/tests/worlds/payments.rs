//! Test doubles of the ports of the payment tasks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::PortFuture;
use domain::checkout::{
    Answer, Begin, Begun, Checkout, CheckoutId, CheckoutRefusal, CheckoutRequest, CheckoutStore, NewCheckout, Outcome,
    Settlement,
};
use domain::clock::{Clock, Timestamp};
use domain::context::{Deadline, RequestContext, TraceContext};
use domain::fault::{Failure, Fault, FaultKind};
use domain::id::PageToken;
use domain::idempotency::{KeyClaim, Write};
use domain::money::{Amount, Currency, Money};
use domain::payment::{
    Attempt, AttemptId, AttemptState, AttemptStore, Credential, Decline, GatewayEvent, GatewayState, HandlerId, Held,
    LONGEST_PASS, PaymentCapture, PaymentChoice, PaymentGateway, PaymentHandler, PaymentReconciler, PaymentReference,
    PaymentRefunder, Refund, RefundId, RefundRefusal, RefundState, RefundStore, RefundWanted,
};
use domain::task::{BackgroundTask, Progress};
use slog::KV;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

pub const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

pub type Scripted<T> = Result<T, FaultKind>;

/// All ports of the payment tasks in one test double: returns scripted results and records the calls.
#[derive(Default)]
pub struct World {
    pub held: Vec<Held>,
    pub due: Vec<Attempt>,
    pub refunds: Vec<Refund>,
    pub open_refused: bool,
    /// Storage faults, each for one call of the named port method.
    pub failing: Mutex<Vec<(&'static str, FaultKind)>>,
    pub look_up: Option<Scripted<GatewayState>>,
    pub capture: Option<Scripted<GatewayState>>,
    pub cancel: Option<Scripted<GatewayState>>,
    pub refund: Option<Scripted<RefundState>>,
    /// The result of `find`.
    pub payment: Option<Scripted<Option<PaymentReference>>>,
    /// The result of `look_up_refund`.
    pub found: Option<Scripted<Option<RefundState>>>,
    pub calls: Mutex<Vec<String>>,
    /// The deadlines that the ports were given, and the time left until each.
    pub given: Mutex<Vec<(Deadline, Duration)>>,
}

#[derive(Clone)]
pub struct Ports(pub Arc<World>);

impl Ports {
    pub fn record_call(&self, what: impl Into<String>) {
        self.0.calls.lock().expect("not poisoned").push(what.into());
    }

    /// Records the deadline of a call, once.
    pub fn given(&self, ctx: &RequestContext) {
        let mut given = self.0.given.lock().expect("not poisoned");
        if given.iter().all(|(known, _)| *known != ctx.deadline()) {
            given.push((ctx.deadline(), ctx.deadline().remaining()));
        }
    }

    /// The scripted result of a storage call.
    pub fn stored(&self, method: &'static str) -> Result<(), Fault> {
        let mut failing = self.0.failing.lock().expect("not poisoned");
        match failing.iter().position(|(of, _)| *of == method).map(|position| failing.remove(position)) {
            Some((_, kind)) => Err(Fault::new(kind, method)),
            None => Ok(()),
        }
    }
}

pub fn ready<T: Send + 'static, E: Send + 'static>(outcome: Result<T, E>) -> PortFuture<T, E> {
    Box::pin(async move { outcome })
}

pub fn not_asked<T: Send + 'static, E: From<Fault> + Send + 'static>() -> PortFuture<T, E> {
    ready(Err(Fault::internal("test.port", "no task asks for this").into()))
}

pub fn answer<T: Clone + Send + 'static>(scripted: &Option<Scripted<T>>) -> PortFuture<T, Fault> {
    let scripted = scripted.clone().unwrap_or(Err(FaultKind::Internal));
    ready(scripted.map_err(|kind| Fault::new(kind, "test.gateway")))
}

/// In succeeded seconds from now.
pub fn until(at: Timestamp) -> i64 {
    (at - NOW).whole_seconds()
}

impl AttemptStore for Ports {
    fn record_reference(&self, ctx: &RequestContext, _: AttemptId, to: PaymentReference) -> PortFuture<(), Fault> {
        self.given(ctx);
        self.record_call(format!("record {}", to.0));
        ready(self.stored("record_reference"))
    }
    fn record_unknown(&self, _: &RequestContext, _: AttemptId, _: Timestamp) -> PortFuture<(), Fault> {
        not_asked()
    }
    fn claim_due(&self, ctx: &RequestContext, _: Timestamp, _: Duration, _: u32) -> PortFuture<Vec<Attempt>, Fault> {
        self.given(ctx);
        ready(Ok(self.0.due.clone()))
    }
    fn postpone(&self, ctx: &RequestContext, _: &Attempt, at: Timestamp) -> PortFuture<(), Fault> {
        self.given(ctx);
        self.record_call(format!("postpone {}", until(at)));
        ready(self.stored("postpone"))
    }
    fn claim_authorized(
        &self,
        ctx: &RequestContext,
        _: Timestamp,
        _: Duration,
        _: u32,
    ) -> PortFuture<Vec<Held>, Fault> {
        self.given(ctx);
        ready(Ok(self.0.held.clone()))
    }
    fn record_captured(&self, ctx: &RequestContext, _: AttemptId, captured: bool) -> PortFuture<(), Fault> {
        self.given(ctx);
        self.record_call(if captured { "captured" } else { "released" });
        ready(self.stored("record_captured"))
    }
    fn record_event(&self, _: &RequestContext, _: GatewayEvent, _: Timestamp) -> PortFuture<bool, Fault> {
        not_asked()
    }
}

impl RefundStore for Ports {
    fn request(&self, _: &RequestContext, _: RefundWanted) -> PortFuture<Refund, Failure<RefundRefusal>> {
        not_asked()
    }
    fn claim_due(&self, ctx: &RequestContext, _: Timestamp, _: Duration, _: u32) -> PortFuture<Vec<Refund>, Fault> {
        self.given(ctx);
        ready(Ok(self.0.refunds.clone()))
    }
    fn record(&self, ctx: &RequestContext, _: &Refund, state: RefundState, at: Timestamp) -> PortFuture<(), Fault> {
        self.given(ctx);
        self.record_call(format!("record {state:?} {}", until(at)));
        ready(self.stored("record"))
    }
}

impl PaymentGateway for Ports {
    fn handler(&self) -> PaymentHandler {
        unreachable!("no task offers anything")
    }
    fn on_file(&self, _: &RequestContext, _: &PaymentChoice) -> PortFuture<Option<Credential>, Fault> {
        not_asked()
    }
    fn open(&self, ctx: &RequestContext, _: &Attempt) -> PortFuture<PaymentReference, Failure<Decline>> {
        self.given(ctx);
        self.record_call("open");
        ready(match self.0.open_refused {
            true => Err(Failure::Refused("too small".into())),
            false => Ok(PaymentReference("opened again".to_owned())),
        })
    }
    fn confirm(
        &self,
        _: &RequestContext,
        _: &Attempt,
        _: &PaymentReference,
        _: &Credential,
    ) -> PortFuture<GatewayState, Fault> {
        not_asked()
    }
    fn find(&self, ctx: &RequestContext, _: &Attempt) -> PortFuture<Option<PaymentReference>, Fault> {
        self.given(ctx);
        self.record_call("find");
        answer(&self.0.payment)
    }
    fn look_up(&self, ctx: &RequestContext, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.given(ctx);
        self.record_call("look_up");
        answer(&self.0.look_up)
    }
    fn cancel(&self, ctx: &RequestContext, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.given(ctx);
        self.record_call("cancel");
        answer(&self.0.cancel)
    }
    fn capture(&self, ctx: &RequestContext, _: &Attempt, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.given(ctx);
        self.record_call("capture");
        answer(&self.0.capture)
    }
    fn refund(&self, ctx: &RequestContext, _: &Refund) -> PortFuture<RefundState, Fault> {
        self.given(ctx);
        self.record_call("refund");
        answer(&self.0.refund)
    }
    fn look_up_refund(&self, ctx: &RequestContext, _: &Refund) -> PortFuture<Option<RefundState>, Fault> {
        self.given(ctx);
        self.record_call("look_up_refund");
        answer(&self.0.found)
    }
}

impl CheckoutStore for Ports {
    fn create(&self, _: &RequestContext, _: Write, _: NewCheckout) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        not_asked()
    }
    fn read(&self, _: &RequestContext, _: CheckoutId) -> PortFuture<Checkout, Failure<CheckoutRefusal>> {
        not_asked()
    }
    fn read_page(&self, _: &RequestContext, _: PageToken) -> PortFuture<Option<Checkout>, Fault> {
        not_asked()
    }
    fn update(
        &self,
        _: &RequestContext,
        _: Write,
        _: CheckoutId,
        _: CheckoutRequest,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        not_asked()
    }
    fn cancel(&self, _: &RequestContext, _: Write, _: CheckoutId) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        not_asked()
    }
    fn begin_completion(&self, _: &RequestContext, _: Begin) -> PortFuture<Begun, Failure<CheckoutRefusal>> {
        not_asked()
    }
    fn settle(&self, ctx: &RequestContext, settlement: Settlement) -> PortFuture<Outcome, Fault> {
        self.given(ctx);
        self.record_call(format!("settle {}", settlement.outcome.as_str()));
        if let Err(fault) = self.stored("settle") {
            return ready(Err(fault));
        }
        ready(Ok(Outcome::NothingToSell(Vec::new())))
    }
    fn completion(
        &self,
        _: &RequestContext,
        _: KeyClaim,
        _: CheckoutId,
    ) -> PortFuture<Begun, Failure<CheckoutRefusal>> {
        not_asked()
    }
    fn expire(&self, _: &RequestContext, _: Timestamp, _: Timestamp, _: u32) -> PortFuture<(u32, u32), Fault> {
        not_asked()
    }
}

impl Clock for Ports {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn pause(&self, _: &RequestContext, _: Duration) -> PortFuture<(), Fault> {
        self.record_call("pause");
        ready(Ok(()))
    }
}

pub fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 60 * 60)
}

pub fn attempt(state: AttemptState) -> Attempt {
    Attempt {
        id: AttemptId::generate(NOW),
        checkout: CheckoutId::generate(NOW),
        handler: HandlerId("handler".to_owned()),
        money: Money { amount: Amount::new(100), currency: Currency::USD },
        state,
        reference: Some(PaymentReference("ref".to_owned())),
        checks: 1,
        created_at: NOW - hours(1),
    }
}

pub fn held(wanted: bool) -> Held {
    Held { attempt: attempt(AttemptState::Authorized), wanted }
}

pub fn refund(state: RefundState, age: Duration) -> Refund {
    Refund {
        id: RefundId::generate(NOW),
        attempt: AttemptId::generate(NOW),
        reference: PaymentReference("ref".to_owned()),
        money: Money { amount: Amount::new(100), currency: Currency::USD },
        state,
        tries: 1,
        created_at: NOW - age,
    }
}

/// A log drain that keeps each line, with all its fields, as text.
#[derive(Clone, Default)]
pub struct Lines(pub Arc<Mutex<Vec<String>>>);

impl slog::Drain for Lines {
    type Ok = ();
    type Err = slog::Never;
    fn log(&self, record: &slog::Record<'_>, of_logger: &slog::OwnedKVList) -> Result<(), slog::Never> {
        struct Fields(String);
        impl slog::Serializer for Fields {
            fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
                self.0.push_str(&format!(" {key}={value}"));
                Ok(())
            }
        }
        let mut fields = Fields(format!("{} {}", record.level(), record.msg()));
        record.kv().serialize(record, &mut fields).expect("infallible");
        of_logger.serialize(record, &mut fields).expect("infallible");
        self.0.lock().expect("not poisoned").push(fields.0);
        Ok(())
    }
}

pub type PassResult = (Result<Progress, Fault>, Vec<String>);

pub async fn logged_pass(
    lines: &Lines,
    world: World,
    task: impl FnOnce(Arc<Ports>) -> Box<dyn BackgroundTask>,
) -> PassResult {
    let ports = Ports(Arc::new(world));
    let log = slog::Logger::root(lines.clone(), slog::o!());
    let deadline = Deadline::after(LONGEST_PASS);
    let ctx = RequestContext::for_task(&log, "test.task", TraceContext::start(), deadline, CancellationToken::new());
    let progress = task(Arc::new(ports.clone())).pass(&ctx).await;
    let calls = ports.0.calls.lock().expect("not poisoned").clone();
    (progress, calls)
}

pub async fn try_capture(world: World) -> PassResult {
    let task = |ports: Arc<Ports>| PaymentCapture::new(ports.clone(), ports.clone(), ports);
    logged_pass(&Lines::default(), world, |ports| Box::new(task(ports))).await
}

pub async fn try_refund(world: World) -> PassResult {
    let task = |ports: Arc<Ports>| PaymentRefunder::new(ports.clone(), ports.clone(), ports);
    logged_pass(&Lines::default(), world, |ports| Box::new(task(ports))).await
}

pub async fn try_reconcile(world: World) -> PassResult {
    let task = |ports: Arc<Ports>| PaymentReconciler::new(ports.clone(), ports.clone(), Some(ports.clone()), ports);
    logged_pass(&Lines::default(), world, |ports| Box::new(task(ports))).await
}

/// The progress of a successful pass, and the calls of the ports.
pub fn succeeded((progress, calls): PassResult) -> (Progress, Vec<String>) {
    (progress.expect("a pass"), calls)
}

pub async fn capture_pass(world: World) -> (Progress, Vec<String>) {
    succeeded(try_capture(world).await)
}

pub async fn refund_pass(world: World) -> (Progress, Vec<String>) {
    succeeded(try_refund(world).await)
}

pub async fn reconcile_pass(world: World) -> (Progress, Vec<String>) {
    succeeded(try_reconcile(world).await)
}
