//! The composition root: only the files of this folder name adapters. [`App::build`] shows every
//! part of the shop from top to bottom.

mod error;
mod gateway;
mod listener;
mod settings;
mod tools;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use domain::checkout::{CheckoutExpiry, CheckoutStore, CompleteCheckout, CompletionLimits};
use domain::clock::Clock;
use domain::idempotency::{IdempotencyPurge, IdempotencyStore};
use domain::import::Import;
use domain::order::OrderStore;
use domain::outbox::{
    Channel, DispatchLimits, NotificationComposer, OutboxDispatcher, OutboxPurge, OutboxStore, Sender,
};
use domain::payment::{
    AttemptStore, LONGEST_PASS, PaymentCapture, PaymentGateway, PaymentHandler, PaymentReconciler, PaymentRefunder,
    RefundStore,
};
use domain::platform::PlatformStore;
use domain::secret::Secret;
use domain::signing::KeyStore;
use domain::task::BackgroundTask;
use integrations::outbound::{Outbound, OutboundConfig};
use integrations::platform_profile::PlatformProfiles;
use integrations::signatures::Signer;
use integrations::webhooks::WebhookSender;
use persistence::{
    Database, SqlAttemptStore, SqlCheckoutStore, SqlIdempotencyStore, SqlImport, SqlKeyStore, SqlOrderStore,
    SqlOutboxStore, SqlPlatformStore, SqlRefundStore,
};
use slog::{Logger, info};
use tokio::runtime::Handle;
use url::Url;

use crate::buyer_pages::{Home, Pages};
use crate::clock::SystemClock;
use crate::config::{Config, Migrate, Mode, ReadAccess};
use crate::gateway_events::GatewayEvents;
use crate::health::Operations;
use crate::http::connection::Connections;
use crate::http::{BodyLimits, Scope, SimulatedKeyOutage, Writes};
use crate::log::LostLines;
use crate::notifications::Notifications;
use crate::runtime::{Commands, Probe, Schedule, Shutdown, Supervisor};
use crate::shopping::v2026_04_08::{AgentPolicy, PublishedKeys, Shopping, ShoppingSettings};
use crate::simulation::Simulation;
use crate::storefront::Storefront;

pub use error::StartError;
pub use listener::bind;
pub use settings::{effective, read_config, shown_database_url};
pub use tools::Tools;

/// The whole shop, ready to be served.
pub struct App {
    pub scope: Scope,
    pub body_limits: BodyLimits,
    pub shopping: Shopping,
    pub storefront: Storefront,
    pub pages: Pages,
    /// `None` if no secret is configured that verifies the gateway's events.
    pub gateway_events: Option<GatewayEvents>,
    pub operations: Operations,
    pub outbox: Arc<dyn OutboxStore>,
    /// The test affordances. `None` if payments are not simulated, as always in production. Then their routes do not
    /// exist.
    pub simulation: Option<Simulation>,
    pub commands: Commands,
    pub supervisor: Supervisor,
    pub shutdown: Shutdown,
}

/// The longest a pass of a background task may take.
const PASS_TIMEOUT: Duration = Duration::from_secs(60);
const _: () = assert!(LONGEST_PASS.as_millis() == PASS_TIMEOUT.as_millis(), "a payment pass must end before its lease");
/// How often the supervisor probes the database while a background task fails.
const PROBE_PERIOD: Duration = Duration::from_secs(1);
/// The background tasks that deliver the outbox. They have work after an order was placed.
const OUTBOX_TASKS: &[&str] = &[Channel::Webhook.task(), Channel::Mail.task()];

