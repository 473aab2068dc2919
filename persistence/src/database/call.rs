//! One call of [`Database::run`], from the wait for a permit to the result.
//!
//! On Postgres, and for each read, a call leads: [`Call::lead`] takes a permit, a blocking thread and a connection, and
//! runs the body in a transaction of its own.
//!
//! On SQLite a write first enters the [`Group`](super::group::Group), in [`Call::join_or_lead`]. Then one of two things
//! happens:
//!
//! - The call leads, because it gets the write permit before a leader takes the call from the group.
//! - The call joins. Its body runs in a savepoint of the leader's transaction, through [`JoiningWrite`], and
//!   [`Call::after`] converts the [`JoinResult`]: a value or a failure is returned, after a conflict the call runs
//!   again as a leader, and after a commit with an unknown outcome the call searches for the outcome.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::PortFuture;
use domain::context::{Deadline, RequestContext, Stopwatch};
use domain::fault::{Fault, FaultKind};
use slog::debug;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::commit::{RunError, Transaction};
use super::group::{End, Joins};
use super::job::{Job, RunningJob, WaitingCaller};
use super::pool::PooledConn;
use super::{Database, Engine, Operation, Tx, TxError};

/// A call: what it runs, for whom, and how.
struct Call<W> {
    database: Database,
    ctx: RequestContext,
    operation: Operation,
    work: W,
}

/// A permit, and the time until which its holder waits for a connection: within the same `pool_wait`, unless the holder
/// is past its point of no return.
struct Permit {
    permit: OwnedSemaphorePermit,
    connection_until: Deadline,
}

/// The result of a call that joined the transaction of another call.
type JoinResult<T, E> = Result<T, RunError<E>>;

impl Database {
    /// Runs `work` in one transaction and commits it, unless `work` refuses or the caller is gone or out of time.
    /// `work` may run again (see [`rerun`](super::rerun)), so it must have no effect outside of its transaction.
    pub(crate) fn run<T, E>(
        &self,
        ctx: &RequestContext,
        operation: Operation,
        work: impl Fn(&mut Tx<'_>) -> Result<T, TxError<E>> + Send + Sync + 'static,
    ) -> PortFuture<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        let call = Arc::new(Call { database: self.clone(), ctx: ctx.clone(), operation, work });
        Box::pin(async move {
            let database = &call.database;
            if !call.operation.mode.writes() {
                return call.lead(database.permit(&call.ctx, call.operation).await?).await;
            }
            database.takes_writes(call.operation.name)?;
            match database.engine() {
                Engine::Sqlite => call.join_or_lead().await,
                Engine::Postgres => call.lead(database.permit(&call.ctx, call.operation).await?).await,
            }
        })
    }

    /// Waits for a permit until the deadline, or for at most `pool_wait` if the caller is not past its point of no
    /// return.
    async fn permit(&self, ctx: &RequestContext, operation: Operation) -> Result<Permit, Fault> {
        ctx.check(operation.name)?;
        let pool_wait = || ctx.at_most(self.0.config.pool_wait).deadline();
        let until = if ctx.is_past_no_return() { ctx.deadline() } else { pool_wait() };
        let watch = Stopwatch::start();
        let permit = tokio::select! {
            permit = self.0.pool.permit(operation.mode) => Ok(permit),
            () = tokio::time::sleep_until(until.instant().into()) => {
                // If the caller's deadline has passed, the fault says so. Otherwise this is load shedding.
                ctx.check(operation.name)?;
                Err(Fault::new(FaultKind::Unavailable, operation.name).caused_by("no free connection"))
            }
            () = ctx.cancellation().cancelled() => Err(Fault::new(FaultKind::Cancelled, operation.name)),
        };
        ctx.timings().connection_wait.add(watch);
        let connection_until = if ctx.is_past_no_return() { pool_wait() } else { until };
        permit.map(|permit| Permit { permit, connection_until })
    }

