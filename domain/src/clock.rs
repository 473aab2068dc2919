//! Business time: what day it is for the shop. Deadlines use monotonic time, see [`crate::context`].

use std::time::Duration;

use time::OffsetDateTime;

use crate::PortFuture;
use crate::context::RequestContext;
use crate::fault::Fault;

/// An instant in UTC, whole milliseconds: what the clock gives, what is stored, and what is shown agree to the digit.
pub type Timestamp = OffsetDateTime;

/// The wall clock and the only way to wait. Tests replace it; nothing else may read the time of day.
pub trait Clock: Send + Sync {
    /// The current time in UTC, cut to whole milliseconds.
    fn now(&self) -> Timestamp;

    /// Completes after `duration`, or fails as soon as the caller is gone or out of time.
    fn pause(&self, ctx: &RequestContext, duration: Duration) -> PortFuture<(), Fault>;
}
