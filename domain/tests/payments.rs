//! What the background tasks of payments make of what the gateway says: capture, refund, reconcile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::PortFuture;
use domain::checkout::{
    Answer, Begin, Begun, Checkout, CheckoutBook, CheckoutError, CheckoutId, CheckoutRequest, NewCheckout, Outcome,
    Settlement, Write,
};
use domain::clock::{Clock, Timestamp};
use domain::context::{Deadline, RequestContext, TraceContext};
use domain::fault::{Fault, FaultKind};
use domain::id::PageToken;
use domain::idempotency::Claim;
use domain::money::{Amount, Currency, Money};
use domain::payment::{
    Attempt, AttemptId, AttemptState, Credential, Decline, GatewayEvent, GatewayState, HandlerId, Held,
    PaymentAttempts, PaymentCapture, PaymentChoice, PaymentGateway, PaymentHandler, PaymentReconciler,
    PaymentReference, PaymentRefunder, PaymentRefunds, Refund, RefundError, RefundId, RefundState, RefundWanted,
};
use domain::task::{BackgroundTask, Progress};
use slog::KV;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);
/// Tasks take this many at a time.
const BATCH: u32 = 5;

type Said<T> = Result<T, FaultKind>;

/// Every port of the tasks in one: says what it is told to and writes down what it was asked.
#[derive(Default)]
struct World {
    held: Vec<Held>,
    due: Vec<Attempt>,
    refunds: Vec<Refund>,
    look_up: Option<Said<GatewayState>>,
    capture: Option<Said<GatewayState>>,
    cancel: Option<Said<GatewayState>>,
    refund: Option<Said<RefundState>>,
    /// A refund that is looked for.
    found: Option<Said<Option<RefundState>>>,
    heard: Mutex<Vec<String>>,
}

#[derive(Clone)]
struct Ports(Arc<World>);

impl Ports {
    fn hear(&self, what: impl Into<String>) {
        self.0.heard.lock().expect("not poisoned").push(what.into());
    }
}

fn ready<T: Send + 'static, E: Send + 'static>(outcome: Result<T, E>) -> PortFuture<T, E> {
    Box::pin(async move { outcome })
}

fn not_asked<T: Send + 'static, E: From<Fault> + Send + 'static>() -> PortFuture<T, E> {
    ready(Err(Fault::internal("test.port", "no task asks for this").into()))
}

fn say<T: Clone + Send + 'static>(said: &Option<Said<T>>) -> PortFuture<T, Fault> {
    let said = said.clone().unwrap_or(Err(FaultKind::Internal));
    ready(said.map_err(|kind| Fault::new(kind, "test.gateway")))
}

/// In whole seconds from now.
fn until(at: Timestamp) -> i64 {
    (at - NOW).whole_seconds()
}

impl PaymentAttempts for Ports {
    fn record_reference(&self, _: &RequestContext, _: AttemptId, _: PaymentReference) -> PortFuture<(), Fault> {
        not_asked()
    }
    fn record_unknown(&self, _: &RequestContext, _: AttemptId, _: Timestamp) -> PortFuture<(), Fault> {
        not_asked()
    }
    fn claim_due(&self, _: &RequestContext, _: Timestamp, _: Duration, _: u32) -> PortFuture<Vec<Attempt>, Fault> {
        ready(Ok(self.0.due.clone()))
    }
    fn postpone(&self, _: &RequestContext, _: &Attempt, at: Timestamp) -> PortFuture<(), Fault> {
        self.hear(format!("postpone {}", until(at)));
        ready(Ok(()))
    }
    fn claim_held(&self, _: &RequestContext, _: Timestamp, _: Duration, _: u32) -> PortFuture<Vec<Held>, Fault> {
        ready(Ok(self.0.held.clone()))
    }
    fn record_captured(&self, _: &RequestContext, _: AttemptId, captured: bool) -> PortFuture<(), Fault> {
        self.hear(if captured { "captured" } else { "released" });
        ready(Ok(()))
    }
    fn heed(&self, _: &RequestContext, _: GatewayEvent, _: Timestamp) -> PortFuture<bool, Fault> {
        not_asked()
    }
}

impl PaymentRefunds for Ports {
    fn request(&self, _: &RequestContext, _: RefundWanted) -> PortFuture<Refund, RefundError> {
        not_asked()
    }
    fn claim_due(&self, _: &RequestContext, _: Timestamp, _: Duration, _: u32) -> PortFuture<Vec<Refund>, Fault> {
        ready(Ok(self.0.refunds.clone()))
    }
    fn record(&self, _: &RequestContext, _: &Refund, state: RefundState, at: Timestamp) -> PortFuture<(), Fault> {
        self.hear(format!("record {state:?} {}", until(at)));
        ready(Ok(()))
    }
}

