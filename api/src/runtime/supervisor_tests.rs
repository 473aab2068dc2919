//! Tests of `supervisor.rs`: passes, wakes, failures and recoveries of supervised tasks.

use super::*;
use crate::log::Kept;
use serde_json::json;
use slog::o;
use std::sync::atomic::AtomicU32;
use tokio::sync::mpsc;

type Step = fn(u32) -> Result<Progress, Fault>;

/// A task that calls `step` in each pass and reports the number of the pass.
struct Counted {
    name: &'static str,
    step: Step,
    passes: AtomicU32,
    passed: mpsc::UnboundedSender<u32>,
}

impl BackgroundTask for Counted {
    fn name(&self) -> &'static str {
        self.name
    }
    fn pass(&self, _: &RequestContext) -> PortFuture<Progress, Fault> {
        let pass = self.passes.fetch_add(1, Ordering::SeqCst) + 1;
        let _ = self.passed.send(pass);
        let step = self.step;
        Box::pin(async move { step(pass) })
    }
}

fn start(step: Step, period: Duration) -> (Supervisor, mpsc::UnboundedReceiver<u32>) {
    start_with(&Logger::root(slog::Discard, o!()), step, period)
}

fn start_with(log: &Logger, step: Step, period: Duration) -> (Supervisor, mpsc::UnboundedReceiver<u32>) {
    let (passed, passes_seen) = mpsc::unbounded_channel();
    let probe = Counted { name: "probe.run", step, passes: AtomicU32::new(0), passed };
    let schedule = Schedule { period, pass_timeout: Duration::from_secs(5), concurrency: 1, wakes: &[] };
    (Supervisor::start(&Handle::current(), log, vec![(Arc::new(probe), schedule)], None), passes_seen)
}

const NEVER: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn wake_runs_the_next_pass_at_once() {
    let (supervisor, mut passes_seen) = start(|_| Ok(Progress::Idle), NEVER);
    assert_eq!(passes_seen.recv().await, Some(1));
    supervisor.wake("probe.run");
    assert_eq!(passes_seen.recv().await, Some(2));
    assert_eq!(supervisor.drain(Duration::from_secs(5)).await, Vec::<String>::new());
}

#[tokio::test]
async fn pass_with_more_work_is_followed_by_another_at_once() {
    let step: Step = |pass| Ok(if pass < 5 { Progress::More(10) } else { Progress::Idle });
    let (supervisor, mut passes_seen) = start(step, NEVER);
    for expected in 1..=5 {
        assert_eq!(passes_seen.recv().await, Some(expected));
    }
    supervisor.drain(Duration::from_secs(5)).await;
    assert_eq!(supervisor.status()["probe.run"].items, 40);
}

#[tokio::test]
async fn task_that_panics_or_fails_is_run_again() {
    let step: Step = |pass| match pass {
        1 => panic!("on purpose"),
        2 => Err(Fault::new(FaultKind::Unavailable, "probe.run")),
        _ => Ok(Progress::Idle),
    };
    let log = Kept::default();
    let (supervisor, mut passes_seen) = start_with(&log.logger(), step, Duration::from_millis(1));
    for expected in 1..=3 {
        assert_eq!(passes_seen.recv().await, Some(expected));
    }
    supervisor.drain(Duration::from_secs(5)).await;
    let status = &supervisor.status()["probe.run"];
    assert_eq!((status.failures, status.failing_for), (2, 0));
    let failed: Vec<_> = log.lines().into_iter().filter(|line| line["msg"] == "pass failed").collect();
    let logged = failed.iter().map(|line| (&line["level"], &line["error_code"], &line["failing_for"]));
    let (internal, down) = (json!("internal"), json!("unavailable"));
    let (error, warning, one, two) = (json!("error"), json!("warning"), json!(1), json!(2));
    assert_eq!(logged.collect::<Vec<_>>(), [(&error, &internal, &one), (&warning, &down, &two)]);
}