    /// Waits for the job and returns its result. At the deadline, or if the request is cancelled, the job is abandoned.
    /// A commit that is under way may take effect, so the caller waits for its result for at most the commit grace.
    async fn wait<T, E: From<Fault>>(
        &self,
        wait: &WaitingCaller<'_>,
        running: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let (ctx, op) = (wait.ctx, wait.operation.name);
        tokio::pin!(running);
        tokio::select! {
            biased;
            outcome = &mut running => return outcome,
            () = tokio::time::sleep_until(ctx.deadline().instant().into()) => {}
            () = ctx.cancellation().cancelled() => {}
        }
        if wait.abandon() {
            return match ctx.check(op) {
                Err(fault) => Err(fault.into()),
                Ok(()) => Err(Fault::new(FaultKind::DeadlineExceeded, op).into()),
            };
        }
        match tokio::time::timeout(self.0.config.commit_grace, running).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Fault::new(FaultKind::OutcomeUnknown, op).caused_by("still committing").into()),
        }
    }
}

impl<T, E, W> Call<W>
where
    T: Send + 'static,
    E: From<Fault> + Send + 'static,
    W: Fn(&mut Tx<'_>) -> Result<T, TxError<E>> + Send + Sync + 'static,
{
    fn transaction(&self) -> Transaction<'_, T, E> {
        let Self { database, ctx, operation, work } = self;
        Transaction { database, ctx, operation: *operation, work }
    }

    fn waiting(&self, job: &Arc<Job>) -> WaitingCaller<'_> {
        WaitingCaller { database: &self.database, ctx: &self.ctx, operation: self.operation, job: job.clone() }
    }

    /// Runs the call on a thread with a connection of its own. On SQLite, the writes that wait join its transaction.
    async fn lead(self: &Arc<Self>, permit: Permit) -> Result<T, E> {
        let job = Job::new();
        let Permit { permit, connection_until } = permit;
        job.hold(permit);
        let (call, running) = (self.clone(), RunningJob { database: self.database.clone(), job: job.clone() });
        let work = move || call.transaction().run(connection_until, &running.job.stage);
        self.on_thread(&self.waiting(&job), work).await
    }

    /// Runs `work` on a thread that may block, and waits for its result.
    async fn on_thread(
        &self,
        waiting: &WaitingCaller<'_>,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let Operation { name: op, mode, .. } = self.operation;
        let running = self.database.0.runtime.spawn_blocking(work);
        let joined = async {
            running.await.unwrap_or_else(|panic| {
                let is_unknown = mode.writes() && waiting.job.panicked_in_commit();
                let kind = if is_unknown { FaultKind::OutcomeUnknown } else { FaultKind::Internal };
                Err(Fault::new(kind, op).caused_by(panic).into())
            })
        };
        self.database.wait(waiting, joined).await
    }

    /// Waits until another write has taken this call into its transaction, or until this call can lead.
    async fn join_or_lead(self: &Arc<Self>) -> Result<T, E> {
        self.ctx.check(self.operation.name)?;
        let job = Job::new();
        let waiting = self.waiting(&job);
        let (sender, mut receiver) = oneshot::channel();
        let running = RunningJob { database: self.database.clone(), job: job.clone() };
        let write = Arc::new(JoiningWrite {
            call: self.clone(),
            job: job.clone(),
            arrived: Stopwatch::start(),
            state: Mutex::new(Some(Waits { running, sender, result: None })),
        });
        let place = self.database.0.group.wait(write);
        let permit = tokio::select! {
            biased;
            outcome = &mut receiver => return self.after(outcome, &waiting).await,
            permit = self.database.permit(&self.ctx, self.operation) => permit,
        };
        if place.leave() {
            return self.lead(permit?).await;
        }
        // A writer has taken the call.
        drop(permit);
        let outcome = self.database.wait(&waiting, async { Ok::<_, E>(receiver.await) }).await?;
        self.after(outcome, &waiting).await
    }

    /// Continues after the transaction of another write: returns the result, runs alone, or finds the outcome of a
    /// commit that broke.
    async fn after(
        self: &Arc<Self>,
        outcome: Result<JoinResult<T, E>, oneshot::error::RecvError>,
        waiting: &WaitingCaller<'_>,
    ) -> Result<T, E> {
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(RunError::Conflict(..))) => self.lead(self.database.permit(&self.ctx, self.operation).await?).await,
            Ok(Err(RunError::Unknown(unknown))) => self.resolve(unknown, waiting).await,
            Err(no_outcome) => {
                // The writer panicked while it reported the outcomes of its commit.
                let unknown = Fault::new(FaultKind::OutcomeUnknown, self.operation.name).caused_by(no_outcome);
                self.resolve(unknown, waiting).await
            }
            Ok(Err(failure)) => Err(failure.into_error()),
        }
    }

    /// Finds the outcome of the transaction of another write, whose commit broke. Takes at most the commit grace.
    async fn resolve(self: &Arc<Self>, unknown: Fault, waiting: &WaitingCaller<'_>) -> Result<T, E> {
        let grace = self.transaction().grace();
        let permit = self.database.permit(&grace, self.operation).await.map_err(|_| still_unknown(&unknown));
        let (call, permit) = (self.clone(), permit?);
        let work = move || {
            let _permit = permit;
            call.transaction().resolve(unknown, &grace).map_err(RunError::into_error)
        };
        self.on_thread(waiting, work).await
    }
}

