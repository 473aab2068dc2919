//! The kit of every storage test: a fresh database on one engine, a shop in it, and access to the rows.
//!
//! The Postgres half runs on the server that `XTASK_POSTGRES_URL` names (a URL with admin rights). `cargo xtask test`
//! provides such a server. Without a server each test of that half is reported as skipped.

#![allow(dead_code, reason = "each test binary uses its part of the kit")]

pub mod data;
pub mod logs;
pub mod race;
pub mod raw;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::checkout::CheckoutRefusal;
use domain::context::{Stopwatch, TraceContext};
use domain::fault::{Failure, Fault, FaultKind};
use domain::outbox::NotificationComposer;
use faultkit::provided::{self, POSTGRES};
use logs::Logs;
use persistence::{
    Database, DatabaseConfig, DatabaseUrl, Engine, SqlAttemptStore, SqlCheckoutStore, SqlIdempotencyStore, SqlImport,
    SqlKeyStore, SqlOrderStore, SqlOutboxStore, SqlPlatformStore, SqlRefundStore, SqlStoredInstruments,
};
use raw::Raw;
use slog::{Discard, Logger, o};

/// Makes a `sqlite::name` and a `postgres::name` test of every named `async fn(Place)`.
#[macro_export]
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        $crate::on_sqlite!($($test),+);
        $crate::on_postgres!($($test),+);
    };
}

#[macro_export]
macro_rules! on_sqlite {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { $crate::kit::run($crate::kit::Place::sqlite(), super::$test); })+
        }
    };
}

#[macro_export]
macro_rules! on_postgres {
    ($($test:ident),+ $(,)?) => {
        mod postgres {
            $(#[test] fn $test() {
                if let Some(place) = $crate::kit::Place::postgres() {
                    $crate::kit::run(place, super::$test);
                }
            })+
        }
    };
}

/// Makes a test of every named `async fn(Place)`, on a Postgres database that orders text by a language and not by its
/// bytes.
#[macro_export]
macro_rules! on_collated_postgres {
    ($($test:ident),+ $(,)?) => {
        mod collated_postgres {
            $(#[test] fn $test() {
                if let Some(place) = $crate::kit::Place::collated_postgres() {
                    $crate::kit::run(place, super::$test);
                }
            })+
        }
    };
}

/// Runs one test on a separate runtime.
pub fn run<F: Future<Output = ()>>(place: Place, test: impl FnOnce(Place) -> F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(test(place));
    runtime.shutdown_timeout(Duration::from_secs(10));
}

/// A database that exists for one test.
pub struct Place {
    url: String,
    owned: Owned,
}

enum Owned {
    Directory(tempfile::TempDir),
    Database { admin: String, name: String },
}

