//! Commands: writes that run to their end although the client disconnects.
//!
//! The web server drops a handler's future when its client disconnects, and may end the handler's thread at shutdown. A
//! command is polled by the handler while the client waits, because another thread would cost two wake-ups. If the handler
//! is dropped, the command moves to the runtime of the process. When the client disconnects before the point of no
//! return, the command stops at its next check; after that point it runs to its end.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// Whether the process is about to exit.
    has_ended: AtomicBool,
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
            let outcome = AssertUnwindSafe(work).catch_unwind().await;
            drop((permit, entry));
            outcome
        };
        let command = Some(Box::pin(self.tracker.track_future(command)));
        let attached = Attached { command, runtime: self.runtime.clone(), running: self.running.clone() };
        let unknown = |why| Fault::new(FaultKind::OutcomeUnknown, operation).caused_by(why);
        // In both cases only the database knows the outcome.
        let outcome = attached.await.ok_or_else(|| unknown("the process ends".to_owned()))?;
        outcome.map_err(|panic| unknown(format!("the command panicked: {}", text_of(&*panic))))
    }

    /// Ends the commands that a handler polls. Called before the runtime of the process ends, whose timers they use.
    pub fn end(&self) {
        self.running.has_ended.store(true, Ordering::Release);
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

/// The message of a panic.
fn text_of(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// A command that its caller polls. If the caller drops it, it moves to the runtime of the process. Its timers and
/// connections belong to that runtime from the beginning. Returns `None` if the process ends first.
struct Attached<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// `None` after the end.
    command: Option<Pin<Box<F>>>,
    runtime: Handle,
    running: Arc<Running>,
}

impl<F> Future for Attached<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let Self { command, runtime, running } = &mut *self;
        if running.has_ended.load(Ordering::Acquire) {
            *command = None;
        }
        let _entered = runtime.enter();
        let Some(polled) = command.as_mut().map(|command| command.as_mut().poll(context)) else {
            return Poll::Ready(None);
        };
        if polled.is_ready() {
            *command = None;
        }
        polled.map(Some)
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
