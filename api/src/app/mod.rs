//! The composition root: only the files of this folder name adapters. [`App::build`] shows every
//! part of the shop from top to bottom.

mod gateway;
mod listener;
mod settings;
mod tools;

use std::error::Error;
use std::fmt;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use domain::checkout::{CheckoutExpiry, CheckoutStore, CompleteCheckout, CompletionLimits};
use domain::clock::Clock;
use domain::fault::chain;
use domain::idempotency::{IdempotencyPurge, IdempotencyStore};
use domain::import::Import;
use domain::order::OrderStore;
use domain::outbox::{
    Channel, DispatchLimits, NotificationComposer, OutboxDispatcher, OutboxPurge, OutboxStore, Sender,
};
use domain::payment::{AttemptStore, LONGEST_PASS, PaymentCapture, PaymentReconciler, PaymentRefunder, RefundStore};
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
use slog::Logger;
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

/// Why the shop cannot start: the error and its causes, for the operator. Any error ends the start, so no caller needs to
/// know its kind.
#[derive(Debug)]
pub struct StartError(String);

impl StartError {
    /// `what` says what failed because of `cause`.
    pub fn caused(what: &str, cause: &(dyn Error + 'static)) -> Self {
        Self(format!("{what}: {}", chain(cause)))
    }
}

impl<E: Error + 'static> From<E> for StartError {
    fn from(error: E) -> Self {
        Self(chain(&error))
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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
        let millis = Duration::from_millis;
        let database = current_database(config, log, runtime)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let outbound = outbound(config)?;
        let gateway = gateway::gateway(config, &outbound, &database, &clock, log)?;

        let simulated = config.simulation();
        let shopping_settings = ShoppingSettings {
            public_url: config.public_url(listener.local_addr()?),
            terms_url: config.shop.terms_url.clone(),
            privacy_url: config.shop.privacy_url.clone(),
            handlers: gateway.iter().map(|gateway| gateway.handler()).collect(),
            agents: AgentPolicy { trust_loopback: simulated },
            open_orders: config.order_read_access() == ReadAccess::Open,
        };
        let mail = settings::mail(config)?.map(|sender| Arc::new(sender) as Arc<dyn Sender>);
        let composer: Arc<dyn NotificationComposer> = Arc::new(Notifications {
            shop: config.shop.name.clone(),
            settings: shopping_settings.clone(),
            mail: mail.is_some(),
        });

        let checkouts: Arc<dyn CheckoutStore> = Arc::new(SqlCheckoutStore::new(database.clone(), composer.clone()));
        let orders: Arc<dyn OrderStore> = Arc::new(SqlOrderStore::new(database.clone(), composer));
        let attempts: Arc<dyn AttemptStore> = Arc::new(SqlAttemptStore(database.clone()));
        let refunds: Arc<dyn RefundStore> = Arc::new(SqlRefundStore(database.clone()));
        let records: Arc<dyn IdempotencyStore> = Arc::new(SqlIdempotencyStore(database.clone()));
        let outbox: Arc<dyn OutboxStore> = Arc::new(SqlOutboxStore::new(database.clone()));
        let platforms: Arc<dyn PlatformStore> = Arc::new(SqlPlatformStore(database.clone()));
        settings::warn_of_readable_keys(config, log);
        let signer = Arc::new(Signer::new(key_store(config, &database)?, clock.clone()));
        let profiles = Arc::new(PlatformProfiles::new(platforms, outbound.clone(), clock.clone()));
        let own_profile = Url::parse(&format!("{}/.well-known/ucp", shopping_settings.public_url))
            .map_err(|error| StartError::caused("the public address is not a URL", &error))?;
        let webhooks = WebhookSender::new(outbound, profiles, signer.clone(), clock.clone(), &own_profile)?;

        let tasks = &config.tasks;
        let expires_after = Duration::from_secs(config.checkout.expires_after_minutes * 60);
        let retention = Duration::from_secs(config.checkout.retention_days * 24 * 60 * 60);
        let expiry = CheckoutExpiry { checkouts: checkouts.clone(), clock: clock.clone(), retention };
        let key_purge = IdempotencyPurge { store: records.clone(), clock: clock.clone() };
        let outbox_purge = OutboxPurge { store: outbox.clone(), clock: clock.clone() };
        let dispatcher = |channel, sender, send_ms, per_endpoint, at_once| {
            let limits = DispatchLimits { send: millis(send_ms), per_endpoint, at_once };
            OutboxDispatcher::new(channel, outbox.clone(), sender, clock.clone(), limits)
        };
        let webhook = &config.webhook;
        let (send_ms, at_once) = (webhook.timeout_ms, webhook.at_once);
        let webhook_dispatcher =
            dispatcher(Channel::Webhook, Arc::new(webhooks), send_ms, webhook.at_once_per_platform, at_once);
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
            gateway: gateway.clone(),
            clock: clock.clone(),
        };
        background.push((Arc::new(reconciler), every(tasks.payment_reconcile_ms).then_wakes(OUTBOX_TASKS)));
        if let Some(gateway) = &gateway {
            let (gateway, clock) = (gateway.clone(), clock.clone());
            let capture = PaymentCapture { attempts: attempts.clone(), gateway: gateway.clone(), clock: clock.clone() };
            let refunder = PaymentRefunder { refunds, gateway, clock };
            background.push((Arc::new(capture), every(tasks.payment_capture_ms)));
            background.push((Arc::new(refunder), every(tasks.payment_refund_ms)));
        }
        let probed = database.clone();
        let probe = Probe { reach: Arc::new(move |ctx| probed.ready(ctx)), period: PROBE_PERIOD };
        let supervisor = Supervisor::start(runtime, log, background, Some(probe));
        let commands = Commands::new(runtime.clone(), config.http.max_commands);
        let outage = SimulatedKeyOutage::default();
        let writes = Writes { commands: commands.clone(), clock: clock.clone(), outage };
        let shutdown = Shutdown::default();

