//! The choke point: every transaction goes through [`Database::run`], except migrations and the check of the schema at
//! start.
//!
//! A caller waits for a permit within its deadline, and only then takes a blocking thread and a connection. So there
//! are never more blocking threads than connections. The time limits in the engine are the time that remains until the
//! deadline. Each fault says exactly whether the transaction took effect: see [`commit`].

mod among;
mod backend;
mod batch;
mod call;
mod classify;
mod commit;
mod commits;
mod constant;
mod deferred;
mod group;
mod insert;
mod job;
mod lease;
mod lock_file;
mod migrate;
mod pool;
mod postgres_url;
mod rerun;
mod room;
mod tx;
mod update;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use diesel::RunQueryDsl;
use domain::PortFuture;
use domain::context::RequestContext;
use domain::fault::{Failure, Fault, FaultKind};
use slog::Logger;
use tokio::runtime::Handle;

pub use self::url::{DatabaseUrl, Engine, UrlError};
pub(crate) use among::among;
use backend::Mode;
pub(crate) use batch::{Batch, Done};
use commit::RunError;
use commits::Commits;
pub(crate) use constant::{Statement, constant};
use group::Group;
pub(crate) use insert::{insert_all, take_first};
pub(crate) use lease::{EngineMillis, EngineTime, NO_LEASE, Timed, engine_now, lease, lease_queue, leases, readable};
use lock_file::{FileShare, LockFile};
use pool::ConnectionPool;
use room::Room;
pub(crate) use tx::{Tx, TxConn, bytewise, execute, first, keep_all, load, lock, lock_all, lock_free, on_backend};
pub(crate) use update::update;

/// Where the database is, and how long its operations may take.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    pub url: DatabaseUrl,
    pub pool_size: u32,
    /// The longest wait for a connection, even if the deadline is later.
    pub pool_wait: Duration,
    /// The longest time of a statement, even if the deadline is later.
    pub statement_timeout: Duration,
    /// The longest wait of a statement for a lock.
    pub lock_timeout: Duration,
    /// How long past its deadline a caller waits for a commit that has begun.
    pub commit_grace: Duration,
}

/// The shop's database. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Database(Arc<Shared>);

struct Shared {
    config: DatabaseConfig,
    pool: ConnectionPool,
    runtime: Handle,
    abandoned: AtomicI64,
    /// Whether a commit failed with an I/O error. Stays true until a restart, which reads everything from the disk
    /// again.
    disk_failed: AtomicBool,
    room: Room,
    commits: Commits,
    /// The writes that wait for the only writer of SQLite.
    group: Group,
    /// Excludes other processes from an SQLite file. Declared after the pool, so that it is dropped after the pool.
    file: FileShare,
}

/// The database cannot be used as configured. Start-up fails.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} is in use by another process: one process per SQLite file (use Postgres for several)")]
    InUse(String),
    #[error("cannot open the lock file {0}: {1}")]
    LockFile(String, std::io::Error),
    #[error("cannot open the database file {0}: {1}")]
    File(String, std::io::Error),
    #[error("{0} is no regular file")]
    NotAFile(String),
    #[error("{0} is not an SQLite database: does TUCKSHOP_DATABASE_URL name the file that it should?")]
    NotADatabase(String),
    #[error(
        "{0} has {1} names (hard links): SQLite keeps a log for each name, so all but one name must be removed first"
    )]
    Links(String, u64),
    #[error(
        "there is no database at {0}, but its log {1} exists and may hold acknowledged orders, which a new database would \
         destroy. Put the database file back. For a new shop, move the log away first"
    )]
    LogWithoutDatabase(String, String),
    #[error("cannot reach the database: {0}")]
    Unreachable(String),
    #[error(
        "there is no database at {0}. Is this the directory of the server, and TUCKSHOP_DATABASE_URL its own? For a new shop, \
         run `tuckshop migrate`"
    )]
    Missing(String),
    #[error(
        "the schema is newer than this program: it lacks what this program needs, since a newer release took it away; run \
         a program that knows migration {0}"
    )]
    SchemaNewer(String),
    #[error("the schema is older than this program: it lacks {0} migration(s); run `tuckshop migrate`")]
    SchemaOlder(usize),
    #[error("migration failed: {0}")]
    Migration(String),
}

/// What does not work although the database is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    StorageFull,
    CommitsStalled,
}

