//! Who owns what runs: the commands of callers, the periodic tasks, and the way down.
//!
//! **Architecture Invariant:** nothing else spawns. What has an owner has a bound, a name, and is drained.

mod commands;
pub mod limits;
mod shutdown;
mod supervisor;

pub use commands::Commands;
pub use shutdown::{IgnoredSignals, Shutdown, ignored_signals, refuse_latecomers, settle, stop_signal};
pub use supervisor::{Probe, Schedule, Supervisor, TaskStatus};