impl App {
    /// Builds all parts and starts the background tasks. `listener` is already bound, and the caller serves it
    /// afterwards.
    pub fn build(
        config: &Config,
        log: &Logger,
        lost_log_lines: LostLines,
        runtime: &Handle,
        listener: &TcpListener,
    ) -> Result<Self, StartError> {
        let database = current_database(config, log, runtime)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let outbound = outbound(config)?;
        let gateway = gateway::gateway(config, &outbound, &database, &clock, log)?;
        let handlers = gateway.iter().map(|gateway| gateway.handler()).collect();
        let shopping_settings = shopping_settings(config, config.public_url(listener.local_addr()?), handlers);
        let mail = settings::mail(config)?.map(|sender| Arc::new(sender) as Arc<dyn Sender>);
        let stores = stores(config, &database, &shopping_settings, mail.is_some());
        settings::warn_of_readable_keys(config, log);
        let signer = Arc::new(Signer::new(key_store(config, &database)?, clock.clone()));
        let parts = Parts { config, database: database.clone(), clock, gateway, shopping_settings, stores, signer };

        let webhooks = Arc::new(parts.webhooks(outbound)?);
        let supervisor = Supervisor::start(runtime, log, parts.background_tasks(webhooks, mail), Some(parts.probe()));
        let commands = Commands::new(runtime.clone(), config.http.max_commands);
        let outage = SimulatedKeyOutage::default();
        let writes = Writes { commands: commands.clone(), clock: parts.clock.clone(), outage };
        let shopping = parts.shopping(&writes, &supervisor);
        let simulation = config.simulation().then(|| parts.simulation(&writes, &supervisor));
        let storefront = Storefront {
            shop: config.shop.name.clone(),
            writes,
            orders: parts.stores.orders.clone(),
            reviews: Arc::new(persistence::review::SqlReviewStore(database.clone())),
        };
        let shutdown = Shutdown::default();
        let request_timeout = Duration::from_millis(config.http.request_timeout_ms);
        let body_timeout = Duration::from_millis(config.http.body_timeout_ms);
        Ok(Self {
            scope: Scope::new(log.clone(), request_timeout, shutdown.clone(), config.http.trusted_proxies.clone()),
            body_limits: BodyLimits { bytes: config.http.max_body_bytes, time: body_timeout },
            shopping,
            simulation,
            storefront,
            pages: parts.pages(),
            gateway_events: parts.gateway_events(&supervisor),
            operations: parts.operations(&commands, &supervisor, lost_log_lines),
            outbox: parts.stores.outbox,
            commands,
            supervisor,
            shutdown,
        })
    }

    /// The secret of the test affordances, for the banner. `None` without simulation.
    pub fn simulation_secret(&self) -> Option<&Secret> {
        self.simulation.as_ref().map(|simulation| &simulation.secret)
    }
}

/// The stores of the shop, in its database.
struct Stores {
    checkouts: Arc<dyn CheckoutStore>,
    orders: Arc<dyn OrderStore>,
    attempts: Arc<dyn AttemptStore>,
    refunds: Arc<dyn RefundStore>,
    records: Arc<dyn IdempotencyStore>,
    outbox: Arc<dyn OutboxStore>,
    platforms: Arc<dyn PlatformStore>,
}

/// The parts that the background tasks and the surfaces share.
struct Parts<'c> {
    config: &'c Config,
    database: Database,
    clock: Arc<dyn Clock>,
    gateway: Option<Arc<dyn PaymentGateway>>,
    shopping_settings: ShoppingSettings,
    stores: Stores,
    signer: Arc<Signer>,
}

