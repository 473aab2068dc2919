//! The record of deliveries, and who carries them.

use std::time::Duration;

use super::model::{Channel, Delivery, DeliveryId, DeliveryState, DeliverySummary, Destination};
use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::Fault;

/// Hands one message over. One network call, or a few that find out where to; it ends within the context's deadline.
pub trait Courier: Send + Sync {
    fn hand_over(&self, ctx: &RequestContext, delivery: &Delivery) -> PortFuture<Receipt, Failure>;
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
pub struct Failure {
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
}

impl Failure {
    pub fn again(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), finality: Finality::Again { after: None } }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::again(fault.chain())
    }
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    Received(Receipt),
    Failed(Failure),
    /// The process stops; whether it arrived is not known. Due again at once, not counted as a try, and no fault of the
    /// destination.
    Interrupted,
}

/// The record of deliveries. Each method is one transaction. Leases are measured by the database's own clock, so that
/// instances whose clocks differ agree on them; when something is due is the shop's business time.
pub trait DeliveryBook: Send + Sync {
    /// Takes the delivery that has waited longest at the destination that was served longest ago: due, not leased, and
    /// with no older one of its order before it. Counts the try. Passes over destinations that are disabled, rest, or
    /// have `per_destination` leases out already. What has no tries left is given up instead, one in each claim.
    fn claim(&self, ctx: &RequestContext, channel: Channel, claimed: Claimed) -> PortFuture<Option<Claim>, Fault>;

    /// Records what came of a claimed try, unless its lease was lost meanwhile and someone else has claimed it: then
    /// nothing is changed.
    fn record(
        &self,
        ctx: &RequestContext,
        delivery: &Delivery,
        outcome: DeliveryOutcome,
        now: Timestamp,
    ) -> PortFuture<Recorded, Fault>;

    /// The newest deliveries first, at most `limit`.
    fn list(&self, ctx: &RequestContext, filter: DeliveryFilter, limit: u32)
    -> PortFuture<Vec<DeliverySummary>, Fault>;

    /// Makes dead deliveries due again with all their tries, at most `limit`, and enables their destinations. Returns
    /// how many.
    fn retry(&self, ctx: &RequestContext, which: Retried, now: Timestamp, limit: u32) -> PortFuture<u32, Fault>;

    /// Clears up, at most `limit` deliveries, and returns how many: gives up what is still pending for destinations that
    /// are disabled, and forgets what ended before `before`. Dead ones are kept for operators until `dead_before`.
    fn forget(
        &self,
        ctx: &RequestContext,
        before: Timestamp,
        dead_before: Timestamp,
        limit: u32,
    ) -> PortFuture<u32, Fault>;
}

/// On what terms a delivery is claimed.
#[derive(Clone, Copy, Debug)]
pub struct Claimed {
    pub now: Timestamp,
    /// How long the claimer has it to itself.
    pub lease: Duration,
    /// Leases that a destination has at most at one time; one that failed last time has one.
    pub per_destination: u32,
}

/// What a claim came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    Try(Delivery),
    /// Its last try never came to an end, and it has no other: it is dead now.
    GivenUp {
        delivery: Delivery,
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    Ended(DeliveryState),
    Again(Timestamp),
    /// The destination takes nothing any more; what else is pending for it is given up, a great backlog by and by.
    Disabled,
    /// Someone else has claimed it since. Nothing was changed.
    LeaseLost,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub state: Option<DeliveryState>,
    pub destination: Option<Destination>,
}

/// Which dead deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    One(DeliveryId),
    Of(Destination),
    All,
}
