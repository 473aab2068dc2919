//! The kit of every storage test: a fresh database on one engine, a shop in it, and access to the rows.

pub mod cases;
pub mod data;
pub mod golden;
pub mod logs;
pub mod place;
pub mod race;
pub mod raw;
pub mod recording;
pub mod source;

use std::sync::Arc;
use std::time::Duration;

use domain::checkout::CheckoutRefusal;
use domain::context::{Stopwatch, TraceContext};
use domain::fault::{Failure, Fault, FaultKind};
use domain::outbox::NotificationComposer;
use persistence::{
    Database, DatabaseConfig, DatabaseUrl, SqlAttemptStore, SqlCheckoutStore, SqlIdempotencyStore, SqlImport,
    SqlKeyStore, SqlOrderStore, SqlOutboxStore, SqlPlatformStore, SqlRefundStore, SqlStoredInstruments,
};
pub use place::Place;
use recording::Operations;
use slog::{Drain, Logger, o};

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

/// The log of every test. It goes to the recording of the test, if there is one.
pub fn log() -> Logger {
    Logger::root(Operations.fuse(), o!())
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
            deliveries: SqlOutboxStore::new(database.clone()),
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