impl Parts<'_> {
    fn webhooks(&self, outbound: Outbound) -> Result<WebhookSender, StartError> {
        let platforms = self.stores.platforms.clone();
        let profiles = Arc::new(PlatformProfiles::new(platforms, outbound.clone(), self.clock.clone()));
        let own_profile = Url::parse(&format!("{}/.well-known/ucp", self.shopping_settings.public_url))
            .map_err(|error| StartError::caused("the public address is not a URL", &error))?;
        Ok(WebhookSender::new(outbound, profiles, self.signer.clone(), self.clock.clone(), &own_profile)?)
    }

    /// The background tasks and their schedules. `mail` is `None` if no mail relay is configured.
    fn background_tasks(
        &self,
        webhooks: Arc<dyn Sender>,
        mail: Option<Arc<dyn Sender>>,
    ) -> Vec<(Arc<dyn BackgroundTask>, Schedule)> {
        let Self { config, clock, stores: Stores { checkouts, attempts, outbox, .. }, .. } = self;
        let tasks = &config.tasks;
        let retention = Duration::from_secs(config.checkout.retention_days * 24 * 60 * 60);
        let expiry = CheckoutExpiry { checkouts: checkouts.clone(), clock: clock.clone(), retention };
        let key_purge = IdempotencyPurge { store: self.stores.records.clone(), clock: clock.clone() };
        let outbox_purge = OutboxPurge { store: outbox.clone(), clock: clock.clone() };
        let dispatcher = |channel, sender, send_ms, per_endpoint, at_once| {
            let limits = DispatchLimits { send: Duration::from_millis(send_ms), per_endpoint, at_once };
            OutboxDispatcher::new(channel, outbox.clone(), sender, clock.clone(), limits)
        };
        let webhook = &config.webhook;
        let (send_ms, at_once) = (webhook.timeout_ms, webhook.at_once);
        let webhook_dispatcher = dispatcher(Channel::Webhook, webhooks, send_ms, webhook.at_once_per_platform, at_once);
        let mut background: Vec<(Arc<dyn BackgroundTask>, Schedule)> = vec![
            (Arc::new(expiry), every(tasks.checkout_expire_ms)),
            (Arc::new(key_purge), every(tasks.idempotency_purge_ms)),
            (Arc::new(outbox_purge), every(tasks.delivery_purge_ms)),
            (Arc::new(webhook_dispatcher), every(tasks.webhook_delivery_ms).concurrently(at_once)),
        ];
        if let Some(sender) = mail {
            let at_once = config.mail.at_once;
            let dispatcher = dispatcher(Channel::Mail, sender, config.mail.timeout_ms, at_once, at_once);
            background.push((Arc::new(dispatcher), every(tasks.mail_delivery_ms).concurrently(at_once)));
        }
        let reconciler = PaymentReconciler {
            attempts: attempts.clone(),
            checkouts: checkouts.clone(),
            gateway: self.gateway.clone(),
            clock: clock.clone(),
        };
        background.push((Arc::new(reconciler), every(tasks.payment_reconcile_ms).then_wakes(OUTBOX_TASKS)));
        if let Some(gateway) = &self.gateway {
            let (gateway, clock, refunds) = (gateway.clone(), clock.clone(), self.stores.refunds.clone());
            let capture = PaymentCapture { attempts: attempts.clone(), gateway: gateway.clone(), clock: clock.clone() };
            let refunder = PaymentRefunder { refunds, gateway, clock };
            background.push((Arc::new(capture), every(tasks.payment_capture_ms)));
            background.push((Arc::new(refunder), every(tasks.payment_refund_ms)));
        }
        background
    }

    fn probe(&self) -> Probe {
        let database = self.database.clone();
        Probe { reach: Arc::new(move |ctx| database.ready(ctx)), period: PROBE_PERIOD }
    }

    fn shopping(&self, writes: &Writes, supervisor: &Supervisor) -> Shopping {
        let Self { config, stores, .. } = self;
        let limits = CompletionLimits {
            minimum: Duration::from_millis(config.checkout.completion_minimum_ms),
            grace: Duration::from_millis(config.checkout.completion_grace_ms),
            gateway_call: Duration::from_millis(config.payment.call_timeout_ms),
        };
        let complete = CompleteCheckout {
            checkouts: stores.checkouts.clone(),
            attempts: stores.attempts.clone(),
            gateway: self.gateway.clone(),
            clock: self.clock.clone(),
            limits,
        };
        Shopping {
            complete,
            currency: config.shop.currency,
            expires_after: Duration::from_secs(config.checkout.expires_after_minutes * 60),
            checkouts: stores.checkouts.clone(),
            orders: stores.orders.clone(),
            writes: writes.clone(),
            supervisor: supervisor.clone(),
            settings: self.shopping_settings.clone(),
            signing_keys: published(self.signer.clone()),
        }
    }

    fn simulation(&self, writes: &Writes, supervisor: &Supervisor) -> Simulation {
        Simulation {
            secret: self.config.simulation_secret(),
            orders: self.stores.orders.clone(),
            records: self.stores.records.clone(),
            clock: self.clock.clone(),
            supervisor: supervisor.clone(),
            outage: writes.outage.clone(),
            settings: self.shopping_settings.clone(),
        }
    }

    fn pages(&self) -> Pages {
        let Self { config, clock, stores, .. } = self;
        let home = Home {
            shop: config.shop.name.clone(),
            url: self.shopping_settings.public_url.clone(),
            terms: config.shop.terms_url.clone(),
            privacy: config.shop.privacy_url.clone(),
            development: config.mode == Mode::Development,
            payments: match (&config.payment.gateway_url, config.simulation()) {
                (Some(_), _) => "made at the configured gateway",
                (None, true) => "simulated",
                (None, false) => "off",
            },
        };
        let (checkouts, orders) = (stores.checkouts.clone(), stores.orders.clone());
        Pages { shop: config.shop.name.clone(), checkouts, orders, clock: clock.clone(), home }
    }

    fn gateway_events(&self, supervisor: &Supervisor) -> Option<GatewayEvents> {
        let (attempts, clock) = (self.stores.attempts.clone(), self.clock.clone());
        gateway::events(self.config).map(|read| GatewayEvents { read, attempts, clock, supervisor: supervisor.clone() })
    }

    fn operations(&self, commands: &Commands, supervisor: &Supervisor, lost_log_lines: LostLines) -> Operations {
        let [ready, degraded, abandoned, commits] = [(); 4].map(|()| self.database.clone());
        Operations {
            commands: commands.clone(),
            supervisor: supervisor.clone(),
            ready: Arc::new(move |ctx| ready.ready(ctx)),
            degraded: Arc::new(move || degraded.degraded().map(|lack| lack.as_str())),
            abandoned: Arc::new(move || abandoned.abandoned()),
            oldest_commit: Arc::new(move || commits.oldest_commit()),
            lost_log_lines,
            connections: Arc::new(Connections::new("shop", settings::connection_limits(self.config))),
        }
    }
}

