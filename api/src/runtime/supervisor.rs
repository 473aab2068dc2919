//! The supervisor runs the background tasks in passes.
//!
//! A pass runs once in each period, at once after a wake, and at once again after a pass that reached its limit. A pass
//! has a timeout. A pass that fails or panics is logged, and the next one waits for a growing backoff.
//!
//! A task may run several passes at once. After two passes in a row that reached their limit, the task wakes one more
//! concurrent pass, and again after 4, 8, 16 and so on. So a single item costs two passes, and an idle task costs one
//! pass in each period.
//!
//! A backoff ends early when the dependency that all tasks share is reached again. There are two signs of this: a task
//! succeeds after failures, or a probe succeeds. The probe calls the dependency while a task fails.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::PortFuture;
use domain::context::{Deadline, RequestContext, Stopwatch, TraceContext};
use domain::fault::{Fault, FaultKind};
use domain::task::{BackgroundTask, Progress};
use futures_util::FutureExt;
use serde::Serialize;
use slog::{Logger, debug, error, info, warn};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When a task runs.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub period: Duration,
    pub pass_timeout: Duration,
    /// The most passes that run at the same time.
    pub concurrency: u32,
    /// The tasks that are woken after a pass that handled items.
    pub wakes: &'static [&'static str],
}

impl Schedule {
    /// Sets the most passes that run at the same time.
    #[must_use]
    pub fn concurrently(self, concurrency: u32) -> Self {
        Self { concurrency, ..self }
    }

    /// Sets the tasks that are woken after a pass that handled items.
    #[must_use]
    pub fn then_wakes(self, wakes: &'static [&'static str]) -> Self {
        Self { wakes, ..self }
    }
}

/// The longest backoff is the shorter of the two: this many periods, or this duration.
const LONGEST_BACKOFF: (u32, Duration) = (32, Duration::from_secs(300));

/// The state of a task, for `/statusz`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TaskStatus {
    pub passes: u64,
    pub failures: u64,
    /// The number of failed passes since the last pass that succeeded.
    pub failing_for: u32,
    /// The number of items that were handled since the process started.
    pub items: u64,
    pub last_pass_us: u64,
    /// The number of passes in progress.
    pub running: u32,
}

/// A call that succeeds if the dependency can be reached.
type Reach = dyn Fn(&RequestContext) -> PortFuture<(), Fault> + Send + Sync;

/// How to call the dependency that all tasks share.
#[derive(Clone)]
pub struct Probe {
    pub reach: Arc<Reach>,
    /// How often the probe runs while a task fails, and the longest one probe may take.
    pub period: Duration,
}

#[derive(Clone)]
pub struct Supervisor {
    tasks: Arc<BTreeMap<&'static str, Supervised>>,
    /// The number of times that a dependency was reached again.
    recoveries: Arc<watch::Sender<u64>>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

#[derive(Default)]
struct Supervised {
    wake: Notify,
    status: Mutex<TaskStatus>,
    /// Whether the last pass failed with a fault that may be temporary.
    is_out_of_reach: AtomicBool,
}

impl Supervisor {
    /// Starts every task. Names must be unique.
    pub fn start(
        runtime: &Handle,
        log: &Logger,
        tasks: Vec<(Arc<dyn BackgroundTask>, Schedule)>,
        probe: Option<Probe>,
    ) -> Self {
        let entry = |task: &Arc<dyn BackgroundTask>| (task.name(), Supervised::default());
        let supervisor = Self {
            recoveries: Arc::new(watch::Sender::new(0)),
            tasks: Arc::new(tasks.iter().map(|(task, _)| entry(task)).collect()),
            stop: CancellationToken::new(),
            tracker: TaskTracker::new(),
        };
        if let Some(probe) = probe {
            supervisor.tracker.spawn_on(supervisor.clone().watch(probe, log.clone()), runtime);
        }
        for (task, schedule) in tasks {
            let runner = Runner { supervisor: supervisor.clone(), log: log.clone(), task, schedule };
            supervisor.tracker.spawn_on(runner.clone().tick(), runtime);
            for _ in 0..schedule.concurrency {
                supervisor.tracker.spawn_on(runner.clone().run(), runtime);
            }
        }
        supervisor
    }

