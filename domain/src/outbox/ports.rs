//! The record of deliveries, and who carries them.

use std::time::Duration;

use super::model::{
    Channel, Endpoint, EndpointHealth, EndpointSummary, MessageState, MessageSummary, OutboxMessage, OutboxMessageId,
};
use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::Fault;

/// Hands one message over. One network call, or a few that find out where to; it ends within the context's deadline.
pub trait Sender: Send + Sync {
    fn send(&self, ctx: &RequestContext, message: &OutboxMessage) -> PortFuture<Receipt, SendError>;
}

/// How a message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    Accepted,
    /// The destination asked for no such messages.
    Unwanted,
}

/// Why a message was not handed over, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// For operators: bounded, and without secrets.
    pub reason: String,
    pub finality: Finality,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// Try again by the schedule, but not before this long if the receiver said so.
    Again { after: Option<Duration> },
    /// This message will never be taken.
    Refused,
    /// The destination takes nothing any more.
    Gone,
    /// Nothing was sent, and it was the shop that could not: its database, its keys, its own bounds. Says nothing of the
    /// destination.
    OurFault,
    /// Nothing was sent, since the shop has too much under way towards the same server. Says nothing of the
    /// destination.
    NoPlace,
}

impl SendError {
    pub fn again(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), finality: Finality::Again { after: None } }
    }

    pub fn ours(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), finality: Finality::OurFault }
    }

    pub fn no_place(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), finality: Finality::NoPlace }
    }
}

/// A port of the shop failed, before anything was sent.
impl From<Fault> for SendError {
    fn from(fault: Fault) -> Self {
        Self::ours(fault.chain())
    }
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    Received(Receipt),
    Failed(SendError),
    /// The process stops; whether it arrived is not known. Due again at once, not counted as a try, and no fault of the
    /// destination.
    Interrupted,
}

/// The record of deliveries. Each method is one transaction. Leases are measured by the database's own clock, so that
/// instances whose clocks differ agree on them; when something is due is the shop's business time.
pub trait OutboxStore: Send + Sync {
    /// Takes the delivery that has waited longest at the destination that was served longest ago: due, not leased, and
    /// with no older one of its order before it. Counts the try. Passes over destinations that are disabled, that are
    /// beyond `reach`, or that have `per_destination` leases out already; and gives up what has no tries left.
    ///
    /// Passes over destinations that rest, too. A message that came due since the last failure and was never tried ends
    /// the rest [`PROBE_PAUSE`](super::PROBE_PAUSE) after that failure, unless the receiver asked for more patience.
    fn claim(&self, ctx: &RequestContext, channel: Channel, terms: ClaimTerms) -> PortFuture<Claimed, Fault>;

    /// Records what came of a claimed try, if that claim is the last one and has not come to an end: else nothing is
    /// changed.
    fn record(
        &self,
        ctx: &RequestContext,
        message: &OutboxMessage,
        outcome: SendOutcome,
        now: Timestamp,
    ) -> PortFuture<Recorded, Fault>;

    /// The newest deliveries first, at most `limit`.
    fn list(&self, ctx: &RequestContext, filter: MessageFilter, limit: u32) -> PortFuture<Vec<MessageSummary>, Fault>;

    /// One destination, or all in the order of their names, at most `limit`. Unknown ones are left out.
    fn endpoints(
        &self,
        ctx: &RequestContext,
        one: Option<Endpoint>,
        limit: u32,
    ) -> PortFuture<Vec<EndpointSummary>, Fault>;

    /// Makes deliveries due now with all their tries, at most `limit`: those that are dead, and, unless all are meant,
    /// those that wait to be tried again and are in nobody's hand, with the older ones of the same order, which go first.
    /// Enables their destinations and ends their rest. Returns how many.
    fn retry(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault>;

    /// Gives up what is pending and in nobody's hand, at most `limit`. Returns how many.
    fn give_up(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault>;

    /// Clears up, at most `limit` deliveries: gives up what is still pending for destinations that are disabled, and
    /// forgets what ended before `before`. Dead ones are kept for operators until `dead_before`.
    fn forget(
        &self,
        ctx: &RequestContext,
        before: Timestamp,
        dead_before: Timestamp,
        limit: u32,
    ) -> PortFuture<Purged, Fault>;
}

/// On what terms a delivery is claimed.
#[derive(Clone, Copy, Debug)]
pub struct ClaimTerms {
    pub now: Timestamp,
    /// How long the claimer has it to itself.
    pub lease: Duration,
    /// Leases that a destination has at most at one time; one that failed last time has one.
    pub per_endpoint: u32,
    /// The least trusted standing that a destination may have.
    pub reach: EndpointHealth,
}

/// What a claim found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    pub message: Option<OutboxMessage>,
    /// Given up on the way, a few at most: their processes ended with each of their tries.
    pub given_up: Vec<MessageSummary>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    Ended(MessageState),
    Again(Timestamp),
    /// The destination takes nothing any more. This one is dead, and so many others that were pending for it; of a great
    /// backlog the rest is given up by and by.
    Disabled {
        others: u32,
    },
    /// Nothing was changed: the claim was over.
    Stale(StaleClaim),
}

/// What became of a message after a claim of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleClaim {
    /// The lease lapsed, and someone else has claimed it.
    Reclaimed,
    /// Delivered by someone else, or given up: with its destination, or by an operator.
    Ended(MessageState),
    /// Due again, in nobody's hand: an operator has it tried again, or the record was made already.
    MadeDue,
    Forgotten,
}

/// What was cleared up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many were given up, by the disabled destination that they were for.
    pub given_up: Vec<(Endpoint, u32)>,
    pub forgotten: u32,
}

impl Purged {
    pub fn total(&self) -> u32 {
        self.given_up.iter().fold(self.forgotten, |total, (_, count)| total.saturating_add(*count))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    pub state: Option<MessageState>,
    pub endpoint: Option<Endpoint>,
}

/// Which deliveries an operator means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    One(OutboxMessageId),
    Of(Endpoint),
    All,
}
