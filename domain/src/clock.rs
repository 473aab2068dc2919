//! Business time: the date and time that the shop records and by which work becomes due. Deadlines use monotonic time:
//! see [`crate::context`].

use std::time::Duration;

use time::OffsetDateTime;

use crate::PortFuture;
use crate::context::RequestContext;
use crate::fault::Fault;

/// An instant in UTC, in whole milliseconds. The clock, the database and the wire format have this precision, so an
/// instant is the same value in all three.
pub type Timestamp = OffsetDateTime;

/// The wall clock, and the only way to wait. Tests replace it. Only its implementation reads the date and time.
pub trait Clock: Send + Sync {
    /// The current time in UTC, truncated to whole milliseconds.
    fn now(&self) -> Timestamp;

    /// Completes after `duration`. Fails as soon as the context is cancelled or its deadline passes.
    fn pause(&self, ctx: &RequestContext, duration: Duration) -> PortFuture<(), Fault>;
}

/// Exponential backoff: the wait before a retry. `retries` is the number of retries that were already made. The wait is
/// `first` for the first retry, doubles with each further retry, and is at most `longest`.
pub(crate) fn backoff(first: Duration, longest: Duration, retries: u32) -> Duration {
    first.saturating_mul(1 << retries.min(16)).min(longest)
}
