//! The ports of the outbox: the store of messages, and the sender.

use std::time::Duration;

use super::model::{Channel, Endpoint, EndpointHealth, EndpointSummary, MessageState, MessageSummary, OutboxMessage};
use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::id::OutboxMessageId;
use crate::page::{Cursor, Limit, Page};

/// Sends messages of one channel.
pub trait Sender: Send + Sync {
    /// Makes one attempt to send a message: one network call, plus the calls that find the receiver's address. Ends
    /// within the context's deadline. A repeated call sends the message again; the receiver recognizes a repetition by
    /// the message id.
    fn send(&self, ctx: &RequestContext, message: &OutboxMessage) -> PortFuture<Receipt, SendError>;
}

/// How the receiver answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    Accepted,
    /// The receiver does not want such messages.
    Unwanted,
}

/// Why an attempt failed. The message may have arrived nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// The reason for operators: of bounded length, and without secrets.
    pub reason: String,
    pub finality: Finality,
}

/// Whether a message is retried after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// The message is retried by the schedule. If the receiver requested a wait, the retry is not made before `after`
    /// has passed.
    Again { after: Option<Duration> },
    /// The receiver will never accept this message.
    Refused,
    /// The endpoint accepts no messages any more.
    Gone,
    /// Nothing was sent because of a local fault: the database, the signing keys, or a limit of the shop. It is not a
    /// failure of the endpoint.
    LocalFault,
    /// Nothing was sent because the permits for this server are in use. It is not a failure of the endpoint.
    NoPermit,
}

impl SendError {
    /// The error for a failure of the receiver. The message is retried by the schedule.
    pub fn again(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), finality: Finality::Again { after: None } }
    }

    /// The error for a local fault: see [`Finality::LocalFault`].
    pub fn local(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), finality: Finality::LocalFault }
    }

    /// The error for a missing permit: see [`Finality::NoPermit`].
    pub fn no_permit(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), finality: Finality::NoPermit }
    }
}

/// A fault of the shop is a local fault, because it happens before anything is sent.
impl From<Fault> for SendError {
    fn from(fault: Fault) -> Self {
        Self::local(fault.chain())
    }
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    Received(Receipt),
    Failed(SendError),
    /// The process shut down during the attempt, so it is not known whether the message arrived. The message is due
    /// again at once. The attempt is not counted and is not a failure of the endpoint.
    Interrupted,
}

/// The store of outbox messages and endpoints. Each call takes effect in one transaction; an adapter may run several
/// calls in the same transaction. Leases use the database's clock, so that instances whose clocks differ agree on them.
/// Due times use business time.
pub trait OutboxStore: Send + Sync {
    /// Claims the longest waiting message of the least recently served endpoint, and counts the attempt. The message is
    /// due and not leased, and its order has no older pending message to the endpoint. The claim skips disabled
    /// endpoints, endpoints less trusted than `terms.reach`, and endpoints that have `terms.per_endpoint` leases. A
    /// message without attempts left becomes a dead letter.
    ///
    /// The claim also skips endpoints that are backing off. The backoff ends early if a message became due after the
    /// last failure and was never attempted: then it ends [`PROBE_PAUSE`](super::PROBE_PAUSE) after that failure,
    /// unless the receiver requested a longer wait.
    fn claim(&self, ctx: &RequestContext, channel: Channel, terms: ClaimTerms) -> PortFuture<Claimed, Fault>;

    /// Records the outcome of a claimed attempt, decided by [`next_step`](super::next_step). If the claim is no longer
    /// valid, changes nothing and returns [`Recorded::Stale`].
    fn record(
        &self,
        ctx: &RequestContext,
        message: &OutboxMessage,
        outcome: SendOutcome,
        now: Timestamp,
    ) -> PortFuture<Recorded, Fault>;