impl PaymentGateway for Ports {
    fn handler(&self) -> PaymentHandler {
        unreachable!("no task offers anything")
    }
    fn on_file(&self, _: &RequestContext, _: &PaymentChoice) -> PortFuture<Option<Credential>, Fault> {
        not_asked()
    }
    fn open(&self, _: &RequestContext, _: &Attempt) -> PortFuture<PaymentReference, Fault> {
        self.hear("open");
        ready(Ok(PaymentReference("opened again".to_owned())))
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
    fn look_up(&self, _: &RequestContext, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.hear("look_up");
        say(&self.0.look_up)
    }
    fn cancel(&self, _: &RequestContext, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.hear("cancel");
        say(&self.0.cancel)
    }
    fn capture(&self, _: &RequestContext, _: &Attempt, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.hear("capture");
        say(&self.0.capture)
    }
    fn refund(&self, _: &RequestContext, _: &Refund) -> PortFuture<RefundState, Fault> {
        self.hear("refund");
        say(&self.0.refund)
    }
    fn look_up_refund(&self, _: &RequestContext, _: &Refund) -> PortFuture<Option<RefundState>, Fault> {
        self.hear("look_up_refund");
        say(&self.0.found)
    }
}

impl CheckoutBook for Ports {
    fn create(&self, _: &RequestContext, _: Write, _: NewCheckout) -> PortFuture<Answer, CheckoutError> {
        not_asked()
    }
    fn read(&self, _: &RequestContext, _: CheckoutId) -> PortFuture<Checkout, CheckoutError> {
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
    ) -> PortFuture<Answer, CheckoutError> {
        not_asked()
    }
    fn cancel(&self, _: &RequestContext, _: Write, _: CheckoutId) -> PortFuture<Answer, CheckoutError> {
        not_asked()
    }
    fn begin_completion(&self, _: &RequestContext, _: Begin) -> PortFuture<Begun, CheckoutError> {
        not_asked()
    }
    fn settle(&self, _: &RequestContext, settlement: Settlement) -> PortFuture<Outcome, Fault> {
        self.hear(format!("settle {}", settlement.outcome.as_str()));
        ready(Ok(Outcome::NothingToSell(Vec::new())))
    }
    fn completion(&self, _: &RequestContext, _: Claim, _: CheckoutId) -> PortFuture<Begun, CheckoutError> {
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
        not_asked()
    }
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 60 * 60)
}

fn attempt(state: AttemptState) -> Attempt {
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

fn held(wanted: bool) -> Held {
    Held { attempt: attempt(AttemptState::Authorized), wanted }
}

fn refund(state: RefundState, age: Duration) -> Refund {
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

/// Keeps every log line, with the fields of its own, as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl slog::Drain for Lines {
    type Ok = ();
    type Err = slog::Never;
    fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
        struct Fields(String);
        impl slog::Serializer for Fields {
            fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
                self.0.push_str(&format!(" {key}={value}"));
                Ok(())
            }
        }
        let mut fields = Fields(format!("{} {}", record.level(), record.msg()));
        record.kv().serialize(record, &mut fields).expect("infallible");
        self.0.lock().expect("not poisoned").push(fields.0);
        Ok(())
    }
}

/// One pass: what it found, and what was asked of the ports.
async fn pass(world: World, task: impl FnOnce(Arc<Ports>) -> Box<dyn BackgroundTask>) -> (Progress, Vec<String>) {
    logged_pass(&Lines::default(), world, task).await
}

async fn logged_pass(
    lines: &Lines,
    world: World,
    task: impl FnOnce(Arc<Ports>) -> Box<dyn BackgroundTask>,
) -> (Progress, Vec<String>) {
    let ports = Ports(Arc::new(world));
    let log = slog::Logger::root(lines.clone(), slog::o!());
    let deadline = Deadline::after(Duration::from_secs(30));
    let ctx = RequestContext::for_task(&log, "test.task", TraceContext::start(), deadline, CancellationToken::new());
    let progress = task(Arc::new(ports.clone())).pass(&ctx).await.expect("a pass");
    let heard = ports.0.heard.lock().expect("not poisoned").clone();
    (progress, heard)
}

async fn capture(world: World) -> (Progress, Vec<String>) {
    pass(world, |ports| Box::new(PaymentCapture::new(ports.clone(), ports.clone(), ports))).await
}

async fn give_back(world: World) -> (Progress, Vec<String>) {
    pass(world, |ports| Box::new(PaymentRefunder::new(ports.clone(), ports.clone(), ports))).await
}

async fn reconcile(world: World) -> (Progress, Vec<String>) {
    let task = |ports: Arc<Ports>| PaymentReconciler::new(ports.clone(), ports.clone(), ports.clone(), ports);
    pass(world, |ports| Box::new(task(ports))).await
}