/// A task whose first passes end only when all of them run at the same time.
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
async fn task_runs_as_many_passes_at_once_as_its_concurrency() {
    let barrier = Arc::new(tokio::sync::Barrier::new(4));
    let schedule = Schedule { period: NEVER, pass_timeout: Duration::from_secs(5), concurrency: 3, wakes: &[] };
    let log = Logger::root(slog::Discard, o!());
    let tasks: Vec<(Arc<dyn BackgroundTask>, Schedule)> = vec![(Arc::new(Crowd(barrier.clone())), schedule)];
    let supervisor = Supervisor::start(&Handle::current(), &log, tasks, None);
    barrier.wait().await;
    assert_eq!(supervisor.drain(Duration::from_secs(5)).await, Vec::<String>::new());
    let status = &supervisor.status()["crowd.run"];
    assert_eq!((status.passes, status.failures, status.running), (3, 0, 0));
}

const CONCURRENCY: u32 = 3;

/// Starts a task with [`CONCURRENCY`] concurrent passes, wakes the task once, and returns the number of passes after
/// the wake. The passes before the wake find nothing.
async fn passes_after_a_wake(step: Step) -> u32 {
    let (passed, mut passes_seen) = mpsc::unbounded_channel();
    let task = Counted { name: "probe.run", step, passes: AtomicU32::new(0), passed };
    let schedule =
        Schedule { period: NEVER, pass_timeout: Duration::from_secs(5), concurrency: CONCURRENCY, wakes: &[] };
    let log = Logger::root(slog::Discard, o!());
    let supervisor = Supervisor::start(&Handle::current(), &log, vec![(Arc::new(task), schedule)], None);
    for expected in 1..=CONCURRENCY {
        assert_eq!(passes_seen.recv().await, Some(expected));
    }
    supervisor.wake("probe.run");
    // This test has one thread, so after these turns every pass that can run has run.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    supervisor.drain(Duration::from_secs(5)).await;
    supervisor.status()["probe.run"].passes as u32 - CONCURRENCY
}

#[tokio::test]
async fn one_item_costs_two_passes_and_a_backlog_wakes_the_next() {
    // One pass finds the item, and the next pass finds nothing.
    let one: Step = |pass| Ok(if pass == CONCURRENCY + 1 { Progress::More(1) } else { Progress::Idle });
    assert_eq!(passes_after_a_wake(one).await, 2);
    // Two passes find one item each, and the second one wakes a concurrent pass. Then the next pass and the woken pass
    // find nothing.
    let two: Step =
        |pass| Ok(if (CONCURRENCY + 1..=CONCURRENCY + 2).contains(&pass) { Progress::More(1) } else { Progress::Idle });
    assert_eq!(passes_after_a_wake(two).await, 4);
}

#[tokio::test]
async fn pass_that_handled_items_wakes_the_tasks_that_depend_on_it() {
    let probe = |name, step| {
        let (passed, passes_seen) = mpsc::unbounded_channel();
        let probe: Arc<dyn BackgroundTask> = Arc::new(Counted { name, step, passes: AtomicU32::new(0), passed });
        (probe, passes_seen)
    };
    let step: Step = |pass| Ok(if pass == 2 { Progress::Done(1) } else { Progress::Idle });
    let ((maker, mut made), (woken, mut passes_seen)) =
        (probe("maker.run", step), probe("probe.run", |_| Ok(Progress::Idle)));
    let schedule = Schedule { period: NEVER, pass_timeout: Duration::from_secs(5), concurrency: 1, wakes: &[] };
    let log = Logger::root(slog::Discard, o!());
    let tasks = vec![(maker, schedule.then_wakes(&["probe.run"])), (woken, schedule)];
    let supervisor = Supervisor::start(&Handle::current(), &log, tasks, None);
    assert_eq!((made.recv().await, passes_seen.recv().await), (Some(1), Some(1)));
    supervisor.wake("maker.run");
    assert_eq!((made.recv().await, passes_seen.recv().await), (Some(2), Some(2)));
    // A pass without items wakes no other task.
    supervisor.wake("maker.run");
    assert_eq!(made.recv().await, Some(3));
    assert_eq!(supervisor.drain(Duration::from_secs(5)).await, Vec::<String>::new());
    assert!(passes_seen.try_recv().is_err());
}

#[test]
fn backoff_grows_and_is_bounded() {
    let period = Duration::from_secs(1);
    assert_eq!(backoff(period, 1), Duration::from_secs(2));
    assert_eq!(backoff(period, 3), Duration::from_secs(8));
    assert_eq!(backoff(period, 60), Duration::from_secs(32));
    assert_eq!(backoff(NEVER, 60), Duration::from_secs(300));
}

