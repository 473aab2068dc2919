//! Group commit on SQLite: writes that wait for the only writer join its transaction.
//!
//! The writer runs its own body. Then it takes the writes that wait, runs the body of each in a savepoint, and commits
//! once for all. A body that fails is rolled back alone. A commit that fails is the failure of all. Writes that arrive
//! after the writer has taken the others wait for the next writer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::fault::FaultKind;

use super::pool::PooledConn;

/// The most writes that join a transaction.
const MOST_WRITES: usize = 63;

/// A write that waits for the writer.
pub(super) trait Joins: Send + Sync {
    /// Runs the body in the savepoint that is open. False if the body failed. Then the savepoint must be rolled back.
    fn run(&self, conn: &mut PooledConn) -> bool;

    /// Hands the result to the caller.
    fn end(&self, end: &End);
}

/// How the transaction of a group ended.
pub(super) enum End {
    Committed,
    /// The transaction has no effect, for this reason.
    RolledBack(FaultKind, String),
    /// The effect of the transaction is unknown, for this reason.
    Unknown(String),
    /// The engine rolled the whole transaction back because of one of its writes. Each of the others may run again.
    Lost,
}

/// The writes that wait, in the order of their arrival.
#[derive(Default)]
pub(super) struct Group {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    writes: BTreeMap<u64, Arc<dyn Joins>>,
}

/// The place of a write that waits. When it is dropped, the write no longer waits.
pub(super) struct Place<'g> {
    group: &'g Group,
    number: u64,
}

impl Place<'_> {
    /// Removes the write. False if a writer has taken it.
    pub(super) fn leave(&self) -> bool {
        self.group.waiting().writes.remove(&self.number).is_some()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The writes that have joined a transaction. If the writer panics, they are dropped: before the commit the transaction
/// counts as lost, and from then on its effect is unknown.
#[derive(Default)]
pub(super) struct Joined {
    writes: Vec<Arc<dyn Joins>>,
    is_committing: bool,
}

impl Joined {
    /// States that the commit begins.
    pub(super) fn begin_commit(&mut self) {
        self.is_committing = true;
    }

    pub(super) fn end(mut self, end: &End) {
        self.writes.drain(..).for_each(|write| write.end(end));
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let end = if self.is_committing { End::Unknown("the writer panicked".to_owned()) } else { End::Lost };
        self.writes.drain(..).for_each(|write| write.end(&end));
    }
}

impl Group {
    pub(super) fn wait(&self, write: Arc<dyn Joins>) -> Place<'_> {
        let mut waiting = self.waiting();
        waiting.last += 1;
        let number = waiting.last;
        waiting.writes.insert(number, write);
        Place { group: self, number }
    }

    /// Runs the waiting writes in the transaction that is open on `conn`, and returns them. `None` if one of them has
    /// ended the transaction.
    pub(super) fn join(&self, conn: &mut PooledConn) -> Option<Joined> {
        let (mut taken, mut joined) = (Joined { writes: self.take(), is_committing: false }, Joined::default());
        while !taken.writes.is_empty() {
            let write = taken.writes.remove(0);
            // Each write gets its end, also one whose savepoint or body failed: its body may have failed because of a
            // change that is not committed yet.
            joined.writes.push(write.clone());
            conn.savepoint().ok()?;
            let succeeded = write.run(conn);
            if succeeded { conn.release_savepoint() } else { conn.roll_back_to_savepoint() }.ok()?;
        }
        Some(joined)
    }

    fn take(&self) -> Vec<Arc<dyn Joins>> {
        let mut waiting = self.waiting();
        let mut taken = Vec::new();
        while taken.len() < MOST_WRITES
            && let Some((_, write)) = waiting.writes.pop_first()
        {
            taken.push(write);
        }
        taken
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting().writes.len()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