#[tokio::test]
async fn what_is_held_is_captured_if_its_order_wants_anything_and_let_go_if_not() {
    use GatewayState::{ActionRequired, Authorized, Cancelled, Confirmed, Declined};
    let (unreachable, unknown) = (FaultKind::Unavailable, FaultKind::OutcomeUnknown);
    for (wanted, said, expected) in [
        (true, Ok(Confirmed), ["capture", "captured"]),
        // It lapsed: nothing is held any more, and nothing was charged.
        (true, Ok(Cancelled), ["capture", "released"]),
        (true, Ok(Authorized), ["capture", "postpone 60"]),
        (true, Ok(ActionRequired), ["capture", "postpone 60"]),
        (true, Ok(Declined("no".into())), ["capture", "postpone 60"]),
        (true, Err(unreachable), ["capture", "postpone 60"]),
        (true, Err(unknown), ["capture", "postpone 60"]),
        (false, Ok(Cancelled), ["cancel", "released"]),
        // It was too late for that.
        (false, Ok(Confirmed), ["cancel", "captured"]),
        (false, Ok(Authorized), ["cancel", "postpone 60"]),
        (false, Err(unreachable), ["cancel", "postpone 60"]),
    ] {
        let about = format!("{wanted} {said:?}");
        let said = Some(said);
        let (capture_says, cancel_says) = if wanted { (said, None) } else { (None, said) };
        let world = World { held: vec![held(wanted)], capture: capture_says, cancel: cancel_says, ..World::default() };
        assert_eq!(capture(world).await, (Progress::Done(1), expected.map(str::to_owned).to_vec()), "{about}");
    }
}

#[tokio::test]
async fn a_capture_that_is_declined_tells_the_log_nothing_that_was_meant_for_the_buyer() {
    let decline = Decline { reason: "Alice, call your bank.".to_owned(), detail: "code card_declined".to_owned() };
    let capture = Some(Ok(GatewayState::Declined(decline)));
    let (lines, world) = (Lines::default(), World { held: vec![held(true)], capture, ..World::default() });
    logged_pass(&lines, world, |ports| Box::new(PaymentCapture::new(ports.clone(), ports.clone(), ports))).await;
    let lines = lines.0.lock().expect("not poisoned").join("\n");
    assert!(lines.contains("code card_declined") && !lines.contains("Alice"), "{lines}");
}

#[tokio::test]
async fn what_is_held_without_a_reference_is_left_for_a_person_and_holds_up_nobody() {
    let nameless = Held { attempt: Attempt { reference: None, ..attempt(AttemptState::Authorized) }, wanted: true };
    let said = Some(Ok(GatewayState::Confirmed));
    let world = World { held: vec![nameless, held(true)], capture: said, ..World::default() };
    assert_eq!(capture(world).await.1, ["postpone 60", "capture", "captured"]);
}

#[tokio::test]
async fn refunds_are_asked_for_until_they_end() {
    use RefundState::{Failed, Pending, Requested, Succeeded};
    for (state, said, expected) in [
        (Requested, Ok(Succeeded), "record Succeeded 3600"),
        (Requested, Ok(Pending), "record Pending 3600"),
        (Requested, Ok(Failed("no".to_owned())), "record Failed(\"no\") 3600"),
        (Requested, Err(FaultKind::Unavailable), "record Requested 60"),
        (Requested, Err(FaultKind::OutcomeUnknown), "record Requested 60"),
        (Pending, Ok(Succeeded), "record Succeeded 3600"),
        (Pending, Err(FaultKind::Unavailable), "record Pending 60"),
    ] {
        let about = format!("{state:?} {said:?}");
        let world = World { refunds: vec![refund(state, hours(22))], refund: Some(said), ..World::default() };
        let (progress, heard) = give_back(world).await;
        assert_eq!((progress, heard), (Progress::Done(1), vec!["refund".to_owned(), expected.to_owned()]), "{about}");
    }
}

/// The gateway has forgotten the key by then: asking again could give the money back a second time.
#[tokio::test]
async fn a_refund_whose_key_may_be_forgotten_is_looked_for_and_not_asked_for_again() {
    use RefundState::{Pending, Requested, Succeeded};
    for (state, found, expected) in [
        (Requested, Ok(None), "record Requested 3600"),
        (Requested, Ok(Some(Succeeded)), "record Succeeded 3600"),
        (Pending, Ok(Some(Pending)), "record Pending 3600"),
        (Pending, Err(FaultKind::Unavailable), "record Pending 60"),
    ] {
        let about = format!("{state:?} {found:?}");
        let old = refund(state, hours(23) + Duration::from_millis(1));
        let world = World { refunds: vec![old], found: Some(found), ..World::default() };
        assert_eq!(give_back(world).await.1, ["look_up_refund".to_owned(), expected.to_owned()], "{about}");
    }
}

