//! Commands: writes that run to their end although the client disconnects.
//!
//! The web server drops a handler's future when its client disconnects, and may end the handler's thread at shutdown. A
//! command is polled by the handler while the client waits, because another thread would cost two wake-ups. If the handler
//! is dropped, the command moves to the runtime of the process. When the client disconnects before the point of no
//! return, the command stops at its next check; after that point it runs to its end.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};
use futures_util::FutureExt;
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
    /// panics.
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
            let outcome = AssertUnwindSafe(work).catch_unwind().await;
            drop((permit, entry));
            outcome
        };
        let command = Some(Box::pin(self.tracker.track_future(command)));
        let outcome = Attached { command, runtime: self.runtime.clone() }.await;
        // After a panic only the database knows the outcome.
        outcome.map_err(|_| Fault::new(FaultKind::OutcomeUnknown, operation).caused_by("the command panicked"))
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

/// A command that its caller polls. If the caller drops it, it moves to the runtime of the process. Its timers and
/// connections belong to that runtime from the beginning.
struct Attached<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// `None` after the end.
    command: Option<Pin<Box<F>>>,
    runtime: Handle,
}

impl<F> Future for Attached<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { command, runtime } = &mut *self;
        let _entered = runtime.enter();
        let Some(running) = command else { return Poll::Pending };
        let polled = running.as_mut().poll(context);
        if polled.is_ready() {
            *command = None;
        }
        polled
    }
}

impl<F> Drop for Attached<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        if let Some(command) = self.command.take() {
            // The future contains the entry in the tracker and the permit.
            drop(self.runtime.spawn(command));
        }
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
