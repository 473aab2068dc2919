//! When a transaction is run again.
//!
//! | what happened                    | operation  | what follows                                             |
//! |----------------------------------|------------|----------------------------------------------------------|
//! | deadlock, serialization: nothing | any write  | again on the same connection, at most [`MAX_RERUNS`] times |
//! | commit broke: unknown            | repeatable | again on a new connection: its body looks first          |
//! | commit broke: unknown            | others     | `OutcomeUnknown`                                         |
//! | lock timeout: nothing            | any        | `Contention`: the caller has waited long enough          |

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use domain::context::{Deadline, RequestContext, Stopwatch};
use domain::fault::{Fault, FaultKind};
use slog::{crit, debug, info, warn};

use super::backend::{Limits, Mode};
use super::commit::{RunError, transaction};
use super::job::Stage;
use super::pool::PooledConn;
use super::{Database, Operation, Tx, TxError, classify};

const MAX_RERUNS: u32 = 3;
/// The longest pause before the first rerun. The bound doubles with each rerun.
const PAUSE: Duration = Duration::from_millis(10);

impl Database {
    /// Runs `work` in a transaction until its outcome is known. On a blocking thread.
    pub(super) fn transact<T, E: From<Fault>>(
        &self,
        ctx: &RequestContext,
        operation: Operation,
        connection_until: Deadline,
        stage: &Stage,
        work: &impl Fn(&mut Tx<'_>) -> Result<T, TxError<E>>,
    ) -> Result<T, E> {
        let waiting = Stopwatch::start();
        let taken = self.connection(ctx, operation, connection_until);
        ctx.timings().add_connection_wait(waiting);
        let conn = taken?;
        let watch = Stopwatch::start();
        let outcome = match self.rerun(conn, ctx, operation, stage, work) {
            Err(RunError::Unknown(fault)) => self.resolve(ctx, operation, fault, work),
            outcome => outcome,
        };
        ctx.timings().add_storage(watch);
        debug!(ctx.log(), "transaction ended"; "op" => operation.name, "committed" => outcome.is_ok(),
            "elapsed_us" => watch.elapsed_us());
        outcome.map_err(RunError::into_error)
    }

    fn connection(&self, ctx: &RequestContext, operation: Operation, until: Deadline) -> Result<PooledConn, Fault> {
        self.0.pool.get(until.remaining()).map_err(|error| match ctx.check(operation.name) {
            Err(fault) => fault,
            Ok(()) => Fault::new(FaultKind::Unavailable, operation.name).caused_by(error),
        })
    }

    fn attempt<T, E: From<Fault>>(
        &self,
        conn: &mut PooledConn,
        ctx: &RequestContext,
        operation: Operation,
        stage: &Stage,
        work: &impl Fn(&mut Tx<'_>) -> Result<T, TxError<E>>,
    ) -> Result<T, RunError<E>> {
        let (remaining, config) = (ctx.deadline().remaining(), &self.0.config);
        let limits =
            Limits { statement: remaining.min(config.statement_timeout), lock: remaining.min(config.lock_timeout) };
        let outcome = transaction(conn, ctx, operation, limits, stage, &self.0, work);
        // A read that lacks space to sort says nothing about writes.
        if let Err(RunError::Failed(fault)) = &outcome
            && operation.mode == Mode::Write
            && fault.kind() == FaultKind::StorageFull
        {
            self.0.room.ran_out(fault);
        }
        outcome
    }

    /// Runs `work` again while other transactions conflict with it.
    fn rerun<T, E: From<Fault>>(
        &self,
        mut conn: PooledConn,
        ctx: &RequestContext,
        operation: Operation,
        stage: &Stage,
        work: &impl Fn(&mut Tx<'_>) -> Result<T, TxError<E>>,
    ) -> Result<T, RunError<E>> {
        for attempt in 1.. {
            let outcome = self.attempt(&mut conn, ctx, operation, stage, work);
            let Err(RunError::Conflict(reason, fault)) = outcome else { return outcome };
            if operation.mode == Mode::Read || attempt > MAX_RERUNS || !stage.begin_again() {
                return Err(fault.into());
            }
            info!(ctx.log(), "tx retried"; "op" => operation.name, "reason" => reason, "attempt" => attempt);
            self.pause(ctx, attempt);
        }
        unreachable!("attempts are counted without end")
    }

    /// Finds the outcome of a commit that broke: the body of a repeatable write looks for its earlier effect, and
    /// waits for its first run if that is still alive. The caller cannot abandon this. It ends when the outcome is
    /// known or the commit grace has passed; a fault in between proves nothing.
    fn resolve<T, E: From<Fault>>(
        &self,
        ctx: &RequestContext,
        operation: Operation,
        unknown: Fault,
        work: &impl Fn(&mut Tx<'_>) -> Result<T, TxError<E>>,
    ) -> Result<T, RunError<E>> {
        let log_resolution = |resolution: &'static str| {
            warn!(ctx.log(), "commit outcome was unknown"; "op" => operation.name, "resolution" => resolution,
                "error" => unknown.chain());
        };
        if classify::is_disk_failure(&unknown) {
            // The kernel may have dropped what it could not write: a later success would prove nothing.
            self.0.disk_failed.store(true, std::sync::atomic::Ordering::Release);
            crit!(ctx.log(), "the disk failed in a commit: no more writes until a restart"; "op" => operation.name,
                "error_code" => "io_error", "error" => unknown.chain());
        }
        // The file that is open now has no answer.
        let file_changed = self.0.file.0.as_ref().is_some_and(|file| file.has_changed());
        if operation.repeatable.is_none() || self.disk_failed() || file_changed {
            log_resolution("deferred");
            return Err(RunError::Unknown(unknown));
        }
        let within_grace = ctx.must_finish(self.0.config.commit_grace);
        for attempt in 1.. {
            let outcome = match self.connection(&within_grace, operation, within_grace.deadline()) {
                Ok(mut conn) => self.attempt(&mut conn, &within_grace, operation, &Stage::new(), work),
                Err(fault) => Err(fault.into()),
            };
            if let Ok(_) | Err(RunError::Refused(_)) = outcome {
                log_resolution("resolved");
                return outcome;
            }
            if within_grace.check(operation.name).is_err() {
                break;
            }
            self.pause(&within_grace, attempt);
        }
        log_resolution("deferred");
        Err(RunError::Unknown(unknown))
    }

    /// Full jitter, so that two transactions that conflicted do not conflict again.
    fn pause(&self, ctx: &RequestContext, attempt: u32) {
        let longest = PAUSE.saturating_mul(1 << attempt.min(6)).min(ctx.deadline().remaining());
        let random = RandomState::new().build_hasher().finish() % 1_000;
        let pause = longest.mul_f64(random as f64 / 1_000.0);
        self.0.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ctx.cancellation().cancelled() => {}
            }
        });
    }
}
