//! Both engines behind one type. Only this file opens a connection or a transaction.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;

use super::tx::{Tx, TxConn};
use super::{DatabaseConfig, DatabaseUrl};

/// Calls a function of the connection, whatever its engine is.
macro_rules! on_engine {
    ($this:expr, |$conn:ident| $call:expr) => {
        match &mut $this.engine {
            EngineConn::Sqlite($conn) => $call,
            EngineConn::Postgres($conn) => $call,
        }
    };
}

/// A connection to the engine that the URL names.
pub(super) struct Conn {
    engine: EngineConn,
    /// The limits that the engine enforces unless a transaction sets others. `None` on a connection without limits.
    limits: Option<Limits>,
}

enum EngineConn {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One `SELECT`, which needs no transaction.
    ReadOne,
    Read,
    /// One statement that changes rows, which needs no transaction on Postgres.
    WriteOne,
    Write,
}

impl Mode {
    pub(super) const fn writes(self) -> bool {
        matches!(self, Self::WriteOne | Self::Write)
    }
}

/// The longest time of a statement and the longest wait for a lock, which the engine enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) statement: Duration,
    pub(super) lock: Duration,
}

impl Limits {
    pub(super) const fn of(config: &DatabaseConfig) -> Self {
        Self { statement: config.statement_timeout, lock: config.lock_timeout }
    }

    /// The limits of a transaction that must end within `remaining`.
    pub(super) fn within(self, remaining: Duration) -> Self {
        Self { statement: self.statement.min(remaining), lock: self.lock.min(remaining) }
    }
}

/// The settings of each SQLite connection. `WAL` lets readers run beside the writer. `FULL` keeps an acknowledged order
/// after a power cut; `NORMAL` can lose the last commits. The file stores only the journal mode, so every connection
/// sets both. The timeout comes first, because the file can be locked while `WAL` is set. The log usually has 4 MiB.
/// The size limit truncates a log that grew during a long read to 8 MiB when the log is restarted.
const SQLITE_PRAGMAS: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA journal_size_limit = 8388608; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;";

/// The settings of each Postgres session. The server ends a session that is idle in an open transaction, because that
/// is a bug. Sequential scans are off, because each statement reads a few rows by an index. A prepared statement keeps
/// the plan that was made when its table was small, until the table is analyzed: without sequential scans that plan
/// uses the index too. If a scan has no index, its high cost would start the JIT compiler, so JIT is off. Each prepared
/// statement has one plan, which the tests check. Otherwise the server plans a statement with an array again each time.
/// The mode of a transaction is set here, because it would cost more time in each `BEGIN`. With
/// `synchronous_commit = off` the server acknowledges a commit that it loses in a crash, so the session replaces this
/// value, and no stricter one.
const POSTGRES_SETTINGS: &str = "SET idle_in_transaction_session_timeout = '10s'; SET TIME ZONE 'UTC'; \
     SET enable_seqscan = off; SET jit = off; SET plan_cache_mode = force_generic_plan; \
     SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Connection parameters for a URL that does not set them. Without the timeouts the client library waits forever for a
/// server that accepts a connection and does not answer, and for hours for a server that vanished. Each such wait
/// occupies a connection of the pool. `read-write` skips a server that only replicates, if there are several hosts or a
/// proxy, because that server takes no writes.
const POSTGRES_OPTIONS: [(&str, &str); 6] = [
    ("target_session_attrs", "read-write"),
    ("connect_timeout", "2"),
    ("keepalives_idle", "15"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "30000"),
];

