//! What the use cases ask of storage.

use std::time::Duration;

use super::message::Message;
use super::model::{Checkout, CheckoutId, CheckoutRequest, Status};
use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::{Failure, Fault, Refusal};
use crate::id::PageToken;
use crate::idempotency::{self, KeyClaim, KeyRefusal, Write};
use crate::money::Currency;
use crate::payment::{Attempt, AttemptId, Instrument, PaymentOutcome};
use serde::{Deserialize, Serialize};

/// The checkouts of the shop. Each method is one transaction.
///
/// Methods that take a [`KeyClaim`] run once per idempotency key: whoever comes later with the same key and the same
/// request gets the first outcome again, with `replayed` set, and nothing else happens.
pub trait CheckoutStore: Send + Sync {
    /// Prices the request against the catalogue, the stock, the rates and the codes, and stores the checkout.
    fn create(
        &self,
        ctx: &RequestContext,
        write: Write,
        checkout: NewCheckout,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>>;

    /// The checkout as it is stored, or [`CheckoutRefusal::NotFound`] when it does not exist or is not the caller's.
    /// How it stands at a time is for [`Checkout::as_of`] to say.
    fn read(&self, ctx: &RequestContext, id: CheckoutId) -> PortFuture<Checkout, Failure<CheckoutRefusal>>;

    /// The checkout whose page this is. Holding the token is the permission.
    fn read_page(&self, ctx: &RequestContext, page: PageToken) -> PortFuture<Option<Checkout>, Fault>;

    /// Replaces the whole content of an open checkout and prices it anew.
    fn update(
        &self,
        ctx: &RequestContext,
        write: Write,
        id: CheckoutId,
        request: CheckoutRequest,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>>;

    /// Cancels an open checkout.
    fn cancel(
        &self,
        ctx: &RequestContext,
        write: Write,
        id: CheckoutId,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>>;

    /// Holds the stock in SKU order, records the payment attempt and marks the checkout as being completed, all or
    /// nothing. Its commit is the point of no return.
    fn begin_completion(&self, ctx: &RequestContext, begin: Begin) -> PortFuture<Begun, Failure<CheckoutRefusal>>;

    /// Records what became of a payment attempt: places the order and takes the stock, or releases it; and answers
    /// the idempotency key that began it. Settling twice changes nothing and returns what the first one made.
    fn settle(&self, ctx: &RequestContext, settlement: Settlement) -> PortFuture<Outcome, Fault>;

    /// How the completion under this key stands now: see [`Begun`]. Never claims anything.
    fn completion(
        &self,
        ctx: &RequestContext,
        claim: KeyClaim,
        id: CheckoutId,
    ) -> PortFuture<Begun, Failure<CheckoutRefusal>>;

    /// Cancels at most `limit` open checkouts whose time is over, and forgets at most `limit` final ones last changed
    /// before `forget_before`. Returns how many of each.
    fn expire(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        forget_before: Timestamp,
        limit: u32,
    ) -> PortFuture<(u32, u32), Fault>;
}

/// A checkout about to be made.
#[derive(Clone, Debug)]
pub struct NewCheckout {
    pub id: CheckoutId,
    pub page: PageToken,
    pub currency: Currency,
    pub expires_at: Timestamp,
    pub request: CheckoutRequest,
}

pub type Answer = idempotency::Answer<Outcome>;

/// Every definite end of a keyed write. A snapshot of it is stored with the key, in the transaction of the effect, and
/// is what a repetition is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was done, or refused in-band: the checkout's status and messages tell.
    Checkout(Checkout),
    /// The payment was refused; nothing is held, and another instrument may be tried under another key.
    Declined(Checkout),
    /// Nothing that was asked for is sold; no checkout was made or changed.
    NothingToSell(Vec<Message>),
}

/// What begins a completion.
#[derive(Clone, Debug)]
pub struct Begin {
    pub write: Write,
    pub checkout: CheckoutId,
    pub attempt: AttemptId,
    /// `None` if none was given; then it begins only where there is nothing to pay.
    pub instrument: Option<Instrument>,
    /// How long the owner of this attempt has it to itself; should it die, the reconciler takes over after that.
    pub owned_for: Duration,
}

/// How a completion stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is ours: stock is held, and we and no one else call the gateway.
    Claimed { checkout: Checkout, attempt: Attempt },
    /// It is over.
    Answered(Answer),
    /// Another call with this key is at work on it.
    InProgress,
    /// No call has this key: its owner gave it back. It can be claimed.
    Free,
    /// The gateway's answer is not known yet; the reconciler is finding out.
    Unknown(Checkout),
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub attempt: AttemptId,
    pub outcome: PaymentOutcome,
    pub now: Timestamp,
}

/// Why a checkout does not do what was asked. Nothing was changed, and nothing is stored with the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckoutRefusal {
    /// It does not exist, or belongs to someone else: the caller cannot tell which.
    NotFound,
    /// It is being completed; wait for that.
    InProgress,
    /// It is over.
    NotModifiable(Status),
    /// Something that only the platform can give is missing.
    NotReady(Message),
    /// The instrument names a payment handler that this checkout does not offer.
    UnknownHandler,
    /// There is something to pay and no instrument was given.
    InstrumentMissing,
    /// The instrument brings no credential, and none is on file for it.
    UnknownInstrument,
    /// The key cannot be used for this.
    Key(KeyRefusal),
}

impl Refusal for CheckoutRefusal {}

impl From<KeyRefusal> for CheckoutRefusal {
    fn from(refusal: KeyRefusal) -> Self {
        Self::Key(refusal)
    }
}
