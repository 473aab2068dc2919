//! The state of a running transaction, which its caller and its thread share.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use domain::context::RequestContext;
use slog::warn;
use tokio::sync::OwnedSemaphorePermit;

use super::{Database, Engine, Operation};

/// Decides how a transaction ends: either the job commits, or its caller abandons the job. The first of the two wins.
/// So if a caller abandons the job, the transaction is certain to have no effect.
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

    /// Abandons the job. False if the commit has begun or the job has ended.
    fn abandon(&self) -> bool {
        self.pass(RUNNING, ABANDONED)
    }

    /// Records that the caller stops waiting during the commit, whose effect is unknown to it. False if no commit is
    /// under way.
    fn leave(&self) -> bool {
        self.pass(COMMITTING, LEFT)
    }

    /// Records the end of the job, which the caller cannot abandon after that. True if the caller had stopped waiting
    /// before.
    fn end(&self) -> bool {
        matches!(self.0.swap(ENDED, Ordering::AcqRel), ABANDONED | LEFT)
    }

    /// Begins the commit. False if the caller has abandoned the job.
    pub(super) fn begin_commit(&self) -> bool {
        self.pass(RUNNING, COMMITTING)
    }

    fn has_begun_commit(&self) -> bool {
        matches!(self.0.load(Ordering::Acquire), COMMITTING | LEFT)
    }

    /// Begins another run after a conflict. False if the caller has stopped waiting.
    pub(super) fn begin_again(&self) -> bool {
        self.pass(COMMITTING, RUNNING) || self.0.load(Ordering::Acquire) == RUNNING
    }
}

/// A transaction on a blocking thread, shared by its caller and that thread.
pub(super) struct Job {
    pub(super) stage: Stage,
    /// Whether the thread panicked after it had begun the commit.
    panicked_in_commit: AtomicBool,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Job {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { stage: Stage::new(), panicked_in_commit: AtomicBool::new(false), permit: Mutex::new(None) })
    }

    /// Whether the thread panicked after it had begun the commit, so that the effect of the transaction is unknown.
    pub(super) fn panicked_in_commit(&self) -> bool {
        self.panicked_in_commit.load(Ordering::Acquire)
    }

    /// Keeps the permit until the job ends.
    pub(super) fn hold(&self, permit: OwnedSemaphorePermit) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
    }

    fn release_permit(&self) {
        drop(self.permit.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// The thread's side of a job. When it is dropped, the job has ended: the permit is released, and the job no longer
/// counts as abandoned.
pub(super) struct RunningJob {
    pub(super) database: Database,
    pub(super) job: Arc<Job>,
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        if std::thread::panicking() && self.job.stage.has_begun_commit() {
            self.job.panicked_in_commit.store(true, Ordering::Release);
        }
        if self.job.stage.end() {
            self.database.count_abandoned(-1);
        }
        self.job.release_permit();
    }
}

/// The caller's side of a job. If it is dropped before the job has ended, for instance because the client disconnects,
/// the caller abandons the job.
pub(super) struct WaitingCaller<'a> {
    pub(super) database: &'a Database,
    pub(super) ctx: &'a RequestContext,
    pub(super) operation: Operation,
    pub(super) job: Arc<Job>,
}

impl WaitingCaller<'_> {
    /// Abandons the job. True if the transaction has no effect, false if its commit has begun or the job has ended.
    pub(super) fn abandon(&self) -> bool {
        let abandoned = self.job.stage.abandon();
        if abandoned {
            self.report_abandoned();
        }
        abandoned
    }

    /// Counts the job as abandoned. On Postgres it also releases the permit of the job, while at most `pool_size` jobs
    /// are abandoned: a thread that waits for a silent server may never return, because the client library has no read
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
