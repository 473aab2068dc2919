//! The composition root: the only file that names an adapter. Read it from top to bottom to see what the shop is made
//! of.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::checkout::{
    CancelCheckout, CheckoutBook, CheckoutExpiry, CompleteCheckout, CompletionLimits, CreateCheckout, UpdateCheckout,
};
use domain::clock::Clock;
use domain::idempotency::{IdempotencyPurge, IdempotencyRecords};
use domain::import::Import;
use domain::order::OrderBook;
use domain::payment::{PaymentAttempts, PaymentGateway, PaymentReconciler};
use domain::secret::Secret;
use domain::task::BackgroundTask;
use integrations::mock_payment_handler::{MockConfig, MockPaymentHandler, OnFile};
use persistence::{
    Database, DatabaseUrl, OpenError, SqlCheckoutBook, SqlIdempotencyRecords, SqlImport, SqlOrderBook,
    SqlPaymentAttempts, SqlStoredInstruments,
};
use slog::Logger;
use tokio::runtime::Handle;

use crate::clock::SystemClock;
use crate::config::{Config, DatabaseConfig, Migrate, ReadAccess};
use crate::http::{BodyLimits, Scope};
use crate::operations::Operations;
use crate::pages::Pages;
use crate::runtime::{Commands, Schedule, Shutdown, Supervisor};
use crate::shopping::v2026_04_08::{AgentPolicy, Outage, Shopping, Surface};
use crate::simulation::Simulation;

/// The whole shop, ready to be served.
pub struct App {
    pub scope: Scope,
    pub body_limits: BodyLimits,
    pub shopping: Shopping,
    pub pages: Pages,
    pub operations: Operations,
    /// `None` in production: then its routes do not exist.
    pub simulation: Option<Simulation>,
    pub commands: Commands,
    pub supervisor: Supervisor,
    pub shutdown: Shutdown,
}

/// Why the shop cannot be opened. Start-up ends here.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Database(#[from] OpenError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the demo catalogue could not be imported: {0}")]
    Demo(String),
}

/// A pass of a background task may not take longer.
const PASS_TIMEOUT: Duration = Duration::from_secs(60);

impl App {
    /// Builds everything and starts the background tasks. `listener` is bound but not served yet.
    pub fn build(config: &Config, log: &Logger, runtime: &Handle, listener: &TcpListener) -> Result<Self, StartError> {
        let database = current_database(config, log, runtime)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let checkouts: Arc<dyn CheckoutBook> = Arc::new(SqlCheckoutBook::new(database.clone()));
        let orders: Arc<dyn OrderBook> = Arc::new(SqlOrderBook::new(database.clone()));
        let attempts: Arc<dyn PaymentAttempts> = Arc::new(SqlPaymentAttempts::new(database.clone()));
        let records: Arc<dyn IdempotencyRecords> = Arc::new(SqlIdempotencyRecords::new(database.clone()));
        let gateway = gateway(config, &database, &clock, log)?;

        let millis = Duration::from_millis;
        let limits = CompletionLimits {
            minimum: millis(config.checkout.completion_minimum_ms),
            grace: millis(config.checkout.completion_grace_ms),
            gateway_call: millis(config.payment.call_timeout_ms),
        };
        let expires_after = Duration::from_secs(config.checkout.expires_after_minutes * 60);
        let retention = Duration::from_secs(config.checkout.retention_days * 24 * 60 * 60);

        let mut tasks: Vec<(Arc<dyn BackgroundTask>, Schedule)> = vec![
            (
                Arc::new(CheckoutExpiry::new(checkouts.clone(), clock.clone(), retention)),
                every(config.tasks.checkout_expire_ms),
            ),
            (Arc::new(IdempotencyPurge::new(records.clone(), clock.clone())), every(config.tasks.idempotency_purge_ms)),
        ];
        if let Some(gateway) = &gateway {
            let reconciler =
                PaymentReconciler::new(attempts.clone(), checkouts.clone(), gateway.clone(), clock.clone());
            tasks.push((Arc::new(reconciler), every(config.tasks.payment_reconcile_ms)));
        }
        let supervisor = Supervisor::start(runtime, log, tasks);
        let commands = Commands::new(runtime.clone(), config.http.max_commands);
        let shutdown = Shutdown::default();

        let simulated = config.simulation();
        let surface = Surface {
            public_url: config.public_url(listener.local_addr()?),
            terms_url: config.shop.terms_url.clone(),
            privacy_url: config.shop.privacy_url.clone(),
            handlers: gateway.iter().map(|gateway| gateway.handler()).collect(),
            agents: AgentPolicy { trust_loopback: simulated },
            open_orders: config.order_read_access() == ReadAccess::Open,
            outage: Outage::default(),
        };
        let shopping = Shopping {
            create: CreateCheckout::new(checkouts.clone(), clock.clone(), config.shop.currency, expires_after),
            update: UpdateCheckout::new(checkouts.clone(), clock.clone()),
            complete: CompleteCheckout::new(checkouts.clone(), attempts, gateway, clock.clone(), limits),
            cancel: CancelCheckout::new(checkouts.clone(), clock.clone()),
            checkouts: checkouts.clone(),
            orders: orders.clone(),
            clock: clock.clone(),
            commands: commands.clone(),
            supervisor: supervisor.clone(),
            surface: surface.clone(),
        };
        let simulation = simulated.then(|| Simulation {
            secret: config.simulation_secret(),
            orders: orders.clone(),
            records,
            clock: clock.clone(),
            outage: surface.outage.clone(),
            surface,
        });
        let pages = Pages { shop: config.shop.name.clone(), checkouts, orders, clock };
        let (ready, abandoned) = (database.clone(), database);
        let operations = Operations {
            commands: commands.clone(),
            supervisor: supervisor.clone(),
            ready: Arc::new(move |ctx| ready.ready(ctx)),
            abandoned: Arc::new(move || abandoned.abandoned()),
        };
        Ok(Self {
            scope: Scope::new(log.clone(), millis(config.http.request_timeout_ms), shutdown.clone()),
            body_limits: BodyLimits { bytes: config.http.max_body_bytes, time: millis(config.http.body_timeout_ms) },
            shopping,
            pages,
            operations,
            simulation,
            commands,
            supervisor,
            shutdown,
        })
    }

