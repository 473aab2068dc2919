//! The payment gateway with Stripe's API: PaymentIntents, refunds and events.
//!
//! A payment is created without confirmation. After the shop has stored the id of the payment, a second call with
//! another idempotency key confirms the payment; see [`domain::payment`]. `answer.rs` lists the meaning of each
//! response, `wire.rs` the meaning of each status.
//!
//! | call    | request                                | key                    | when repeated                |
//! |---------|----------------------------------------|------------------------|------------------------------|
//! | open    | `POST /v1/payment_intents`             | `Attempt::open_key`    | the same intent              |
//! | confirm | `POST /v1/payment_intents/ID/confirm`  | `Attempt::confirm_key` | the same result              |
//! | find    | `GET /v1/payment_intents/search`       | none                   | a read                       |
//! | look_up | `GET /v1/payment_intents/ID`           | none                   | a read                       |
//! | cancel  | `POST /v1/payment_intents/ID/cancel`   | none                   | refused, with its state      |
//! | capture | `POST /v1/payment_intents/ID/capture`  | none                   | refused, with its state      |
//! | refund  | `POST /v1/refunds`                     | `Refund::key`          | the same refund              |
//!
//! Cancelling and capturing need no key, because the state of the payment allows each of them only once. A key would do
//! harm, because Stripe stores a 500 for its key for a day.
//!
//! Keys expire after 24 hours, so the shop does not rely on older keys. It finds a payment by the id of its attempt in
//! the metadata. Before it requests a refund again, it reads the refunds of the payment (`GET /v1/refunds`) and looks
//! for the refund among them.

mod answer;
mod config;
mod currency;
mod webhook;
mod wire;

use std::sync::Arc;

use domain::PortFuture;
use domain::context::{RequestContext, Stopwatch};
use domain::fault::{Failure, Fault};
use domain::money::Money;
use domain::payment::{
    Attempt, Credential, Decline, GatewayState, PaymentChoice, PaymentGateway, PaymentHandler, PaymentReference,
    Refund, RefundState,
};
use serde::de::DeserializeOwned;

use crate::outbound::{Call, Destination, Limits, Outbound, Repeat};
use answer::{Answer, Operation, Refused, is_json};
use wire::{Intent, Page, RefundObject};

pub use config::{CaptureMethod, StripeConfig, StripeConfigError, check_address, check_header};
pub use currency::{UnsupportedCurrency, check_currency};
pub use webhook::{MAX_SIGNATURES, SIGNATURE_TOLERANCE, SignatureError, parse_event, verify_signature};

/// The gateway. Clones share connections and limits.
#[derive(Clone)]
pub struct HttpPaymentGateway {
    outbound: Outbound,
    base: Destination,
    config: Arc<StripeConfig>,
}

const OPEN: Operation = Operation { name: "payment.open", is_read: false };
const CONFIRM: Operation = Operation { name: "payment.confirm", is_read: false };
const FIND: Operation = Operation { name: "payment.find", is_read: true };
const LOOK_UP: Operation = Operation { name: "payment.look_up", is_read: true };
const CANCEL: Operation = Operation { name: "payment.cancel", is_read: false };
const CAPTURE: Operation = Operation { name: "payment.capture", is_read: false };
const REFUND: Operation = Operation { name: "payment.refund", is_read: false };
const FIND_REFUND: Operation = Operation { name: "payment.refund", is_read: true };

/// The statuses after which a call is repeated: overload, temporary failures, and 409, which means that an earlier
/// request with the same key is still running.
const REPEAT: Repeat = Repeat::After(&[409, 429, 500, 502, 503, 504]);

/// The most concurrent calls to the gateway. A call that hangs holds its permit until its attempt times out.
const CONCURRENCY: usize = 64;

/// The most pages that are read to find a refund. A page has a hundred refunds.
const MAX_REFUND_PAGES: u32 = 3;

