//! Commands: writes that run detached from the client.
//!
//! The web server drops a handler's future when its client disconnects, and may end the handler's thread at shutdown. A
//! command runs on the runtime of the process instead. When the client disconnects before the point of no return, the
//! command stops at its next check; after that point it runs to its end.

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

/// Owns every command in progress.
#[derive(Clone)]
pub struct Commands {
    runtime: Handle,
    tracker: TaskTracker,
    permits: Arc<Semaphore>,
    running: Arc<Running>,
}

#[derive(Default)]
struct Running {
    next: AtomicU64,
    names: Mutex<BTreeMap<u64, String>>,
}

impl Commands {
    /// Creates the owner of the commands. At most `limit` commands run at the same time.
    pub fn new(runtime: Handle, limit: usize) -> Self {
        let permits = Arc::new(Semaphore::new(limit));
        Self { runtime, tracker: TaskTracker::new(), permits, running: Arc::default() }
    }

    /// Runs `work` to its end, even if the caller stops waiting, and returns its outcome.
    ///
    /// Fails with `Unavailable` before `work` begins if the limit is reached. Fails with `OutcomeUnknown` if `work`
    /// panics, or if the process ends before `work` ends.
    pub async fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        ctx: &RequestContext,
        operation: &'static str,
        work: impl FnOnce(RequestContext) -> F,
    ) -> Result<T, Fault> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| {
            Fault::new(FaultKind::Unavailable, operation).caused_by("too many commands are in progress")
        })?;
        let entry = self.running.enter(format!("{operation} of {}", ctx.request_id().as_str()));
        let work = work(ctx.clone());
        let command = async move {
            let outcome = work.await;
            drop((permit, entry));
            outcome
        };
        let joined = self.tracker.spawn_on(command, &self.runtime).await;
        // The command panicked or the process is ending, so only the database knows the outcome.
        joined.map_err(|broken| Fault::new(FaultKind::OutcomeUnknown, operation).caused_by(broken))
    }

    /// The number of commands in progress.
    pub fn in_flight(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until all commands end, for at most `grace`. Returns the names of the unfinished commands.
    pub async fn drain(&self, grace: Duration) -> Vec<String> {
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => Vec::new(),
            Err(_) => self.names(),
        }
    }

    /// The names of the commands in progress: each is an operation with the id of its request.
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

/// Removes the name of a command from the list of running commands when it is dropped, also after a panic.
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
#[path = "commands_tests.rs"]
mod tests;
