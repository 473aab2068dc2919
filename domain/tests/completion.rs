//! Completion, step by step: which step fails decides what is recorded and what the caller hears.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::PortFuture;
use domain::catalog::Sku;
use domain::checkout::{
    Answer, Begin, Begun, Checkout, CheckoutBook, CheckoutError, CheckoutId, CheckoutRefusal, CheckoutRequest,
    CompleteCheckout, CompleteCommand, CompletionLimits, Details, Line, LineId, NewCheckout, Outcome, Settlement,
    Status, Totals, Write,
};
use domain::clock::{Clock, Timestamp};
use domain::context::{Deadline, PlatformId, Principal, RequestContext, RequestId, TraceContext};
use domain::fault::{Fault, FaultKind};
use domain::id::PageToken;
use domain::idempotency::{Claim, ClaimRefusal, Fingerprint, Key};
use domain::money::{Amount, Currency, Money};
use domain::payment::{
    Attempt, AttemptId, AttemptState, Credential, GatewayEvent, GatewayState, HandlerId, Held, Instrument,
    PaymentAttempts, PaymentChoice, PaymentGateway, PaymentHandler, PaymentOutcome, PaymentReference, Refund,
    RefundState,
};
use domain::quantity::Quantity;
use domain::secret::Secret;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

/// Every port of a completion in one: does as it is told and writes down what it was asked.
#[derive(Default)]
struct World {
    price: i64,
    open: Option<FaultKind>,
    confirm: Option<Result<GatewayState, FaultKind>>,
    settle: Option<FaultKind>,
    begun: Option<Begun>,
    /// What those who wait for the owner of a key see, one after the other; the last one stays.
    standing: Mutex<Vec<Begun>>,
    heard: Mutex<Vec<String>>,
}

impl World {
    /// Up to a hundred things: one test waits in pauses that take no time.
    fn hear(&self, what: impl Into<String>) {
        let mut heard = self.heard.lock().expect("not poisoned");
        if heard.len() < 100 {
            heard.push(what.into());
        }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("not poisoned").clone()
    }
}

#[derive(Clone)]
struct Ports(Arc<World>);

fn ready<T: Send + 'static, E: Send + 'static>(outcome: Result<T, E>) -> PortFuture<T, E> {
    Box::pin(async move { outcome })
}

fn not_asked<T: Send + 'static, E: From<Fault> + Send + 'static>() -> PortFuture<T, E> {
    ready(Err(Fault::internal("test.port", "no completion asks for this").into()))
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
    fn begin_completion(&self, _: &RequestContext, begin: Begin) -> PortFuture<Begun, CheckoutError> {
        self.0.hear("begin");
        if let Some(begun) = &self.0.begun {
            return ready(Ok(begun.clone()));
        }
        let checkout = checkout(self.0.price).completing(begin.attempt.clone(), begin.instrument, NOW);
        let attempt = Attempt {
            id: begin.attempt,
            checkout: checkout.id.clone(),
            handler: handler().id,
            money: Money { amount: checkout.details.totals.total(), currency: Currency::USD },
            state: AttemptState::Opened,
            reference: None,
            checks: 0,
            created_at: NOW,
        };
        ready(Ok(Begun::Claimed { checkout, attempt }))
    }
    fn settle(&self, _: &RequestContext, settlement: Settlement) -> PortFuture<Outcome, Fault> {
        self.0.hear(format!("settle {}", settlement.outcome.as_str()));
        if let Some(kind) = self.0.settle {
            return ready(Err(Fault::new(kind, "checkout.settle")));
        }
        let settled = Checkout { status: Status::Completed, ..checkout(self.0.price) };
        ready(Ok(match settlement.outcome {
            PaymentOutcome::Confirmed => Outcome::Checkout(settled),
            _ => Outcome::Declined(checkout(self.0.price)),
        }))
    }
    fn completion(&self, _: &RequestContext, _: Claim, _: CheckoutId) -> PortFuture<Begun, CheckoutError> {
        let mut standing = self.0.standing.lock().expect("not poisoned");
        let now = if standing.len() > 1 { standing.remove(0) } else { standing[0].clone() };
        ready(Ok(now))
    }
    fn expire(&self, _: &RequestContext, _: Timestamp, _: Timestamp, _: u32) -> PortFuture<(u32, u32), Fault> {
        not_asked()
    }
}