fn failing(kind: FaultKind) -> Fault {
    Fault::new(kind, "counted.run")
}

/// Starts two tasks that fail until `up` is true. Returns the supervisor and the passes of each task. The backoff of
/// both tasks is longer than any test.
fn two_failing(
    kind: FaultKind,
    up: &Arc<AtomicBool>,
    probe: Option<Probe>,
) -> (Supervisor, [mpsc::UnboundedReceiver<u32>; 2]) {
    let task = |name| {
        let (passed, passes_seen) = mpsc::unbounded_channel();
        let task: Arc<dyn BackgroundTask> =
            Arc::new(Dependent { name, kind, up: up.clone(), passed, passes: AtomicU32::new(0) });
        (task, passes_seen)
    };
    let ((one, first), (two, second)) = (task("one.run"), task("two.run"));
    let schedule = Schedule { period: NEVER, pass_timeout: Duration::from_secs(5), concurrency: 1, wakes: &[] };
    let log = Logger::root(slog::Discard, o!());
    let tasks = vec![(one, schedule), (two, schedule)];
    (Supervisor::start(&Handle::current(), &log, tasks, probe), [first, second])
}

/// A task whose passes succeed while `up` is true.
struct Dependent {
    name: &'static str,
    kind: FaultKind,
    up: Arc<AtomicBool>,
    passed: mpsc::UnboundedSender<u32>,
    passes: AtomicU32,
}

impl BackgroundTask for Dependent {
    fn name(&self) -> &'static str {
        self.name
    }
    fn pass(&self, _: &RequestContext) -> PortFuture<Progress, Fault> {
        let outcome = if self.up.load(Ordering::SeqCst) { Ok(Progress::Idle) } else { Err(failing(self.kind)) };
        let _ = self.passed.send(self.passes.fetch_add(1, Ordering::SeqCst) + 1);
        Box::pin(async move { outcome })
    }
}

/// A probe that succeeds while `up` is true, and counts its calls in `asked`.
fn probe(up: &Arc<AtomicBool>, asked: &Arc<AtomicU32>) -> Probe {
    let (up, asked) = (up.clone(), asked.clone());
    let reach = move |_: &RequestContext| -> PortFuture<(), Fault> {
        asked.fetch_add(1, Ordering::SeqCst);
        let outcome = if up.load(Ordering::SeqCst) { Ok(()) } else { Err(failing(FaultKind::Unavailable)) };
        Box::pin(async move { outcome })
    };
    Probe { reach: Arc::new(reach), period: Duration::from_millis(2) }
}

