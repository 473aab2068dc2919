//! When a transaction runs again, and what its caller gets otherwise.
//!
//! | what happened                         | effect so far | operation        | what follows                     |
//! |---------------------------------------|---------------|------------------|----------------------------------|
//! | a deadlock or a serialization failure | none          | write            | at most [`MAX_RERUNS`] more runs |
//! | the connection broke in the commit    | unknown       | repeatable write | another run on a new connection  |
//! | the connection broke in the commit    | unknown       | other write      | the caller gets `OutcomeUnknown` |
//! | a lock was not free in time           | none          | any              | the caller gets `Contention`     |

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::context::{Deadline, RequestContext, Stopwatch};
use domain::fault::{Fault, FaultKind};
use slog::{crit, debug, info, warn};

use super::classify;
use super::commit::{RunError, Transaction};
use super::job::Stage;
use super::pool::PooledConn;

/// The most times that a transaction runs again after a conflict with another transaction.
const MAX_RERUNS: u32 = 3;
/// The unit of the pause before a rerun. The longest pause before rerun `n` is `PAUSE` times 2^n, with `n` at most 6.
const PAUSE: Duration = Duration::from_millis(10);

impl<T, E: From<Fault>> Transaction<'_, T, E> {
    /// Runs the transaction, several times if needed, and returns its outcome. Waits for a connection until
    /// `connection_until`. Blocks the thread.
    pub(super) fn run(&self, connection_until: Deadline, stage: &Stage) -> Result<T, E> {
        let waiting = Stopwatch::start();
        let taken = self.connection(connection_until);
        self.ctx.timings().connection_wait.add(waiting);
        let conn = taken?;
        let watch = Stopwatch::start();
        let outcome = match self.rerun(conn, stage) {
            Err(RunError::Unknown(fault)) => self.resolve(fault, &self.grace()),
            outcome => outcome,
        };
        self.ctx.timings().storage.add(watch);
        debug!(self.ctx.log(), "transaction ended"; "op" => self.operation.name, "committed" => outcome.is_ok(),
            "elapsed_us" => watch.elapsed_us());
        outcome.map_err(RunError::into_error)
    }

    fn connection(&self, until: Deadline) -> Result<PooledConn, Fault> {
        let op = self.operation.name;
        self.database.0.pool.get(until.remaining()).map_err(|error| match self.ctx.check(op) {
            Err(fault) => fault,
            Ok(()) => Fault::new(FaultKind::Unavailable, op).caused_by(error),
        })
    }

    /// Runs the work again while other transactions conflict with it.
    fn rerun(&self, mut conn: PooledConn, stage: &Stage) -> Result<T, RunError<E>> {
        for attempt in 1.. {
            let outcome = self.attempt(&mut conn, stage, attempt == 1);
            let Err(RunError::Conflict(reason, fault)) = outcome else { return outcome };
            if !self.operation.mode.writes() || attempt > MAX_RERUNS || !stage.begin_again() {
                return Err(fault.into());
            }
            info!(self.ctx.log(), "transaction retried"; "op" => self.operation.name, "reason" => reason,
                "attempt" => attempt);
            self.pause(attempt);
        }
        unreachable!("attempts are counted without end")
    }

    /// The context of the search for the outcome of a commit that broke. It ends after the commit grace.
    pub(super) fn grace(&self) -> RequestContext {
        self.ctx.must_finish(self.database.0.config.commit_grace)
    }

    /// Finds the outcome of a commit that broke. Runs a repeatable write again, because its body finds the effect of
    /// the first run, and waits for the first run if that has not ended. The caller cannot abandon this search. The
    /// search ends when the outcome is known or the deadline of `grace` has passed. Faults during the search are ignored,
    /// because they do not show the outcome.
    pub(super) fn resolve(&self, unknown: Fault, grace: &RequestContext) -> Result<T, RunError<E>> {
        let (storage, ctx, op) = (&self.database.0, self.ctx, self.operation.name);
        let log_resolution = |resolution: &'static str| {
            warn!(ctx.log(), "commit outcome was unknown"; "op" => op, "resolution" => resolution,
                "error" => unknown.chain());
        };
        if classify::is_disk_failure(&unknown) {
            // The kernel may have dropped data that it could not write, so a later success would not show that this
            // commit took effect.
            storage.disk_failed.store(true, Ordering::Release);
            crit!(ctx.log(), "the disk failed in a commit: no more writes until a restart"; "op" => op,
                "error_code" => "io_error", "error" => unknown.chain());
        }
        // If the database file was moved or replaced, the file that is opened now does not show the outcome.
        let file_changed = storage.file.0.as_ref().is_some_and(|file| file.has_changed());
        if self.operation.repeatable.is_none() || self.database.disk_failed() || file_changed {
            log_resolution("deferred");
            return Err(RunError::Unknown(unknown));
        }
        let again = Transaction { ctx: grace, ..*self };
        for attempt in 1.. {
            let outcome = match again.connection(grace.deadline()) {
                Ok(mut conn) => again.attempt(&mut conn, &Stage::new(), false),
                Err(fault) => Err(fault.into()),
            };
            if let Ok(_) | Err(RunError::Refused(_)) = outcome {
                log_resolution("resolved");
                return outcome;
            }
            if grace.check(op).is_err() {
                break;
            }
            again.pause(attempt);
        }
        log_resolution("deferred");
        Err(RunError::Unknown(unknown))
    }

    /// Pauses for a random time ("full jitter"), so that two transactions that conflicted do not conflict again.
    fn pause(&self, attempt: u32) {
        let longest = PAUSE.saturating_mul(1 << attempt.min(6)).min(self.ctx.deadline().remaining());
        let pause = longest.mul_f64(fastrand::f64());
        self.database.0.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.ctx.cancellation().cancelled() => {}
            }
        });
    }
}
