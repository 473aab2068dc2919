//! Who waits for a job, who works on it, and what each may decide alone.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use domain::context::RequestContext;
use slog::warn;
use tokio::sync::OwnedSemaphorePermit;

use super::{Database, Engine, Operation};

/// Who decides how a transaction ends. The job may commit, or its caller may give it up: whoever comes first. So a
/// caller that was told "nothing happened" can rely on it.
pub(super) struct Stage(AtomicU8);

const RUNNING: u8 = 0;
const COMMITTING: u8 = 1;
const ABANDONED: u8 = 2;
/// Its caller lost patience while it was committing.
const LEFT: u8 = 3;
const ENDED: u8 = 4;

impl Stage {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(RUNNING))
    }

    fn pass(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The caller gives up. False when the commit has begun, or the job is over.
    fn abandon(&self) -> bool {
        self.pass(RUNNING, ABANDONED)
    }

    /// The caller gives up although it may have happened. False unless the commit has begun and is not over.
    fn leave(&self) -> bool {
        self.pass(COMMITTING, LEFT)
    }

    /// The job is over. True when its caller had given it up before; later it cannot any more.
    fn end(&self) -> bool {
        matches!(self.0.swap(ENDED, Ordering::AcqRel), ABANDONED | LEFT)
    }

    /// The job commits. False when its caller has given up.
    pub(super) fn begin_commit(&self) -> bool {
        self.pass(RUNNING, COMMITTING)
    }

    /// The job was refused its commit and begins anew. False when its caller has given up.
    pub(super) fn begin_again(&self) -> bool {
        self.pass(COMMITTING, RUNNING) || self.0.load(Ordering::Acquire) == RUNNING
    }
}

/// A job, as its caller and its thread share it.
pub(super) struct Job {
    pub(super) stage: Stage,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Job {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Arc<Self> {
        Arc::new(Self { stage: Stage::new(), permit: Mutex::new(Some(permit)) })
    }

    fn give_back_permit(&self) {
        drop(self.permit.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// The thread's side. Gives back the permit when the job ends, however it ends, and strikes it off the abandoned ones.
pub(super) struct JobEnd {
    pub(super) database: Database,
    pub(super) job: Arc<Job>,
}

impl Drop for JobEnd {
    fn drop(&mut self) {
        if self.job.stage.end() {
            self.database.count_abandoned(-1);
        }
        self.job.give_back_permit();
    }
}

/// The caller's side. To drop it before the job is over, for instance because the client hung up, is to give up.
pub(super) struct Wait<'a> {
    pub(super) database: &'a Database,
    pub(super) ctx: &'a RequestContext,
    pub(super) operation: Operation,
    pub(super) job: Arc<Job>,
}

impl Wait<'_> {
    /// True when now nothing can happen any more.
    pub(super) fn abandon(&self) -> bool {
        let abandoned = self.job.stage.abandon();
        if abandoned {
            self.told();
        }
        abandoned
    }

    /// A thread that waits for a network that swallows everything may never come back: the library has no time limit
    /// for reading. So that such threads cannot use up the pool, as many again may work in their place. SQLite waits
    /// for no network, and has one writer.
    fn told(&self) {
        let abandoned = self.database.count_abandoned(1);
        if self.database.engine() == Engine::Postgres && abandoned <= i64::from(self.database.0.config.pool_size) {
            self.job.give_back_permit();
        }
        warn!(self.ctx.log(), "transaction abandoned: its caller is gone or out of time";
            "op" => self.operation.name, "abandoned" => abandoned);
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if !self.abandon() && self.job.stage.leave() {
            self.told();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_side_decides() {
        let (given_up, committed) = (Stage::new(), Stage::new());
        assert!(given_up.abandon());
        assert!(!given_up.begin_commit());
        assert!(!given_up.begin_again());
        assert!(committed.begin_commit());
        assert!(!committed.abandon());
        assert!(given_up.end());
        assert!(!committed.end());
        assert!(!committed.abandon());
    }

    #[test]
    fn a_refused_commit_can_be_given_up_again() {
        let stage = Stage::new();
        assert!(stage.begin_again());
        assert!(stage.begin_commit() && stage.begin_again());
        assert!(stage.abandon());
        assert!(!stage.begin_again());
    }

    #[test]
    fn a_caller_who_leaves_a_commit_is_counted_until_it_ends() {
        let stage = Stage::new();
        assert!(!stage.leave());
        assert!(stage.begin_commit() && stage.leave());
        assert!(!stage.begin_again());
        assert!(stage.end());
    }
}
