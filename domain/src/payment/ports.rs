//! The ports of payments: the gateway, and the stores of attempts and refunds.

use std::time::Duration;

use super::decide::RefundRefusal;
use super::model::{
    Attempt, Credential, Decline, GatewayState, HandlerId, PaymentChoice, PaymentReference, Refund, RefundState,
};
use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::{Failure, Fault};
use crate::id::{AttemptId, RefundId};
use crate::money::Amount;

/// The payment gateway. Each method ends within the context's deadline. Each method is idempotent: the idempotency keys
/// are derived from the attempt or the refund.
///
/// A fault of kind [`OutcomeUnknown`](crate::fault::FaultKind::OutcomeUnknown) means that the call may have had its
/// effect. A fault of another kind means that the call had no effect.
pub trait PaymentGateway: Send + Sync {
    /// The payment handler that the shop offers to platforms. No network call.
    fn handler(&self) -> PaymentHandler;

    /// The credential of an instrument that the gateway keeps on file. `None` if the gateway has no credential for this
    /// instrument.
    fn on_file(&self, ctx: &RequestContext, choice: &PaymentChoice) -> PortFuture<Option<Credential>, Fault>;

    /// Creates a payment without charging it, and returns its reference. Refuses a payment that the gateway will never
    /// open, for example because the amount is too small. A repeated call is refused again.
    fn open(&self, ctx: &RequestContext, attempt: &Attempt) -> PortFuture<PaymentReference, Failure<Decline>>;

    /// Charges an opened payment, or authorizes the amount if capture is manual. Returns [`GatewayState::Confirmed`],
    /// `Authorized`, `Declined`, `ActionRequired`, or `Cancelled` if the payment was cancelled before.
    fn confirm(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        reference: &PaymentReference,
        credential: &Credential,
    ) -> PortFuture<GatewayState, Fault>;

    /// The reference of the payment that was opened for an attempt, found by the attempt's id. `None` if the gateway
    /// has none. Only reads, so it cannot open or charge a payment a second time, even if the gateway has forgotten the
    /// idempotency keys. May miss a payment that was opened within the last hour.
    fn find(&self, ctx: &RequestContext, attempt: &Attempt) -> PortFuture<Option<PaymentReference>, Fault>;

    /// The current state of a payment. Changes nothing.
    fn look_up(&self, ctx: &RequestContext, reference: &PaymentReference) -> PortFuture<GatewayState, Fault>;

    /// Cancels a payment, so that it is never charged, and releases an authorized amount. Returns
    /// [`GatewayState::Cancelled`], or the state that prevents the cancellation, such as `Confirmed` if the payment was
    /// already charged.
    fn cancel(&self, ctx: &RequestContext, reference: &PaymentReference) -> PortFuture<GatewayState, Fault>;

    /// Charges the whole authorized amount. Returns [`GatewayState::Confirmed`], `Declined`, or `Cancelled` if the
    /// amount is no longer authorized.
    fn capture(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        reference: &PaymentReference,
    ) -> PortFuture<GatewayState, Fault>;

    /// Refunds money. The refund's id is the idempotency key: a repetition moves no more money. Returns
    /// [`RefundState::Succeeded`], `Pending`, or `Failed` if no money moved.
    fn refund(&self, ctx: &RequestContext, refund: &Refund) -> PortFuture<RefundState, Fault>;

    /// The current state of a refund, found by the refund's id. `None` if the gateway has none with that id. Only
    /// reads.
    fn look_up_refund(&self, ctx: &RequestContext, refund: &Refund) -> PortFuture<Option<RefundState>, Fault>;
}

/// A payment handler, as it is announced to platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentHandler {
    /// The kind of handler, a reverse-domain name.
    pub name: String,
    pub id: HandlerId,
    /// The version of the handler's specification, `YYYY-MM-DD`.
    pub version: String,
    pub spec: String,
    pub schema: String,
    /// The types of the instruments that the handler charges, such as `card`. Other types are refused.
    pub instruments: Vec<String>,
    /// The document that platforms need to create a credential. The handler's schema defines the format.
    pub config: String,
}

