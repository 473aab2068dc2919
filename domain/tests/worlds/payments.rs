//! What the background tasks of payments ask of their ports, played by one world.

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

pub type Said<T> = Result<T, FaultKind>;

/// Every port of the tasks in one: says what it is told to and writes down what it was asked.
#[derive(Default)]
pub struct World {
    pub held: Vec<Held>,
    pub due: Vec<Attempt>,
    pub refunds: Vec<Refund>,
    pub open_refused: bool,
    /// Faults of storage, each for one call of the port method.
    pub failing: Mutex<Vec<(&'static str, FaultKind)>>,
    pub look_up: Option<Said<GatewayState>>,
    pub capture: Option<Said<GatewayState>>,
    pub cancel: Option<Said<GatewayState>>,
    pub refund: Option<Said<RefundState>>,
    /// A payment that is looked for by its attempt.
    pub payment: Option<Said<Option<PaymentReference>>>,
    /// A refund that is looked for.
    pub found: Option<Said<Option<RefundState>>>,
    pub heard: Mutex<Vec<String>>,
    /// Each deadline that a port was given, and the time that was left until then.
    pub given: Mutex<Vec<(Deadline, Duration)>>,
}

#[derive(Clone)]
pub struct Ports(pub Arc<World>);

impl Ports {
    pub fn hear(&self, what: impl Into<String>) {
        self.0.heard.lock().expect("not poisoned").push(what.into());
    }
}

impl Ports {
    /// Keeps the deadline of a call, once.
    pub fn given(&self, ctx: &RequestContext) {
        let mut given = self.0.given.lock().expect("not poisoned");
        if given.iter().all(|(known, _)| *known != ctx.deadline()) {
            given.push((ctx.deadline(), ctx.deadline().remaining()));
        }
    }

    /// What storage says to a call.
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

pub fn say<T: Clone + Send + 'static>(said: &Option<Said<T>>) -> PortFuture<T, Fault> {
    let said = said.clone().unwrap_or(Err(FaultKind::Internal));
    ready(said.map_err(|kind| Fault::new(kind, "test.gateway")))
}

/// In whole seconds from now.
pub fn until(at: Timestamp) -> i64 {
    (at - NOW).whole_seconds()
}

impl AttemptStore for Ports {
    fn record_reference(&self, ctx: &RequestContext, _: AttemptId, to: PaymentReference) -> PortFuture<(), Fault> {
        self.given(ctx);
        self.hear(format!("record {}", to.0));
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
        self.hear(format!("postpone {}", until(at)));
        ready(self.stored("postpone"))
    }
    fn claim_held(&self, ctx: &RequestContext, _: Timestamp, _: Duration, _: u32) -> PortFuture<Vec<Held>, Fault> {
        self.given(ctx);
        ready(Ok(self.0.held.clone()))
    }
    fn record_captured(&self, ctx: &RequestContext, _: AttemptId, captured: bool) -> PortFuture<(), Fault> {
        self.given(ctx);
        self.hear(if captured { "captured" } else { "released" });
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
        self.hear(format!("record {state:?} {}", until(at)));
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
        self.hear("open");
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
        self.hear("find");
        say(&self.0.payment)
    }
    fn look_up(&self, ctx: &RequestContext, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.given(ctx);
        self.hear("look_up");
        say(&self.0.look_up)
    }
    fn cancel(&self, ctx: &RequestContext, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.given(ctx);
        self.hear("cancel");
        say(&self.0.cancel)
    }
    fn capture(&self, ctx: &RequestContext, _: &Attempt, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.given(ctx);
        self.hear("capture");
        say(&self.0.capture)
    }
    fn refund(&self, ctx: &RequestContext, _: &Refund) -> PortFuture<RefundState, Fault> {
        self.given(ctx);
        self.hear("refund");
        say(&self.0.refund)
    }
    fn look_up_refund(&self, ctx: &RequestContext, _: &Refund) -> PortFuture<Option<RefundState>, Fault> {
        self.given(ctx);
        self.hear("look_up_refund");
        say(&self.0.found)
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
        self.hear(format!("settle {}", settlement.outcome.as_str()));
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
        self.hear("pause");
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

/// Keeps every log line, with all of its fields, as text.
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

pub type Passed = (Result<Progress, Fault>, Vec<String>);

pub async fn logged_pass(
    lines: &Lines,
    world: World,
    task: impl FnOnce(Arc<Ports>) -> Box<dyn BackgroundTask>,
) -> Passed {
    let ports = Ports(Arc::new(world));
    let log = slog::Logger::root(lines.clone(), slog::o!());
    let deadline = Deadline::after(LONGEST_PASS);
    let ctx = RequestContext::for_task(&log, "test.task", TraceContext::start(), deadline, CancellationToken::new());
    let progress = task(Arc::new(ports.clone())).pass(&ctx).await;
    let heard = ports.0.heard.lock().expect("not poisoned").clone();
    (progress, heard)
}

pub async fn try_capture(world: World) -> Passed {
    let task = |ports: Arc<Ports>| PaymentCapture::new(ports.clone(), ports.clone(), ports);
    logged_pass(&Lines::default(), world, |ports| Box::new(task(ports))).await
}

pub async fn try_refund(world: World) -> Passed {
    let task = |ports: Arc<Ports>| PaymentRefunder::new(ports.clone(), ports.clone(), ports);
    logged_pass(&Lines::default(), world, |ports| Box::new(task(ports))).await
}

pub async fn try_reconcile(world: World) -> Passed {
    let task = |ports: Arc<Ports>| PaymentReconciler::new(ports.clone(), ports.clone(), Some(ports.clone()), ports);
    logged_pass(&Lines::default(), world, |ports| Box::new(task(ports))).await
}

/// What a pass that succeeds found, and what was asked of the ports.
pub fn whole((progress, heard): Passed) -> (Progress, Vec<String>) {
    (progress.expect("a pass"), heard)
}

pub async fn capture(world: World) -> (Progress, Vec<String>) {
    whole(try_capture(world).await)
}

pub async fn give_back(world: World) -> (Progress, Vec<String>) {
    whole(try_refund(world).await)
}

pub async fn reconcile(world: World) -> (Progress, Vec<String>) {
    whole(try_reconcile(world).await)
}