impl Place {
    pub fn sqlite() -> Self {
        provided::used("SQLite");
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            url: format!("sqlite://{}", directory.path().join("shop.db").display()),
            owned: Owned::Directory(directory),
        }
    }

    /// A new Postgres database. `None` if there is no server: then the test is reported as skipped.
    pub fn postgres() -> Option<Self> {
        Self::postgres_with("")
    }

    /// A new Postgres database with the collation of `en-US`.
    pub fn collated_postgres() -> Option<Self> {
        Self::postgres_with("LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
    }

    fn postgres_with(options: &str) -> Option<Self> {
        let admin = POSTGRES.get()?;
        let name = format!("storage_{}", uuid::Uuid::new_v4().simple());
        Raw::connect(&admin).execute(&format!("CREATE DATABASE {name} TEMPLATE template0 {options}"));
        let mut url = url::Url::parse(&admin).expect("an admin url");
        url.set_path(&name);
        POSTGRES.used();
        Some(Self { url: url.into(), owned: Owned::Database { admin, name } })
    }

    pub fn engine(&self) -> Engine {
        self.config().url.engine()
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The settings of the shop's database. The time limits are long, so that no test fails on a slow machine.
    pub fn config(&self) -> DatabaseConfig {
        config(&self.url)
    }

    pub fn open(&self) -> Database {
        open(self.config())
    }

    /// Opens a connection that does not belong to the shop.
    pub fn raw(&self) -> Raw {
        Raw::connect(&self.url)
    }

    /// A shop that sells [`data::catalogue`].
    pub async fn shop(&self) -> Shop {
        self.shop_with(|_| ()).await
    }

    /// A shop that sells [`data::catalogue`], with changed settings. It is opened again after it is stocked, so its
    /// pool is empty.
    pub async fn shop_with(&self, change: impl FnOnce(&mut DatabaseConfig)) -> Shop {
        let stocked = Shop::on(self.open());
        stocked.database.migrate().expect("a schema");
        stocked.stock(data::catalogue()).await;
        drop(stocked);
        let mut config = self.config();
        change(&mut config);
        Shop::on(open(config))
    }

    pub fn sqlite_path(&self) -> std::path::PathBuf {
        match &self.owned {
            Owned::Directory(directory) => directory.path().join("shop.db"),
            Owned::Database { .. } => panic!("not on SQLite"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Owned::Database { admin, name } = &self.owned {
            Raw::connect(admin).execute(&format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

pub fn config(url: &str) -> DatabaseConfig {
    DatabaseConfig {
        url: DatabaseUrl::parse(url, true).expect("a database url"),
        pool_size: 4,
        pool_wait: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(20),
        commit_grace: Duration::from_secs(5),
    }
}

pub fn open(config: DatabaseConfig) -> Database {
    Database::open(config, tokio::runtime::Handle::current(), &log()).expect("a database")
}

/// The log of the databases of all tests, if the test binary reads it.
static RECORDER: Mutex<Option<Logs>> = Mutex::new(None);

pub fn record_logs(recorder: Option<Logs>) {
    *RECORDER.lock().expect("a recorder") = recorder;
}

pub fn log() -> Logger {
    match &*RECORDER.lock().expect("a recorder") {
        Some(logs) => logs.logger(),
        None => Logger::root(Discard, o!()),
    }
}

/// Every storage port on one database.
pub struct Shop {
    pub database: Database,
    pub checkouts: SqlCheckoutStore,
    pub orders: SqlOrderStore,
    pub attempts: SqlAttemptStore,
    pub instruments: SqlStoredInstruments,
    pub keys: SqlIdempotencyStore,
    pub import: SqlImport,
    pub deliveries: SqlOutboxStore,
    pub refunds: SqlRefundStore,
    pub platforms: SqlPlatformStore,
    pub signing: SqlKeyStore,
}

impl Shop {
    pub fn on(database: Database) -> Self {
        let composer: Arc<dyn NotificationComposer> = Arc::new(data::Announce);
        Self {
            deliveries: SqlOutboxStore(database.clone()),
            refunds: SqlRefundStore(database.clone()),
            platforms: SqlPlatformStore(database.clone()),
            signing: SqlKeyStore(database.clone()),
            checkouts: SqlCheckoutStore::new(database.clone(), composer.clone()),
            orders: SqlOrderStore::new(database.clone(), composer),
            attempts: SqlAttemptStore(database.clone()),
            instruments: SqlStoredInstruments(database.clone()),
            keys: SqlIdempotencyStore(database.clone()),
            import: SqlImport(database.clone()),
            database,
        }
    }

    pub async fn stock(&self, batch: domain::import::Batch) {
        use domain::import::Import;
        self.import.import(&data::task(), batch, std::sync::Arc::new(|_| ())).await.expect("imported");
    }
}

/// Waits until a condition holds. The deadline only keeps a broken test from hanging.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let watch = Stopwatch::start();
    while !holds() {
        assert!(watch.elapsed() < Duration::from_secs(15), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub trait Expected {
    /// Returns the fault of a result. Panics if the result is not a fault.
    fn fault(self) -> Fault;
}

impl<T: std::fmt::Debug> Expected for Result<T, Fault> {
    fn fault(self) -> Fault {
        self.expect_err("a fault")
    }
}

impl<T: std::fmt::Debug, R: std::fmt::Debug> Expected for Result<T, Failure<R>> {
    fn fault(self) -> Fault {
        match self.expect_err("a fault") {
            Failure::Fault(fault) => fault,
            Failure::Refused(refusal) => panic!("a fault, not a refusal: {refusal:?}"),
        }
    }
}

/// Returns the refusal of a result. Panics if the result is not a refusal.
pub fn refusal<T: std::fmt::Debug, R: std::fmt::Debug>(result: Result<T, Failure<R>>) -> R {
    match result.expect_err("a refusal") {
        Failure::Refused(refusal) => refusal,
        Failure::Fault(fault) => panic!("a fault, not a refusal: {}", fault.chain()),
    }
}

/// Whether the same request may be sent again, because another writer was faster or the shop was busy.
pub fn is_worth_repeating<T>(result: &Result<T, Failure<CheckoutRefusal>>) -> bool {
    matches!(result, Err(Failure::Fault(fault))
        if matches!(fault.kind(), FaultKind::Contention | FaultKind::Unavailable))
}

pub fn trace() -> TraceContext {
    TraceContext::start()
}