#[tokio::test]
async fn a_refund_that_the_gateway_has_not_finished_after_a_day_is_worth_an_alert() {
    use RefundState::{Pending, Succeeded};
    for (age, said, level) in [(22, Pending, "INFO"), (24, Pending, "WARN"), (24, Succeeded, "INFO")] {
        let (refund_says, found) = (Some(Ok(said.clone())), Some(Ok(Some(said.clone()))));
        let refunds = vec![refund(Pending, hours(age))];
        let world = World { refunds, refund: refund_says, found, ..World::default() };
        let lines = Lines::default();
        logged_pass(&lines, world, |ports| Box::new(PaymentRefunder::new(ports.clone(), ports.clone(), ports))).await;
        let lines = lines.0.lock().expect("not poisoned").clone();
        assert!(matches!(lines.as_slice(), [line] if line.starts_with(level)), "{age} {said:?} {lines:?}");
        assert_eq!(lines[0].contains("payment.refund_pending"), level == "WARN", "{lines:?}");
    }
}

#[tokio::test]
async fn what_the_gateway_says_is_settled_and_what_is_open_is_ended_first() {
    use GatewayState::{ActionRequired, Authorized, Cancelled, Confirmed, Declined, Opened};
    for (look_up, cancel, expected) in [
        (Confirmed, None, vec!["look_up", "settle confirmed"]),
        (Authorized, None, vec!["look_up", "settle authorized"]),
        (Declined("no".into()), None, vec!["look_up", "settle declined"]),
        (Cancelled, None, vec!["look_up", "settle cancelled"]),
        (Opened, Some(Ok(Cancelled)), vec!["look_up", "cancel", "settle cancelled"]),
        (Opened, Some(Ok(Confirmed)), vec!["look_up", "cancel", "settle confirmed"]),
        (Opened, Some(Ok(Opened)), vec!["look_up", "cancel", "postpone 1"]),
        (ActionRequired, Some(Ok(Cancelled)), vec!["look_up", "cancel", "settle action_required"]),
        // The buyer was quicker.
        (ActionRequired, Some(Ok(Confirmed)), vec!["look_up", "cancel", "settle confirmed"]),
        (ActionRequired, Some(Ok(Authorized)), vec!["look_up", "cancel", "settle authorized"]),
        (ActionRequired, Some(Ok(ActionRequired)), vec!["look_up", "cancel", "postpone 1"]),
        (ActionRequired, Some(Err(FaultKind::OutcomeUnknown)), vec!["look_up", "cancel", "postpone 1"]),
    ] {
        let about = format!("{look_up:?} {cancel:?}");
        let due = vec![attempt(AttemptState::Unknown)];
        let world = World { due, look_up: Some(Ok(look_up)), cancel, ..World::default() };
        assert_eq!(reconcile(world).await.1, expected, "{about}");
    }
}

#[tokio::test]
async fn what_was_never_named_is_opened_again_only_while_its_key_is_trusted() {
    for (age, expected) in [
        (hours(23), vec!["open", "look_up", "cancel", "settle cancelled"]),
        (hours(23) + Duration::from_millis(1), vec!["settle cancelled"]),
    ] {
        let due = vec![Attempt { reference: None, created_at: NOW - age, ..attempt(AttemptState::Opened) }];
        let (look_up, cancel) = (Some(Ok(GatewayState::Opened)), Some(Ok(GatewayState::Cancelled)));
        let (progress, heard) = reconcile(World { due, look_up, cancel, ..World::default() }).await;
        assert_eq!(
            (progress, heard),
            (Progress::Done(1), expected.into_iter().map(str::to_owned).collect()),
            "{age:?}"
        );
    }
}

#[tokio::test]
async fn a_pass_that_hit_its_bound_runs_again_at_once() {
    let batch = BATCH as usize;
    let full = || World {
        held: vec![held(true); batch],
        refunds: vec![refund(RefundState::Requested, hours(1)); batch],
        due: vec![attempt(AttemptState::Unknown); batch],
        look_up: Some(Ok(GatewayState::Confirmed)),
        capture: Some(Ok(GatewayState::Confirmed)),
        refund: Some(Ok(RefundState::Succeeded)),
        ..World::default()
    };
    let found = [capture(full()).await.0, give_back(full()).await.0, reconcile(full()).await.0];
    assert_eq!(found, [Progress::More(BATCH); 3]);
    let idle = [capture(World::default()).await, give_back(World::default()).await, reconcile(World::default()).await];
    assert!(idle.iter().all(|(progress, heard)| *progress == Progress::Idle && heard.is_empty()), "{idle:?}");
}