fn shopping_settings(config: &Config, public_url: String, handlers: Vec<PaymentHandler>) -> ShoppingSettings {
    ShoppingSettings {
        public_url,
        terms_url: config.shop.terms_url.clone(),
        privacy_url: config.shop.privacy_url.clone(),
        handlers,
        agents: AgentPolicy { trust_loopback: config.simulation() },
        open_orders: config.order_read_access() == ReadAccess::Open,
    }
}

/// The stores. `mail` says whether the shop sends email messages.
fn stores(config: &Config, database: &Database, shopping_settings: &ShoppingSettings, mail: bool) -> Stores {
    let composer: Arc<dyn NotificationComposer> =
        Arc::new(Notifications { shop: config.shop.name.clone(), settings: shopping_settings.clone(), mail });
    Stores {
        checkouts: Arc::new(SqlCheckoutStore::new(database.clone(), composer.clone())),
        orders: Arc::new(SqlOrderStore::new(database.clone(), composer)),
        attempts: Arc::new(SqlAttemptStore(database.clone())),
        refunds: Arc::new(SqlRefundStore(database.clone())),
        records: Arc::new(SqlIdempotencyStore(database.clone())),
        outbox: Arc::new(SqlOutboxStore::new(database.clone())),
        platforms: Arc::new(SqlPlatformStore(database.clone())),
    }
}

/// Opens the database of the configuration without migrating it.
fn open_database(config: &Config, log: &Logger, runtime: &Handle) -> Result<Database, StartError> {
    Ok(Database::open(settings::database(config)?, runtime.clone(), log)?)
}

/// Opens the database. Then migrates it or refuses a schema that is not current, as configured. Blocks.
fn current_database(config: &Config, log: &Logger, runtime: &Handle) -> Result<Database, StartError> {
    let database = open_database(config, log, runtime)?;
    match config.database.migrate {
        Migrate::Apply => match database.migrate()? {
            0 => {}
            applied => info!(log, "migrations applied"; "op" => "database.migrate", "applied" => applied),
        },
        Migrate::Refuse => database.must_be_current()?,
    }
    Ok(database)
}

/// Migrates the schema and returns the number of applied migrations. Blocks.
pub fn migrate(config: &Config, log: &Logger, runtime: &Handle) -> Result<usize, StartError> {
    Ok(open_database(config, log, runtime)?.migrate()?)
}

/// Opens the database, migrates or checks its schema as configured, and returns the import. Blocks.
pub fn importer(config: &Config, log: &Logger, runtime: &Handle) -> Result<Arc<dyn Import>, StartError> {
    Ok(Arc::new(SqlImport(current_database(config, log, runtime)?)))
}

/// The client of every outbound HTTP call.
fn outbound(config: &Config) -> Result<Outbound, StartError> {
    let mut outbound = OutboundConfig::new(settings::untrusted_policy(config));
    // The bulkhead of an endpoint must admit every message that the dispatcher claims for the endpoint at once.
    let at_once = usize::try_from(config.webhook.at_once_per_platform).unwrap_or(usize::MAX);
    outbound.bulkheads.concurrency = outbound.bulkheads.concurrency.max(at_once);
    Ok(Outbound::new(outbound)?)
}

/// The configured signing keys, or those that the shop creates and stores in its database.
fn key_store(config: &Config, database: &Database) -> Result<Arc<dyn KeyStore>, StartError> {
    Ok(match settings::keys(config)? {
        Some(keys) => Arc::new(keys),
        None => Arc::new(SqlKeyStore(database.clone())),
    })
}

fn published(signer: Arc<Signer>) -> PublishedKeys {
    Arc::new(move |ctx| {
        let (signer, ctx) = (signer.clone(), ctx.clone());
        Box::pin(async move { signer.published(&ctx).await })
    })
}

fn every(millis: u64) -> Schedule {
    Schedule { period: Duration::from_millis(millis), pass_timeout: PASS_TIMEOUT, concurrency: 1, wakes: &[] }
}

#[cfg(test)]
mod tests;
