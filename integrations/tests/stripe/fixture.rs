//! A simulated gateway, its adapter, and sample payments.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use domain::checkout::CheckoutId;
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::fault::Fault;
use domain::money::{Amount, Currency, Money};
use domain::payment::{
    Attempt, AttemptId, AttemptState, Credential, GatewayState, HandlerId, PaymentGateway, PaymentHandler,
    PaymentReference, Refund, RefundId, RefundState,
};
use domain::secret::Secret;
use integrations::outbound::{Outbound, OutboundConfig, UntrustedPolicy};
use integrations::stripe::{CaptureMethod, HttpPaymentGateway, StripeConfig};
use paysim::{Operation, Options, Paysim};
use time::macros::datetime;

use crate::shared::{Lines, ctx_with};

pub const NOON: Timestamp = datetime!(2026-04-08 12:00 UTC);
/// The longest time for one attempt of a call.
pub const ATTEMPT: Duration = Duration::from_millis(500);
/// The deadline of a call. It is enough for two attempts that hang, and the backoff between them.
pub const CALL: Duration = Duration::from_millis(2000);

pub fn config(base_url: String) -> StripeConfig {
    StripeConfig {
        base_url,
        secret_key: Secret::new("sk_test_paysim"),
        api_version: "2026-10-28.endive".to_owned(),
        capture: CaptureMethod::Automatic,
        handler: PaymentHandler {
            name: "com.example.cards".to_owned(),
            id: HandlerId("cards".to_owned()),
            version: "2026-04-08".to_owned(),
            spec: "https://shop.example/specs/cards".to_owned(),
            schema: "https://shop.example/schemas/cards.json".to_owned(),
            instruments: vec!["card".to_owned()],
            config: r#"{"publishable_key": "pk_test_1"}"#.to_owned(),
        },
        currencies: vec![Currency::USD],
        attempt_timeout: ATTEMPT,
    }
}

/// Returns an `Outbound` with the longest backoff, so that a key in use has time to become free. The tests share it,
/// because reading the certificates of the machine takes a while.
pub fn outbound() -> Outbound {
    static OUTBOUND: LazyLock<Outbound> = LazyLock::new(|| with_jitter(|most| most));
    OUTBOUND.clone()
}

/// Returns an `Outbound` without backoff.
pub fn impatient() -> Outbound {
    with_jitter(|_| Duration::ZERO)
}

fn with_jitter(jitter: fn(Duration) -> Duration) -> Outbound {
    let config = OutboundConfig { jitter: Arc::new(jitter), ..OutboundConfig::new(UntrustedPolicy::Public) };
    Outbound::new(config).expect("a client")
}

pub struct Fixture {
    pub sim: Paysim,
    pub gateway: HttpPaymentGateway,
    pub lines: Lines,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(CaptureMethod::Automatic)
    }

    pub fn with(capture: CaptureMethod) -> Self {
        let sim = Paysim::start(Options::default()).expect("a port");
        let config = StripeConfig { capture, ..config(sim.url()) };
        let gateway = HttpPaymentGateway::new(outbound(), config).expect("configured");
        Self { sim, gateway, lines: Lines::default() }
    }

    pub fn ctx(&self) -> RequestContext {
        ctx_with(&self.lines, CALL)
    }

    pub async fn opened(&self) -> (Attempt, PaymentReference) {
        let attempt = attempt();
        let reference = self.gateway.open(&self.ctx(), &attempt).await.expect("opens");
        (attempt, reference)
    }

    pub async fn confirm(&self, opened: &(Attempt, PaymentReference), token: &str) -> Result<GatewayState, Fault> {
        self.gateway.confirm(&self.ctx(), &opened.0, &opened.1, &card(token)).await
    }

    pub async fn look_up(&self, opened: &(Attempt, PaymentReference)) -> GatewayState {
        self.gateway.look_up(&self.ctx(), &opened.1).await.expect("a state")
    }

    pub async fn cancel(&self, opened: &(Attempt, PaymentReference)) -> Result<GatewayState, Fault> {
        self.gateway.cancel(&self.ctx(), &opened.1).await
    }

    pub async fn capture(&self, opened: &(Attempt, PaymentReference)) -> Result<GatewayState, Fault> {
        self.gateway.capture(&self.ctx(), &opened.0, &opened.1).await
    }

    pub async fn refund(&self, refund: &Refund) -> Result<RefundState, Fault> {
        self.gateway.refund(&self.ctx(), refund).await
    }

    /// Makes the next calls of an operation fail.
    pub fn fail(&self, operation: Operation, calls: u64, fault: paysim::Fault) {
        self.sim.fail_next(operation, calls, fault);
    }

    /// The number of captures, and the captured amount.
    pub fn captured(&self) -> (u64, i64) {
        let totals = self.sim.ledger().totals();
        (totals.captures, totals.captured)
    }
}

pub fn attempt() -> Attempt {
    attempt_in(Currency::USD)
}

pub fn attempt_in(currency: Currency) -> Attempt {
    Attempt {
        id: AttemptId::generate(NOON),
        checkout: CheckoutId::generate(NOON),
        handler: HandlerId("cards".to_owned()),
        money: Money { amount: Amount::new(3500), currency },
        state: AttemptState::Opened,
        reference: None,
        checks: 0,
        created_at: NOON,
    }
}

pub fn card(token: &str) -> Credential {
    Credential { kind: "token".to_owned(), token: Secret::new(token) }
}

pub fn refund(opened: &(Attempt, PaymentReference), minor: i64, tries: u32) -> Refund {
    Refund {
        id: RefundId::generate(NOON),
        attempt: opened.0.id.clone(),
        reference: opened.1.clone(),
        money: Money { amount: Amount::new(minor), currency: Currency::USD },
        state: RefundState::Requested,
        tries,
        created_at: NOON,
    }
}
