//! The choke point: every statement of the product goes through [`Database::run`].
//!
//! A caller waits for a permit within its deadline and only then takes a blocking thread and a connection, so there
//! are never more blocking threads than connections, and nobody queues where they cannot be counted. The engine is
//! given the time that remains. What a fault says about the effect is exact: see [`commit`].

mod backend;
mod classify;
mod clock;
mod commit;
mod lock_file;
mod migrate;
mod pool;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::PortFuture;
use domain::context::{Deadline, RequestContext, Stopwatch};
use domain::fault::{Fault, FaultKind};
use slog::{Logger, debug, warn};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

pub use self::url::{DatabaseUrl, Engine, UrlError};
use backend::{Limits, Mode};
pub(crate) use backend::{Tx, on_backend};
pub(crate) use clock::{engine_now, lease};
use commit::Stage;
use pool::ConnectionPool;

/// How the database is reached, and how long anything may take there.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    pub url: DatabaseUrl,
    pub pool_size: u32,
    /// Nobody waits longer than this for a connection, whatever their deadline.
    pub pool_wait: Duration,
    /// No statement takes longer than this, whatever the deadline.
    pub statement_timeout: Duration,
    /// No statement waits longer than this for a lock.
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
    /// Keeps other processes away from an SQLite file.
    _lock: Option<lock_file::LockFile>,
}

/// The database cannot be used as configured. Start-up ends here.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} is in use by another process: one process per SQLite file (use Postgres for several)")]
    InUse(String),
    #[error("cannot open the lock file {0}: {1}")]
    LockFile(String, std::io::Error),
    #[error("cannot reach the database: {0}")]
    Unreachable(String),
    #[error("the schema is newer than this program: it has migration {0}; run the newer program")]
    SchemaNewer(String),
    #[error("the schema is older than this program: it lacks {0} migration(s); run `tuckshop migrate`")]
    SchemaOlder(usize),
    #[error("migration failed: {0}")]
    Migration(String),
}