impl Degraded {
    /// The stable word for operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StorageFull => FaultKind::StorageFull.into_str(),
            Self::CommitsStalled => "commits_stalled",
        }
    }
}

/// The name of a transaction in logs and faults (`module.verb`), and how it may be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
    /// The reason why the transaction may be run again after a commit with an unknown outcome. `None` if it may not.
    repeatable: Option<&'static str>,
    /// Whether no other write may join the transaction.
    is_alone: bool,
}

impl Operation {
    pub(crate) const fn read(name: &'static str) -> Self {
        Self { name, mode: Mode::Read, repeatable: None, is_alone: false }
    }
    /// A read whose body sends exactly one statement. The statement is its own transaction, so it needs one round trip.
    pub(crate) const fn read_one(name: &'static str) -> Self {
        Self { name, mode: Mode::ReadOne, repeatable: None, is_alone: false }
    }
    /// A repeatable write whose body sends exactly one statement. On Postgres the statement is its own transaction, so
    /// it needs one round trip.
    pub(crate) const fn repeatable_write_one(name: &'static str, reason: &'static str) -> Self {
        Self { name, mode: Mode::WriteOne, repeatable: Some(reason), is_alone: false }
    }

    pub(crate) const fn write(name: &'static str) -> Self {
        Self { name, mode: Mode::Write, repeatable: None, is_alone: false }
    }

    /// A write that may be run again although its first run may have taken effect, because the second run changes
    /// nothing and returns what the first run returned. `reason` says why. The body begins by claiming an idempotency
    /// key or by locking the row that shows the effect, so that it waits for a first run that is still alive on a lost
    /// connection. Otherwise the body only sets values that a second run would set again. A keyed write uses
    /// [`crate::idempotency::once`].
    pub(crate) const fn repeatable_write(name: &'static str, reason: &'static str) -> Self {
        Self { name, mode: Mode::Write, repeatable: Some(reason), is_alone: false }
    }
}

/// Why a transaction rolled back: the body refused, or the database failed.
#[derive(Debug)]
pub(crate) enum TxError<E> {
    Refused(E),
    Sql(diesel::result::Error),
}

impl<E> From<diesel::result::Error> for TxError<E> {
    fn from(error: diesel::result::Error) -> Self {
        Self::Sql(error)
    }
}

/// What the body of a transaction decides: a result, or a refusal `R` of a rule.
pub(crate) type Decided<T, R> = Result<T, TxError<Failure<R>>>;

/// The error of a body whose operation a rule refuses. The transaction is rolled back.
pub(crate) fn refuse<R>(refusal: R) -> TxError<Failure<R>> {
    TxError::Refused(Failure::Refused(refusal))
}

impl Database {
    /// Opens the pool. Does not wait for the server: if the database is down, the process starts and requests fail.
    ///
    /// Blocking work runs on `runtime`. The logger is for events that belong to no request.
    pub fn open(mut config: DatabaseConfig, runtime: Handle, log: &Logger) -> Result<Self, OpenError> {
        let file = match &config.url {
            DatabaseUrl::Sqlite(path) => Some(LockFile::acquire(path, log)?),
            DatabaseUrl::Postgres(_) => None,
        };
        if let Some(file) = &file {
            config.url = DatabaseUrl::Sqlite(file.real.clone());
        }
        Ok(Self::with_file(config, runtime, log, file.map(Arc::new)))
    }

    /// Opens the pool beside a process that serves the same database. For commands with a few short transactions,
    /// because on SQLite they compete with the server for the file's lock, outside its fair queue.
    pub fn open_beside(config: DatabaseConfig, runtime: Handle, log: &Logger) -> Self {
        Self::with_file(config, runtime, log, None)
    }

    fn with_file(config: DatabaseConfig, runtime: Handle, log: &Logger, file: Option<Arc<LockFile>>) -> Self {
        let pool = ConnectionPool::open(&config, file.clone(), log);
        Self(Arc::new(Shared {
            config,
            pool,
            runtime,
            abandoned: AtomicI64::new(0),
            disk_failed: AtomicBool::new(false),
            room: Room::new(log),
            commits: Commits::new(log),
            group: Group::default(),
            file: FileShare(file),
        }))
    }

    pub fn engine(&self) -> Engine {
        self.0.config.url.engine()
    }

    /// The number of jobs without a caller that still hold a connection.
    pub fn abandoned(&self) -> u64 {
        // The counter is signed, because a job may end before its caller has counted it as abandoned.
        self.0.abandoned.load(Ordering::Relaxed).max(0).unsigned_abs()
    }