    /// Requests a pass of the task `name` now. Several wakes during one pass cause only one more pass. A task that is
    /// not configured is left out, so callers take the name from the constant that the task itself uses.
    pub fn wake(&self, name: &str) {
        if let Some(task) = self.tasks.get(name) {
            task.wake.notify_one();
        }
    }

    /// Ends the backoff of every task whose last fault may be temporary.
    fn recovered(&self) {
        self.recoveries.send_modify(|count| *count += 1);
    }

    /// Probes the dependency while a task fails, and ends the backoffs when the dependency is reached again.
    async fn watch(self, probe: Probe, log: Logger) {
        let mut is_down = false;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(probe.period) => {}
            }
            if !is_down && !self.tasks.values().any(|task| task.is_out_of_reach.load(Ordering::Relaxed)) {
                continue;
            }
            let deadline = Deadline::after(probe.period);
            let cancellation = self.stop.child_token();
            let ctx = RequestContext::for_task(&log, "task.probe", TraceContext::start(), deadline, cancellation);
            let reached = tokio::time::timeout_at(deadline.instant().into(), (probe.reach)(&ctx)).await;
            match (reached, is_down) {
                (Ok(Ok(())), true) => {
                    is_down = false;
                    info!(log, "background tasks woken: the database is reached again"; "op" => "task.probe");
                    self.recovered();
                }
                (Ok(Ok(())), false) => {}
                (Ok(Err(_)) | Err(_), _) => is_down = true,
            }
        }
    }

    pub fn status(&self) -> BTreeMap<&'static str, TaskStatus> {
        self.tasks.iter().map(|(name, task)| (*name, task.status())).collect()
    }

    /// Starts no new pass and waits for the running passes, for at most `grace`. Returns the names of the tasks that
    /// still run.
    pub async fn drain(&self, grace: Duration) -> Vec<String> {
        self.stop.cancel();
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => Vec::new(),
            Err(_) => self.running(),
        }
    }

    /// The names of the tasks with a pass in progress.
    pub fn running(&self) -> Vec<String> {
        let running = self.tasks.iter().filter(|(_, task)| task.status().running > 0);
        running.map(|(name, _)| (*name).to_owned()).collect()
    }
}

impl Supervised {
    fn status(&self) -> TaskStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut TaskStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Runs the passes of one task.
#[derive(Clone)]
struct Runner {
    supervisor: Supervisor,
    log: Logger,
    task: Arc<dyn BackgroundTask>,
    schedule: Schedule,
}

impl Runner {
    /// Wakes the task once in each period.
    async fn tick(self) {
        loop {
            tokio::select! {
                biased;
                () = self.supervisor.stop.cancelled() => return,
                () = tokio::time::sleep(self.schedule.period) => self.supervisor.wake(self.task.name()),
            }
        }
    }