async fn asked_again(asked: &AtomicU32) {
    let before = asked.load(Ordering::SeqCst);
    while asked.load(Ordering::SeqCst) < before + 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn recovery_of_the_shared_dependency_wakes_all_tasks() {
    for kind in [FaultKind::Unavailable, FaultKind::DeadlineExceeded, FaultKind::Contention, FaultKind::OutcomeUnknown]
    {
        let (up, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (supervisor, mut passes_seen) = two_failing(kind, &up, Some(probe(&up, &asked)));
        for passes_seen in &mut passes_seen {
            assert_eq!(passes_seen.recv().await, Some(1));
        }
        asked_again(&asked).await;
        up.store(true, Ordering::SeqCst);
        for passes_seen in &mut passes_seen {
            assert_eq!(passes_seen.recv().await, Some(2), "{kind:?}");
        }
        supervisor.drain(Duration::from_secs(5)).await;
        assert!(supervisor.status().values().all(|status| status.failing_for == 0 && status.failures == 1));
    }
}

/// The tasks fail for another reason. The probe succeeds every time, and such a probe wakes no task.
#[tokio::test]
async fn dependency_that_was_never_lost_leaves_the_backoff_alone() {
    let (down, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let up = Arc::new(AtomicBool::new(true));
    let (supervisor, mut passes_seen) = two_failing(FaultKind::Unavailable, &down, Some(probe(&up, &asked)));
    for passes_seen in &mut passes_seen {
        assert_eq!(passes_seen.recv().await, Some(1));
    }
    asked_again(&asked).await;
    asked_again(&asked).await;
    supervisor.drain(Duration::from_secs(5)).await;
    assert!(passes_seen.iter_mut().all(|passes_seen| passes_seen.try_recv().is_err()));
}

/// A database that is reached again does not repair a defect of the program.
#[tokio::test]
async fn internal_failures_are_not_woken_by_a_recovery() {
    let up = Arc::new(AtomicBool::new(false));
    let (supervisor, mut passes_seen) = two_failing(FaultKind::Internal, &up, None);
    for passes_seen in &mut passes_seen {
        assert_eq!(passes_seen.recv().await, Some(1));
    }
    while supervisor.status().values().any(|status| status.failures == 0) {
        tokio::task::yield_now().await;
    }
    supervisor.recovered();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    supervisor.drain(Duration::from_secs(5)).await;
    assert!(passes_seen.iter_mut().all(|passes_seen| passes_seen.try_recv().is_err()));
}

#[tokio::test]
async fn task_that_succeeds_after_failures_wakes_the_others() {
    let up = Arc::new(AtomicBool::new(false));
    let (passed, mut quick) = mpsc::unbounded_channel();
    let own_log = Logger::root(slog::Discard, o!());
    let first: Arc<dyn BackgroundTask> = Arc::new(Dependent {
        name: "quick.run",
        kind: FaultKind::Unavailable,
        up: up.clone(),
        passed,
        passes: AtomicU32::new(0),
    });
    let (passed, mut slow) = mpsc::unbounded_channel();
    let second: Arc<dyn BackgroundTask> = Arc::new(Dependent {
        name: "slow.run",
        kind: FaultKind::Unavailable,
        up: up.clone(),
        passed,
        passes: AtomicU32::new(0),
    });
    let schedule = |period| Schedule { period, pass_timeout: Duration::from_secs(5), concurrency: 1, wakes: &[] };
    let tasks = vec![(first, schedule(Duration::from_millis(1))), (second, schedule(NEVER))];
    let supervisor = Supervisor::start(&Handle::current(), &own_log, tasks, None);
    assert_eq!((quick.recv().await, slow.recv().await), (Some(1), Some(1)));
    up.store(true, Ordering::SeqCst);
    assert_eq!(slow.recv().await, Some(2));
    supervisor.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn recovery_of_one_pass_wakes_the_others() {
    let (passed, mut passes_seen) = mpsc::unbounded_channel();
    let step: Step = |pass| match pass {
        1 | 2 => Err(Fault::new(FaultKind::Unavailable, "probe.run")),
        _ => Ok(Progress::Idle),
    };
    let task = Counted { name: "probe.run", step, passes: AtomicU32::new(0), passed };
    let schedule = Schedule { period: NEVER, pass_timeout: Duration::from_secs(5), concurrency: 2, wakes: &[] };
    let log = Logger::root(slog::Discard, o!());
    let supervisor = Supervisor::start(&Handle::current(), &log, vec![(Arc::new(task), schedule)], None);
    while supervisor.status()["probe.run"].failures < 2 {
        tokio::task::yield_now().await;
    }
    // These calls do what a pass does that succeeds after a failure.
    supervisor.tasks["probe.run"].is_out_of_reach.store(false, Ordering::Relaxed);
    supervisor.recovered();
    for expected in 1..=4 {
        assert_eq!(passes_seen.recv().await, Some(expected));
    }
    supervisor.drain(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn recovery_resets_the_backoff() {
    const PERIOD: Duration = Duration::from_secs(1);
    let (supervisor, mut passes_seen) = start(|_| Err(Fault::new(FaultKind::Unavailable, "probe.run")), PERIOD);
    for expected in 1..=4 {
        assert_eq!(passes_seen.recv().await, Some(expected));
    }
    while supervisor.status()["probe.run"].failures < 4 {
        tokio::task::yield_now().await;
    }
    supervisor.recovered();
    assert_eq!(passes_seen.recv().await, Some(5));
    // The next pass follows after the backoff of one failure, not of five.
    let next = tokio::time::timeout(backoff(PERIOD, 2), passes_seen.recv()).await;
    assert_eq!(next, Ok(Some(6)));
    supervisor.drain(Duration::from_secs(5)).await;
}
