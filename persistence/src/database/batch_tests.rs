//! Tests of `batch.rs`.

use std::time::Duration;

use domain::context::{Deadline, TraceContext};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;

/// Records the inputs of each transaction, and holds the transactions until they are let go.
struct Store {
    batch: Batch<u32, u32>,
    runs: Mutex<Vec<Vec<u32>>>,
    begun: Notify,
    go: Notify,
}

impl Store {
    fn new() -> Arc<Self> {
        let batch = Batch::new(Arc::default());
        Arc::new(Self { batch, runs: Mutex::default(), begun: Notify::default(), go: Notify::default() })
    }

    /// A call whose transaction adds 100 to each input, and fails with `fault` if there is one.
    async fn add(&self, input: u32, fault: Option<FaultKind>) -> Result<Done<u32>, FaultKind> {
        let run = async |inputs: Vec<u32>| {
            self.runs.lock().expect("sound").push(inputs.clone());
            self.begun.notify_one();
            self.go.notified().await;
            match fault {
                None => Ok(inputs.into_iter().map(|input| input + 100).collect()),
                Some(kind) => Err(Fault::new(kind, "test.add")),
            }
        };
        self.batch
            .call(&context(), "test.add", input, |other| other % 2 == input % 2, run)
            .await
            .map_err(|fault| fault.kind())
    }

    fn runs(&self) -> Vec<Vec<u32>> {
        self.runs.lock().expect("sound").clone()
    }

    /// Starts a call, and returns when it has begun a transaction or waits.
    async fn start(self: &Arc<Self>, input: u32, fault: Option<FaultKind>) -> Started {
        let (store, waiting) = (self.clone(), self.batch.waiting().len());
        let is_first = self.batch.leader.try_lock().is_ok();
        let started = spawn(async move { store.add(input, fault).await.map(|done| done.result) });
        if is_first {
            self.begun.notified().await;
        } else {
            while self.batch.waiting().len() == waiting {
                tokio::task::yield_now().await;
            }
        }
        started
    }
}

fn context() -> RequestContext {
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let deadline = Deadline::after(Duration::from_secs(20));
    RequestContext::for_task(&log, "test", TraceContext::start(), deadline, CancellationToken::new())
}

#[expect(clippy::disallowed_methods, reason = "the test awaits or aborts it")]
fn spawn<T: Send + 'static>(call: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(call)
}

type Started = tokio::task::JoinHandle<Result<u32, FaultKind>>;

#[tokio::test]
async fn transaction_begins_after_a_pause_since_the_beginning_of_the_one_before() {
    let (store, watch) = (Store::new(), Stopwatch::start());
    for input in [1, 3] {
        store.go.notify_one();
        store.add(input, None).await.expect("done");
    }
    assert_eq!(store.runs(), [[1], [3]]);
    assert!(watch.elapsed() >= PAUSE, "{:?}", watch.elapsed());
}

#[tokio::test]
async fn waiting_calls_that_join_are_one_transaction() {
    let store = Store::new();
    let first = store.start(1, None).await;
    let mut others = Vec::new();
    for input in [3, 4, 5] {
        others.push(store.start(input, None).await);
    }
    for _ in 0..2 {
        store.go.notify_one();
        store.begun.notified().await;
    }
    store.go.notify_one();
    assert_eq!(first.await.expect("done"), Ok(101));
    for (call, expected) in others.into_iter().zip([103, 104, 105]) {
        assert_eq!(call.await.expect("done"), Ok(expected));
    }
    assert_eq!(store.runs(), [vec![1], vec![3, 5], vec![4]]);
}

#[tokio::test]
async fn fault_of_the_transaction_is_the_fault_of_its_calls() {
    let store = Store::new();
    let first = store.start(1, None).await;
    let leader = store.start(3, Some(FaultKind::Unavailable)).await;
    let follower = store.start(5, None).await;
    store.go.notify_one();
    store.begun.notified().await;
    store.go.notify_one();
    assert_eq!(first.await.expect("done"), Ok(101));
    assert_eq!(leader.await.expect("done"), Err(FaultKind::Unavailable));
    assert_eq!(follower.await.expect("done"), Err(FaultKind::Unavailable));
    assert_eq!(store.runs(), [vec![1], vec![3, 5]]);
}

