//! Joins calls that are made at the same time into one transaction.
//!
//! One of the waiting calls leads: it takes the inputs of all calls that wait, runs one transaction for them, and hands
//! each call its result. Calls that arrive meanwhile wait for the next leader. So a busy store commits once for many
//! calls. A single call waits for more calls only if a transaction has begun in the last [`PAUSE`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::context::{RequestContext, Stopwatch};
use domain::fault::{Fault, FaultKind};
use tokio::sync::oneshot;

/// The most calls of one transaction.
const MOST_CALLS: usize = 32;

/// The least time between the beginnings of two transactions. More calls join each transaction so.
const PAUSE: Duration = Duration::from_millis(5);

/// The calls of one operation that wait for a transaction.
pub(crate) struct Batch<I, O> {
    waiting: Mutex<Vec<Call<I, O>>>,
    leader: Arc<Leader>,
}

/// Held by the call that leads. Batches that share it run one transaction at a time. The value is the time since the last
/// transaction began.
pub(crate) type Leader = tokio::sync::Mutex<Option<Stopwatch>>;

struct Call<I, O> {
    input: I,
    result: oneshot::Sender<Result<O, Fault>>,
}

/// The calls of others that a leader has taken. Those that have no result when the leader ends wait again, for another
/// leader.
struct Taken<'b, I, O> {
    batch: &'b Batch<I, O>,
    calls: Vec<Call<I, O>>,
}

impl<I, O> Drop for Taken<'_, I, O> {
    fn drop(&mut self) {
        self.batch.waiting().append(&mut self.calls);
    }
}

/// The result of a call.
pub(crate) struct Done<O> {
    pub(crate) result: O,
    /// The results of calls that have given up meanwhile. Only the leader gets them.
    pub(crate) unclaimed: Vec<O>,
}

impl<I: Clone, O> Batch<I, O> {
    /// Returns the result for `input`. If this call leads, `run` gets its input, followed by the waiting inputs for
    /// which `joins` is true, and returns a result for each, in the same order.
    ///
    /// A fault of the transaction is the fault of all its calls. But if the leader is cancelled or its deadline passes,
    /// the other calls wait for another leader. If the fault is internal or a contention, the leader runs its own input
    /// alone.
    ///
    /// A call that waits gives up when `ctx` is cancelled or its deadline passes. `ctx` must be bounded, because all calls
    /// wait for the leader.
    pub(crate) async fn call<R>(
        &self,
        ctx: &RequestContext,
        operation: &'static str,
        input: I,
        joins: impl Fn(&I) -> bool,
        run: impl Fn(Vec<I>) -> R,
    ) -> Result<Done<O>, Fault>
    where
        R: Future<Output = Result<Vec<O>, Fault>>,
    {
        let (sender, mut receiver) = oneshot::channel();
        self.waiting().push(Call { input: input.clone(), result: sender });
        let alone = |result| Done { result, unclaimed: Vec::new() };
        let leads = tokio::select! {
            biased;
            // The call stays in the list, or with a leader, until it has a result. So the channel is never closed.
            Ok(result) = &mut receiver => return result.map(alone),
            leads = self.leader.lock() => Some(leads),
            () = tokio::time::sleep_until(ctx.deadline().instant().into()) => None,
            () = ctx.cancellation().cancelled() => None,
        };
        let Some(mut last) = leads else {
            // From here on the leader keeps the result. A result that the leader has sent at this moment is returned.
            receiver.close();
            return receiver.try_recv().unwrap_or_else(|_| Err(gives_up(ctx, operation))).map(alone);
        };
        // The previous leader may have done this call.
        if let Ok(result) = receiver.try_recv() {
            return result.map(alone);
        }
        if let Some(pause) = last.and_then(|last| PAUSE.checked_sub(last.elapsed())) {
            tokio::time::sleep(pause).await;
        }
        *last = Some(Stopwatch::start());
        // Only this call can be closed: its receiver is dropped here, and the call is removed by `take`.
        drop(receiver);
        let mut others = Taken { batch: self, calls: self.take(joins) };
        let inputs = std::iter::once(input.clone()).chain(others.calls.iter().map(|call| call.input.clone())).collect();
        match run(inputs).await {
            Ok(results) => {
                let mut results = results.into_iter();
                let result = results.next().ok_or_else(|| Fault::internal(operation, "a call has no result"))?;
                let handed = others.calls.drain(..).zip(results).map(|(call, result)| call.result.send(Ok(result)));
                Ok(Done { result, unclaimed: handed.filter_map(|handed| handed.err()?.ok()).collect() })
            }
            Err(fault) if matches!(fault.kind(), FaultKind::Cancelled | FaultKind::DeadlineExceeded) => Err(fault),
            // Perhaps only one input is at fault, or waits for a lock. Each of the other calls leads alone too, if it
            // fails again.
            Err(fault)
                if matches!(fault.kind(), FaultKind::Internal | FaultKind::Contention) && !others.calls.is_empty() =>
            {
                drop(others);
                let result = run(vec![input]).await?.pop();
                result.map(alone).ok_or_else(|| Fault::internal(operation, "a call has no result"))
            }
            Err(fault) => {
                for call in others.calls.drain(..) {
                    // A call that has given up needs no fault.
                    let _ = call.result.send(Err(Fault::new(fault.kind(), fault.operation()).caused_by(fault.chain())));
                }
                Err(fault)
            }
        }
    }

    /// Removes the waiting calls that join, at most [`MOST_CALLS`] with the call of the leader, and all calls that have
    /// given up.
    fn take(&self, joins: impl Fn(&I) -> bool) -> Vec<Call<I, O>> {
        let mut waiting = self.waiting();
        waiting.retain(|call| !call.result.is_closed());
        let mut taken = Vec::new();
        let mut left = Vec::new();
        for call in waiting.drain(..) {
            let joined = taken.len() + 1 < MOST_CALLS && joins(&call.input);
            if joined { taken.push(call) } else { left.push(call) }
        }
        *waiting = left;
        taken
    }
}

fn gives_up(ctx: &RequestContext, operation: &'static str) -> Fault {
    ctx.check(operation).err().unwrap_or_else(|| Fault::new(FaultKind::DeadlineExceeded, operation))
}

impl<I, O> Batch<I, O> {
    pub(crate) fn new(leader: Arc<Leader>) -> Self {
        Self { waiting: Mutex::default(), leader }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Call<I, O>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