    /// Runs one pass after another until the supervisor stops. Between two passes it waits for a wake or for the
    /// backoff.
    async fn run(self) {
        let Some(own) = self.supervisor.tasks.get(self.task.name()) else { return };
        let stopped = self.supervisor.stop.cancelled();
        tokio::pin!(stopped);
        let mut recoveries = self.supervisor.recoveries.subscribe();
        // The passes in a row that failed since a success or a recovery.
        let mut failures = 0;
        // The passes in a row that reached their limit.
        let mut busy: u32 = 0;
        loop {
            // Called before the pass, so that a recovery during the pass ends the backoff after the pass.
            recoveries.mark_unchanged();
            let outcome = self.pass(own).await;
            failures = if outcome.is_ok() { 0 } else { failures + 1 };
            busy = if matches!(outcome, Ok(Progress::More(_))) { busy.saturating_add(1) } else { 0 };
            let next = async {
                match outcome {
                    // The first pass of the row wakes no other pass, which would find nothing if there was only one
                    // item.
                    Ok(Progress::More(_)) if busy > 1 && busy.is_power_of_two() && self.schedule.concurrency > 1 => {
                        own.wake.notify_one();
                    }
                    Ok(Progress::More(_)) => {}
                    Ok(Progress::Idle | Progress::Done(_)) => own.wake.notified().await,
                    Err(is_temporary) => {
                        let recovery = async {
                            // This never fails, because this task holds the supervisor, which owns the sender.
                            let _ = recoveries.changed().await;
                            if !is_temporary {
                                std::future::pending().await
                            }
                        };
                        let wait = backoff(self.schedule.period, failures);
                        if tokio::time::timeout(wait, recovery).await.is_ok() {
                            failures = 0;
                        }
                    }
                }
            };
            tokio::select! {
                biased;
                () = &mut stopped => return,
                () = next => {}
            }
        }
    }

    /// Runs one pass. The error is true if the fault may be temporary.
    async fn pass(&self, own: &Supervised) -> Result<Progress, bool> {
        own.update(|status| status.running += 1);
        let name = self.task.name();
        let watch = Stopwatch::start();
        let deadline = Deadline::after(self.schedule.pass_timeout);
        let cancellation = self.supervisor.stop.child_token();
        let ctx = RequestContext::for_task(&self.log, name, TraceContext::start(), deadline, cancellation);
        let pass = AssertUnwindSafe(async { self.task.pass(&ctx).await }).catch_unwind();
        let outcome = match tokio::time::timeout_at(deadline.instant().into(), pass).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Fault::internal(name, "the pass panicked")),
            Err(_) => Err(Fault::new(FaultKind::DeadlineExceeded, name)),
        };
        let elapsed = watch.elapsed_us();
        own.update(|status| {
            status.running -= 1;
            status.passes += 1;
            status.last_pass_us = elapsed;
        });
        match outcome {
            Ok(progress) => {
                let items = match progress {
                    Progress::Idle => 0,
                    Progress::Done(items) | Progress::More(items) => items,
                };
                if items > 0 {
                    self.schedule.wakes.iter().for_each(|next| self.supervisor.wake(next));
                }
                own.update(|status| {
                    status.failing_for = 0;
                    status.items += u64::from(items);
                });
                if own.is_out_of_reach.swap(false, Ordering::Relaxed) {
                    self.supervisor.recovered();
                }
                debug!(self.log, "pass ended"; "op" => "task.pass", "task" => name, "items" => items, "elapsed_us" => elapsed);
                Ok(progress)
            }
            Err(fault) if fault.kind() == FaultKind::Cancelled => Ok(Progress::Idle),
            Err(fault) => {
                own.update(|status| {
                    status.failures += 1;
                    status.failing_for += 1;
                });
                let is_temporary = fault.kind() != FaultKind::Internal;
                own.is_out_of_reach.store(is_temporary, Ordering::Relaxed);
                let failures = own.status().failing_for;
                match fault.kind() {
                    FaultKind::Internal => {
                        error!(self.log, "pass failed"; "op" => "task.pass", "task" => name, "error_code" => fault.kind().into_str(),
                            "error" => fault.chain(), "failing_for" => failures);
                    }
                    _ => {
                        warn!(self.log, "pass failed"; "op" => "task.pass", "task" => name, "error_code" => fault.kind().into_str(),
                            "error" => fault.chain(), "failing_for" => failures);
                    }
                }
                Err(is_temporary)
            }
        }
    }
}

fn backoff(period: Duration, failures: u32) -> Duration {
    let periods = 1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX).min(LONGEST_BACKOFF.0);
    period.saturating_mul(periods).min(LONGEST_BACKOFF.1)
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
