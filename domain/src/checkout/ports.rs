//! The storage port of checkouts.

use std::time::Duration;

use super::message::Message;
use super::model::{Checkout, CheckoutRequest, Status};
use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::{Failure, Fault, Refusal};
use crate::id::{AttemptId, CheckoutId, PageToken};
use crate::idempotency::{self, KeyClaim, KeyRefusal, Write};
use crate::money::Currency;
use crate::payment::{Attempt, Instrument, PaymentOutcome};
use serde::{Deserialize, Serialize};

/// The store of checkouts. Each method is one transaction.
///
/// Methods that take a [`Write`] or a [`BeginCompletion`] are keyed writes. A keyed write is done once per idempotency
/// key: a later call with the same key and the same request returns the first outcome with `replayed` set, and changes
/// nothing. A method that takes a key may refuse with [`CheckoutRefusal::Key`]. The comment of each method names its
/// other refusals.
pub trait CheckoutStore: Send + Sync {
    /// Prices the request from the current catalog, stock, rates and codes, and stores the new checkout. Refuses only
    /// because of the key.
    fn create(
        &self,
        ctx: &RequestContext,
        write: Write,
        checkout: NewCheckout,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>>;

    /// Returns the stored checkout. Refuses with [`CheckoutRefusal::NotFound`] if it does not exist or if the caller
    /// does not own it. The stored checkout may have expired: [`Checkout::as_of`] returns it with its status at a
    /// time.
    fn read(&self, ctx: &RequestContext, id: CheckoutId) -> PortFuture<Checkout, Failure<CheckoutRefusal>>;

    /// Returns the checkout with this page token, or `None` if there is none. The store does not check the caller.
    fn read_page(&self, ctx: &RequestContext, page: PageToken) -> PortFuture<Option<Checkout>, Fault>;

    /// Replaces the whole content of an open checkout and prices it again. Refuses with [`CheckoutRefusal::NotFound`],
    /// `InProgress` or `NotModifiable`.
    fn update(
        &self,
        ctx: &RequestContext,
        write: Write,
        id: CheckoutId,
        request: CheckoutRequest,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>>;

    /// Cancels an open checkout. Refuses with [`CheckoutRefusal::NotFound`], `InProgress` or `NotModifiable`.
    fn cancel(
        &self,
        ctx: &RequestContext,
        write: Write,
        id: CheckoutId,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>>;

    /// Begins a completion (transaction 1): claims the idempotency key, holds the stock in SKU order, records the
    /// payment attempt and sets the status to `complete_in_progress`, all or nothing. The commit is the point of no
    /// return.
    ///
    /// Returns any state except [`CompletionState::Free`]. Returns `Answered` also if the stock does not cover the
    /// lines. Refuses with [`CheckoutRefusal::NotFound`], `InProgress` if the checkout is being completed with another
    /// key, `NotModifiable`, `NotReady` or `InstrumentMissing`.
    fn begin_completion(
        &self,
        ctx: &RequestContext,
        begin: BeginCompletion,
    ) -> PortFuture<CompletionState, Failure<CheckoutRefusal>>;

    /// Records the outcome of a payment attempt (transaction 2 of a completion). Places the order and takes the stock,
    /// or releases the stock, and stores the outcome for the idempotency key of the completion. Idempotent: a second
    /// call changes nothing and returns the outcome of the first call.
    fn settle(&self, ctx: &RequestContext, settlement: Settlement) -> PortFuture<Outcome, Fault>;

    /// Returns the state of the completion with this key: any state except [`CompletionState::Claimed`]. Claims nothing
    /// and changes nothing. Refuses with [`CheckoutRefusal::NotFound`].
    fn completion(
        &self,
        ctx: &RequestContext,
        claim: KeyClaim,
        id: CheckoutId,
    ) -> PortFuture<CompletionState, Failure<CheckoutRefusal>>;

    /// Cancels at most `limit` expired open checkouts, and deletes at most `limit` final checkouts last changed before
    /// `forget_before`.
    fn expire(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        forget_before: Timestamp,
        limit: u32,
    ) -> PortFuture<Expired, Fault>;
}

/// The numbers of checkouts that one call of [`CheckoutStore::expire`] has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    pub canceled: u32,
    pub deleted: u32,
}

/// The values of a new checkout.
#[derive(Clone, Debug)]
pub struct NewCheckout {
    pub id: CheckoutId,
    pub page: PageToken,
    pub currency: Currency,
    pub expires_at: Timestamp,
    pub request: CheckoutRequest,
}

impl NewCheckout {
    /// A checkout with a new id and a new page token, created at `now`.
    pub fn of(request: CheckoutRequest, now: Timestamp, currency: Currency, expires_after: Duration) -> Self {
        let (id, page) = (CheckoutId::generate(now), PageToken::generate(now));
        Self { id, page, currency, expires_at: now + expires_after, request }
    }
}

/// The answer of a keyed write of a checkout: its outcome, and whether the outcome is a replay.
pub type Answer = idempotency::Answer<Outcome>;

/// The outcome of a keyed write. It is stored with the idempotency key, in the transaction of the write, and is
/// replayed to repeated requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The write was done, or the checkout explains why it was not: see its status and its messages.
    Checkout(Checkout),
    /// The payment was refused and the stock is released. The platform may retry with another instrument and another
    /// key.
    Declined(Checkout),
    /// No checkout was created or changed: none of the requested items can be sold, or they cost too much. The messages
    /// say why.
    NothingToSell(Vec<Message>),
}

/// The input of [`CheckoutStore::begin_completion`].
#[derive(Clone, Debug)]
pub struct BeginCompletion {
    pub write: Write,
    pub checkout: CheckoutId,
    pub attempt: AttemptId,
    /// `None` if the platform sent no instrument. Then only a checkout with nothing to pay is completed.
    pub instrument: Option<Instrument>,
    /// How long the calling process leases the attempt. After the lease, the reconciler may claim the attempt.
    pub owned_for: Duration,
}

/// The state of a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompletionState {
    /// The calling process owns the attempt: the stock is held, and no other process calls the gateway.
    Claimed { checkout: Checkout, attempt: Attempt },
    /// The completion has ended with this answer.
    Answered(Answer),
    /// Another call with this key is in progress.
    InProgress,
    /// No call owns the key, because its last owner released it. The key can be claimed again.
    Free,
    /// The outcome of the payment is not known yet; the reconciler looks it up.
    Unknown(Checkout),
}

/// The input of [`CheckoutStore::settle`]: an attempt and the outcome of its payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub attempt: AttemptId,
    pub outcome: PaymentOutcome,
    pub now: Timestamp,
}

/// Why a request is refused. Nothing was changed, and nothing is stored with the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckoutRefusal {
    /// The checkout does not exist, or belongs to another platform. The caller cannot tell which.
    NotFound,
    /// The checkout is being completed.
    InProgress,
    /// The checkout has ended with this status.
    NotModifiable(Status),
    /// A value is missing that only the platform can provide.
    NotReady(Message),
    /// The instrument names a payment handler that the shop does not offer.
    UnknownHandler,
    /// The payment handler does not offer instruments of this type.
    UnknownInstrumentType,
    /// There is an amount to pay and no instrument was given.
    InstrumentMissing,
    /// The request has no credential for the instrument, and the gateway has none on file.
    UnknownInstrument,
    /// The idempotency key cannot be used for this request.
    Key(KeyRefusal),
}

impl Refusal for CheckoutRefusal {}

impl From<KeyRefusal> for CheckoutRefusal {
    fn from(refusal: KeyRefusal) -> Self {
        Self::Key(refusal)
    }
}
