//! Runs a transaction once, and classifies its failure.
//!
//! | failure                                | reported as                                        | effect  |
//! |----------------------------------------|----------------------------------------------------|---------|
//! | caller gone or late, before the commit | `Cancelled`, `DeadlineExceeded`                    | none    |
//! | an SQL error before the commit         | `Cancelled`, `DeadlineExceeded`, or by the message | none    |
//! | the engine refused the commit          | `Cancelled`, `DeadlineExceeded`, or by the message | none    |
//! | the commit of a write broke            | `OutcomeUnknown`                                   | unknown |
//!
//! [`rerun`](super::rerun) decides whether the transaction runs again.

use diesel::result::Error;
use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};

use super::backend::{Limits, Mode};
use super::classify::{classify, classify_kind, conflict, makes_connection_unusable, refused_commit};
use super::group::{End, Joined};
use super::job::Stage;
use super::pool::PooledConn;
use super::{Database, Engine, Operation, Tx, TxError};

/// Why one run of a transaction did not succeed.
pub(super) enum RunError<E> {
    /// The body refused the operation. The run has no effect.
    Refused(E),
    /// The run failed, and has no effect.
    Failed(Fault),
    /// A conflict with another transaction. The run has no effect, and a later run may succeed. The text is the reason
    /// for the log.
    Conflict(&'static str, Fault),
    /// The commit broke, and its effect is unknown. The connection is not used again.
    Unknown(Fault),
}

impl<E> From<Fault> for RunError<E> {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl<E: From<Fault>> RunError<E> {
    pub(super) fn into_error(self) -> E {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Failed(fault) | Self::Conflict(_, fault) | Self::Unknown(fault) => fault.into(),
        }
    }
}

/// A transaction that a blocking thread runs for a caller, once or several times.
pub(super) struct Transaction<'t, T, E> {
    pub(super) database: &'t Database,
    pub(super) ctx: &'t RequestContext,
    pub(super) operation: Operation,
    pub(super) work: &'t dyn Fn(&mut Tx<'_>) -> Result<T, TxError<E>>,
}

