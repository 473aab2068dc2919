//! Commands: writes that belong to the process once they have begun.
//!
//! A handler's future is dropped when its client leaves, and the thread that runs it may go when the server stops. A
//! command runs on the process's own runtime instead. It stops at its next check when its caller is gone, until it has
//! passed its point of no return.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Owns every command that is under way.
#[derive(Clone)]
pub struct Commands {
    runtime: Handle,
    tracker: TaskTracker,
    slots: Arc<Semaphore>,
    running: Arc<Running>,
}

#[derive(Default)]
struct Running {
    next: AtomicU64,
    names: Mutex<BTreeMap<u64, String>>,
}

impl Commands {
    /// At most `limit` commands are under way at once.
    pub fn new(runtime: Handle, limit: usize) -> Self {
        let slots = Arc::new(Semaphore::new(limit));
        Self { runtime, tracker: TaskTracker::new(), slots, running: Arc::default() }
    }

    /// Runs `work` to its end, whether or not the caller keeps waiting for it.
    ///
    /// Fails with `Unavailable` when the limit is reached, before anything begins, and with `OutcomeUnknown` when it
    /// panics or the process ends without it.
    pub async fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        ctx: &RequestContext,
        operation: &'static str,
        work: impl FnOnce(RequestContext) -> F,
    ) -> Result<T, Fault> {
        let slot =
            self.slots.clone().try_acquire_owned().map_err(|_| {
                Fault::new(FaultKind::Unavailable, operation).caused_by("too many commands are under way")
            })?;
        let entry = self.running.enter(format!("{operation} of {}", ctx.request_id().as_str()));
        let work = work(ctx.clone());
        let command = async move {
            let outcome = work.await;
            drop((slot, entry));
            outcome
        };
        let joined = self.tracker.spawn_on(command, &self.runtime).await;
        // It panicked, or the process ends without it: how far it came is written in the database, not here.
        joined.map_err(|broken| Fault::new(FaultKind::OutcomeUnknown, operation).caused_by(broken))
    }

    /// How many are under way.
    pub fn in_flight(&self) -> usize {
        self.tracker.len()
    }

    /// Waits for all of them; after `grace` returns the names of those that are left.
    pub async fn drain(&self, grace: Duration) -> Vec<String> {
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => Vec::new(),
            Err(_) => self.names(),
        }
    }

    /// What is under way: each operation, and the request that asked for it.
    pub fn names(&self) -> Vec<String> {
        self.running.names()
    }
}

impl Running {
    fn enter(self: &Arc<Self>, name: String) -> Entry {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(number, name);
        Entry { number, running: self.clone() }
    }

    fn names(&self) -> Vec<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Strikes the name off the list when the command ends, however it ends.
struct Entry {
    number: u64,
    running: Arc<Running>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.running.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use domain::context::{Deadline, TraceContext};
    use slog::{Logger, o};
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn a_command_that_panics_is_unknown_to_its_caller_and_gives_its_place_back() {
        let commands = Commands::new(Handle::current(), 1);
        let log = Logger::root(slog::Discard, o!());
        let deadline = Deadline::after(Duration::from_secs(5));
        let ctx = RequestContext::for_task(&log, "test", TraceContext::start(), deadline, CancellationToken::new());
        for _ in 0..3 {
            let broken = commands.run(&ctx, "test.panic", |_| async { panic!("on purpose") }).await;
            let broken: Result<(), Fault> = broken;
            assert_eq!(broken.map_err(|fault| fault.kind()), Err(FaultKind::OutcomeUnknown));
        }
        assert_eq!(commands.run(&ctx, "test.run", |_| async { 7 }).await.ok(), Some(7));
        assert_eq!(commands.drain(Duration::from_secs(5)).await, Vec::<String>::new());
        assert_eq!((commands.in_flight(), commands.names()), (0, Vec::new()));
    }
}