        let limits = CompletionLimits {
            minimum: millis(config.checkout.completion_minimum_ms),
            grace: millis(config.checkout.completion_grace_ms),
            gateway_call: millis(config.payment.call_timeout_ms),
        };
        let gateway_events = gateway::events(config).map(|read| GatewayEvents {
            read,
            attempts: attempts.clone(),
            clock: clock.clone(),
            supervisor: supervisor.clone(),
        });
        let shopping = Shopping {
            complete: CompleteCheckout {
                checkouts: checkouts.clone(),
                attempts,
                gateway,
                clock: clock.clone(),
                limits,
            },
            currency: config.shop.currency,
            expires_after,
            checkouts: checkouts.clone(),
            orders: orders.clone(),
            writes: writes.clone(),
            supervisor: supervisor.clone(),
            settings: shopping_settings.clone(),
            signing_keys: published(signer),
        };
        let simulation = simulated.then(|| Simulation {
            secret: config.simulation_secret(),
            orders: orders.clone(),
            records,
            clock: clock.clone(),
            supervisor: supervisor.clone(),
            outage: writes.outage.clone(),
            settings: shopping_settings,
        });
        let storefront = Storefront {
            shop: config.shop.name.clone(),
            writes,
            orders: orders.clone(),
            reviews: Arc::new(persistence::review::SqlReviewStore(database.clone())),
        };
        let home = Home {
            shop: config.shop.name.clone(),
            url: config.public_url(listener.local_addr()?),
            terms: config.shop.terms_url.clone(),
            privacy: config.shop.privacy_url.clone(),
            development: config.mode == Mode::Development,
            payments: match (&config.payment.gateway_url, config.simulation()) {
                (Some(_), _) => "made at the configured gateway",
                (None, true) => "simulated",
                (None, false) => "off",
            },
        };
        let pages = Pages { shop: config.shop.name.clone(), checkouts, orders, clock, home };
        let (ready, degraded, abandoned, commits) = (database.clone(), database.clone(), database.clone(), database);
        let operations = Operations {
            commands: commands.clone(),
            supervisor: supervisor.clone(),
            ready: Arc::new(move |ctx| ready.ready(ctx)),
            degraded: Arc::new(move || degraded.degraded().map(|lack| lack.as_str())),
            abandoned: Arc::new(move || abandoned.abandoned()),
            oldest_commit: Arc::new(move || commits.oldest_commit()),
            lost_log_lines,
            connections: Arc::new(Connections::new("shop", settings::connection_limits(config))),
        };
        Ok(Self {
            scope: Scope::new(
                log.clone(),
                millis(config.http.request_timeout_ms),
                shutdown.clone(),
                config.http.trusted_proxies.clone(),
            ),
            body_limits: BodyLimits { bytes: config.http.max_body_bytes, time: millis(config.http.body_timeout_ms) },
            shopping,
            storefront,
            pages,
            gateway_events,
            operations,
            outbox,
            simulation,
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

/// Opens the database of the configuration without migrating it.
fn open_database(config: &Config, log: &Logger, runtime: &Handle) -> Result<Database, StartError> {
    Ok(Database::open(settings::database(config)?, runtime.clone(), log)?)
}

/// Opens the database. Then migrates it or refuses a schema that is not current, as configured. Blocks.
fn current_database(config: &Config, log: &Logger, runtime: &Handle) -> Result<Database, StartError> {
    let database = open_database(config, log, runtime)?;
    match config.database.migrate {
        Migrate::Apply => drop(database.migrate()?),
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