impl<T, E: From<Fault>> Transaction<'_, T, E> {
    /// Runs the work once, and commits it unless it refuses or the caller is gone or out of time. If `is_first`, the
    /// writes that wait on SQLite join the transaction.
    pub(super) fn attempt(&self, conn: &mut PooledConn, stage: &Stage, is_first: bool) -> Result<T, RunError<E>> {
        let outcome = self.begin_and_commit(conn, stage, is_first);
        self.database.record_room(self.operation, &outcome);
        outcome
    }

    fn begin_and_commit(&self, conn: &mut PooledConn, stage: &Stage, is_first: bool) -> Result<T, RunError<E>> {
        let (ctx, op, mode, storage) = (self.ctx, self.operation.name, self.operation.mode, &self.database.0);
        let (file, log) = (storage.file.0.as_ref().filter(|_| mode.writes()), conn.log);
        let intact = || file.map_or(Ok(()), |file| file.must_be_intact(op, log));
        let limits = Limits::of(&storage.config).within(ctx.deadline().remaining());
        ctx.check(op)?;
        if mode.writes() {
            // The disk may have failed while this write waited.
            self.database.takes_writes(op)?;
        }
        // One statement is a transaction of its own. Without BEGIN and COMMIT it is one round trip instead of three.
        if mode == Mode::ReadOne && conn.enforces(limits) {
            return self.body(conn, stage);
        }
        if mode == Mode::WriteOne && conn.enforces(limits) && self.database.engine() == Engine::Postgres {
            return self.commit_one(conn, stage);
        }
        if let Err(error) = conn.begin(mode, limits) {
            return Err(self.before_commit(conn, error));
        }
        let decided = self.body(conn, stage).and_then(|value| {
            intact()?;
            Ok(value)
        });
        let value = match decided {
            Ok(value) => value,
            Err(failure) => {
                conn.roll_back();
                return Err(failure);
            }
        };
        let joins = mode.writes() && is_first && !self.operation.is_alone && self.database.engine() == Engine::Sqlite;
        let Some(mut joined) = (if joins { storage.group.join(conn) } else { Some(Joined::default()) }) else {
            conn.roll_back();
            let lost = Fault::new(FaultKind::Contention, op).caused_by("a joined write ended the transaction");
            return Err(RunError::Conflict("joined", lost));
        };
        joined.begin_commit();
        let committed = {
            let _under_way = mode.writes().then(|| storage.commits.begin());
            conn.commit()
        };
        // Checked again after the commit, so that a write is acknowledged only if it is in the file at the configured
        // path, and not in a file that was just deleted.
        let unknown = match committed {
            Ok(()) => match intact() {
                Ok(()) => {
                    joined.end(&End::Committed);
                    return Ok(value);
                }
                Err(cause) => cause,
            },
            // A read has no effect that could be unknown.
            Err(error) if !mode.writes() || refused_commit(&error) => {
                // The other writes get the engine's reason, and not that the caller of this one is gone or late.
                joined.end(&End::RolledBack(classify_kind(&error), error.to_string()));
                return Err(self.before_commit(conn, error));
            }
            Err(error) => {
                conn.do_not_reuse = true;
                classify(op, error)
            }
        };
        joined.end(&End::Unknown(unknown.chain()));
        Err(RunError::Unknown(Fault::new(FaultKind::OutcomeUnknown, op).caused_by(unknown)))
    }

    /// Runs work of one statement, which the engine commits at once. If the connection breaks, the effect is unknown.
    fn commit_one(&self, conn: &mut PooledConn, stage: &Stage) -> Result<T, RunError<E>> {
        let op = self.operation.name;
        if !stage.begin_commit() {
            return Err(Fault::new(FaultKind::Cancelled, op).into());
        }
        // Not marked as a commit under way, because the statement may wait for a lock.
        self.statements(conn).map_err(|error| match error {
            TxError::Refused(refusal) => RunError::Refused(refusal),
            TxError::Sql(error) if makes_connection_unusable(&error) => {
                conn.do_not_reuse = true;
                RunError::Unknown(Fault::new(FaultKind::OutcomeUnknown, op).caused_by(classify(op, error)))
            }
            TxError::Sql(error) => self.before_commit(conn, error),
        })
    }

    /// Runs the work, and the writes that it deferred.
    fn statements(&self, conn: &mut PooledConn) -> Result<T, TxError<E>> {
        let mut tx = conn.tx();
        let value = (self.work)(&mut tx)?;
        tx.send_deferred()?;
        Ok(value)
    }

    /// Runs the work in the open transaction, and decides that it will be committed. After that the caller cannot
    /// abandon it.
    pub(super) fn body(&self, conn: &mut PooledConn, stage: &Stage) -> Result<T, RunError<E>> {
        let (ctx, op) = (self.ctx, self.operation.name);
        // Checked again, because BEGIN can take long on a bad connection, and a write may wait for its turn.
        ctx.check(op)?;
        let value = self.statements(conn).map_err(|error| match error {
            TxError::Refused(refusal) => RunError::Refused(refusal),
            TxError::Sql(error) => self.before_commit(conn, error),
        })?;
        ctx.check(op)?;
        match stage.begin_commit() {
            true => Ok(value),
            false => Err(Fault::new(FaultKind::Cancelled, op).into()),
        }
    }

    /// Classifies an error that happened while nothing was committed.
    fn before_commit(&self, conn: &mut PooledConn, error: Error) -> RunError<E> {
        let op = self.operation.name;
        if makes_connection_unusable(&error) {
            conn.do_not_reuse = true;
        }
        // If the deadline has passed or the caller is gone, the fault says so, whatever the engine's message is.
        match (self.ctx.check(op), conflict(&error)) {
            (Err(fault), _) => RunError::Failed(fault.caused_by(error)),
            (Ok(()), Some(reason)) => RunError::Conflict(reason, classify(op, error)),
            (Ok(()), None) => RunError::Failed(classify(op, error)),
        }
    }
}
