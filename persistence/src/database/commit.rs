//! One run of a transaction, and the meaning of its end.
//!
//! | failure                                | reported as                                         | effect  |
//! |----------------------------------------|-----------------------------------------------------|---------|
//! | before the body returned `Ok`          | by the clock first, then by the engine's message    | none    |
//! | caller gone or late, before the commit | `Cancelled`, `DeadlineExceeded`                     | none    |
//! | the commit itself                      | by the message if the engine refused, else `Unknown` | unknown |
//!
//! [`rerun`](super::rerun) decides what follows.

use diesel::result::Error;
use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};

use super::backend::{Limits, Mode};
use super::classify::{classify, conflict, makes_connection_unusable, refused_commit};
use super::job::Stage;
use super::pool::PooledConn;
use super::{Operation, Shared, Tx, TxError};

/// Why one run of a transaction did not succeed.
pub(super) enum RunError<E> {
    /// The body refused. No effect.
    Refused(E),
    /// No effect.
    Failed(Fault),
    /// No effect, because of another transaction; the same run may succeed later. With the reason, for the log.
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

/// Runs `work` once in a transaction, and commits it unless `work` refuses or the caller is gone or out of time.
pub(super) fn transaction<T, E: From<Fault>>(
    conn: &mut PooledConn,
    ctx: &RequestContext,
    operation: Operation,
    limits: Limits,
    stage: &Stage,
    storage: &Shared,
    work: &impl Fn(&mut Tx<'_>) -> Result<T, TxError<E>>,
) -> Result<T, RunError<E>> {
    let op = operation.name;
    let (file, log) = (storage.file.0.as_ref().filter(|_| operation.mode == Mode::Write), conn.log());
    let intact = || file.map_or(Ok(()), |file| file.must_be_intact(op, log));
    ctx.check(op)?;
    if let Err(error) = conn.begin(operation.mode, limits) {
        return Err(before_commit(conn, ctx, op, error));
    }
    let mut ready_to_commit = || {
        // BEGIN can take long on a bad connection.
        ctx.check(op)?;
        let value = work(&mut conn.tx()).map_err(|error| match error {
            TxError::Refused(refusal) => RunError::Refused(refusal),
            TxError::Sql(error) => before_commit(conn, ctx, op, error),
        })?;
        ctx.check(op)?;
        intact()?;
        match stage.begin_commit() {
            true => Ok(value),
            false => Err(Fault::new(FaultKind::Cancelled, op).into()),
        }
    };
    let value = match ready_to_commit() {
        Ok(value) => value,
        Err(failure) => {
            conn.roll_back();
            return Err(failure);
        }
    };
    let committed = {
        let _under_way = (operation.mode == Mode::Write).then(|| storage.commits.begin());
        conn.commit()
    };
    match committed {
        Ok(()) => {
            if operation.repeatable.is_some() {
                storage.room.was_found();
            }
            // Checked again after the commit: an acknowledged write is in the file at the configured path, and not in
            // a file that was just deleted.
            match intact() {
                Ok(()) => Ok(value),
                Err(lost) => Err(RunError::Unknown(Fault::new(FaultKind::OutcomeUnknown, op).caused_by(lost))),
            }
        }
        // A read has no effect that could be unknown.
        Err(error) if operation.mode == Mode::Read => Err(before_commit(conn, ctx, op, error)),
        Err(error) if refused_commit(&error) => Err(before_commit(conn, ctx, op, error)),
        Err(error) => {
            conn.do_not_reuse();
            Err(RunError::Unknown(Fault::new(FaultKind::OutcomeUnknown, op).caused_by(classify(op, error))))
        }
    }
}

/// The meaning of an error while nothing is committed.
fn before_commit<E>(conn: &mut PooledConn, ctx: &RequestContext, op: &'static str, error: Error) -> RunError<E> {
    if makes_connection_unusable(&error) {
        conn.do_not_reuse();
    }
    // A deadline that has passed outranks the message.
    match (ctx.check(op), conflict(&error)) {
        (Err(fault), _) => RunError::Failed(fault.caused_by(error)),
        (Ok(()), Some(reason)) => RunError::Conflict(reason, classify(op, error)),
        (Ok(()), None) => RunError::Failed(classify(op, error)),
    }
}
