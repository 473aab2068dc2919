//! One transaction, tried once, and what its end means.
//!
//! | when it fails                          | what is said                                       | what happened |
//! |----------------------------------------|----------------------------------------------------|---------------|
//! | before the body returned `Ok`          | by the clock first, then by the engine's message    | nothing       |
//! | caller gone or late, before the commit | `Cancelled`, `DeadlineExceeded`                    | nothing       |
//! | the commit itself                      | what the engine says if it refused, else `Unknown` | nobody knows  |
//!
//! What is done about it is for [`rerun`](super::rerun) to say.

use diesel::result::Error;
use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};

use super::backend::{Limits, Mode};
use super::classify::{classify, conflict, refused_commit, spoils_connection};
use super::job::Stage;
use super::pool::PooledConn;
use super::room::Room;
use super::{Operation, Shared, Tx, TxError};

/// Why a transaction did not commit.
pub(super) enum RunError<E> {
    /// Its body said so. Nothing happened.
    Refused(E),
    /// Nothing happened.
    Failed(Fault),
    /// Nothing happened, because of another transaction: the same again may succeed. With the reason, for the log.
    Conflict(&'static str, Fault),
    /// The commit broke. Nobody knows what happened; the connection is not used again.
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
    let room = &storage.room;
    let (file, log) = (storage.file.get().filter(|_| operation.mode == Mode::Write), conn.log());
    let intact = || file.map_or(Ok(()), |file| file.must_be_intact(op, log));
    ctx.check(op)?;
    if let Err(error) = conn.begin(operation.mode, limits) {
        return Err(before_commit(conn, ctx, op, error));
    }
    let ended = body(conn, ctx, op, room, work).and_then(|ended| {
        intact()?;
        stage.begin_commit().then_some(ended).ok_or_else(|| Fault::new(FaultKind::Cancelled, op).into())
    });
    let (value, needs_room) = match ended {
        Ok(ended) => ended,
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
            if needs_room {
                room.was_found();
            }
            // Looked at once more: what is acknowledged is in the file that the path leads to, and not in one that was
            // deleted a moment ago.
            match intact() {
                Ok(()) => Ok(value),
                Err(lost) => Err(RunError::Unknown(Fault::new(FaultKind::OutcomeUnknown, op).caused_by(lost))),
            }
        }
        // A read has no effect that could be unknown.
        Err(error) if operation.mode == Mode::Read => Err(before_commit(conn, ctx, op, error)),
        Err(error) if refused_commit(&error) => Err(before_commit(conn, ctx, op, error)),
        Err(error) => {
            conn.spoil();
            Err(RunError::Unknown(Fault::new(FaultKind::OutcomeUnknown, op).caused_by(classify(op, error))))
        }
    }
}

/// Everything between begin and commit. Says also whether to commit needs room; that is only of interest where none was
/// left.
fn body<T, E: From<Fault>>(
    conn: &mut PooledConn,
    ctx: &RequestContext,
    op: &'static str,
    room: &Room,
    work: &impl Fn(&mut Tx<'_>) -> Result<T, TxError<E>>,
) -> Result<(T, bool), RunError<E>> {
    // To begin can take long, on a bad connection.
    ctx.check(op)?;
    let is_out = room.is_out();
    let changes = |conn: &mut PooledConn| match is_out {
        true => conn.changes().map_err(|error| before_commit(conn, ctx, op, error)),
        false => Ok(0),
    };
    let before = changes(conn)?;
    let value = work(&mut conn.tx()).map_err(|error| match error {
        TxError::Refused(refusal) => RunError::Refused(refusal),
        TxError::Sql(error) => before_commit(conn, ctx, op, error),
    })?;
    let needs_room = changes(conn)? != before;
    ctx.check(op)?;
    Ok((value, needs_room))
}

/// What an error means while nothing is committed.
fn before_commit<E>(conn: &mut PooledConn, ctx: &RequestContext, op: &'static str, error: Error) -> RunError<E> {
    if spoils_connection(&error) {
        conn.spoil();
    }
    // The clock is a better witness than the message: out of time is out of time.
    match (ctx.check(op), conflict(&error)) {
        (Err(fault), _) => RunError::Failed(fault.caused_by(error)),
        (Ok(()), Some(reason)) => RunError::Conflict(reason, classify(op, error)),
        (Ok(()), None) => RunError::Failed(classify(op, error)),
    }
}
