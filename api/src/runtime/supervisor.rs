//! The supervisor: owns every periodic task. It knows nothing of shops.
//!
//! A task runs in passes: every period, at once when nudged or when a task that makes work for it has done something,
//! at once again while there is more. A pass has a timeout;
//! a pass that fails or panics is logged and tried again later, with a growing wait. A task with several lanes may have
//! as many passes at once: a lane that finds work wakes the next, so that an idle task costs one pass in each period.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::context::{Deadline, RequestContext, Stopwatch, TraceContext};
use domain::fault::{Fault, FaultKind};
use domain::task::{BackgroundTask, Progress};
use futures_util::FutureExt;
use serde::Serialize;
use slog::{Logger, debug, error, warn};
use tokio::runtime::Handle;
use tokio::sync::Notify;
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

    /// A pass that did something nudges these.
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

#[derive(Clone)]
pub struct Supervisor {
    tasks: Arc<BTreeMap<&'static str, Supervised>>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

struct Supervised {
    nudge: Notify,
    status: Mutex<TaskStatus>,
}

impl Supervisor {
    /// Starts every task. Names must be unique.
    pub fn start(runtime: &Handle, log: &Logger, tasks: Vec<(Arc<dyn BackgroundTask>, Schedule)>) -> Self {
        let entry = |task: &Arc<dyn BackgroundTask>| {
            (task.name(), Supervised { nudge: Notify::new(), status: Mutex::default() })
        };
        let supervisor = Self {
            tasks: Arc::new(tasks.iter().map(|(task, _)| entry(task)).collect()),
            stop: CancellationToken::new(),
            tracker: TaskTracker::new(),
        };
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
    pub fn nudge(&self, name: &str) {
        if let Some(task) = self.tasks.get(name) {
            task.nudge.notify_one();
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
                () = tokio::time::sleep(self.schedule.period) => self.supervisor.nudge(self.task.name()),
            }
        }
    }

    /// One lane.
    async fn run(self) {
        let Some(own) = self.supervisor.tasks.get(self.task.name()) else { return };
        let stopped = self.supervisor.stop.cancelled();
        tokio::pin!(stopped);
        loop {
            let outcome = self.pass(own).await;
            let next = async {
                match outcome {
                    Ok(Progress::More(_)) if self.schedule.lanes > 1 => own.nudge.notify_one(),
                    Ok(Progress::More(_)) => {}
                    Ok(Progress::Idle | Progress::Done(_)) => own.nudge.notified().await,
                    Err(failures) => tokio::time::sleep(backoff(self.schedule.period, failures)).await,
                }
            };
            tokio::select! {
                biased;
                () = &mut stopped => return,
                () = next => {}
            }
        }
    }

    /// One pass; on failure how many there were in a row.
    async fn pass(&self, own: &Supervised) -> Result<Progress, u32> {
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
                    self.schedule.wakes.iter().for_each(|next| self.supervisor.nudge(next));
                }
                own.update(|status| {
                    status.failing_for = 0;
                    status.items += u64::from(items);
                });
                debug!(self.log, "pass ended"; "op" => "task.pass", "task" => name, "items" => items, "elapsed_us" => elapsed);
                Ok(progress)
            }
            Err(fault) if fault.kind() == FaultKind::Cancelled => Ok(Progress::Idle),
            Err(fault) => {
                own.update(|status| {
                    status.failures += 1;
                    status.failing_for += 1;
                });
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
                Err(failures)
            }
        }
    }
}