    /// A page of the messages that match `filter`, newest first. The cursor is the id of a message.
    fn list(
        &self,
        ctx: &RequestContext,
        filter: MessageFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Page<MessageSummary>, Fault>;

    /// The endpoint with this name, or `None` if the shop never had a message for it.
    fn endpoint(&self, ctx: &RequestContext, name: Endpoint) -> PortFuture<Option<EndpointSummary>, Fault>;

    /// A page of the endpoints in the order of their names. The cursor is the name of an endpoint.
    fn endpoints(
        &self,
        ctx: &RequestContext,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Page<EndpointSummary>, Fault>;

    /// Makes at most `limit` messages due now, resets their attempts to zero, and returns the number of messages. These
    /// are dead letters and, unless `which` is [`Selection::All`], messages without a lease that wait for a retry. If
    /// `which` is one waiting message, the older waiting messages of its order are included, because they are sent
    /// first. Enables the endpoints of these messages and ends their backoff.
    fn retry(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault>;

    /// Turns at most `limit` pending messages without a lease into dead letters. Returns the number of messages.
    /// [`Selection::All`] selects none.
    fn give_up(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault>;

    /// Changes at most `limit` messages: turns pending messages of disabled endpoints into dead letters, and deletes
    /// messages that ended before `before`. Dead letters are kept longer, for operators, and deleted if they ended
    /// before `dead_before`.
    fn forget(
        &self,
        ctx: &RequestContext,
        before: Timestamp,
        dead_before: Timestamp,
        limit: u32,
    ) -> PortFuture<Purged, Fault>;
}

/// The conditions of a claim.
#[derive(Clone, Copy, Debug)]
pub struct ClaimTerms {
    pub now: Timestamp,
    /// How long the claimed message is leased, so that no other claim returns it.
    pub lease: Duration,
    /// The highest number of leases of an endpoint. An endpoint whose last attempt failed may have only one lease.
    pub per_endpoint: u32,
    /// The least trusted health that the endpoint may have.
    pub reach: EndpointHealth,
}

impl ClaimTerms {
    /// Whether one claim with these terms can serve the caller of the other terms too.
    pub fn joins(&self, other: &Self) -> bool {
        (self.lease, self.per_endpoint, self.reach) == (other.lease, other.per_endpoint, other.reach)
    }
}

/// The result of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    pub message: Option<OutboxMessage>,
    /// A few messages that the claim made dead letters, because no attempts are left or the stored message cannot be
    /// read.
    pub given_up: Vec<MessageSummary>,
}

/// What [`OutboxStore::record`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The message has ended in this state.
    Ended(MessageState),
    /// The message is due again at this time.
    Again(Timestamp),
    /// The endpoint is disabled. This message and `others` other pending messages of the endpoint are now dead letters.
    /// If there are more, the purge task makes them dead letters.
    Disabled { others: u32 },
    /// Nothing was changed: the claim was no longer valid.
    Stale(StaleClaim),
}

/// The state of a message whose claim is no longer valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleClaim {
    /// The lease expired, and another claim holds the message.
    Reclaimed,
    /// The message has ended: another process delivered it, its endpoint was disabled, or an operator gave it up.
    Ended(MessageState),
    /// The message is pending and has no lease: an operator retried it, or an earlier record made it due again.
    MadeDue,
    /// The message was deleted.
    Forgotten,
}

/// The result of [`OutboxStore::forget`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// The number of new dead letters, per disabled endpoint.
    pub given_up: Vec<(Endpoint, u32)>,
    pub forgotten: u32,
}

impl Purged {
    pub fn total(&self) -> u32 {
        self.given_up.iter().fold(self.forgotten, |total, (_, count)| total.saturating_add(*count))
    }
}

/// The messages that a list contains. A field that is `None` does not restrict the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    pub state: Option<MessageState>,
    pub endpoint: Option<Endpoint>,
}

/// The messages that an operator selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    One(OutboxMessageId),
    Of(Endpoint),
    All,
}