type Form = Vec<(&'static str, String)>;

impl HttpPaymentGateway {
    /// Checks the configuration. Makes no call.
    pub fn new(outbound: Outbound, config: StripeConfig) -> Result<Self, StripeConfigError> {
        let base = Destination::trusted(&config.base_url)?;
        check_header(config.secret_key.expose())?;
        check_header(&config.api_version)?;
        config.currencies.iter().try_for_each(|currency| check_currency(*currency))?;
        Ok(Self { outbound, base, config: Arc::new(config) })
    }

    /// Sends a call that changes the state of a payment, and returns the new state. If the present state does not allow
    /// the change, returns the present state.
    async fn change(&self, ctx: &RequestContext, operation: Operation, call: Call) -> Result<GatewayState, Fault> {
        match self.send::<Intent>(ctx, operation, call).await? {
            Answer::Object(intent) => state(operation, &intent),
            Answer::Refused(Refused { refusal, .. }) if refusal.is_about_instrument() => {
                Ok(GatewayState::Declined(refusal.decline()))
            }
            Answer::Refused(refused) => match &refused.refusal.payment_intent {
                Some(intent) if refused.refusal.code.as_deref() == Some("payment_intent_unexpected_state") => {
                    state(operation, intent)
                }
                _ => Err(operation.unexpected(&refused)),
            },
        }
    }

    /// Looks for the refund among the refunds of its payment. Returns `None` only after it has read all of them.
    async fn find_refund(&self, ctx: &RequestContext, refund: &Refund) -> Result<Option<RefundState>, Fault> {
        let id = refund.id.to_string();
        let mut after = None;
        for _ in 0..MAX_REFUND_PAGES {
            let query = [("payment_intent", refund.reference.0.as_str()), ("limit", "100")];
            let query = query.into_iter().chain(after.as_deref().map(|after| ("starting_after", after)));
            let call = self.get(FIND_REFUND, self.at(&["refunds"]).with_query(query));
            let page: Page<RefundObject> = match self.send(ctx, FIND_REFUND, call).await? {
                Answer::Object(page) => page,
                Answer::Refused(refused) => return Err(FIND_REFUND.unexpected(&refused)),
            };
            if let Some(found) = page.data.iter().find(|found| found.is(&id)) {
                return found.state().map(Some).ok_or_else(|| FIND_REFUND.unclear());
            }
            match page.data.into_iter().next_back() {
                Some(last) if page.has_more => after = Some(last.id),
                _ => return Ok(None),
            }
        }
        Err(FIND_REFUND.unclear().caused_by("the payment has more refunds than the shop reads"))
    }

    fn at(&self, path: &[&str]) -> Destination {
        self.base.at(&["v1"]).at(path)
    }

    fn post(&self, operation: Operation, path: &[&str], form: Form, key: Option<String>) -> Call {
        let call = Call::post(operation.name, self.at(path), self.limits()).form(form).repeat(REPEAT);
        let call = self.with_headers(call);
        match key {
            Some(key) => call.header("idempotency-key", &key),
            None => call,
        }
    }

    fn get(&self, operation: Operation, from: Destination) -> Call {
        self.with_headers(Call::get(operation.name, from, self.limits()))
    }

    fn with_headers(&self, call: Call) -> Call {
        let call = call.bearer(&self.config.secret_key).header("stripe-version", &self.config.api_version);
        call.readable_if(is_json).concurrency(CONCURRENCY)
    }

    fn limits(&self) -> Limits {
        Limits::PAYMENT.with_attempt(self.config.attempt_timeout)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        ctx: &RequestContext,
        operation: Operation,
        call: Call,
    ) -> Result<Answer<T>, Fault> {
        let watch = Stopwatch::start();
        let outcome = self.outbound.send(ctx, call).await;
        ctx.timings().gateway.add(watch);
        operation.read(ctx, outcome)
    }
}

/// Returns the state of the payment. Fails while the bank decides and for an unknown status. The reconciler then looks
/// the payment up again later.
fn state(operation: Operation, intent: &Intent) -> Result<GatewayState, Fault> {
    let unclear = || operation.unclear().caused_by(format!("the payment is {:?} at the gateway", intent.status));
    intent.state().ok_or_else(unclear)
}

impl PaymentGateway for HttpPaymentGateway {
    fn handler(&self) -> PaymentHandler {
        self.config.handler.clone()
    }

    /// Returns `None`, because the shop stores no instruments with this gateway.
    fn on_file(&self, _: &RequestContext, _: &PaymentChoice) -> PortFuture<Option<Credential>, Fault> {
        Box::pin(async { Ok(None) })
    }

    fn open(&self, ctx: &RequestContext, attempt: &Attempt) -> PortFuture<PaymentReference, Failure<Decline>> {
        let (this, ctx, attempt) = (self.clone(), ctx.clone(), attempt.clone());
        Box::pin(async move {
            // The currencies of the configuration were checked at start, but a catalog may have been changed since.
            let Money { amount, currency } = attempt.money;
            check_currency(currency).map_err(|error| Fault::internal(OPEN.name, error.to_string()))?;
            let form = vec![
                ("amount", amount.minor().to_string()),
                ("currency", currency.code().to_ascii_lowercase()),
                ("capture_method", this.config.capture.to_string()),
                ("payment_method_types[]", "card".to_owned()),
                ("metadata[attempt_id]", attempt.id.to_string()),
                ("metadata[checkout_id]", attempt.checkout.to_string()),
            ];
            let call = this.post(OPEN, &["payment_intents"], form, Some(attempt.open_key()));
            match this.send::<Intent>(&ctx, OPEN, call).await? {
                Answer::Object(intent) => Ok(PaymentReference(intent.id)),
                // The refusal is final, because the key would replay an earlier success.
                Answer::Refused(refused) if refused.refusal.is_about_amount() => {
                    Err(Failure::Refused(refused.refusal.decline()))
                }
                // The instrument was not sent yet, so this is not the buyer's mistake.
                Answer::Refused(refused) => Err(Failure::Fault(OPEN.unexpected(&refused))),
            }
        })
    }

    fn confirm(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        reference: &PaymentReference,
        credential: &Credential,
    ) -> PortFuture<GatewayState, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        let form = vec![("payment_method", credential.token.expose().to_owned())];
        let path = ["payment_intents", &reference.0, "confirm"];
        let call = self.post(CONFIRM, &path, form, Some(attempt.confirm_key()));
        Box::pin(async move { this.change(&ctx, CONFIRM, call).await })
    }

    /// Searches for the payment with Stripe's search. A new payment appears there about a minute after it was opened,
    /// and up to an hour after it during an outage of Stripe. Before that time the result is `None`.
    fn find(&self, ctx: &RequestContext, attempt: &Attempt) -> PortFuture<Option<PaymentReference>, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        let query = format!("metadata['attempt_id']:'{}'", attempt.id);
        let from = self.at(&["payment_intents", "search"]).with_query([("query", query.as_str()), ("limit", "2")]);
        let call = self.get(FIND, from);
        Box::pin(async move {
            let mut found = match this.send::<Page<Intent>>(&ctx, FIND, call).await? {
                Answer::Object(page) => page.data.into_iter(),
                Answer::Refused(refused) => return Err(FIND.unexpected(&refused)),
            };
            match (found.next(), found.next()) {
                (first, None) => Ok(first.map(|intent| PaymentReference(intent.id))),
                // A person must find out which of the payments was charged.
                (_, Some(_)) => Err(Fault::internal(FIND.name, "the gateway has more than one payment of one attempt")),
            }
        })
    }

    fn look_up(&self, ctx: &RequestContext, reference: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        let call = self.get(LOOK_UP, self.at(&["payment_intents", &reference.0]));
        Box::pin(async move {
            match this.send::<Intent>(&ctx, LOOK_UP, call).await? {
                Answer::Object(intent) => state(LOOK_UP, &intent),
                Answer::Refused(refused) => Err(LOOK_UP.unexpected(&refused)),
            }
        })
    }

    fn cancel(&self, ctx: &RequestContext, reference: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        let form = vec![("cancellation_reason", "abandoned".to_owned())];
        let call = self.post(CANCEL, &["payment_intents", &reference.0, "cancel"], form, None);
        Box::pin(async move { this.change(&ctx, CANCEL, call).await })
    }

    fn capture(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        reference: &PaymentReference,
    ) -> PortFuture<GatewayState, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        // Without an amount, the gateway captures the whole amount that it has stored. The shop sends the amount, so
        // that it does not depend on the gateway's data.
        let form = vec![("amount_to_capture", attempt.money.amount.minor().to_string())];
        let call = self.post(CAPTURE, &["payment_intents", &reference.0, "capture"], form, None);
        Box::pin(async move { this.change(&ctx, CAPTURE, call).await })
    }

    fn refund(&self, ctx: &RequestContext, refund: &Refund) -> PortFuture<RefundState, Fault> {
        let (this, ctx, refund) = (self.clone(), ctx.clone(), refund.clone());
        Box::pin(async move {
            // An earlier attempt may have made the refund, and its key may have expired. So the shop looks for the
            // refund before it requests the refund again.
            if refund.tries > 1
                && let Some(earlier) = this.find_refund(&ctx, &refund).await?
            {
                return Ok(earlier);
            }
            let form = vec![
                ("payment_intent", refund.reference.0.clone()),
                ("amount", refund.money.amount.minor().to_string()),
                ("metadata[refund_id]", refund.id.to_string()),
                ("metadata[attempt_id]", refund.attempt.to_string()),
            ];
            let call = this.post(REFUND, &["refunds"], form, Some(refund.key()));
            match this.send::<RefundObject>(&ctx, REFUND, call).await? {
                Answer::Object(object) => object.state().ok_or_else(|| REFUND.unclear()),
                // The payment was not captured, or nothing is left to refund. No money moves.
                Answer::Refused(Refused { status: 400 | 402, refusal }) => {
                    Ok(RefundState::Failed(refusal.for_the_log()))
                }
                Answer::Refused(refused) => Err(REFUND.unexpected(&refused)),
            }
        })
    }

    fn look_up_refund(&self, ctx: &RequestContext, refund: &Refund) -> PortFuture<Option<RefundState>, Fault> {
        let (this, ctx, refund) = (self.clone(), ctx.clone(), refund.clone());
        Box::pin(async move { this.find_refund(&ctx, &refund).await })
    }
}
