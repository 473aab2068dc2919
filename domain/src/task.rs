//! Background tasks: work that is done in bounded passes, without a request.
//!
//! A background task implements [`BackgroundTask`]. The supervisor of the process calls [`BackgroundTask::pass`]
//! periodically, after a wake, and again at once after [`Progress::More`]. The tasks of the domain are in
//! `checkout/expire.rs`, `idempotency/purge.rs`, `outbox/dispatch.rs`, `outbox/purge.rs`, `payment/capture.rs`,
//! `payment/reconcile.rs` and `payment/refund.rs`.

use std::pin::Pin;

use crate::context::RequestContext;
use crate::fault::Fault;

/// A periodic background task. Its only input is stored state, so a restart loses no work.
pub trait BackgroundTask: Send + Sync {
    /// The name of the task in logs, metrics and settings. Unique in the process.
    fn name(&self) -> &'static str;

    /// Runs one pass and returns what the pass found. A pass is bounded, ends within the context's deadline, and may
    /// be repeated.
    fn pass<'a>(&'a self, ctx: &'a RequestContext) -> PassFuture<'a>;
}

/// The return type of [`BackgroundTask::pass`]: a future that borrows the task and the context.
pub type PassFuture<'a> = Pin<Box<dyn Future<Output = Result<Progress, Fault>> + Send + 'a>>;

/// What a pass found, which decides when the next pass runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The pass found no work. The next pass waits for the period or a wake.
    Idle,
    /// The pass handled this many items and found no others. The next pass waits for the period or a wake.
    Done(u32),
    /// The pass handled this many items and reached its limit. The next pass runs at once.
    More(u32),
}

impl Progress {
    /// The progress of a pass that handled `count` items. `is_full` says that the pass reached its limit.
    pub const fn of(count: u32, is_full: bool) -> Self {
        match count {
            0 => Self::Idle,
            _ if is_full => Self::More(count),
            _ => Self::Done(count),
        }
    }
}
