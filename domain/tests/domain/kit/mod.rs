//! What several test files use: fakes of all ports, example values, a context, and a log that a test can read.

mod log;
mod outbox;
mod ports;
mod values;

use std::time::Duration;

use domain::clock::Timestamp;
use domain::context::{Caller, Deadline, RequestContext, RequestId, TraceContext};
use slog::{Discard, Logger, o};
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

pub use log::Lines;
pub use outbox::{FakeOutbox, message};
pub use ports::{FakePorts, Script, hours};
pub use values::*;

/// The time of the fake clock.
pub const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

/// The whole seconds from [`NOW`] to `at`.
pub fn seconds_from_now(at: Timestamp) -> i64 {
    (at - NOW).whole_seconds()
}

/// The context of a request that has `budget` left.
pub fn context(budget: Duration) -> RequestContext {
    let (id, deadline) = (RequestId::parse("req-1").expect("valid"), Deadline::after(budget));
    let log = Logger::root(Discard, o!());
    RequestContext::new(&log, id, TraceContext::start(), Caller::Anonymous, deadline, CancellationToken::new())
}

/// The context of a pass of a background task that logs to `lines` and has `budget` left.
pub fn task_context(lines: &Lines, budget: Duration) -> RequestContext {
    let (log, deadline) = (Logger::root(lines.clone(), o!()), Deadline::after(budget));
    RequestContext::for_task(&log, "test.task", TraceContext::start(), deadline, CancellationToken::new())
}
