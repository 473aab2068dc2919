//! The gateway, and the record of what was tried.

use super::model::{
    Attempt, AttemptId, Credential, GatewayState, HandlerId, PaymentChoice, PaymentOutcome, PaymentReference,
};
use super::refund::{Refund, RefundState};
use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::Fault;

/// The payment provider. Each method is one network call that ends within the context's deadline and may be repeated:
/// the attempt's own keys make the second call an echo of the first.
///
/// A fault of kind [`OutcomeUnknown`](crate::fault::FaultKind::OutcomeUnknown) means that the call may have had its
/// effect. Any other kind means that it had none.
pub trait PaymentGateway: Send + Sync {
    /// What the shop offers platforms to pay with.
    fn handler(&self) -> PaymentHandler;

    /// The credential of an instrument that the provider keeps on file; `None` when it keeps none by that name.
    fn on_file(&self, ctx: &RequestContext, choice: &PaymentChoice) -> PortFuture<Option<Credential>, Fault>;

    /// Creates the payment without charging it.
    fn open(&self, ctx: &RequestContext, attempt: &Attempt) -> PortFuture<PaymentReference, Fault>;

    /// Charges an opened payment, or holds the amount where capture is manual. Answers [`GatewayState::Confirmed`],
    /// `Authorized`, `Declined`, `ActionRequired` or, if it was cancelled meanwhile, `Cancelled`.
    fn confirm(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        reference: &PaymentReference,
        credential: &Credential,
    ) -> PortFuture<GatewayState, Fault>;

    /// What became of a payment.
    fn look_up(&self, ctx: &RequestContext, reference: &PaymentReference) -> PortFuture<GatewayState, Fault>;

    /// Makes sure that a payment is never charged. Answers [`GatewayState::Confirmed`] when it was too late for that.
    fn cancel(&self, ctx: &RequestContext, reference: &PaymentReference) -> PortFuture<GatewayState, Fault>;

    /// Charges the whole of what is held. Answers [`GatewayState::Confirmed`] or, when nothing is held any more,
    /// `Cancelled`.
    fn capture(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        reference: &PaymentReference,
    ) -> PortFuture<GatewayState, Fault>;

    /// Gives money back. The refund's own id is the key: asking again moves no more money.
    fn refund(&self, ctx: &RequestContext, refund: &Refund) -> PortFuture<RefundState, Fault>;
}

/// A way to pay, as it is announced to platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentHandler {
    /// Reverse-domain name of the kind of handler.
    pub name: String,
    pub id: HandlerId,
    /// Version of the handler's specification, `YYYY-MM-DD`.
    pub version: String,
    pub spec: String,
    pub schema: String,
    /// Instrument types, such as `card`.
    pub instruments: Vec<String>,
    /// What platforms need to make a credential for it, as a document of the handler's own schema.
    pub config: String,
}

/// The record of attempts. Each method is one transaction.
pub trait PaymentAttempts: Send + Sync {
    /// Stores what the gateway calls an attempt, before it is confirmed.
    fn record_reference(
        &self,
        ctx: &RequestContext,
        id: AttemptId,
        reference: PaymentReference,
    ) -> PortFuture<(), Fault>;

    /// Notes that the gateway's answer was lost. The reconciler may look at once.
    fn record_unknown(&self, ctx: &RequestContext, id: AttemptId, now: Timestamp) -> PortFuture<(), Fault>;

    /// Takes at most `limit` unsettled attempts that are due, oldest first, and makes them due again at `retry_at` in
    /// case whoever takes them dies.
    fn claim_due(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        retry_at: Timestamp,
        limit: u32,
    ) -> PortFuture<Vec<Attempt>, Fault>;

    /// Makes an unsettled attempt due at `at`.
    fn postpone(&self, ctx: &RequestContext, id: AttemptId, at: Timestamp) -> PortFuture<(), Fault>;
}

impl GatewayState {
    /// The outcome of having cancelled a payment that waited for the buyer. `None` while it is still open.
    pub fn after_action_required(self) -> Option<PaymentOutcome> {
        match self {
            Self::Cancelled => Some(PaymentOutcome::ActionRequired),
            other => other.into(),
        }
    }
}

impl From<GatewayState> for Option<PaymentOutcome> {
    /// The outcome that a state means; `None` while it is still open.
    fn from(state: GatewayState) -> Self {
        match state {
            GatewayState::Opened | GatewayState::ActionRequired => None,
            GatewayState::Authorized => Some(PaymentOutcome::Authorized),
            GatewayState::Confirmed => Some(PaymentOutcome::Confirmed),
            GatewayState::Declined(reason) => Some(PaymentOutcome::Declined(reason)),
            GatewayState::Cancelled => Some(PaymentOutcome::Cancelled),
        }
    }
}