impl PaymentAttempts for Ports {
    fn record_reference(&self, _: &RequestContext, _: AttemptId, _: PaymentReference) -> PortFuture<(), Fault> {
        self.0.hear("record_reference");
        ready(Ok(()))
    }
    fn record_unknown(&self, _: &RequestContext, _: AttemptId, _: Timestamp) -> PortFuture<(), Fault> {
        self.0.hear("record_unknown");
        ready(Ok(()))
    }
    fn claim_due(&self, _: &RequestContext, _: Timestamp, _: Duration, _: u32) -> PortFuture<Vec<Attempt>, Fault> {
        not_asked()
    }
    fn postpone(&self, _: &RequestContext, _: &Attempt, _: Timestamp) -> PortFuture<(), Fault> {
        not_asked()
    }
    fn claim_held(&self, _: &RequestContext, _: Timestamp, _: Duration, _: u32) -> PortFuture<Vec<Held>, Fault> {
        not_asked()
    }
    fn record_captured(&self, _: &RequestContext, _: AttemptId, _: bool) -> PortFuture<(), Fault> {
        not_asked()
    }
    fn heed(&self, _: &RequestContext, _: GatewayEvent, _: Timestamp) -> PortFuture<bool, Fault> {
        not_asked()
    }
}

impl PaymentGateway for Ports {
    fn handler(&self) -> PaymentHandler {
        handler()
    }
    fn on_file(&self, _: &RequestContext, _: &PaymentChoice) -> PortFuture<Option<Credential>, Fault> {
        ready(Ok(None))
    }
    fn open(&self, _: &RequestContext, _: &Attempt) -> PortFuture<PaymentReference, Fault> {
        self.0.hear("open");
        ready(match self.0.open {
            Some(kind) => Err(Fault::new(kind, "payment.open")),
            None => Ok(PaymentReference("ref".to_owned())),
        })
    }
    fn confirm(
        &self,
        _: &RequestContext,
        _: &Attempt,
        _: &PaymentReference,
        _: &Credential,
    ) -> PortFuture<GatewayState, Fault> {
        self.0.hear("confirm");
        let told = self.0.confirm.clone().unwrap_or(Ok(GatewayState::Confirmed));
        ready(told.map_err(|kind| Fault::new(kind, "payment.confirm")))
    }
    fn look_up(&self, _: &RequestContext, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        not_asked()
    }
    fn cancel(&self, _: &RequestContext, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        self.0.hear("cancel");
        ready(Ok(GatewayState::Cancelled))
    }
    fn capture(&self, _: &RequestContext, _: &Attempt, _: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        not_asked()
    }
    fn refund(&self, _: &RequestContext, _: &Refund) -> PortFuture<RefundState, Fault> {
        not_asked()
    }
    fn look_up_refund(&self, _: &RequestContext, _: &Refund) -> PortFuture<Option<RefundState>, Fault> {
        not_asked()
    }
}

impl Clock for Ports {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn pause(&self, _: &RequestContext, _: Duration) -> PortFuture<(), Fault> {
        self.0.hear("pause");
        ready(Ok(()))
    }
}

fn handler() -> PaymentHandler {
    let text = |text: &str| text.to_owned();
    PaymentHandler {
        name: text("test.handler"),
        id: HandlerId(text("handler")),
        version: text("2026-04-08"),
        spec: String::new(),
        schema: String::new(),
        instruments: Vec::new(),
        config: "{}".to_owned(),
    }
}

