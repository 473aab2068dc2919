//! The sections of the shop itself.

use std::path::PathBuf;

use domain::money::Currency;
use domain::secret::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use slog::Level;

use super::section::section;

/// Development or production.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Payments are simulated, test affordances are served, an empty shop gets a demo catalogue, and only loopback
    /// addresses are allowed.
    #[default]
    Development,
    /// Refuses everything that development adds.
    Production,
}

/// What to do when the schema is older than the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Migrate {
    /// Migrate at start, one instance at a time.
    Apply,
    /// Refuse to start. The operator runs `tuckshop migrate`.
    Refuse,
}

section! {
    pub struct DatabaseConfig("TUCKSHOP_DATABASE_", "Database") {
        /// `sqlite://PATH` or `postgres://...`. One process may use an SQLite file; several may share a Postgres.
        #[serde(serialize_with = "mask_url", deserialize_with = "address")]
        url: Secret = Secret::new("sqlite://data/tuckshop.db"),
        /// Permit a remote Postgres without TLS, on a network that encrypts by itself.
        allow_plaintext: bool = false,
        /// `apply`: bring an older schema up to date at start, one instance at a time. `refuse`: do not start.
        migrate: Migrate = Migrate::Apply,
        /// Connections. On SQLite one of them writes and the others read.
        #[validate(range(min = 2, max = 500))]
        pool_size: u32 = 16,
        /// How long a request waits for a connection before it is turned away (503).
        #[validate(range(min = 1, max = 60_000))]
        pool_wait_ms: u64 = 500,
        /// The longest a statement may take, whatever the deadline (Postgres).
        #[validate(range(min = 10, max = 120_000))]
        statement_timeout_ms: u64 = 5_000,
        /// The longest a statement waits for a lock, whatever the deadline.
        #[validate(range(min = 10, max = 60_000))]
        lock_timeout_ms: u64 = 2_000,
        /// How long past its deadline a caller waits for a commit that has begun.
        #[validate(range(min = 0, max = 60_000))]
        commit_grace_ms: u64 = 2_000,
    }
}

section! {
    pub struct ShopConfig("TUCKSHOP_SHOP_", "Shop") {
        /// What the shop calls itself on its pages.
        #[validate(length(min = 1, max = 100))]
        name: String = "Tuckshop".to_owned(),
        /// The ISO 4217 code of all prices, in capital letters such as `USD`. It is stored with every amount; rows in
        /// another currency are not sold.
        currency: Currency = Currency::USD,
        /// The terms of service, shown with every checkout. In production it must be `https`.
        #[validate(url)]
        terms_url: String = "https://tuckshop.example/terms".to_owned(),
        /// The privacy policy, shown with every checkout. In production it must be `https`.
        #[validate(url)]
        privacy_url: String = "https://tuckshop.example/privacy".to_owned(),
    }
}

section! {
    pub struct SimulationConfig("TUCKSHOP_SIMULATION_", "Simulation") {
        /// Simulated payments and test affordances. Not set: on in development. Refused in production.
        enabled: Option<bool> = None,
        /// The value that `Simulation-Secret` must have. Not set: a random one, shown at start.
        #[serde(serialize_with = "mask", deserialize_with = "secret")]
        secret: Option<Secret> = None,
        /// The ledger of the simulated payments. Not set: beside the SQLite file, or `data/payments.ledger`.
        ledger_path: Option<PathBuf> = None,
        /// How long the simulated gateway waits before it answers `slow_token`. Not set: 2000.
        #[validate(range(max = 60_000))]
        slow_ms: Option<u64> = None,
    }
}

section! {
    pub struct CheckoutConfig("TUCKSHOP_CHECKOUT_", "Checkout") {
        /// How long a checkout stays open, from its creation. An update does not extend the time.
        #[validate(range(min = 1, max = 10_080))]
        expires_after_minutes: u64 = 6 * 60,
        /// How long a finished checkout is kept. Orders are kept for ever.
        #[validate(range(min = 1, max = 3_650))]
        retention_days: u64 = 30,
        /// A completion with less time left than this is refused before anything happens (504).
        #[validate(range(min = 50, max = 60_000))]
        completion_minimum_ms: u64 = 500,
        /// How long the process works on a completion, even after the client left: its first transaction, up to three
        /// calls of the gateway, and recording their outcome. The reconciler finishes what takes longer.
        #[validate(range(min = 500, max = 120_000))]
        completion_grace_ms: u64 = 15_000,
    }
}