/// Returns the path as an SQLite URI for a file that exists. A connection that created the file would create an empty
/// shop. Special characters are escaped, so that no part of the path is read as an option.
fn existing_file(path: &Path) -> String {
    use std::fmt::Write;
    // Removes doubled slashes, because two slashes at the start would name a host.
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

/// Rounded up, because a timeout of the engine before the deadline would be reported as contention.
fn millis(limit: Duration) -> u128 {
    limit.as_micros().div_ceil(1_000).max(1)
}

impl EngineConn {
    fn open(address: &DatabaseUrl) -> ConnectionResult<Self> {
        match address {
            DatabaseUrl::Sqlite(path) => {
                let mut conn = SqliteConnection::establish(&existing_file(path))?;
                conn.batch_execute(SQLITE_PRAGMAS).map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(Self::Sqlite(conn))
            }
            DatabaseUrl::Postgres(url) => {
                let mut url = url.clone();
                POSTGRES_OPTIONS.iter().for_each(|(name, value)| url.or_set(name, value));
                // An error of the client library may contain settings.
                let without_secrets = |error| match error {
                    ConnectionError::BadConnection(why) => ConnectionError::BadConnection(url.without_secrets(why)),
                    other => other,
                };
                let mut conn = PgConnection::establish(&url.to_conninfo()).map_err(without_secrets)?;
                conn.batch_execute(POSTGRES_SETTINGS).map_err(ConnectionError::CouldntSetupConfiguration)?;
                // Faults are classified by message, so messages are requested in English. Only a privileged user may
                // request it; a server whose messages are in English needs no request.
                let _ = conn.batch_execute("SET lc_messages = 'C'");
                Ok(Self::Postgres(conn))
            }
        }
    }
}

impl Conn {
    /// Opens a connection without limits, for a migration.
    pub(super) fn open(address: &DatabaseUrl) -> ConnectionResult<Self> {
        Ok(Self { engine: EngineConn::open(address)?, limits: None })
    }

    /// Opens a connection on which the engine enforces `limits` from now on.
    pub(super) fn open_with(address: &DatabaseUrl, limits: Limits) -> ConnectionResult<Self> {
        let mut engine = EngineConn::open(address)?;
        let (statement, lock) = (millis(limits.statement), millis(limits.lock));
        let set = match &mut engine {
            EngineConn::Sqlite(conn) => conn.batch_execute(&format!("PRAGMA busy_timeout = {lock}")),
            EngineConn::Postgres(conn) => {
                conn.batch_execute(&format!("SET statement_timeout = {statement}; SET lock_timeout = {lock}"))
            }
        };
        set.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(Self { engine, limits: Some(limits) })
    }

    /// Opens a transaction in which the engine enforces `limits`. On Postgres they are set in the same round trip as
    /// `BEGIN`. SQLite can limit only waits for locks. Its statements are short because of their LIMIT and index.
    pub(super) fn begin(&mut self, mode: Mode, limits: Limits) -> QueryResult<()> {
        let (statement, lock) = (millis(limits.statement), millis(limits.lock));
        match &mut self.engine {
            EngineConn::Sqlite(conn) => {
                // The setting outlives the transaction.
                if self.limits != Some(limits) {
                    self.limits = Some(limits);
                    conn.batch_execute(&format!("PRAGMA busy_timeout = {lock}"))?;
                }
                // With BEGIN DEFERRED, a write after a read fails at once if another writer was faster.
                let sql = if mode.writes() { "BEGIN IMMEDIATE" } else { "BEGIN DEFERRED" };
                AnsiTransactionManager::begin_transaction_sql(conn, sql)
            }
            EngineConn::Postgres(conn) => {
                // All statements of a read see one snapshot, as on SQLite. A write locks the rows it decides by, and
                // must see what was committed while it waited for the lock: see `POSTGRES_SETTINGS`.
                let begin = match mode {
                    Mode::ReadOne | Mode::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                    Mode::WriteOne | Mode::Write => "BEGIN",
                };
                if self.limits == Some(limits) {
                    return AnsiTransactionManager::begin_transaction_sql(conn, begin);
                }
                let sql =
                    format!("{begin}; SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock}");
                AnsiTransactionManager::begin_transaction_sql(conn, &sql)
            }
        }
    }

    /// Whether the engine enforces `limits` without a transaction that sets them.
    pub(super) fn enforces(&self, limits: Limits) -> bool {
        self.limits == Some(limits)
    }

    pub(super) fn tx(&mut self) -> Tx<'_> {
        Tx::new(match &mut self.engine {
            EngineConn::Sqlite(conn) => TxConn::Sqlite(conn),
            EngineConn::Postgres(conn) => TxConn::Postgres(conn),
        })
    }

    /// Opens the savepoint of a write that joins the transaction.
    pub(super) fn savepoint(&mut self) -> QueryResult<()> {
        on_engine!(self, |conn| conn.batch_execute("SAVEPOINT joined"))
    }

    pub(super) fn release_savepoint(&mut self) -> QueryResult<()> {
        on_engine!(self, |conn| conn.batch_execute("RELEASE joined"))
    }

    /// Fails if the engine has rolled the whole transaction back.
    pub(super) fn roll_back_to_savepoint(&mut self) -> QueryResult<()> {
        on_engine!(self, |conn| conn.batch_execute("ROLLBACK TO joined; RELEASE joined"))
    }

    pub(super) fn commit(&mut self) -> QueryResult<()> {
        on_engine!(self, |conn| AnsiTransactionManager::commit_transaction(conn))
    }

    /// Rolls the transaction back. If the rollback fails, the connection is marked as broken, and the pool drops it,
    /// which rolls back too.
    pub(super) fn roll_back(&mut self) {
        let _ = on_engine!(self, |conn| AnsiTransactionManager::rollback_transaction(conn));
    }

    pub(super) fn ping(&mut self) -> QueryResult<()> {
        on_engine!(self, |conn| conn.ping())
    }

    pub(super) fn is_broken(&mut self) -> bool {
        on_engine!(self, |conn| conn.is_broken())
    }
}
