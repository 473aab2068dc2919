//! The gateway, and the record of what was tried.

use std::time::Duration;

use super::model::{
    Attempt, AttemptId, Credential, Decline, GatewayState, HandlerId, PaymentChoice, PaymentOutcome, PaymentReference,
};
use super::refund::{Refund, RefundId, RefundRefusal, RefundState};
use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::{Failure, Fault};
use crate::money::Amount;

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

    /// Creates the payment without charging it. Refuses what the gateway will never open, such as an amount that is too
    /// small: asking again is answered the same.
    fn open(&self, ctx: &RequestContext, attempt: &Attempt) -> PortFuture<PaymentReference, Failure<Decline>>;

    /// Charges an opened payment, or holds the amount where capture is manual. Answers [`GatewayState::Confirmed`],
    /// `Authorized`, `Declined`, `ActionRequired` or, if it was cancelled meanwhile, `Cancelled`.
    fn confirm(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        reference: &PaymentReference,
        credential: &Credential,
    ) -> PortFuture<GatewayState, Fault>;

    /// The payment that was opened for an attempt, by the attempt's id; `None` when the gateway has none. Opens and
    /// charges nothing, however old the attempt's keys are. May miss what was opened within the last hour.
    fn find(&self, ctx: &RequestContext, attempt: &Attempt) -> PortFuture<Option<PaymentReference>, Fault>;

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

    /// What became of a refund, by the id that the shop gave it; `None` when the gateway has none by that id. Moves no
    /// money, however old the refund's key is.
    fn look_up_refund(&self, ctx: &RequestContext, refund: &Refund) -> PortFuture<Option<RefundState>, Fault>;
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

/// The record of attempts. Each method is one transaction. Leases are measured by the database's own clock; when
/// something is due is the shop's business time. That clock may have been ahead for a while: whoever claims unsettled
/// attempts makes at most as many due again of those that are due later than the longest wait from now.
pub trait AttemptStore: Send + Sync {
    /// Stores what the gateway calls an attempt, before it is confirmed.
    fn record_reference(
        &self,
        ctx: &RequestContext,
        id: AttemptId,
        reference: PaymentReference,
    ) -> PortFuture<(), Fault>;

    /// Notes that the gateway's answer was lost. The reconciler may look at once.
    fn record_unknown(&self, ctx: &RequestContext, id: AttemptId, now: Timestamp) -> PortFuture<(), Fault>;

    /// Takes at most `limit` unsettled attempts that are due and that nobody has a lease on, oldest first, and counts
    /// the check. Whoever takes them has them alone for as long as `lease`.
    fn claim_due(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> PortFuture<Vec<Attempt>, Fault>;

    /// Gives an unsettled or held attempt back, due at `at`; unless someone else has claimed it since.
    fn postpone(&self, ctx: &RequestContext, claimed: &Attempt, at: Timestamp) -> PortFuture<(), Fault>;

    /// As [`claim_due`](Self::claim_due), of those that are held: what was shipped, and what will soon lapse.
    /// None is claimed before it is due, whatever the clock said when: a capture cannot be undone.
    fn claim_held(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> PortFuture<Vec<Held>, Fault>;

    /// Ends what was held: captured, or let go. Doing it again changes nothing.
    fn record_captured(&self, ctx: &RequestContext, id: AttemptId, captured: bool) -> PortFuture<(), Fault>;

    /// Heeds what the gateway told of its own accord, once: makes the payment it speaks of due at `now`, if it is
    /// not settled. False when it
    /// was told before. Only that something happened is believed; what happened is looked up.
    fn record_event(&self, ctx: &RequestContext, event: GatewayEvent, now: Timestamp) -> PortFuture<bool, Fault>;
}

/// A payment whose amount is held, and whether its order still wants anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub attempt: Attempt,
    pub wanted: bool,
}

/// Something that the gateway told of its own accord.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayEvent {
    /// The gateway's own id of it: told twice, it is the same.
    pub id: String,
    /// The payment that it speaks of.
    pub reference: Option<PaymentReference>,
}

/// The record of refunds. Each method is one transaction.
pub trait RefundStore: Send + Sync {
    /// Records that money is to be given back, if there is that much left. Asking again with the same id changes
    /// nothing and returns what is known of it.
    fn request(&self, ctx: &RequestContext, wanted: RefundWanted) -> PortFuture<Refund, Failure<RefundRefusal>>;

    /// Takes at most `limit` refunds that are due and that nobody has a lease on, and counts the try. Of those that are
    /// due later than the longest wait from now, at most as many are due again.
    fn claim_due(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> PortFuture<Vec<Refund>, Fault>;

    /// Records what the gateway said of a claimed refund, due again at `at` unless that is its end; unless someone else
    /// has claimed it since.
    fn record(
        &self,
        ctx: &RequestContext,
        claimed: &Refund,
        state: RefundState,
        at: Timestamp,
    ) -> PortFuture<(), Fault>;
}

/// Money that is to be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundWanted {
    pub id: RefundId,
    pub attempt: AttemptId,
    pub amount: Amount,
    pub now: Timestamp,
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
            GatewayState::Declined(decline) => Some(PaymentOutcome::Declined(decline)),
            GatewayState::Cancelled => Some(PaymentOutcome::NotAttempted),
        }
    }
}
