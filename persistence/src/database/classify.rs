//! The one place where a database error becomes a [`Fault`].

use diesel::result::{DatabaseErrorKind as Kind, Error};
use domain::fault::{Fault, FaultKind};

/// What an error means when nothing was committed.
///
/// Diesel drops the SQLSTATE, so what it has no kind for is told by the message. Each message is pinned by a test that
/// provokes it on the real engine.
pub(super) fn classify(operation: &'static str, error: Error) -> Fault {
    let kind = match &error {
        Error::DatabaseError(Kind::ClosedConnection, _) => FaultKind::Unavailable,
        Error::DatabaseError(Kind::SerializationFailure, _) => FaultKind::Contention,
        Error::DatabaseError(Kind::ReadOnlyTransaction, _) => FaultKind::Unavailable,
        Error::DatabaseError(_, info) => by_message(info.message()),
        Error::BrokenTransactionManager => FaultKind::Unavailable,
        _ => FaultKind::Internal,
    };
    Fault::new(kind, operation).caused_by(error)
}

fn by_message(message: &str) -> FaultKind {
    const CONTENTION: &[&str] = &[
        "canceling statement due to lock timeout",
        "deadlock detected",
        "database is locked",
        "database table is locked",
    ];
    const UNAVAILABLE: &[&str] = &[
        "canceling statement due to statement timeout",
        "terminating connection",
        "server closed the connection unexpectedly",
        "connection to server",
        "no connection to the server",
        "could not receive data from server",
        "could not send data to server",
        "SSL connection has been closed unexpectedly",
        "the database system is",
        "cannot execute",
        "No space left on device",
        "could not extend file",
        "database or disk is full",
        "disk I/O error",
        "attempt to write a readonly database",
        "remaining connection slots are reserved",
        "too many clients already",
    ];
    let says = |known: &[&str]| known.iter().any(|known| message.contains(known));
    if says(CONTENTION) {
        FaultKind::Contention
    } else if says(UNAVAILABLE) {
        FaultKind::Unavailable
    } else {
        FaultKind::Internal
    }
}