#[tokio::test]
async fn call_has_another_leader_if_its_leader_gives_up() {
    for fault in [Some(FaultKind::Cancelled), Some(FaultKind::DeadlineExceeded), None] {
        let store = Store::new();
        let first = store.start(1, None).await;
        let leader = store.start(3, fault).await;
        let follower = store.start(5, None).await;
        store.go.notify_one();
        store.begun.notified().await;
        match fault {
            Some(_) => store.go.notify_one(),
            None => leader.abort(),
        }
        store.begun.notified().await;
        store.go.notify_one();
        assert_eq!(first.await.expect("done"), Ok(101));
        assert_eq!(leader.await.ok().map(|result| result.err()), fault.map(Some));
        assert_eq!(follower.await.expect("done"), Ok(105));
        assert_eq!(store.runs(), [vec![1], vec![3, 5], vec![5]]);
    }
}

#[tokio::test]
async fn result_of_a_call_that_gave_up_goes_to_the_leader() {
    let store = Store::new();
    let first = store.start(1, None).await;
    let leading = store.clone();
    let leader = spawn(async move { leading.add(3, None).await.map(|done| (done.result, done.unclaimed)) });
    while store.batch.waiting().is_empty() {
        tokio::task::yield_now().await;
    }
    let follower = store.start(5, None).await;
    store.go.notify_one();
    store.begun.notified().await;
    follower.abort();
    assert!(follower.await.is_err());
    store.go.notify_one();
    assert_eq!(first.await.expect("done"), Ok(101));
    assert_eq!(leader.await.expect("done"), Ok((103, vec![105])));
}

#[tokio::test]
async fn calls_of_one_transaction_are_bounded() {
    let store = Store::new();
    let first = store.start(1, None).await;
    let mut others = Vec::new();
    for number in 0..=MOST_CALLS as u32 {
        others.push(store.start(2 * number + 3, None).await);
    }
    for _ in 0..2 {
        store.go.notify_one();
        store.begun.notified().await;
    }
    store.go.notify_one();
    assert_eq!(first.await.expect("done"), Ok(101));
    for call in others {
        assert!(call.await.expect("done").is_ok());
    }
    assert_eq!(store.runs().iter().map(Vec::len).collect::<Vec<_>>(), [1, MOST_CALLS, 1]);
}

#[tokio::test]
async fn fault_that_may_concern_one_call_is_not_the_fault_of_the_others() {
    for fault in [FaultKind::Internal, FaultKind::Contention] {
        let store = Store::new();
        let first = store.start(1, None).await;
        let leader = store.start(3, Some(fault)).await;
        let follower = store.start(5, None).await;
        for _ in 0..3 {
            store.go.notify_one();
            store.begun.notified().await;
        }
        store.go.notify_one();
        assert_eq!(first.await.expect("done"), Ok(101));
        assert_eq!(leader.await.expect("done"), Err(fault));
        assert_eq!(follower.await.expect("done"), Ok(105));
        assert_eq!(store.runs(), [vec![1], vec![3, 5], vec![3], vec![5]]);
    }
}

#[tokio::test]
async fn waiting_call_gives_up_when_its_caller_is_gone() {
    let store = Store::new();
    let first = store.start(1, None).await;
    let ctx = context();
    ctx.cancellation().cancel();
    let run = async |_: Vec<u32>| panic!("it must not lead");
    let gone = store.batch.call(&ctx, "test.add", 3, |_| true, run).await;
    assert_eq!(gone.err().map(|fault| fault.kind()), Some(FaultKind::Cancelled));
    store.go.notify_one();
    assert_eq!(first.await.expect("done"), Ok(101));
    assert_eq!(store.runs(), [vec![1]]);
}
