//! The connection pool, and the permits in front of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::context::Stopwatch;
use r2d2::{ManageConnection, Pool, PooledConnection};
use slog::{Logger, debug, info, o, warn};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::backend::{Conn, Limits, Mode};
use super::lock_file::{LockFile, LogFiles};
use super::{DatabaseConfig, DatabaseUrl, Engine};

pub(super) type PooledConn = PooledConnection<Manager>;

/// The longest time since its last use for which a connection is handed out without a ping.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// The connections, and the permits to take a connection. Callers wait for a permit asynchronously and in the order of
/// their requests. The holder of a permit finds a free connection or may open a new connection.
pub(super) struct ConnectionPool {
    pool: Pool<Manager>,
    readers: Arc<Semaphore>,
    writers: Arc<Semaphore>,
}

impl ConnectionPool {
    pub(super) fn open(config: &DatabaseConfig, file: Option<Arc<LockFile>>, log: &Logger) -> Self {
        let reachable = Arc::new(Reachable::new(log));
        // Twice the number on Postgres, because a connection of an abandoned job may never be returned and is then
        // replaced.
        let connections = match config.url.engine() {
            Engine::Sqlite => config.pool_size,
            Engine::Postgres => config.pool_size.saturating_mul(2),
        };
        let pool = Pool::builder()
            .max_size(connections)
            .min_idle(Some(0))
            .connection_timeout(config.pool_wait)
            .test_on_check_out(true)
            .error_handler(Box::new(LogError(reachable.clone())))
            .build_unchecked(Manager { url: config.url.clone(), limits: Limits::of(config), file, reachable });
        let permits = |count: u32| Arc::new(Semaphore::new(count as usize));
        let (readers, writers) = match config.url.engine() {
            // SQLite has one writer at a time. Writers queue for the only permit, because this queue is fair and the
            // wait for the file's lock is not.
            Engine::Sqlite => (permits(config.pool_size.saturating_sub(1).max(1)), permits(1)),
            Engine::Postgres => {
                let all = permits(config.pool_size);
                (all.clone(), all)
            }
        };
        Self { pool, readers, writers }
    }

    pub(super) async fn permit(&self, mode: Mode) -> OwnedSemaphorePermit {
        let permits = match mode {
            Mode::ReadOne | Mode::Read => &self.readers,
            Mode::WriteOne | Mode::Write => &self.writers,
        };
        match permits.clone().acquire_owned().await {
            Ok(permit) => permit,
            // This never happens, because the semaphore is never closed. The caller limits its wait for the permit.
            Err(_) => std::future::pending().await,
        }
    }

    /// Whether a write permit is free.
    pub(super) fn is_idle_for_writes(&self) -> bool {
        self.writers.available_permits() > 0
    }

    /// Takes a connection from the pool. Blocks for at most `wait`.
    pub(super) fn get(&self, wait: Duration) -> Result<PooledConn, r2d2::Error> {
        self.pool.get_timeout(wait)
    }
}

pub(super) struct Manager {
    url: DatabaseUrl,
    limits: Limits,
    file: Option<Arc<LockFile>>,
    reachable: Arc<Reachable>,
}

/// A connection, and the time at which it last worked.
pub(super) struct Tracked {
    conn: Conn,
    /// For an SQLite file: the log that this connection writes to.
    pub(super) log: Option<LogFiles>,
    seen: Stopwatch,
    /// Whether the pool must drop the connection, because the server is gone or takes no writes, or the effect of a
    /// commit is unknown.
    pub(super) do_not_reuse: bool,
    /// Dropped after the connection: see [`LockFile`].
    _file: Option<Arc<LockFile>>,
}

impl std::ops::Deref for Tracked {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}
impl std::ops::DerefMut for Tracked {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

impl ManageConnection for Manager {
    type Connection = Tracked;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Tracked, Self::Error> {
        let conn = Conn::open_with(&self.url, self.limits).map_err(diesel::r2d2::Error::ConnectionError)?;
        // Checked after opening: if the connection opened another file, this check or the check of each write finds it.
        let bad = |why| diesel::r2d2::Error::ConnectionError(diesel::ConnectionError::BadConnection(why));
        if let Some(file) = &self.file {
            file.same_file().map_err(bad)?;
        }
        let log = self.file.as_ref().map(|file| file.log_files()).transpose().map_err(bad)?;
        self.reachable.works();
        Ok(Tracked { conn, log, seen: Stopwatch::start(), do_not_reuse: false, _file: self.file.clone() })
    }

    fn is_valid(&self, tracked: &mut Tracked) -> Result<(), Self::Error> {
        if tracked.seen.elapsed() < TRUSTED_FOR {
            return Ok(());
        }
        tracked.conn.ping().map_err(diesel::r2d2::Error::QueryError)?;
        tracked.seen = Stopwatch::start();
        Ok(())
    }

    fn has_broken(&self, tracked: &mut Tracked) -> bool {
        // A panic in a transaction body leaves the transaction open, so the connection must not be used again.
        let broken = std::thread::panicking() || tracked.do_not_reuse || tracked.conn.is_broken();
        tracked.seen = Stopwatch::start();
        if !broken {
            self.reachable.works();
        }
        broken
    }
}

/// Logs once that the database cannot be reached, and once that it is reached again. During a failover some attempts
/// succeed and others fail, so an outage ends when no attempt has failed for [`LASTS`].
#[derive(Debug)]
struct Reachable {
    log: Logger,
    /// The time since the last failed attempt during an outage that was logged. `None` if there is no outage.
    failing: Mutex<Option<Stopwatch>>,
    lasts: Duration,
}

/// The time without a failed attempt after which an outage has ended.
const LASTS: Duration = Duration::from_secs(5);

impl Reachable {
    fn new(log: &Logger) -> Self {
        let log = log.new(o!("op" => "database.connect"));
        Self { log, failing: Mutex::new(None), lasts: LASTS }
    }

    fn failing(&self) -> MutexGuard<'_, Option<Stopwatch>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a connection was opened or used. Ends an outage if no attempt has failed for `lasts`.
    fn works(&self) {
        let mut failing = self.failing();
        if failing.as_ref().is_some_and(|last| last.elapsed() >= self.lasts) {
            *failing = None;
            info!(self.log, "the database is reached again");
        }
    }

    fn fails(&self, error: &dyn std::fmt::Display) {
        if self.failing().replace(Stopwatch::start()).is_none() {
            warn!(self.log, "the database cannot be reached"; "error" => %error);
        }
    }
}

#[derive(Debug)]
struct LogError(Arc<Reachable>);

impl r2d2::HandleError<diesel::r2d2::Error> for LogError {
    fn handle_error(&self, error: diesel::r2d2::Error) {
        match error {
            diesel::r2d2::Error::ConnectionError(error) => self.0.fails(&error),
            // A dead idle connection is replaced; a failure to replace it is logged as a connection error.
            diesel::r2d2::Error::QueryError(error) => {
                debug!(self.0.log, "an idle connection was lost"; "error" => %error)
            }
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
