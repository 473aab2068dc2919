//! The one place where a database error becomes a [`Fault`].

use diesel::result::{DatabaseErrorKind as Kind, Error};
use domain::fault::{Fault, FaultKind};

/// Returns the fault for an error when nothing was committed.
///
/// Diesel drops the SQLSTATE, so an error for which Diesel has no kind is classified by its message. A test provokes
/// each message on the real engine.
pub(super) fn classify(operation: &'static str, error: Error) -> Fault {
    Fault::new(classify_kind(&error), operation).caused_by(error)
}

/// The kind of the fault for an error when nothing was committed.
pub(super) fn classify_kind(error: &Error) -> FaultKind {
    match root(error) {
        Error::DatabaseError(Kind::ClosedConnection, _) => FaultKind::Unavailable,
        Error::DatabaseError(Kind::SerializationFailure, _) => FaultKind::Contention,
        Error::DatabaseError(Kind::ReadOnlyTransaction, _) => FaultKind::Unavailable,
        Error::DatabaseError(_, info) => by_message(info.message()),
        Error::BrokenTransactionManager => FaultKind::Unavailable,
        _ => FaultKind::Internal,
    }
}

/// Returns the kind of the conflict with another transaction, if the error is a conflict. The same transaction may
/// succeed when it runs again. A lock timeout is not a conflict in this sense.
pub(super) fn conflict(error: &Error) -> Option<&'static str> {
    match root(error) {
        Error::DatabaseError(Kind::SerializationFailure, _) => Some("serialization"),
        Error::DatabaseError(_, info) if info.message().contains("deadlock detected") => Some("deadlock"),
        _ => None,
    }
}

/// Whether the engine itself reports that it did not commit. SQLite reports a full disk before it writes the frame
/// that commits. A broken connection reports nothing.
pub(super) fn refused_commit(error: &Error) -> bool {
    let full = |error: &Error| matches!(error, Error::DatabaseError(_, info) if info.message().contains(SQLITE_FULL));
    classify_kind(error) == FaultKind::Contention || full(root(error))
}

/// Whether the connection must not be used again after this error: its server takes no writes, or is gone.
pub(super) fn makes_connection_unusable(error: &Error) -> bool {
    match root(error) {
        Error::DatabaseError(Kind::ClosedConnection | Kind::ReadOnlyTransaction, _) => true,
        Error::DatabaseError(_, info) => UNUSABLE_CONNECTION.iter().any(|known| info.message().contains(known)),
        _ => false,
    }
}

/// Whether a commit broke because of an I/O error of SQLite's disk.
pub(super) fn is_disk_failure(fault: &Fault) -> bool {
    fault.chain().contains("disk I/O error")
}

/// Returns the error of the commit if the rollback after it failed too, otherwise the error itself.
fn root(error: &Error) -> &Error {
    match error {
        Error::RollbackErrorOnCommit { commit_error, .. } => root(commit_error),
        error => error,
    }
}

const SQLITE_FULL: &str = "database or disk is full";

const UNUSABLE_CONNECTION: &[&str] = &[
    "cannot execute",
    "cannot set transaction read-write mode",
    "terminating connection",
    "the database system is",
    "server closed the connection unexpectedly",
    "no connection to the server",
    "could not receive data from server",
    "could not send data to server",
    "SSL connection has been closed unexpectedly",
];

fn by_message(message: &str) -> FaultKind {
    const CONTENTION: &[&str] = &[
        "canceling statement due to lock timeout",
        "deadlock detected",
        "database is locked",
        "database table is locked",
    ];
    // The operating system reports exhausted shared memory as a full device, although the disk has room.
    const NO_DISK: &str = "shared memory segment";
    // Postgres repeats the system's message, or reports a short write.
    const STORAGE_FULL: &[&str] = &["No space left on device", "Disk quota exceeded", ": wrote only ", SQLITE_FULL];
    const UNAVAILABLE: &[&str] = &[
        "canceling statement due to statement timeout",
        "connection to server",
        "could not extend file",
        "disk I/O error",
        "attempt to write a readonly database",
        "remaining connection slots are reserved",
        "too many clients already",
    ];
    let says = |known: &[&str]| known.iter().any(|known| message.contains(known));
    if says(CONTENTION) {
        FaultKind::Contention
    } else if says(STORAGE_FULL) && !message.contains(NO_DISK) {
        FaultKind::StorageFull
    } else if says(UNAVAILABLE) || says(UNUSABLE_CONNECTION) || message.contains(NO_DISK) {
        FaultKind::Unavailable
    } else {
        FaultKind::Internal
    }
}
