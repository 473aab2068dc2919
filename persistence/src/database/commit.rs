//! One transaction, and what its end means.
//!
//! | when it fails                          | what is said                                          | what happened |
//! |----------------------------------------|-------------------------------------------------------|---------------|
//! | before the body returned `Ok`          | by the clock first, then by the engine's message       | nothing       |
//! | caller gone or late, before the commit | `Cancelled`, `DeadlineExceeded`                       | nothing       |
//! | the commit itself                      | `Contention` if the engine says so, else `OutcomeUnknown` | nobody knows  |

use std::sync::atomic::{AtomicU8, Ordering};

use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};

use super::backend::{Limits, Mode};
use super::pool::PooledConn;
use super::{Operation, Tx, TxError};
use crate::database::classify::classify;

/// Who decides how a transaction ends. The job may commit, or its caller may give it up: whoever comes first. So a
/// caller that was told "nothing happened" can rely on it.
pub(super) struct Stage(AtomicU8);

const RUNNING: u8 = 0;
const COMMITTING: u8 = 1;
const ABANDONED: u8 = 2;
const ENDED: u8 = 3;

impl Stage {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(RUNNING))
    }

    /// The caller gives up. False when the commit has begun, or the job is over.
    pub(super) fn abandon(&self) -> bool {
        self.0.compare_exchange(RUNNING, ABANDONED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The job is over. True when its caller had given it up before; later it cannot any more.
    pub(super) fn end(&self) -> bool {
        self.0.swap(ENDED, Ordering::AcqRel) == ABANDONED
    }

    /// The job commits. False when its caller has given up.
    fn begin_commit(&self) -> bool {
        self.0.compare_exchange(RUNNING, COMMITTING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

pub(super) fn transaction<T, E: From<Fault>>(
    conn: &mut PooledConn,
    ctx: &RequestContext,
    operation: Operation,
    limits: Limits,
    stage: &Stage,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, TxError<E>>,
) -> Result<T, E> {
    let op = operation.name;
    // The clock is a better witness than the message: out of time is out of time.
    let before_commit = |error: diesel::result::Error| match ctx.check(op) {
        Err(fault) => fault.caused_by(error),
        Ok(()) => classify(op, error),
    };

    ctx.check(op)?;
    conn.begin(operation.mode, limits).map_err(before_commit)?;
    let body = ctx.check(op).map_err(|fault| TxError::Refused(fault.into())).and_then(|()| work(&mut conn.tx()));
    let value = match body {
        Ok(value) => value,
        Err(error) => {
            conn.roll_back();
            return Err(match error {
                TxError::Refused(refusal) => refusal,
                TxError::Sql(error) => before_commit(error).into(),
            });
        }
    };
    if let Err(fault) = ctx.check(op) {
        conn.roll_back();
        return Err(fault.into());
    }
    if !stage.begin_commit() {
        conn.roll_back();
        return Err(Fault::new(FaultKind::Cancelled, op).into());
    }
    match conn.commit() {
        Ok(()) => Ok(value),
        // A read has no effect that could be unknown.
        Err(error) if operation.mode == Mode::Read => Err(classify(op, error).into()),
        Err(error) => {
            let kind = match classify(op, error) {
                fault if fault.kind() == FaultKind::Contention => return Err(fault.into()),
                fault => fault,
            };
            Err(Fault::new(FaultKind::OutcomeUnknown, op).caused_by(kind).into())
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
        assert!(committed.begin_commit());
        assert!(!committed.abandon());
        assert!(given_up.end());
        assert!(!committed.end());
        assert!(!committed.abandon());
    }
}
