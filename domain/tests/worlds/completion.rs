//! What a completion asks of its ports, played by one world.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::PortFuture;
use domain::catalog::Sku;
use domain::checkout::{
    Answer, Begin, Begun, Checkout, CheckoutId, CheckoutRefusal, CheckoutRequest, CheckoutStore, CompleteCheckout,
    CompleteCommand, CompletionLimits, Details, Line, LineId, NewCheckout, Outcome, Settlement, Status, Totals,
};
use domain::clock::{Clock, Timestamp};
use domain::context::{Caller, Deadline, PlatformId, RequestContext, RequestId, TraceContext};
use domain::fault::{Failure, Fault, FaultKind};
use domain::id::PageToken;
use domain::idempotency::{Fingerprint, Key, KeyClaim, Write};
use domain::money::{Amount, Currency, Money};
use domain::payment::{
    Attempt, AttemptId, AttemptState, AttemptStore, Credential, Decline, GatewayEvent, GatewayState, HandlerId, Held,
    Instrument, PaymentChoice, PaymentGateway, PaymentHandler, PaymentOutcome, PaymentReference, Refund, RefundState,
};
use domain::quantity::Quantity;
use domain::secret::Secret;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

pub const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

/// Every port of a completion in one: does as it is told and writes down what it was asked.
#[derive(Default)]
pub struct World {
    pub price: i64,
    pub open: Option<FaultKind>,
    pub confirm: Option<Result<GatewayState, FaultKind>>,
    /// The gateway will never open it.
    pub refuses: bool,
    /// Faults of storage, each for one call of the port method.
    pub failing: Mutex<Vec<(&'static str, FaultKind)>>,
    /// A storage fault that does not end, of this port method.
    pub broken: Option<(&'static str, FaultKind)>,
    /// For what is past the point of no return; ten seconds if it is not given.
    pub grace: Option<Duration>,
    /// Whether pauses take the time that is asked for.
    pub slow_pause: bool,
    /// The pauses that were asked for, up to a hundred.
    pub pauses: Arc<Mutex<Vec<Duration>>>,
    /// Whether the instrument brings no credential.
    pub no_credential: bool,
    /// Whether no instrument is given.
    pub no_instrument: bool,
    /// What a later attempt under the same key came to, before this one was settled.
    pub overtaken_by: Option<Outcome>,
    /// How things stand when a completion begins, one after the other; then it is claimed.
    pub begun: Mutex<Vec<Begun>>,
    /// What those who wait for the owner of a key see, one after the other; the last one stays.
    pub standing: Mutex<Vec<Begun>>,
    pub heard: Mutex<Vec<String>>,
}

impl World {
    /// Up to a hundred things: one test waits in pauses that take no time.
    pub fn hear(&self, what: impl Into<String>) {
        let mut heard = self.heard.lock().expect("not poisoned");
        if heard.len() < 100 {
            heard.push(what.into());
        }
    }

    /// What storage says to a call.
    pub fn stored(&self, method: &'static str) -> Result<(), Fault> {
        let mut failing = self.failing.lock().expect("not poisoned");
        let next = failing.iter().position(|(of, _)| *of == method).map(|position| failing.remove(position));
        match next.or(self.broken.filter(|(of, _)| *of == method)) {
            Some((_, kind)) => Err(Fault::new(kind, method)),
            None => Ok(()),
        }
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("not poisoned").clone()
    }
}

#[derive(Clone)]
pub struct Ports(pub Arc<World>);

pub fn ready<T: Send + 'static, E: Send + 'static>(outcome: Result<T, E>) -> PortFuture<T, E> {
    Box::pin(async move { outcome })
}

pub fn not_asked<T: Send + 'static, E: From<Fault> + Send + 'static>() -> PortFuture<T, E> {
    ready(Err(Fault::internal("test.port", "no completion asks for this").into()))
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
    fn begin_completion(&self, _: &RequestContext, begin: Begin) -> PortFuture<Begun, Failure<CheckoutRefusal>> {
        self.0.hear("begin");
        let mut begun = self.0.begun.lock().expect("not poisoned");
        if !begun.is_empty() {
            return ready(Ok(begun.remove(0)));
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
        if let Err(fault) = self.0.stored("settle") {
            return ready(Err(fault));
        }
        let settled = Checkout { status: Status::Completed, ..checkout(self.0.price) };
        ready(Ok(match settlement.outcome {
            PaymentOutcome::Confirmed => Outcome::Checkout(settled),
            PaymentOutcome::NotAttempted => match &self.0.overtaken_by {
                Some(other) => other.clone(),
                None => Outcome::Checkout(checkout(self.0.price)),
            },
            _ => Outcome::Declined(checkout(self.0.price)),
        }))
    }
    fn completion(
        &self,
        _: &RequestContext,
        _: KeyClaim,
        _: CheckoutId,
    ) -> PortFuture<Begun, Failure<CheckoutRefusal>> {
        let mut standing = self.0.standing.lock().expect("not poisoned");
        let now = if standing.len() > 1 { standing.remove(0) } else { standing[0].clone() };
        ready(Ok(now))
    }
    fn expire(&self, _: &RequestContext, _: Timestamp, _: Timestamp, _: u32) -> PortFuture<(u32, u32), Fault> {
        not_asked()
    }
}

impl AttemptStore for Ports {
    fn record_reference(&self, _: &RequestContext, _: AttemptId, _: PaymentReference) -> PortFuture<(), Fault> {
        self.0.hear("record_reference");
        ready(self.0.stored("record_reference"))
    }
    fn record_unknown(&self, _: &RequestContext, _: AttemptId, _: Timestamp) -> PortFuture<(), Fault> {
        self.0.hear("record_unknown");
        ready(self.0.stored("record_unknown"))
    }
    fn claim_due(&self, _: &RequestContext, _: Timestamp, _: Duration, _: u32) -> PortFuture<Vec<Attempt>, Fault> {
        not_asked()
    }
    fn postpone(&self, _: &RequestContext, attempt: &Attempt, at: Timestamp) -> PortFuture<(), Fault> {
        assert_eq!((attempt.state, attempt.checks, at), (AttemptState::Opened, 0, NOW));
        self.0.hear("give up");
        ready(self.0.stored("postpone"))
    }
    fn claim_held(&self, _: &RequestContext, _: Timestamp, _: Duration, _: u32) -> PortFuture<Vec<Held>, Fault> {
        not_asked()
    }
    fn record_captured(&self, _: &RequestContext, _: AttemptId, _: bool) -> PortFuture<(), Fault> {
        not_asked()
    }
    fn record_event(&self, _: &RequestContext, _: GatewayEvent, _: Timestamp) -> PortFuture<bool, Fault> {
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
    fn open(&self, _: &RequestContext, _: &Attempt) -> PortFuture<PaymentReference, Failure<Decline>> {
        self.0.hear("open");
        ready(match self.0.open {
            _ if self.0.refuses => Err(Failure::Refused("too small".into())),
            Some(kind) => Err(Fault::new(kind, "payment.open").into()),
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
    fn find(&self, _: &RequestContext, _: &Attempt) -> PortFuture<Option<PaymentReference>, Fault> {
        not_asked()
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
    fn pause(&self, _: &RequestContext, time: Duration) -> PortFuture<(), Fault> {
        self.0.hear("pause");
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

pub fn handler() -> PaymentHandler {
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

pub fn checkout(price: i64) -> Checkout {
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
            of_registered_platform: false,
        },
    }
}

/// Runs one completion by a caller with `time` left: what it heard, whether it was told of the beginning, and what the
/// ports were asked.
pub async fn complete_within(
    time: Duration,
    world: World,
) -> (Result<Answer, Failure<CheckoutRefusal>>, bool, Vec<String>) {
    let (no_credential, no_instrument) = (world.no_credential, world.no_instrument);
    let world_grace = world.grace.unwrap_or(Duration::from_secs(10));
    let ports = Ports(Arc::new(world));
    let limits =
        CompletionLimits { minimum: Duration::from_secs(1), grace: world_grace, gateway_call: Duration::from_secs(4) };
    let shared = Arc::new(ports.clone());
    let use_case = CompleteCheckout::new(shared.clone(), shared.clone(), Some(shared.clone()), shared.clone(), limits);
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let ctx = RequestContext::new(
        &log,
        RequestId::generate(),
        TraceContext::start(),
        Caller::Anonymous,
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
    let credential = (!no_credential).then(|| Credential { kind: "token".to_owned(), token: Secret::new("t") });
    let told = Arc::new(Mutex::new(false));
    let command = CompleteCommand {
        claim: KeyClaim {
            principal: PlatformId("https://platform.example/".to_owned()),
            operation: "checkout.complete",
            resource: String::new(),
            key: Key::parse("key").expect("valid"),
            fingerprint: Fingerprint("f".to_owned()),
        },
        id: CheckoutId::generate(NOW),
        choice: (!no_instrument).then_some(PaymentChoice { instrument, credential }),
        on_begun: {
            let told = told.clone();
            Box::new(move |_| *told.lock().expect("not poisoned") = true)
        },
    };
    let answer = use_case.run(&ctx, command).await;
    let told = *told.lock().expect("not poisoned");
    (answer, told, ports.0.heard())
}

pub async fn complete(world: World) -> (Result<Answer, Failure<CheckoutRefusal>>, bool, Vec<String>) {
    complete_within(Duration::from_secs(30), World { price: world.price.max(0), ..world }).await
}

pub fn status(answer: Result<Answer, Failure<CheckoutRefusal>>) -> Status {
    match answer.expect("an outcome").outcome {
        Outcome::Checkout(checkout) => checkout.status,
        other => panic!("{other:?}"),
    }
}