/// The store of payment attempts. Each method is one transaction. Leases use the database's clock; due times use
/// business time.
///
/// After an error of the business clock, an attempt may be due much too late. So a claim of unsettled attempts first
/// corrects at most `limit` attempts: an attempt that is due more than
/// [`LONGEST_WAIT_UNSETTLED`](super::LONGEST_WAIT_UNSETTLED) from now becomes due now.
pub trait AttemptStore: Send + Sync {
    /// Stores the gateway's reference of an attempt. Called before the payment is confirmed. Changes nothing if the
    /// attempt does not exist. Idempotent.
    fn record_reference(
        &self,
        ctx: &RequestContext,
        id: AttemptId,
        reference: PaymentReference,
    ) -> PortFuture<(), Fault>;

    /// Records that the gateway's answer was lost, and makes the attempt due for the reconciler at once. Idempotent.
    fn record_unknown(&self, ctx: &RequestContext, id: AttemptId, now: Timestamp) -> PortFuture<(), Fault>;

    /// Claims at most `limit` unsettled attempts that are due and not leased, the longest due first. Increments the
    /// fencing counter of each attempt. No other claim returns these attempts for the time `lease`.
    fn claim_due(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> PortFuture<Vec<Attempt>, Fault>;

    /// Ends the lease of an unsettled or authorized attempt and makes the attempt due at `at`. Changes nothing if the
    /// attempt was claimed again or its state has changed since. Idempotent.
    fn postpone(&self, ctx: &RequestContext, claimed: &Attempt, at: Timestamp) -> PortFuture<(), Fault>;

    /// Claims authorized attempts that are due, in the same way as [`claim_due`](Self::claim_due). An authorized
    /// attempt is due after a shipment, or shortly before the gateway releases the amount. Due times are not corrected
    /// after a clock error, because a capture cannot be undone.
    fn claim_authorized(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> PortFuture<Vec<AuthorizedAttempt>, Fault>;

    /// Records the end of an authorized attempt. Changes nothing if the attempt is not authorized. Idempotent.
    fn record_captured(&self, ctx: &RequestContext, id: AttemptId, end: AuthorizationEnd) -> PortFuture<(), Fault>;

    /// Records a gateway event once, by its event id. If the event names a payment whose attempt is not settled, makes
    /// the attempt due at `now`. Returns false if the event was recorded before. What happened to the payment is not
    /// taken from the event: the reconciler looks it up.
    fn record_event(&self, ctx: &RequestContext, event: GatewayEvent, now: Timestamp) -> PortFuture<bool, Fault>;
}

/// An authorized attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedAttempt {
    pub attempt: Attempt,
    /// Whether the order of the attempt contains units.
    pub has_units: bool,
}

/// How an authorized attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationEnd {
    /// The amount was charged. The attempt becomes [`AttemptState::Confirmed`](super::AttemptState::Confirmed).
    Captured,
    /// The amount was not charged. The attempt becomes [`AttemptState::Released`](super::AttemptState::Released).
    Released,
}

/// An event that the gateway sent without a request of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayEvent {
    /// The gateway's id of the event. A repeated event has the same id.
    pub id: String,
    /// The payment that the event is about. `None` if the event is about no payment.
    pub reference: Option<PaymentReference>,
}

/// The store of refunds. Each method is one transaction.
pub trait RefundStore: Send + Sync {
    /// Records a refund and returns it, if [`may_refund`](super::may_refund) allows its amount. Idempotent: a second
    /// call with the same id changes nothing and returns the stored refund.
    fn request(&self, ctx: &RequestContext, wanted: RefundWanted) -> PortFuture<Refund, Failure<RefundRefusal>>;

    /// Claims at most `limit` refunds that are due and not leased, and counts an attempt for each. Before that,
    /// corrects due times after a clock error: at most `limit` refunds that are due more than
    /// [`LONGEST_WAIT_REFUND`](super::LONGEST_WAIT_REFUND) from now become due now.
    fn claim_due(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> PortFuture<Vec<Refund>, Fault>;

    /// Records the gateway's answer for a claimed refund, and makes the refund due at `at` unless the state is final.
    /// Changes nothing if the refund was claimed again or has ended since.
    fn record(
        &self,
        ctx: &RequestContext,
        claimed: &Refund,
        state: RefundState,
        at: Timestamp,
    ) -> PortFuture<(), Fault>;
}

/// A requested refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundWanted {
    pub id: RefundId,
    pub attempt: AttemptId,
    pub amount: Amount,
    pub now: Timestamp,
}