fn backoff(period: Duration, failures: u32) -> Duration {
    let periods = 1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX).min(LONGEST_BACKOFF.0);
    period.saturating_mul(periods).min(LONGEST_BACKOFF.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kept;
    use domain::PortFuture;
    use serde_json::json;
    use slog::o;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::mpsc;

    type Step = fn(u32) -> Result<Progress, Fault>;

    /// Counts its passes, does as told, and reports each.
    struct Probe {
        name: &'static str,
        step: Step,
        passes: AtomicU32,
        told: mpsc::UnboundedSender<u32>,
    }

    impl BackgroundTask for Probe {
        fn name(&self) -> &'static str {
            self.name
        }
        fn pass(&self, _: &RequestContext) -> PortFuture<Progress, Fault> {
            let pass = self.passes.fetch_add(1, Ordering::SeqCst) + 1;
            let _ = self.told.send(pass);
            let step = self.step;
            Box::pin(async move { step(pass) })
        }
    }

    fn start(step: Step, period: Duration) -> (Supervisor, mpsc::UnboundedReceiver<u32>) {
        start_with(&Logger::root(slog::Discard, o!()), step, period)
    }

    fn start_with(log: &Logger, step: Step, period: Duration) -> (Supervisor, mpsc::UnboundedReceiver<u32>) {
        let (told, heard) = mpsc::unbounded_channel();
        let probe = Probe { name: "probe.run", step, passes: AtomicU32::new(0), told };
        let schedule = Schedule { period, pass_timeout: Duration::from_secs(5), lanes: 1, wakes: &[] };
        (Supervisor::start(&Handle::current(), log, vec![(Arc::new(probe), schedule)]), heard)
    }

    const NEVER: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn a_nudge_brings_the_next_pass_forward() {
        let (supervisor, mut heard) = start(|_| Ok(Progress::Idle), NEVER);
        assert_eq!(heard.recv().await, Some(1));
        supervisor.nudge("probe.run");
        assert_eq!(heard.recv().await, Some(2));
        assert_eq!(supervisor.drain(Duration::from_secs(5)).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn more_work_is_done_at_once() {
        let step: Step = |pass| Ok(if pass < 5 { Progress::More(10) } else { Progress::Idle });
        let (supervisor, mut heard) = start(step, NEVER);
        for expected in 1..=5 {
            assert_eq!(heard.recv().await, Some(expected));
        }
        supervisor.drain(Duration::from_secs(5)).await;
        assert_eq!(supervisor.status()["probe.run"].items, 40);
    }

    #[tokio::test]
    async fn a_task_that_panics_or_fails_is_tried_again() {
        let step: Step = |pass| match pass {
            1 => panic!("on purpose"),
            2 => Err(Fault::new(FaultKind::Unavailable, "probe.run")),
            _ => Ok(Progress::Idle),
        };
        let log = Kept::default();
        let (supervisor, mut heard) = start_with(&log.logger(), step, Duration::from_millis(1));
        for expected in 1..=3 {
            assert_eq!(heard.recv().await, Some(expected));
        }
        supervisor.drain(Duration::from_secs(5)).await;
        let status = &supervisor.status()["probe.run"];
        assert_eq!((status.failures, status.failing_for), (2, 0));
        let failed: Vec<_> = log.lines().into_iter().filter(|line| line["msg"] == "pass failed").collect();
        let told = failed.iter().map(|line| (&line["level"], &line["error_code"], &line["failing_for"]));
        let (internal, down) = (json!("internal"), json!("unavailable"));
        let (error, warning, one, two) = (json!("error"), json!("warning"), json!(1), json!(2));
        assert_eq!(told.collect::<Vec<_>>(), [(&error, &internal, &one), (&warning, &down, &two)]);
    }

    /// Holds its first pass until as many run beside it as there are lanes.
    struct Crowd(Arc<tokio::sync::Barrier>);

    impl BackgroundTask for Crowd {
        fn name(&self) -> &'static str {
            "crowd.run"
        }
        fn pass(&self, _: &RequestContext) -> PortFuture<Progress, Fault> {
            let barrier = self.0.clone();
            Box::pin(async move {
                barrier.wait().await;
                Ok(Progress::Idle)
            })
        }
    }

    #[tokio::test]
    async fn a_task_has_as_many_passes_at_once_as_it_has_lanes() {
        let barrier = Arc::new(tokio::sync::Barrier::new(4));
        let schedule = Schedule { period: NEVER, pass_timeout: Duration::from_secs(5), lanes: 3, wakes: &[] };
        let log = Logger::root(slog::Discard, o!());
        let tasks: Vec<(Arc<dyn BackgroundTask>, Schedule)> = vec![(Arc::new(Crowd(barrier.clone())), schedule)];
        let supervisor = Supervisor::start(&Handle::current(), &log, tasks);
        barrier.wait().await;
        assert_eq!(supervisor.drain(Duration::from_secs(5)).await, Vec::<String>::new());
        let status = &supervisor.status()["crowd.run"];
        assert_eq!((status.passes, status.failures, status.running), (3, 0, 0));
    }

    #[tokio::test]
    async fn a_pass_that_did_something_wakes_the_tasks_that_it_makes_work_for() {
        let probe = |name, step| {
            let (told, heard) = mpsc::unbounded_channel();
            let probe: Arc<dyn BackgroundTask> = Arc::new(Probe { name, step, passes: AtomicU32::new(0), told });
            (probe, heard)
        };
        let step: Step = |pass| Ok(if pass == 2 { Progress::Done(1) } else { Progress::Idle });
        let ((maker, mut made), (woken, mut heard)) =
            (probe("maker.run", step), probe("probe.run", |_| Ok(Progress::Idle)));
        let schedule = Schedule { period: NEVER, pass_timeout: Duration::from_secs(5), lanes: 1, wakes: &[] };
        let log = Logger::root(slog::Discard, o!());
        let tasks = vec![(maker, schedule.then_wakes(&["probe.run"])), (woken, schedule)];
        let supervisor = Supervisor::start(&Handle::current(), &log, tasks);
        assert_eq!((made.recv().await, heard.recv().await), (Some(1), Some(1)));
        supervisor.nudge("maker.run");
        assert_eq!((made.recv().await, heard.recv().await), (Some(2), Some(2)));
        // Nothing was done, so nobody is woken.
        supervisor.nudge("maker.run");
        assert_eq!(made.recv().await, Some(3));
        assert_eq!(supervisor.drain(Duration::from_secs(5)).await, Vec::<String>::new());
        assert!(heard.try_recv().is_err());
    }

    #[test]
    fn the_wait_after_failures_grows_and_is_bounded() {
        let period = Duration::from_secs(1);
        assert_eq!(backoff(period, 1), Duration::from_secs(2));
        assert_eq!(backoff(period, 3), Duration::from_secs(8));
        assert_eq!(backoff(period, 60), Duration::from_secs(32));
        assert_eq!(backoff(NEVER, 60), Duration::from_secs(300));
    }
}
