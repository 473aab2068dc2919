//! A transaction under way, shared by its caller and its thread, and what each may decide alone.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use domain::context::RequestContext;
use slog::warn;
use tokio::sync::OwnedSemaphorePermit;

use super::{Database, Engine, Operation};

/// Decides how a transaction ends: the job commits, or its caller abandons it, whichever comes first. A caller that
/// gets "nothing happened" can rely on it.
pub(super) struct Stage(AtomicU8);

const RUNNING: u8 = 0;
const COMMITTING: u8 = 1;
const ABANDONED: u8 = 2;
/// The caller stopped waiting during the commit.
const LEFT: u8 = 3;
const ENDED: u8 = 4;

impl Stage {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(RUNNING))
    }

    fn pass(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The caller gives up. False if the commit has begun or the job has ended.
    fn abandon(&self) -> bool {
        self.pass(RUNNING, ABANDONED)
    }

    /// The caller gives up although the effect is unknown. False unless the commit is under way.
    fn leave(&self) -> bool {
        self.pass(COMMITTING, LEFT)
    }

    /// The job ends. True if its caller had given up before; from now on the caller cannot.
    fn end(&self) -> bool {
        matches!(self.0.swap(ENDED, Ordering::AcqRel), ABANDONED | LEFT)
    }

    /// The job commits. False if its caller has given up.
    pub(super) fn begin_commit(&self) -> bool {
        self.pass(RUNNING, COMMITTING)
    }

    /// The engine refused the commit, and the job starts again. False if its caller has given up.
    pub(super) fn begin_again(&self) -> bool {
        self.pass(COMMITTING, RUNNING) || self.0.load(Ordering::Acquire) == RUNNING
    }
}

/// A job, shared by its caller and its thread.
pub(super) struct Job {
    pub(super) stage: Stage,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Job {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Arc<Self> {
        Arc::new(Self { stage: Stage::new(), permit: Mutex::new(Some(permit)) })
    }

    fn release_permit(&self) {
        drop(self.permit.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// The thread's side. When the job ends, in any way, it releases the permit and subtracts the job from the abandoned
/// ones.
pub(super) struct RunningJob {
    pub(super) database: Database,
    pub(super) job: Arc<Job>,
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        if self.job.stage.end() {
            self.database.count_abandoned(-1);
        }
        self.job.release_permit();
    }
}

/// The caller's side. Dropping it before the job has ended gives up, for instance when the client disconnects.
pub(super) struct WaitingCaller<'a> {
    pub(super) database: &'a Database,
    pub(super) ctx: &'a RequestContext,
    pub(super) operation: Operation,
    pub(super) job: Arc<Job>,
}

impl WaitingCaller<'_> {
    /// True if the transaction now has no effect.
    pub(super) fn abandon(&self) -> bool {
        let abandoned = self.job.stage.abandon();
        if abandoned {
            self.report_abandoned();
        }
        abandoned
    }

    /// Counts the job as abandoned. On Postgres it also releases the permit of the job, while at most `pool_size` jobs are
    /// abandoned: a thread that waits for a silent server may never return, because the client library has no read
    /// timeout. The next caller opens a new connection. On SQLite the job keeps its permit until it ends.
    fn report_abandoned(&self) {
        let abandoned = self.database.count_abandoned(1);
        if self.database.engine() == Engine::Postgres && abandoned <= i64::from(self.database.0.config.pool_size) {
            self.job.release_permit();
        }
        warn!(self.ctx.log(), "transaction abandoned: its caller is gone or out of time";
            "op" => self.operation.name, "abandoned" => abandoned);
    }
}

impl Drop for WaitingCaller<'_> {
    fn drop(&mut self) {
        if !self.abandon() && self.job.stage.leave() {
            self.report_abandoned();
        }
    }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
