//! Two engines, one enum. The only file that opens a connection or a transaction.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel::sql_types::{BigInt, Text};

use super::DatabaseUrl;
use super::constant::{Constant, constant};
use super::postgres_url::with_parameters;

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

/// Runs a statement; how many rows it changed.
macro_rules! execute {
    ($tx:expr, $statement:expr) => {
        $crate::database::on_backend!($tx, |conn| $statement.execute(*conn))
    };
}
/// All rows of a query.
macro_rules! load {
    ($tx:expr, $query:expr) => {
        $crate::database::on_backend!($tx, |conn| $query.load(*conn))
    };
}
/// The first row of a query, if there is one.
macro_rules! first {
    ($tx:expr, $query:expr) => {
        $crate::database::on_backend!($tx, |conn| $query.first(*conn).optional())
    };
}
/// The first row of a query, if there is one, locked until the transaction ends. On SQLite a transaction that writes
/// has the whole file.
macro_rules! lock {
    ($tx:expr, $query:expr) => {
        match $tx {
            $crate::database::Tx::Sqlite(conn) => $query.first(*conn).optional(),
            $crate::database::Tx::Postgres(conn) => $query.for_update().first(*conn).optional(),
        }
    };
}
/// All rows of a query, locked until the transaction ends, in the order of the query.
macro_rules! lock_all {
    ($tx:expr, $query:expr) => {
        match $tx {
            $crate::database::Tx::Sqlite(conn) => $query.load(*conn),
            $crate::database::Tx::Postgres(conn) => $query.for_update().load(*conn),
        }
    };
}
/// The rows of a query that no other transaction has locked, locked until the transaction ends.
macro_rules! lock_free {
    ($tx:expr, $query:expr) => {
        match $tx {
            $crate::database::Tx::Sqlite(conn) => $query.load(*conn),
            $crate::database::Tx::Postgres(conn) => $query.for_update().skip_locked().load(*conn),
        }
    };
}
pub(crate) use {execute, first, load, lock, lock_all, lock_free};

/// A column of text in the order of its bytes. Without this Postgres orders by the collation of its database: lists would
/// differ between the engines, and the order in which rows are locked from that of the program.
pub(crate) fn bytewise(tx: &Tx<'_>, column: &'static str) -> Constant<Text> {
    match tx {
        Tx::Sqlite(_) => constant(column),
        Tx::Postgres(_) => constant(format!("{column} COLLATE \"C\"")),
    }
}

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
/// `NORMAL` the last commits can be lost. Both are set on every connection; only the first is remembered by the file. The
/// timeout comes first: to ask for `WAL` is already a moment at which the file may be locked. A log that grew while somebody
/// read for long is cut back to 8 MiB when it begins anew; it usually has 4.
const SQLITE_PRAGMAS: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA journal_size_limit = 8388608; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;";

/// A session that sits in an open transaction without working is a bug; the server ends it.
const POSTGRES_SETTINGS: &str = "SET idle_in_transaction_session_timeout = '10s'; SET TIME ZONE 'UTC'";

/// The library waits for ever for a server that accepts and then says nothing, and for hours for one that vanished;
/// each such wait would keep a connection of the pool. And a server that only follows another takes no writes: among
/// several hosts, or behind a proxy that has not noticed yet, it is passed over. What the URL says itself counts more.
const POSTGRES_OPTIONS: [(&str, &str); 6] = [
    ("target_session_attrs", "read-write"),
    ("connect_timeout", "2"),
    ("keepalives_idle", "15"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "30000"),
];

/// As SQLite reads it: the file must exist, since a connection that makes one would make an empty shop; and no part of
/// the path is taken for an option.
fn existing_file(path: &Path) -> String {
    use std::fmt::Write;
    // Without doubled slashes: two at the beginning would name a host.
    let path: PathBuf = path.components().collect();
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
            byte => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri + "?mode=rw"
}

/// What the client library says of an address may repeat parts of it.
fn shown(address: &DatabaseUrl, error: ConnectionError) -> ConnectionError {
    match error {
        ConnectionError::BadConnection(message) => ConnectionError::BadConnection(address.without_secrets(message)),
        // Its address could not even be handed over; what it says has the address in it.
        ConnectionError::InvalidConnectionUrl(_) => ConnectionError::BadConnection("the address cannot be read".into()),
        other => other,
    }
}

impl Conn {
    pub(super) fn open(address: &DatabaseUrl) -> ConnectionResult<Self> {
        match address {
            DatabaseUrl::Sqlite(path) => {
                let mut conn = SqliteConnection::establish(&existing_file(path))?;
                conn.batch_execute(SQLITE_PRAGMAS).map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(Self::Sqlite(conn))
            }
            DatabaseUrl::Postgres(url) => {
                let with_options = with_parameters(url.expose(), &POSTGRES_OPTIONS);
                let mut conn = PgConnection::establish(&with_options).map_err(|error| shown(address, error))?;
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
        // Rounded up: an engine that gave up before the deadline would be taken for a busy one.
        let millis = |limit: Duration| limit.as_micros().div_ceil(1_000).max(1);
        let (statement, lock) = (millis(limits.statement), millis(limits.lock));
        match self {
            Self::Sqlite(conn) => {
                conn.batch_execute(&format!("PRAGMA busy_timeout = {lock}"))?;
                // Deferred, a write that follows a read fails at once when another writer was faster.
                let sql = if mode == Mode::Write { "BEGIN IMMEDIATE" } else { "BEGIN DEFERRED" };
                AnsiTransactionManager::begin_transaction_sql(conn, sql)
            }
            Self::Postgres(conn) => {
                // A read of several statements is of one moment, as on SQLite. A write locks what it decides by, and
                // must see what was committed while it waited for the lock.
                let level = match mode {
                    Mode::Read => "REPEATABLE READ READ ONLY",
                    Mode::Write => "READ COMMITTED READ WRITE",
                };
                let sql = format!(
                    "BEGIN ISOLATION LEVEL {level}; SET LOCAL statement_timeout = {statement}; \
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

    /// Grows when the open transaction changes something. On Postgres by what the session itself counts, row by row: a
    /// transaction id or a place in the log is had by a lock alone.
    pub(super) fn changes(&mut self) -> QueryResult<i64> {
        const ROWS: &str = "(SELECT CAST(coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) AS BIGINT) \
             FROM pg_stat_xact_user_tables)";
        let count = |changes: &'static str| diesel::select(constant::<BigInt>(changes));
        match self {
            Self::Sqlite(conn) => count("total_changes()").get_result(conn),
            Self::Postgres(conn) => count(ROWS).get_result(conn),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_connection_attempt_waits_for_ever_and_the_url_has_the_last_word() {
        let with_options = |url| with_parameters(url, &POSTGRES_OPTIONS);
        let patient = with_options("postgres://me:p%40ss@localhost:5433,localhost:5434/shop");
        let expected = "postgres://me:p%40ss@localhost:5433,localhost:5434/shop\
            ?target_session_attrs=read-write&connect_timeout=2&keepalives_idle=15";
        assert!(patient.starts_with(expected), "{patient}");
        let impatient = with_options("postgres:///shop?host=%2Frun%2Fpg&connect_timeout=9");
        let expected = "postgres:///shop?host=%2Frun%2Fpg&connect_timeout=9&target_session_attrs=read-write&keepalives";
        assert!(impatient.starts_with(expected), "{impatient}");
        assert_eq!(impatient.matches("connect_timeout").count(), 1, "{impatient}");
    }
}
