//! The supervisor: owns every periodic task. It knows nothing of shops.
//!
//! A task runs in passes: every period, at once when woken or when a task that makes work for it has done something,
//! at once again while there is more. A pass has a timeout; a pass that fails or panics is logged and tried again later,
//! with a growing wait. A task may have several passes at once. One that finds work twice in a row wakes another, and again
//! after four times, eight times and so on. So one item costs two passes, and an idle task one in each period.
//!
//! A wait after failures ends early when what failed is reached again: a task that succeeds after such failures wakes the
//! others, and while any task fails a probe asks the dependency that all tasks share.

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

/// How often, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub period: Duration,
    pub pass_timeout: Duration,
    /// Passes at once.
    pub lanes: u32,
    /// The tasks for which a pass that did something makes work.
    pub wakes: &'static [&'static str],
}

impl Schedule {
    /// With this many passes at once.
    #[must_use]
    pub fn on(self, lanes: u32) -> Self {
        Self { lanes, ..self }
    }

    /// A pass that did something wakes these.
    #[must_use]
    pub fn then_wakes(self, wakes: &'static [&'static str]) -> Self {
        Self { wakes, ..self }
    }
}

/// After failures the wait grows to at most this many periods, and never beyond this long.
const LONGEST_BACKOFF: (u32, Duration) = (32, Duration::from_secs(300));

/// What can be told of a task.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TaskStatus {
    pub passes: u64,
    pub failures: u64,
    /// Failures since the last success.
    pub failing_for: u32,
    /// Items handled since the process started.
    pub items: u64,
    pub last_pass_us: u64,
    /// Passes under way.
    pub running: u32,
}

/// Whether something can be reached.
type Reach = dyn Fn(&RequestContext) -> PortFuture<(), Fault> + Send + Sync;

/// Asks what all tasks depend on whether it can be reached.
#[derive(Clone)]
pub struct Probe {
    pub reach: Arc<Reach>,
    /// How often, while a task fails. One probe is under way at a time, and it takes no longer than this.
    pub period: Duration,
}

#[derive(Clone)]
pub struct Supervisor {
    tasks: Arc<BTreeMap<&'static str, Supervised>>,
    /// Counts how often something was reached again.
    recoveries: Arc<watch::Sender<u64>>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

#[derive(Default)]
struct Supervised {
    wake: Notify,
    status: Mutex<TaskStatus>,
    /// The last pass failed, and of itself that may pass.
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
            let duty = Duty { supervisor: supervisor.clone(), log: log.clone(), task, schedule };
            supervisor.tracker.spawn_on(duty.clone().tick(), runtime);
            for _ in 0..schedule.lanes {
                supervisor.tracker.spawn_on(duty.clone().run(), runtime);
            }
        }
        supervisor
    }

    /// Asks for a pass now. Nudges while one is running are answered by one more.
    pub fn wake(&self, name: &str) {
        if let Some(task) = self.tasks.get(name) {
            task.wake.notify_one();
        }
    }

    /// Ends the waits of tasks whose last fault may pass, and begins their backoff anew.
    fn recovered(&self) {
        self.recoveries.send_modify(|count| *count += 1);
    }

    /// Wakes the tasks when what they all depend on was out of reach and is reached again.
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
                    info!(log, "tasks woken: what they depend on is reached again"; "op" => "task.probe");
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

    /// Lets running passes end and starts no new ones; after `grace` returns the names of those that are left.
    pub async fn drain(&self, grace: Duration) -> Vec<String> {
        self.stop.cancel();
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => Vec::new(),
            Err(_) => self.running(),
        }
    }

    /// The names of the tasks that have a pass under way.
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

/// One task's loops.
#[derive(Clone)]
struct Duty {
    supervisor: Supervisor,
    log: Logger,
    task: Arc<dyn BackgroundTask>,
    schedule: Schedule,
}

impl Duty {
    /// Nudges once in each period, whatever the lanes are busy with.
    async fn tick(self) {
        loop {
            tokio::select! {
                biased;
                () = self.supervisor.stop.cancelled() => return,
                () = tokio::time::sleep(self.schedule.period) => self.supervisor.wake(self.task.name()),
            }
        }
    }

    /// One lane.
    async fn run(self) {
        let Some(own) = self.supervisor.tasks.get(self.task.name()) else { return };
        let stopped = self.supervisor.stop.cancelled();
        tokio::pin!(stopped);
        let mut recoveries = self.supervisor.recoveries.subscribe();
        // Failures since a success or a recovery.
        let mut strikes = 0;
        // Passes in a row that found more to do.
        let mut busy: u32 = 0;
        loop {
            // Before the pass, so that a recovery during it is not missed.
            recoveries.mark_unchanged();
            let outcome = self.pass(own).await;
            strikes = if outcome.is_ok() { 0 } else { strikes + 1 };
            busy = if matches!(outcome, Ok(Progress::More(_))) { busy.saturating_add(1) } else { 0 };
            let next = async {
                match outcome {
                    // Not after the first: for one item alone, each other pass would find nothing. Then ever more seldom:
                    // the others are awake by then.
                    Ok(Progress::More(_)) if busy > 1 && busy.is_power_of_two() && self.schedule.lanes > 1 => {
                        own.wake.notify_one();
                    }
                    Ok(Progress::More(_)) => {}
                    Ok(Progress::Idle | Progress::Done(_)) => own.wake.notified().await,
                    Err(may_pass) => {
                        let recovery = async {
                            // The sender is the supervisor's, which this lane holds.
                            let _ = recoveries.changed().await;
                            if !may_pass {
                                std::future::pending().await
                            }
                        };
                        let wait = backoff(self.schedule.period, strikes);
                        if tokio::time::timeout(wait, recovery).await.is_ok() {
                            strikes = 0;
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

    /// One pass; on failure whether the fault may pass of itself.
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
                let may_pass = fault.kind() != FaultKind::Internal;
                own.is_out_of_reach.store(may_pass, Ordering::Relaxed);
                let failures = own.status().failing_for;
                match fault.kind() {
                    FaultKind::Internal => {
                        error!(self.log, "pass failed"; "op" => "task.pass", "task" => name, "error_code" => fault.kind().as_str(),
                            "error" => fault.chain(), "failing_for" => failures);
                    }
                    _ => {
                        warn!(self.log, "pass failed"; "op" => "task.pass", "task" => name, "error_code" => fault.kind().as_str(),
                            "error" => fault.chain(), "failing_for" => failures);
                    }
                }
                Err(may_pass)
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