    /// The secret of the test affordances, for the banner.
    pub fn simulation_secret(&self) -> Option<&Secret> {
        self.simulation.as_ref().map(|simulation| &simulation.secret)
    }
}

/// Opens the database of the configuration without migrating it.
fn open_database(config: &Config, log: &Logger, runtime: &Handle) -> Result<Database, StartError> {
    let settings = &config.database;
    let millis = Duration::from_millis;
    let url = DatabaseUrl::parse(&settings.url, settings.allow_plaintext)
        .map_err(|error| OpenError::Unreachable(error.to_string()))?;
    let database = persistence::DatabaseConfig {
        url,
        pool_size: settings.pool_size,
        pool_wait: millis(settings.pool_wait_ms),
        statement_timeout: millis(settings.statement_timeout_ms),
        lock_timeout: millis(settings.lock_timeout_ms),
        commit_grace: millis(settings.commit_grace_ms),
    };
    Ok(Database::open(database, runtime.clone(), log)?)
}

/// Opens the database and makes sure that its schema is the one this program knows, as configured. Blocks.
fn current_database(config: &Config, log: &Logger, runtime: &Handle) -> Result<Database, StartError> {
    let database = open_database(config, log, runtime)?;
    match config.database.migrate {
        Migrate::Apply => drop(database.migrate()?),
        Migrate::Refuse => database.must_be_current()?,
    }
    Ok(database)
}

/// Brings the schema up to date and says how many migrations that took. Blocks.
pub fn migrate(config: &Config, log: &Logger, runtime: &Handle) -> Result<usize, StartError> {
    Ok(open_database(config, log, runtime)?.migrate()?)
}

/// The import, on a database whose schema is current.
pub fn importer(config: &Config, log: &Logger, runtime: &Handle) -> Result<Arc<dyn Import>, StartError> {
    Ok(Arc::new(SqlImport::new(current_database(config, log, runtime)?)))
}

/// Whether the URL names a database that can be used as configured.
pub fn check_database_url(settings: &DatabaseConfig) -> Result<(), String> {
    DatabaseUrl::parse(&settings.url, settings.allow_plaintext).map(drop).map_err(|error| error.to_string())
}

/// Where the ledger of the simulated payments is kept.
pub fn ledger_path(config: &Config) -> PathBuf {
    let beside = match DatabaseUrl::parse(&config.database.url, config.database.allow_plaintext) {
        Ok(DatabaseUrl::Sqlite(path)) => path.with_extension("payments.ledger"),
        _ => PathBuf::from("data/payments.ledger"),
    };
    config.simulation.ledger_path.clone().unwrap_or(beside)
}

/// The payment gateway: the simulator, where that is allowed. A shop without one sells nothing, and says so at start.
fn gateway(
    config: &Config,
    database: &Database,
    clock: &Arc<dyn Clock>,
    log: &Logger,
) -> Result<Option<Arc<dyn PaymentGateway>>, StartError> {
    if !config.simulation() {
        return Ok(None);
    }
    let ledger_path = ledger_path(config);
    if let Some(folder) = ledger_path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let slow = config.simulated_slowness();
    let instruments = SqlStoredInstruments::new(database.clone());
    let on_file: OnFile = Arc::new(move |ctx, choice| instruments.credential(ctx, choice));
    let handler = MockPaymentHandler::open(MockConfig { ledger_path, slow }, on_file, clock.clone(), log)?;
    Ok(Some(Arc::new(handler)))
}

fn every(millis: u64) -> Schedule {
    Schedule { period: Duration::from_millis(millis), pass_timeout: PASS_TIMEOUT }
}

/// Binds the address, so that a port that is taken is told before anything else is opened.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address)
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}
