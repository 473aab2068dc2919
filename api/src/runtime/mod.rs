//! Owners of everything that runs: commands, background tasks and the graceful shutdown.
//!
//! **Architecture Invariant:** only this module spawns tasks. Every spawned task has an owner, a bound and a name, and
//! is drained at shutdown.

mod commands;
pub mod limits;
mod shutdown;
mod supervisor;

pub use commands::Commands;
pub use shutdown::{Shutdown, Signals, refuse_connections, start_on_thread, wait_for_accepted_connections};
pub use supervisor::{Probe, Schedule, Supervisor, TaskStatus};