fn checkout(price: i64) -> Checkout {
    let line = Line {
        id: LineId("li_1".to_owned()),
        sku: Sku::parse("rose").expect("valid"),
        title: "Rose".to_owned(),
        image_url: None,
        unit_price: Amount::new(price),
        quantity: Quantity::parse(1).expect("valid"),
        requires_shipping: false,
        discount: Amount::ZERO,
    };
    Checkout {
        id: CheckoutId::generate(NOW),
        owner: PlatformId("https://platform.example/".to_owned()),
        status: Status::ReadyForComplete,
        version: 1,
        currency: Currency::USD,
        page: PageToken::generate(),
        created_at: NOW,
        updated_at: NOW,
        expires_at: NOW + Duration::from_secs(3_600),
        attempt: None,
        order: None,
        details: Details {
            totals: Totals::of(line.subtotal(), Amount::ZERO, Amount::ZERO, None),
            lines: vec![line],
            buyer: None,
            context: None,
            attribution: BTreeMap::new(),
            fulfillment: None,
            codes: None,
            discounts: Vec::new(),
            instruments: Vec::new(),
            messages: Vec::new(),
        },
    }
}

/// Runs one completion by a caller with `time` left: what it heard, whether it was told of the beginning, and what the
/// ports were asked.
async fn complete_within(time: Duration, world: World) -> (Result<Answer, CheckoutError>, bool, Vec<String>) {
    let ports = Ports(Arc::new(world));
    let limits = CompletionLimits {
        minimum: Duration::from_secs(1),
        grace: Duration::from_secs(10),
        gateway_call: Duration::from_secs(4),
    };
    let shared = Arc::new(ports.clone());
    let use_case = CompleteCheckout::new(shared.clone(), shared.clone(), Some(shared.clone()), shared.clone(), limits);
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let ctx = RequestContext::new(
        &log,
        RequestId::generate(),
        TraceContext::start(),
        Principal::Anonymous,
        Deadline::after(time),
        CancellationToken::new(),
    );
    let instrument = Instrument {
        id: "card".to_owned(),
        handler: handler().id,
        kind: "card".to_owned(),
        selected: true,
        display: None,
    };
    let credential = Credential { kind: "token".to_owned(), token: Secret::new("t") };
    let told = Arc::new(Mutex::new(false));
    let command = CompleteCommand {
        claim: Claim {
            principal: PlatformId("https://platform.example/".to_owned()),
            operation: "checkout.complete",
            resource: String::new(),
            key: Key::parse("key").expect("valid"),
            fingerprint: Fingerprint("f".to_owned()),
        },
        id: CheckoutId::generate(NOW),
        choice: PaymentChoice { instrument, credential: Some(credential) },
        on_begun: {
            let told = told.clone();
            Box::new(move |_| *told.lock().expect("not poisoned") = true)
        },
    };
    let answer = use_case.run(&ctx, command).await;
    let told = *told.lock().expect("not poisoned");
    (answer, told, ports.0.heard())
}

async fn complete(world: World) -> (Result<Answer, CheckoutError>, bool, Vec<String>) {
    complete_within(Duration::from_secs(30), World { price: world.price.max(0), ..world }).await
}

