//! The payment gateway over HTTP, in Stripe's shapes: PaymentIntents and refunds, and events on the way in.
//!
//! A payment is created unconfirmed, and confirmed under a key of its own once its id is stored; see
//! [`domain::payment`]. `answer.rs` is the table of what each answer means, `wire.rs` of what each status means.
//!
//! | call    | request                                | key                    | asked again it answers       |
//! |---------|----------------------------------------|------------------------|------------------------------|
//! | open    | `POST /v1/payment_intents`             | `Attempt::open_key`    | the same intent              |
//! | confirm | `POST /v1/payment_intents/ID/confirm`  | `Attempt::confirm_key` | the same                     |
//! | find    | `GET /v1/payment_intents/search`       | none                   | a question                   |
//! | look_up | `GET /v1/payment_intents/ID`           | none                   | a question                   |
//! | cancel  | `POST /v1/payment_intents/ID/cancel`   | none                   | no, with the state it is in  |
//! | capture | `POST /v1/payment_intents/ID/capture`  | none                   | no, with the state it is in  |
//! | refund  | `POST /v1/refunds`                     | `Refund::key`          | the same refund              |
//!
//! Cancelling and capturing need no key: a payment is cancelled or captured once whoever asks, and says so when asked
//! again. A key would do harm, since it keeps a 500 for a day.
//!
//! Keys are forgotten after 24 hours. The domain asks nothing with an older one: a payment is found by the attempt's id,
//! which its metadata holds, and a refund that was tried before is looked for first, among those of its payment
//! (`GET /v1/refunds`).

mod answer;
mod currency;
mod webhook;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use domain::PortFuture;
use domain::context::{RequestContext, Stopwatch};
use domain::fault::{Failure, Fault};
use domain::money::{Currency, Money};
use domain::payment::{
    Attempt, Credential, Decline, GatewayState, PaymentChoice, PaymentGateway, PaymentHandler, PaymentReference,
    Refund, RefundState,
};
use domain::secret::Secret;
use serde::de::DeserializeOwned;

use crate::outbound::{Blocked, Call, Destination, Limits, Outbound, Repeat};
use answer::{Answer, Asked, Refused, is_json};
use wire::{Intent, Page, RefundObject};

pub use currency::{UnsupportedCurrency, check_currency};
pub use webhook::{Event, EventError, SIGNATURE_TOLERANCE, SignatureError, parse_event, verify_signature};

#[derive(Clone, Debug)]
pub struct StripeConfig {
    /// `https://api.stripe.com`; http on this machine only.
    pub base_url: String,
    pub secret_key: Secret,
    /// The version of the API that the shop speaks, whatever the account is set to.
    pub api_version: String,
    pub capture: CaptureMethod,
    /// How the handler is announced to platforms.
    pub handler: PaymentHandler,
    /// Everything that the shop charges in.
    pub currencies: Vec<Currency>,
    /// For one attempt of a call, its whole answer included.
    pub attempt_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureMethod {
    /// Charged when confirmed.
    Automatic,
    /// Held when confirmed, charged when captured.
    Manual,
}

impl CaptureMethod {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Manual => "manual",
        }
    }
}

