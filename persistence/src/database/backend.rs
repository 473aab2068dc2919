//! Two engines, one enum. The only file that opens a connection or a transaction.

use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;

use super::DatabaseUrl;

/// A connection to whichever engine the URL names.
pub(super) enum Conn {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Permission to run SQL inside the open transaction. Only this module makes one, and only inside a synchronous
/// closure: nothing can be awaited while it is held.
pub(crate) enum Tx<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// Runs one query on whichever engine `$tx` is, type-checked against each.
macro_rules! on_backend {
    ($tx:expr, |$conn:ident| $query:expr) => {
        match $tx {
            $crate::database::Tx::Sqlite($conn) => $query,
            $crate::database::Tx::Postgres($conn) => $query,
        }
    };
}
pub(crate) use on_backend;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Write,
}

/// What the engine itself enforces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) statement: Duration,
    pub(super) lock: Duration,
}

/// `WAL` lets readers work beside the writer. `FULL`, because an acknowledged order must survive a power cut: with
/// `NORMAL` the last commits can be lost. Both are set on every connection; only the first is remembered by the file.
const SQLITE_PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
     PRAGMA busy_timeout = 2000; PRAGMA temp_store = MEMORY;";

/// A session that sits in an open transaction without working is a bug; the server ends it.
const POSTGRES_SETTINGS: &str = "SET idle_in_transaction_session_timeout = '10s'; SET TIME ZONE 'UTC'";

impl Conn {
    pub(super) fn open(url: &DatabaseUrl) -> ConnectionResult<Self> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                let mut conn = SqliteConnection::establish(&path.to_string_lossy())?;
                conn.batch_execute(SQLITE_PRAGMAS).map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(Self::Sqlite(conn))
            }
            DatabaseUrl::Postgres(url) => {
                let mut conn = PgConnection::establish(url.expose())?;
                conn.batch_execute(POSTGRES_SETTINGS).map_err(ConnectionError::CouldntSetupConfiguration)?;
                // Faults are told apart by message, so messages are asked for in English. Only a privileged user may
                // ask; an English server needs no asking.
                let _ = conn.batch_execute("SET lc_messages = 'C'");
                Ok(Self::Postgres(conn))
            }
        }
    }

    /// Opens a transaction whose statements the engine ends by itself: on Postgres in the round trip of `BEGIN`. SQLite
    /// can only bound its waits for locks; its statements are bounded by their LIMIT and index.
    pub(super) fn begin(&mut self, mode: Mode, limits: Limits) -> QueryResult<()> {
        let lock = limits.lock.as_millis().max(1);
        match self {
            Self::Sqlite(conn) => {
                conn.batch_execute(&format!("PRAGMA busy_timeout = {lock}"))?;
                // Deferred, a write that follows a read fails at once when another writer was faster.
                let sql = if mode == Mode::Write { "BEGIN IMMEDIATE" } else { "BEGIN DEFERRED" };
                AnsiTransactionManager::begin_transaction_sql(conn, sql)
            }
            Self::Postgres(conn) => {
                let access = if mode == Mode::Write { "READ WRITE" } else { "READ ONLY" };
                let statement = limits.statement.as_millis().max(1);
                let sql = format!(
                    "BEGIN ISOLATION LEVEL READ COMMITTED {access}; SET LOCAL statement_timeout = {statement}; \
                     SET LOCAL lock_timeout = {lock}"
                );
                AnsiTransactionManager::begin_transaction_sql(conn, &sql)
            }
        }
    }

    pub(super) fn tx(&mut self) -> Tx<'_> {
        match self {
            Self::Sqlite(conn) => Tx::Sqlite(conn),
            Self::Postgres(conn) => Tx::Postgres(conn),
        }
    }

    pub(super) fn commit(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(conn) => AnsiTransactionManager::commit_transaction(conn),
            Self::Postgres(conn) => AnsiTransactionManager::commit_transaction(conn),
        }
    }

    /// A failure here leaves the connection marked as broken; the pool then drops it, which rolls back as well.
    pub(super) fn roll_back(&mut self) {
        let _ = match self {
            Self::Sqlite(conn) => AnsiTransactionManager::rollback_transaction(conn),
            Self::Postgres(conn) => AnsiTransactionManager::rollback_transaction(conn),
        };
    }

    pub(super) fn ping(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(conn) => conn.ping(),
            Self::Postgres(conn) => conn.ping(),
        }
    }

    pub(super) fn is_broken(&mut self) -> bool {
        match self {
            Self::Sqlite(conn) => conn.is_broken(),
            Self::Postgres(conn) => conn.is_broken(),
        }
    }
}