fn status(answer: Result<Answer, CheckoutError>) -> Status {
    match answer.expect("an outcome").outcome {
        Outcome::Checkout(checkout) => checkout.status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_reference_is_stored_before_anything_is_charged() {
    let (answer, told, heard) = complete(World { price: 100, ..World::default() }).await;
    assert_eq!(status(answer), Status::Completed);
    assert!(told);
    assert_eq!(heard, ["begin", "open", "record_reference", "confirm", "settle confirmed"]);
}

#[tokio::test]
async fn a_caller_without_enough_time_is_refused_before_anything_happens() {
    let (answer, told, heard) =
        complete_within(Duration::from_millis(500), World { price: 100, ..World::default() }).await;
    assert!(matches!(answer, Err(CheckoutError::Fault(fault)) if fault.kind() == FaultKind::DeadlineExceeded));
    assert!(!told);
    assert_eq!(heard, Vec::<String>::new());
}

#[tokio::test]
async fn what_could_not_be_opened_is_given_back_at_once() {
    for kind in [FaultKind::Unavailable, FaultKind::OutcomeUnknown] {
        let (answer, _, heard) = complete(World { price: 100, open: Some(kind), ..World::default() }).await;
        assert!(matches!(answer, Err(CheckoutError::Fault(fault)) if fault.kind() == FaultKind::Unavailable));
        assert_eq!(heard, ["begin", "open", "settle not_attempted"]);
    }
}

#[tokio::test]
async fn a_lost_answer_is_recorded_as_unknown_and_nothing_is_released() {
    for kind in [FaultKind::OutcomeUnknown, FaultKind::Unavailable, FaultKind::Internal] {
        let (answer, _, heard) = complete(World { price: 100, confirm: Some(Err(kind)), ..World::default() }).await;
        assert_eq!(status(answer), Status::CompleteInProgress);
        assert_eq!(heard, ["begin", "open", "record_reference", "confirm", "record_unknown"]);
    }
}

#[tokio::test]
async fn a_declined_payment_is_settled_as_declined() {
    let declined = GatewayState::Declined("no".into());
    let (answer, _, heard) = complete(World { price: 100, confirm: Some(Ok(declined)), ..World::default() }).await;
    assert!(matches!(answer.expect("an outcome").outcome, Outcome::Declined(_)));
    assert_eq!(heard.last().map(String::as_str), Some("settle declined"));
}

#[tokio::test]
async fn a_charge_that_cannot_be_recorded_is_never_called_a_failure() {
    let world = World { price: 100, settle: Some(FaultKind::Unavailable), ..World::default() };
    let (answer, told, _) = complete(world).await;
    assert_eq!(status(answer), Status::CompleteInProgress);
    assert!(told);
}

#[tokio::test]
async fn what_costs_nothing_is_not_brought_to_the_gateway() {
    let (answer, _, heard) = complete(World::default()).await;
    assert_eq!(status(answer), Status::Completed);
    assert_eq!(heard, ["begin", "settle confirmed"]);
}

#[tokio::test]
async fn a_repetition_waits_for_the_owner_and_calls_no_gateway() {
    let answered = Answer { outcome: Outcome::Checkout(checkout(100)), replayed: true };
    let world = World {
        begun: Some(Begun::InProgress),
        standing: Mutex::new(vec![Begun::InProgress, Begun::InProgress, Begun::Answered(answered.clone())]),
        ..World::default()
    };
    let (answer, told, heard) = complete(world).await;
    assert_eq!(answer.expect("an outcome"), answered);
    assert!(!told);
    assert_eq!(heard, ["begin", "pause", "pause", "pause"]);
}

#[tokio::test]
async fn a_repetition_out_of_time_is_told_to_come_back() {
    let world =
        World { begun: Some(Begun::InProgress), standing: Mutex::new(vec![Begun::InProgress]), ..World::default() };
    // The pauses of this world take no time, so it is the real deadline that ends the waiting.
    let (answer, _, _) = complete_within(Duration::from_millis(1_300), world).await;
    let refused = CheckoutRefusal::Key(ClaimRefusal::InProgress);
    assert!(matches!(answer, Err(CheckoutError::Refused(refusal)) if refusal == refused));
}

#[tokio::test]
async fn while_the_outcome_is_unknown_a_repetition_is_shown_how_things_stand() {
    let world = World { begun: Some(Begun::Unknown(checkout(100))), ..World::default() };
    let (answer, _, heard) = complete(world).await;
    // Not a repetition of an answer: there is none yet.
    assert!(!answer.expect("an outcome").replayed);
    assert_eq!(heard, ["begin"]);
}

#[tokio::test]
async fn what_waits_for_the_buyer_is_cancelled_at_the_gateway_before_its_stock_is_released() {
    let world = World { price: 100, confirm: Some(Ok(GatewayState::ActionRequired)), ..World::default() };
    let (_, _, heard) = complete(world).await;
    assert_eq!(heard, ["begin", "open", "record_reference", "confirm", "cancel", "settle action_required"]);
}

#[tokio::test]
async fn what_is_held_for_a_later_capture_places_the_order() {
    let world = World { price: 100, confirm: Some(Ok(GatewayState::Authorized)), ..World::default() };
    let (_, _, heard) = complete(world).await;
    assert_eq!(heard.last().map(String::as_str), Some("settle authorized"));
}