/// Why the shop does not start with this gateway.
#[derive(Debug, thiserror::Error)]
pub enum StripeConfigError {
    #[error(transparent)]
    Address(#[from] Blocked),
    #[error("is empty, or has characters that no header can carry")]
    Header,
    #[error(transparent)]
    Currency(#[from] UnsupportedCurrency),
}

/// The gateway. Clones share its way out.
#[derive(Clone)]
pub struct HttpPaymentGateway {
    outbound: Outbound,
    base: Destination,
    config: Arc<StripeConfig>,
}

const OPEN: &str = "payment.open";
const CONFIRM: &str = "payment.confirm";
const FIND: &str = "payment.find";
const LOOK_UP: &str = "payment.look_up";
const CANCEL: &str = "payment.cancel";
const CAPTURE: &str = "payment.capture";
const REFUND: &str = "payment.refund";

/// What is worth another try with the same key: overload, trouble, and 409, which says that the key is in use.
const REPEAT: Repeat = Repeat::After(&[409, 429, 500, 502, 503, 504]);

/// Calls under way at once. One that hangs takes a place for as long as its attempt may last.
const CONCURRENT_CALLS: usize = 64;

/// Pages of a hundred that are looked through for one refund of a payment.
const REFUND_PAGES: u32 = 3;

type Form = Vec<(&'static str, String)>;

/// Whether the gateway can be called there.
pub fn check_address(base_url: &str) -> Result<(), StripeConfigError> {
    Ok(Destination::trusted(base_url).map(drop)?)
}

/// Whether it can be sent as the secret key or the version.
pub fn check_header(text: &str) -> Result<(), StripeConfigError> {
    let is_visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible { Ok(()) } else { Err(StripeConfigError::Header) }
}

impl HttpPaymentGateway {
    /// Checks the configuration; calls nobody.
    pub fn new(outbound: Outbound, config: StripeConfig) -> Result<Self, StripeConfigError> {
        let base = outbound.trusted(&config.base_url)?;
        check_header(config.secret_key.expose())?;
        check_header(&config.api_version)?;
        config.currencies.iter().try_for_each(|currency| check_currency(*currency))?;
        Ok(Self { outbound, base, config: Arc::new(config) })
    }

    async fn open_once(&self, ctx: &RequestContext, attempt: &Attempt) -> Result<PaymentReference, Failure<Decline>> {
        let asked = Asked { operation: OPEN, is_question: false };
        let mut form = money(asked, &attempt.money)?;
        form.push(("capture_method", self.config.capture.as_str().to_owned()));
        form.push(("payment_method_types[]", "card".to_owned()));
        form.push(("metadata[attempt_id]", attempt.id.to_string()));
        form.push(("metadata[checkout_id]", attempt.checkout.to_string()));
        let call = self.post(OPEN, &["payment_intents"], form, Some(attempt.open_key()));
        match self.ask::<Intent>(ctx, asked, call).await? {
            Answer::Object(intent) => Ok(PaymentReference(intent.id)),
            // Definite: the key brings the same answer again.
            Answer::Refused(refused) if refused.refusal.is_about_the_amount() => {
                Err(Failure::Refused(refused.refusal.decline()))
            }
            // Nothing of the instrument was sent yet, so the shop made the mistake and not the buyer.
            Answer::Refused(refused) => Err(Failure::Fault(asked.impossible(&refused))),
        }
    }

    async fn confirm_once(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        reference: &PaymentReference,
        credential: &Credential,
    ) -> Result<GatewayState, Fault> {
        let form = vec![("payment_method", credential.token.expose().to_owned())];
        let path = ["payment_intents", &reference.0, "confirm"];
        let asked = Asked { operation: CONFIRM, is_question: false };
        let call = self.post(CONFIRM, &path, form, Some(attempt.confirm_key()));
        self.end(ctx, asked, call).await
    }

    /// The search sees a payment a minute after it was opened, and an hour after it when Stripe has trouble.
    async fn find_once(&self, ctx: &RequestContext, attempt: &Attempt) -> Result<Option<PaymentReference>, Fault> {
        let asked = Asked { operation: FIND, is_question: true };
        let query = format!("metadata['attempt_id']:'{}'", attempt.id);
        let from = self.at(&["payment_intents", "search"]).with_query([("query", query.as_str()), ("limit", "2")]);
        let mut found = match self.ask::<Page<Intent>>(ctx, asked, self.get(FIND, from)).await? {
            Answer::Object(page) => page.data.into_iter(),
            Answer::Refused(refused) => return Err(asked.impossible(&refused)),
        };
        match (found.next(), found.next()) {
            (first, None) => Ok(first.map(|intent| PaymentReference(intent.id))),
            // Which of them was charged is for a person to find out.
            (_, Some(_)) => Err(Fault::internal(FIND, "the gateway has more than one payment of one attempt")),
        }
    }

    async fn look_up_once(&self, ctx: &RequestContext, reference: &PaymentReference) -> Result<GatewayState, Fault> {
        let asked = Asked { operation: LOOK_UP, is_question: true };
        let call = self.get(LOOK_UP, self.at(&["payment_intents", &reference.0]));
        match self.ask::<Intent>(ctx, asked, call).await? {
            Answer::Object(intent) => state(asked, &intent),
            Answer::Refused(refused) => Err(asked.impossible(&refused)),
        }
    }

    /// A call that changes a payment's state, or says in which state it is too late for that.
    async fn end(&self, ctx: &RequestContext, asked: Asked, call: Call) -> Result<GatewayState, Fault> {
        match self.ask::<Intent>(ctx, asked, call).await? {
            Answer::Object(intent) => state(asked, &intent),
            Answer::Refused(Refused { refusal, .. }) if refusal.is_of_the_instrument() => {
                Ok(GatewayState::Declined(refusal.decline()))
            }
            Answer::Refused(refused) => match &refused.refusal.payment_intent {
                Some(intent) if refused.refusal.code.as_deref() == Some("payment_intent_unexpected_state") => {
                    state(asked, intent)
                }
                _ => Err(asked.impossible(&refused)),
            },
        }
    }

    async fn refund_once(&self, ctx: &RequestContext, refund: &Refund) -> Result<RefundState, Fault> {
        let asked = Asked { operation: REFUND, is_question: false };
        // The key of an earlier try may be forgotten; the refund itself is not.
        if refund.tries > 1
            && let Some(earlier) = self.find_refund(ctx, refund).await?
        {
            return Ok(earlier);
        }
        let form = vec![
            ("payment_intent", refund.reference.0.clone()),
            ("amount", refund.money.amount.minor().to_string()),
            ("metadata[refund_id]", refund.id.to_string()),
            ("metadata[attempt_id]", refund.attempt.to_string()),
        ];
        let call = self.post(REFUND, &["refunds"], form, Some(refund.key()));
        match self.ask::<RefundObject>(ctx, asked, call).await? {
            Answer::Object(object) => object.state().ok_or_else(|| asked.unclear()),
            // Nothing is left to give back, or nothing was ever taken: no money moves, now or later.
            Answer::Refused(Refused { status: 400 | 402, refusal }) => Ok(RefundState::Failed(refusal.for_the_log())),
            Answer::Refused(refused) => Err(asked.impossible(&refused)),
        }
    }

    /// Not found is an answer only if all of them were seen.
    async fn find_refund(&self, ctx: &RequestContext, refund: &Refund) -> Result<Option<RefundState>, Fault> {
        let asked = Asked { operation: REFUND, is_question: true };
        let id = refund.id.to_string();
        let mut after = None;
        for _ in 0..REFUND_PAGES {
            let page = self.refunds_after(ctx, asked, &refund.reference, after.as_deref()).await?;
            if let Some(found) = page.data.iter().find(|found| found.metadata.refund_id.as_ref() == Some(&id)) {
                return found.state().map(Some).ok_or_else(|| asked.unclear());
            }
            match page.data.into_iter().next_back() {
                Some(last) if page.has_more => after = Some(last.id),
                _ => return Ok(None),
            }
        }
        Err(asked.unclear().caused_by("the payment has more refunds than are looked through"))
    }

    async fn refunds_after(
        &self,
        ctx: &RequestContext,
        asked: Asked,
        reference: &PaymentReference,
        after: Option<&str>,
    ) -> Result<Page<RefundObject>, Fault> {
        let query = [("payment_intent", reference.0.as_str()), ("limit", "100")];
        let query = query.into_iter().chain(after.map(|after| ("starting_after", after)));
        match self.ask(ctx, asked, self.get(REFUND, self.at(&["refunds"]).with_query(query))).await? {
            Answer::Object(page) => Ok(page),
            Answer::Refused(refused) => Err(asked.impossible(&refused)),
        }
    }

    fn at(&self, path: &[&str]) -> Destination {
        self.base.at(&["v1"]).at(path)
    }

    fn post(&self, operation: &'static str, path: &[&str], form: Form, key: Option<String>) -> Call {
        let call = self.with_headers(Call::post(operation, self.at(path), self.limits()).form(form).repeat(REPEAT));
        match key {
            Some(key) => call.header("idempotency-key", &key),
            None => call,
        }
    }

    fn get(&self, operation: &'static str, from: Destination) -> Call {
        self.with_headers(Call::get(operation, from, self.limits()))
    }

    fn with_headers(&self, call: Call) -> Call {
        let call = call.bearer(&self.config.secret_key).header("stripe-version", &self.config.api_version);
        call.readable_if(is_json).concurrent(CONCURRENT_CALLS)
    }

    fn limits(&self) -> Limits {
        Limits { attempt: self.config.attempt_timeout, ..Limits::PAYMENT }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        ctx: &RequestContext,
        asked: Asked,
        call: Call,
    ) -> Result<Answer<T>, Fault> {
        let watch = Stopwatch::start();
        let outcome = self.outbound.send(ctx, call).await;
        ctx.timings().gateway.add(watch);
        asked.read(ctx, outcome)
    }
}

/// Currencies are checked when the shop starts; a catalog that changed since cannot be charged a hundredfold either.
fn money(asked: Asked, money: &Money) -> Result<Form, Fault> {
    check_currency(money.currency).map_err(|error| Fault::internal(asked.operation, error.to_string()))?;
    Ok(vec![("amount", money.amount.minor().to_string()), ("currency", money.currency.code().to_ascii_lowercase())])
}

/// While the bank decides there is no answer; the reconciler asks again later.
fn state(asked: Asked, intent: &Intent) -> Result<GatewayState, Fault> {
    let unclear = || asked.unclear().caused_by(format!("the payment is {:?} at the gateway", intent.status));
    intent.state().ok_or_else(unclear)
}

impl PaymentGateway for HttpPaymentGateway {
    fn handler(&self) -> PaymentHandler {
        self.config.handler.clone()
    }

    /// Nothing is on file: the shop keeps no vault with this gateway.
    fn on_file(&self, _: &RequestContext, _: &PaymentChoice) -> PortFuture<Option<Credential>, Fault> {
        Box::pin(async { Ok(None) })
    }

    fn open(&self, ctx: &RequestContext, attempt: &Attempt) -> PortFuture<PaymentReference, Failure<Decline>> {
        let (this, ctx, attempt) = (self.clone(), ctx.clone(), attempt.clone());
        Box::pin(async move { this.open_once(&ctx, &attempt).await })
    }

    fn confirm(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        reference: &PaymentReference,
        credential: &Credential,
    ) -> PortFuture<GatewayState, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        let (attempt, reference, credential) = (attempt.clone(), reference.clone(), credential.clone());
        Box::pin(async move { this.confirm_once(&ctx, &attempt, &reference, &credential).await })
    }

    fn find(&self, ctx: &RequestContext, attempt: &Attempt) -> PortFuture<Option<PaymentReference>, Fault> {
        let (this, ctx, attempt) = (self.clone(), ctx.clone(), attempt.clone());
        Box::pin(async move { this.find_once(&ctx, &attempt).await })
    }

    fn look_up(&self, ctx: &RequestContext, reference: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        let (this, ctx, reference) = (self.clone(), ctx.clone(), reference.clone());
        Box::pin(async move { this.look_up_once(&ctx, &reference).await })
    }

    fn cancel(&self, ctx: &RequestContext, reference: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        let form = vec![("cancellation_reason", "abandoned".to_owned())];
        let call = self.post(CANCEL, &["payment_intents", &reference.0, "cancel"], form, None);
        let asked = Asked { operation: CANCEL, is_question: false };
        Box::pin(async move { this.end(&ctx, asked, call).await })
    }

    fn capture(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        reference: &PaymentReference,
    ) -> PortFuture<GatewayState, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        // The amount is the whole, and is said all the same: a request should not depend on what was meant earlier.
        let form = vec![("amount_to_capture", attempt.money.amount.minor().to_string())];
        let call = self.post(CAPTURE, &["payment_intents", &reference.0, "capture"], form, None);
        let asked = Asked { operation: CAPTURE, is_question: false };
        Box::pin(async move { this.end(&ctx, asked, call).await })
    }

    fn refund(&self, ctx: &RequestContext, refund: &Refund) -> PortFuture<RefundState, Fault> {
        let (this, ctx, refund) = (self.clone(), ctx.clone(), refund.clone());
        Box::pin(async move { this.refund_once(&ctx, &refund).await })
    }

    fn look_up_refund(&self, ctx: &RequestContext, refund: &Refund) -> PortFuture<Option<RefundState>, Fault> {
        let (this, ctx, refund) = (self.clone(), ctx.clone(), refund.clone());
        Box::pin(async move { this.find_refund(&ctx, &refund).await })
    }
}