/// Who may read an order by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAccess {
    /// Only the platform that placed the order.
    Creator,
    /// Every caller that knows the id.
    Open,
}

section! {
    pub struct OrderConfig("TUCKSHOP_ORDER_", "Order") {
        /// `creator`: only the platform that placed an order may read it. `open`: every caller that knows its id may.
        /// Not set: `open` in simulation, else `creator`.
        read_access: Option<ReadAccess> = None,
    }
}

section! {
    pub struct TasksConfig("TUCKSHOP_TASKS_", "Background tasks") {
        /// How often the reconciler asks the payment gateway about unknown outcomes.
        #[validate(range(min = 50, max = 600_000))]
        payment_reconcile_ms: u64 = 1_000,
        /// How often expired checkouts are cancelled and old ones deleted.
        #[validate(range(min = 50, max = 86_400_000))]
        checkout_expire_ms: u64 = 60_000,
        /// How often idempotency keys older than 48 hours are deleted.
        #[validate(range(min = 50, max = 86_400_000))]
        idempotency_purge_ms: u64 = 600_000,
        /// How often due webhooks are looked for. A new event is sent at once.
        #[validate(range(min = 50, max = 600_000))]
        webhook_delivery_ms: u64 = 1_000,
        /// How often due email messages are looked for. A new message is sent at once.
        #[validate(range(min = 50, max = 600_000))]
        mail_delivery_ms: u64 = 1_000,
        /// How often authorized payments that are due for capture are looked for.
        #[validate(range(min = 50, max = 600_000))]
        payment_capture_ms: u64 = 1_000,
        /// How often refunds that the gateway has not confirmed are looked for.
        #[validate(range(min = 50, max = 600_000))]
        payment_refund_ms: u64 = 1_000,
        /// How often old messages are deleted: delivered ones after a week, dead letters after 90 days.
        #[validate(range(min = 50, max = 86_400_000))]
        delivery_purge_ms: u64 = 600_000,
    }
}

section! {
    pub struct ShutdownConfig("TUCKSHOP_SHUTDOWN_", "Shutdown") {
        /// How long a stopping server still accepts connections after its readiness fails. Not set: 3000 in production,
        /// else 0.
        #[validate(range(max = 600_000))]
        listen_ms: Option<u64> = None,
        /// How long work in progress may take to finish. Then it is logged and abandoned.
        #[validate(range(min = 100, max = 600_000))]
        drain_ms: u64 = 20_000,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Json,
    Terminal,
}

section! {
    pub struct LogConfig("TUCKSHOP_LOG_", "Logs") {
        /// `json`: one object a line, on standard output (on standard error for commands other than `serve`).
        /// `terminal`: for people, on standard error. Not set: `json` in production, else `terminal`.
        format: Option<LogFormat> = None,
        /// `trace`, `debug`, `info`, `warning`, `error` or `critical`.
        #[serde(serialize_with = "level_to_word", deserialize_with = "level_from_word")]
        level: Level = Level::Info,
    }
}

pub(super) fn mask<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_some("***"),
        None => serializer.serialize_none(),
    }
}

pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

/// Masks every address but the default one. [`super::Config::effective`] shows the address without its secrets.
fn mask_url<S: Serializer>(url: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    let default = DatabaseConfig::default().url;
    serializer.serialize_str(if *url == default { default.expose() } else { "***" })
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// All log levels, in the order of [`LEVEL_NAMES`]. slog's parser is not used, because it accepts other names as well.
const LEVELS: [Level; 6] = [Level::Trace, Level::Debug, Level::Info, Level::Warning, Level::Error, Level::Critical];
const LEVEL_NAMES: [&str; 6] = ["trace", "debug", "info", "warning", "error", "critical"];

/// The name of a level in log lines and in `TUCKSHOP_LOG_LEVEL`.
pub fn level_name(level: Level) -> &'static str {
    match level {
        Level::Critical => "critical",
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

fn level_to_word<S: Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(level_name(*level))
}

fn level_from_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
    let word = String::deserialize(deserializer)?;
    let level = LEVELS.into_iter().find(|level| level_name(*level) == word);
    level.ok_or_else(|| serde::de::Error::unknown_variant(&word, &LEVEL_NAMES))
}