/// The fault of a commit whose outcome stays unknown.
fn still_unknown(fault: &Fault) -> Fault {
    Fault::new(FaultKind::OutcomeUnknown, fault.operation()).caused_by(fault.chain())
}

/// A call that waits for the writer, or is part of its transaction.
struct JoiningWrite<W, T, E> {
    call: Arc<Call<W>>,
    job: Arc<Job>,
    arrived: Stopwatch,
    /// `None` after the caller has its result.
    state: Mutex<Option<Waits<T, E>>>,
}

struct Waits<T, E> {
    running: RunningJob,
    sender: oneshot::Sender<JoinResult<T, E>>,
    /// The result of the body, which counts when the transaction is committed.
    result: Option<JoinResult<T, E>>,
}

impl<W, T, E> JoiningWrite<W, T, E> {
    fn state(&self) -> MutexGuard<'_, Option<Waits<T, E>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W, T, E> Joins for JoiningWrite<W, T, E>
where
    T: Send + 'static,
    E: From<Fault> + Send + 'static,
    W: Fn(&mut Tx<'_>) -> Result<T, TxError<E>> + Send + Sync + 'static,
{
    fn run(&self, conn: &mut PooledConn) -> bool {
        let Call { ctx, operation, .. } = &*self.call;
        ctx.timings().connection_wait.add(self.arrived);
        let watch = Stopwatch::start();
        let body = || self.call.transaction().body(conn, &self.job.stage);
        let result = catch_unwind(AssertUnwindSafe(body))
            .unwrap_or_else(|_| Err(Fault::internal(operation.name, "the body of a transaction panicked").into()));
        ctx.timings().storage.add(watch);
        let succeeded = result.is_ok();
        if let Some(waits) = self.state().as_mut() {
            waits.result = Some(result);
        }
        succeeded
    }

    fn end(&self, end: &End) {
        let Call { database, ctx, operation, .. } = &*self.call;
        let Some(Waits { running, sender, result }) = self.state().take() else { return };
        let fault = |kind, why: &String| Fault::new(kind, operation.name).caused_by(why.clone());
        let outcome = match (result, end) {
            (Some(Err(RunError::Refused(refusal))), End::Committed) => Err(RunError::Refused(refusal)),
            (Some(Err(failure @ (RunError::Failed(_) | RunError::Conflict(..) | RunError::Unknown(_)))), _) => {
                Err(failure)
            }
            (Some(Ok(value)), End::Committed) => Ok(value),
            (Some(Ok(_)), End::RolledBack(kind, why)) => {
                Err(ctx.check(operation.name).err().unwrap_or_else(|| fault(*kind, why)).into())
            }
            (Some(Ok(_)), End::Unknown(why)) => Err(RunError::Unknown(fault(FaultKind::OutcomeUnknown, why))),
            // A refusal may follow from a change that another write made and that is not committed, so it does not
            // count.
            (None, _) | (Some(Ok(_)), End::Lost) | (Some(Err(RunError::Refused(_))), _) => {
                let lost = Fault::new(FaultKind::Contention, operation.name).caused_by("the transaction was lost");
                Err(RunError::Conflict("joined", lost))
            }
        };
        database.record_room(*operation, &outcome);
        debug!(ctx.log(), "transaction ended"; "op" => operation.name, "committed" => outcome.is_ok(),
            "elapsed_us" => self.arrived.elapsed_us());
        // The job ends first: a caller that has its result must not count as gone.
        drop(running);
        // A caller that is gone needs no result.
        let _ = sender.send(outcome);
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