/// Gives back the permit when a job ends, however it ends, and strikes it off the abandoned ones.
struct JobEnd {
    database: Database,
    stage: Arc<Stage>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for JobEnd {
    fn drop(&mut self) {
        if self.stage.end() {
            self.database.0.abandoned.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Names one transaction in logs and faults: `module.verb`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
}

impl Operation {
    pub(crate) const fn read(name: &'static str) -> Self {
        Self { name, mode: Mode::Read }
    }
    pub(crate) const fn write(name: &'static str) -> Self {
        Self { name, mode: Mode::Write }
    }
}

/// Why a transaction rolled back: the caller's reason, or the database's.
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

impl Database {
    /// Opens the pool. Does not wait for the server: a database that is down makes requests fail, not the process.
    ///
    /// Blocking work runs on `runtime`. The logger is for events that belong to no request.
    pub fn open(config: DatabaseConfig, runtime: Handle, log: &Logger) -> Result<Self, OpenError> {
        let lock = match &config.url {
            DatabaseUrl::Sqlite(path) => Some(lock_file::LockFile::acquire(path)?),
            DatabaseUrl::Postgres(_) => None,
        };
        let pool = ConnectionPool::open(&config, log);
        Ok(Self(Arc::new(Shared { config, pool, runtime, abandoned: AtomicI64::new(0), _lock: lock })))
    }

    pub fn engine(&self) -> Engine {
        self.0.config.url.engine()
    }

    /// Jobs that nobody waits for any more but that still hold a connection.
    pub fn abandoned(&self) -> u64 {
        // Signed, because a job may end before its caller has finished giving it up.
        self.0.abandoned.load(Ordering::Relaxed).max(0).unsigned_abs()
    }

    /// Brings the schema up to date, alone: other instances wait for the same lock. Blocks.
    pub fn migrate(&self) -> Result<usize, OpenError> {
        migrate::apply(&self.0.config)
    }

    /// Refuses a schema that this program does not know. Blocks.
    pub fn must_be_current(&self) -> Result<(), OpenError> {
        migrate::must_be_current(&self.0.config)
    }

    /// Succeeds when the database answers and its schema is the one this program knows.
    pub fn ready(&self, ctx: &RequestContext) -> PortFuture<(), Fault> {
        self.run(ctx, Operation::read("database.ready"), |tx| {
            migrate::is_current(tx)?.then_some(()).ok_or_else(|| {
                TxError::Refused(Fault::new(FaultKind::Unavailable, "database.ready").caused_by("schema mismatch"))
            })
        })
    }

    /// Runs `work` in one transaction and commits it, unless `work` refuses or the caller is gone or out of time.
    pub(crate) fn run<T, E>(
        &self,
        ctx: &RequestContext,
        operation: Operation,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, TxError<E>> + Send + 'static,
    ) -> PortFuture<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        let (database, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move {
            let shed = ctx.at_most(database.0.config.pool_wait).deadline();
            let permit = database.permit(&ctx, operation, shed).await?;
            let stage = Arc::new(Stage::new());
            let job = {
                let (database, ctx, stage) = (database.clone(), ctx.clone(), stage.clone());
                move || {
                    let _end = JobEnd { database: database.clone(), stage: stage.clone(), _permit: permit };
                    database.transact(&ctx, operation, shed, &stage, work)
                }
            };
            let job = database.0.runtime.spawn_blocking(job);
            database.wait(&ctx, operation, &stage, job).await
        })
    }

    /// Waits for a connection to be free, until `shed`: within the deadline, and never longer than `pool_wait`.
    async fn permit(
        &self,
        ctx: &RequestContext,
        operation: Operation,
        shed: Deadline,
    ) -> Result<OwnedSemaphorePermit, Fault> {
        ctx.check(operation.name)?;
        let watch = Stopwatch::start();
        let permit = tokio::select! {
            permit = self.0.pool.permit(operation.mode) => Ok(permit),
            () = tokio::time::sleep_until(shed.instant().into()) => {
                // Out of the caller's own time, or shed because too many are waiting?
                ctx.check(operation.name)?;
                Err(Fault::new(FaultKind::Unavailable, operation.name).caused_by("no free connection"))
            }
            () = ctx.cancellation().cancelled() => Err(Fault::new(FaultKind::Cancelled, operation.name)),
        };
        ctx.timings().add_connection_wait(watch);
        permit
    }

    /// Waits for the job; at the deadline it is abandoned, unless it is committing: then it may have happened, and a
    /// little patience usually tells.
    async fn wait<T, E: From<Fault>>(
        &self,
        ctx: &RequestContext,
        operation: Operation,
        stage: &Stage,
        mut job: tokio::task::JoinHandle<Result<T, E>>,
    ) -> Result<T, E> {
        let joined = |joined: Result<Result<T, E>, tokio::task::JoinError>| match joined {
            Ok(outcome) => outcome,
            Err(panic) => Err(Fault::new(FaultKind::Internal, operation.name).caused_by(panic).into()),
        };
        tokio::select! {
            biased;
            outcome = &mut job => return joined(outcome),
            () = tokio::time::sleep_until(ctx.deadline().instant().into()) => {}
            () = ctx.cancellation().cancelled() => {}
        }
        if stage.abandon() {
            self.0.abandoned.fetch_add(1, Ordering::Relaxed);
            warn!(ctx.log(), "transaction abandoned: its caller is gone or out of time"; "op" => operation.name);
            return match ctx.check(operation.name) {
                Err(fault) => Err(fault.into()),
                Ok(()) => Err(Fault::new(FaultKind::DeadlineExceeded, operation.name).into()),
            };
        }
        match tokio::time::timeout(self.0.config.commit_grace, job).await {
            Ok(outcome) => joined(outcome),
            Err(_) => Err(Fault::new(FaultKind::OutcomeUnknown, operation.name).caused_by("still committing").into()),
        }
    }

    /// One transaction on a blocking thread.
    fn transact<T, E: From<Fault>>(
        &self,
        ctx: &RequestContext,
        operation: Operation,
        shed: Deadline,
        stage: &Stage,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, TxError<E>>,
    ) -> Result<T, E> {
        let waiting = Stopwatch::start();
        let taken = self.0.pool.get(shed.remaining());
        ctx.timings().add_connection_wait(waiting);
        let mut conn = match taken {
            Ok(conn) => conn,
            Err(error) => {
                ctx.check(operation.name)?;
                return Err(Fault::new(FaultKind::Unavailable, operation.name).caused_by(error).into());
            }
        };
        let watch = Stopwatch::start();
        let remaining = ctx.deadline().remaining();
        let limits = Limits {
            statement: remaining.min(self.0.config.statement_timeout),
            lock: remaining.min(self.0.config.lock_timeout),
        };
        let outcome = commit::transaction(&mut conn, ctx, operation, limits, stage, work);
        ctx.timings().add_storage(watch);
        debug!(ctx.log(), "transaction ended"; "op" => operation.name, "committed" => outcome.is_ok(),
            "elapsed_us" => watch.elapsed_us());
        outcome
    }
}