    /// Adds `change` to the number of abandoned jobs and returns it.
    fn count_abandoned(&self, change: i64) -> i64 {
        self.0.abandoned.fetch_add(change, Ordering::Relaxed) + change
    }

    fn disk_failed(&self) -> bool {
        self.0.disk_failed.load(Ordering::Acquire)
    }

    /// Brings the schema up to date and returns the number of applied steps. Other instances wait for the same lock.
    /// Blocks.
    pub fn migrate(&self) -> Result<usize, OpenError> {
        migrate::apply(&self.0.config)
    }

    /// Applies the steps of a directory, as [`Database::migrate`] applies the steps of this program. Tests of an
    /// upgrade use it in place of a later release. Blocks.
    #[doc(hidden)]
    pub fn migrate_from(&self, directory: &std::path::Path) -> Result<usize, OpenError> {
        migrate::apply_directory(&self.0.config, directory)
    }

    /// Fails if the schema lacks a step of this program, or if something that this program needs was removed from the
    /// schema. Blocks.
    pub fn must_be_current(&self) -> Result<(), OpenError> {
        migrate::must_be_current(&self.0.config)
    }

    /// Succeeds if a write would work: the database answers and takes writes, its schema has all that this program
    /// knows, its disk did not fail, and an SQLite file is where it was opened.
    pub fn ready(&self, ctx: &RequestContext) -> PortFuture<(), Fault> {
        const NAME: &str = "database.ready";
        /// The longest wait for the write lock. If a writer in another process holds the lock longer, writes work.
        const LOCK_WAIT: Duration = Duration::from_millis(100);
        let file = self.0.file.0.clone();
        // The answer must not wait for the disk on behalf of other writes.
        let probe = Operation { is_alone: true, ..Operation::write(NAME) };
        let check = move |tx: &mut Tx<'_>| {
            if !migrate::is_usable(tx)? {
                return Err(TxError::Refused(Fault::new(FaultKind::Unavailable, NAME).caused_by("schema mismatch")));
            }
            file.as_ref().map_or(Ok(()), |file| file.must_be_intact(NAME, None)).map_err(TxError::Refused)
        };
        if self.engine() == Engine::Postgres {
            return self.run(ctx, probe, move |tx| {
                // A server that has become a standby refuses it. The pool then drops the connection.
                execute!(tx, Statement::<()>::new("SET TRANSACTION READ WRITE"))?;
                check(tx)
            });
        }
        let (database, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move {
            database.takes_writes(NAME)?;
            // If another writer holds the only write permit, writes work. A wait for the permit would make a busy shop
            // unready.
            if database.0.pool.is_idle_for_writes() {
                match database.run(&ctx.at_most(LOCK_WAIT), probe, check.clone()).await {
                    Err(fault) if matches!(fault.kind(), FaultKind::Contention | FaultKind::DeadlineExceeded) => {}
                    known => return known,
                }
            }
            database.run(&ctx, Operation::read(NAME), check).await
        })
    }

    /// Returns what does not work although the database is ready. A full disk, on which writes fail and reads work, is
    /// reported from the first write that fails for lack of room until the next repeatable write is committed. A commit
    /// that takes long is reported, because no write is acknowledged meanwhile.
    pub fn degraded(&self) -> Option<Degraded> {
        if self.0.room.is_out() {
            return Some(Degraded::StorageFull);
        }
        self.0.commits.stalled().then_some(Degraded::CommitsStalled)
    }

    /// The age of the oldest commit under way.
    pub fn oldest_commit(&self) -> Option<Duration> {
        self.0.commits.oldest()
    }

    fn takes_writes(&self, operation: &'static str) -> Result<(), Fault> {
        if self.disk_failed() {
            return Err(Fault::new(FaultKind::Unavailable, operation).caused_by("the disk failed in an earlier commit"));
        }
        Ok(())
    }

    /// Records what the outcome of a write shows about the room on the disk.
    fn record_room<T, E>(&self, operation: Operation, outcome: &Result<T, RunError<E>>) {
        match outcome {
            // A read that fails for lack of space to sort does not show that writes fail.
            Err(RunError::Failed(fault)) if operation.mode.writes() && fault.kind() == FaultKind::StorageFull => {
                self.0.room.ran_out(fault);
            }
            Ok(_) if operation.repeatable.is_some() => self.0.room.was_found(),
            _ => {}
        }
    }
}
