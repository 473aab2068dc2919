//! Work the shop does on its own, in passes.

use crate::PortFuture;
use crate::context::RequestContext;
use crate::fault::Fault;

/// A periodic duty. It takes no input and works on stored state, so a restart loses nothing.
pub trait BackgroundTask: Send + Sync {
    /// What operators call the duty, unique in the process.
    fn name(&self) -> &'static str;

    /// One bounded, idempotent pass.
    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault>;
}

/// What a pass found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing was left to do; wait for the period or a wake.
    Idle,
    /// This many items were handled and none is known to be left.
    Done(u32),
    /// The pass hit its bound after this many items; run again at once.
    More(u32),
}
