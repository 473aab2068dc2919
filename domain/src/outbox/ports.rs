//! The ports of the outbox: the store of messages, and the sender.

use std::time::Duration;

use super::model::{Channel, Endpoint, EndpointHealth, EndpointSummary, MessageState, MessageSummary, OutboxMessage};
use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::id::OutboxMessageId;
use crate::page::{Cursor, Limit, Page};

/// Sends messages of one channel. `send` makes one attempt: one network call, plus the calls that find the address. It
/// ends within the context's deadline. It is not idempotent: the receiver recognizes a repetition by the message id.
pub trait Sender: Send + Sync {
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

/// How final a failed attempt is, which decides about a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// Retry by the schedule, but not earlier than `after`, if the receiver requested a wait.
    Again { after: Option<Duration> },
    /// The receiver will never accept this message.
    Refused,
    /// The endpoint accepts no messages any more.
    Gone,
    /// Nothing was sent because of a local fault: the database, the signing keys, or a limit of the shop. Says nothing
    /// about the endpoint.
    LocalFault,
    /// Nothing was sent because the permits for this server are in use. Says nothing about the endpoint.
    NoPermit,
}

impl SendError {
    /// The receiver failed: retry by the schedule.
    pub fn again(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), finality: Finality::Again { after: None } }
    }

    /// A local fault: see [`Finality::LocalFault`].
    pub fn local(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), finality: Finality::LocalFault }
    }

    /// No permit: see [`Finality::NoPermit`].
    pub fn no_permit(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), finality: Finality::NoPermit }
    }
}

/// A port of the shop failed before anything was sent.
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
    /// The process shuts down during the attempt; whether the message arrived is not known. Due again at once, not
    /// counted, and not held against the endpoint.
    Interrupted,
}

/// The store of outbox messages and endpoints. Each method is one transaction. Leases use the database's clock, so that
/// instances whose clocks differ agree on them. Due times use business time.
pub trait OutboxStore: Send + Sync {
    /// Claims the longest waiting message of the least recently served endpoint, and counts the attempt. The message is
    /// due, not leased, and has no older pending message of its order. Skipped endpoints are: disabled ones, ones less
    /// trusted than `terms.reach`, and ones with `terms.per_endpoint` leases. A message without attempts left becomes a
    /// dead letter.
    ///
    /// Endpoints that are backing off are skipped too. A message that came due after the last failure and was never
    /// attempted ends the backoff [`PROBE_PAUSE`](super::PROBE_PAUSE) after that failure, unless the receiver requested
    /// a longer wait.
    fn claim(&self, ctx: &RequestContext, channel: Channel, terms: ClaimTerms) -> PortFuture<Claimed, Fault>;

    /// Records the outcome of a claimed attempt, decided by [`next_step`](super::next_step). Changes nothing and returns
    /// [`Recorded::Stale`] if the message was claimed again or has ended since.
    fn record(
        &self,
        ctx: &RequestContext,
        message: &OutboxMessage,
        outcome: SendOutcome,
        now: Timestamp,
    ) -> PortFuture<Recorded, Fault>;

    /// A page of the messages that match `filter`, newest first. Its cursor is the id of a message.
    fn list(
        &self,
        ctx: &RequestContext,
        filter: MessageFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Page<MessageSummary>, Fault>;

    /// The endpoint with this name, or `None` if nothing was ever sent to it.
    fn endpoint(&self, ctx: &RequestContext, name: Endpoint) -> PortFuture<Option<EndpointSummary>, Fault>;

    /// A page of the endpoints in the order of their names. Its cursor is a name.
    fn endpoints(
        &self,
        ctx: &RequestContext,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Page<EndpointSummary>, Fault>;

    /// Makes at most `limit` messages due now with all their attempts. These are dead letters and, unless `which` is
    /// all, messages without a lease that wait for a retry. Older messages of the same order are included and sent
    /// first. Enables the endpoints of these messages and ends their backoff. Returns the number of messages.
    fn retry(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault>;

    /// Turns at most `limit` pending messages without a lease into dead letters. Returns the number of messages.
    fn give_up(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault>;

    /// Changes at most `limit` messages: turns pending messages of disabled endpoints into dead letters, and deletes
    /// messages that ended before `before`. Dead letters are kept for operators and deleted if they ended before
    /// `dead_before`.
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
    /// How long no other claim returns the message.
    pub lease: Duration,
    /// The highest number of leases of an endpoint. An endpoint whose last attempt failed has at most one.
    pub per_endpoint: u32,
    /// The least trusted health that the endpoint may have.
    pub reach: EndpointHealth,
}

/// The result of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    pub message: Option<OutboxMessage>,
    /// A few dead letters that the claim found: their processes stopped during each of their attempts.
    pub given_up: Vec<MessageSummary>,
}

/// What [`OutboxStore::record`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The message has ended in this state.
    Ended(MessageState),
    /// The message is due again at this time.
    Again(Timestamp),
    /// The endpoint is disabled. This message and `others` of its pending messages are dead letters; of a large backlog
    /// the purge task handles the rest.
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

/// The messages that a list contains. `None` does not restrict it.
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
