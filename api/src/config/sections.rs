//! The sections. A setting is a field and one line in `SETTINGS`; a test keeps the two together.

use std::path::PathBuf;

use domain::money::Currency;
use domain::secret::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use slog::Level;
use validator::Validate;

use crate::log::level_name;

/// What a section is called in the environment, and what its settings are for.
pub trait Section {
    const PREFIX: &'static str;
    const TITLE: &'static str;
    const SETTINGS: &'static [Setting];
}

/// One setting, as the documentation tells it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The field; the variable is the section's prefix and this, in capitals.
    pub name: &'static str,
    pub help: &'static str,
}

pub(super) const fn setting(name: &'static str, help: &'static str) -> Setting {
    Setting { name, help }
}

/// What the process is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Payments are simulated, test affordances are served, an empty shop gets a demo catalogue, and only this machine
    /// can reach it.
    #[default]
    Development,
    /// All of that is off, and refused.
    Production,
}

/// What to do when the schema is older than the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Migrate {
    /// Bring it up to date, one instance at a time.
    Apply,
    /// Refuse to start; `tuckshop migrate` is run by someone else.
    Refuse,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    #[serde(serialize_with = "mask_url", deserialize_with = "address")]
    pub url: Secret,
    pub allow_plaintext: bool,
    pub migrate: Migrate,
    #[validate(range(min = 2, max = 500))]
    pub pool_size: u32,
    #[validate(range(min = 1, max = 60_000))]
    pub pool_wait_ms: u64,
    #[validate(range(min = 10, max = 120_000))]
    pub statement_timeout_ms: u64,
    #[validate(range(min = 10, max = 60_000))]
    pub lock_timeout_ms: u64,
    #[validate(range(min = 0, max = 60_000))]
    pub commit_grace_ms: u64,
}

impl Section for DatabaseConfig {
    const PREFIX: &'static str = "TUCKSHOP_DATABASE_";
    const TITLE: &'static str = "Database";
    const SETTINGS: &'static [Setting] = &[
        setting(
            "url",
            "`sqlite://PATH` or `postgres://...`. One process may use an SQLite file; several may share a Postgres.",
        ),
        setting("allow_plaintext", "Permit a remote Postgres without TLS, on a network that encrypts by itself."),
        setting(
            "migrate",
            "`apply`: bring an older schema up to date at start, one instance at a time. `refuse`: do not start.",
        ),
        setting("pool_size", "Connections. On SQLite one of them writes and the others read."),
        setting("pool_wait_ms", "How long a request waits for a connection before it is turned away (503)."),
        setting("statement_timeout_ms", "The longest a statement may take, whatever the deadline (Postgres)."),
        setting("lock_timeout_ms", "The longest a statement waits for a lock, whatever the deadline."),
        setting("commit_grace_ms", "How long past its deadline a caller waits for a commit that has begun."),
    ];
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: Secret::new("sqlite://data/tuckshop.db"),
            allow_plaintext: false,
            migrate: Migrate::Apply,
            pool_size: 16,
            pool_wait_ms: 500,
            statement_timeout_ms: 5_000,
            lock_timeout_ms: 2_000,
            commit_grace_ms: 2_000,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct ShopConfig {
    #[validate(length(min = 1, max = 100))]
    pub name: String,
    pub currency: Currency,
    #[validate(url)]
    pub terms_url: String,
    #[validate(url)]
    pub privacy_url: String,
}

impl Section for ShopConfig {
    const PREFIX: &'static str = "TUCKSHOP_SHOP_";
    const TITLE: &'static str = "Shop";
    const SETTINGS: &'static [Setting] = &[
        setting("name", "What the shop calls itself on its pages."),
        setting(
            "currency",
            "The ISO 4217 code of all prices, in capital letters such as `USD`. It is stored with every amount; rows in another currency are not sold.",
        ),
        setting("terms_url", "The terms of service, shown with every checkout."),
        setting("privacy_url", "The privacy policy, shown with every checkout."),
    ];
}

impl Default for ShopConfig {
    fn default() -> Self {
        Self {
            name: "Tuckshop".to_owned(),
            currency: Currency::USD,
            terms_url: "https://tuckshop.example/terms".to_owned(),
            privacy_url: "https://tuckshop.example/privacy".to_owned(),
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct SimulationConfig {
    pub enabled: Option<bool>,
    #[serde(serialize_with = "mask", deserialize_with = "secret")]
    pub secret: Option<Secret>,
    pub ledger_path: Option<PathBuf>,
    #[validate(range(max = 60_000))]
    pub slow_ms: Option<u64>,
}

impl Section for SimulationConfig {
    const PREFIX: &'static str = "TUCKSHOP_SIMULATION_";
    const TITLE: &'static str = "Simulation";
    const SETTINGS: &'static [Setting] = &[
        setting(
            "enabled",
            "Simulated payments and test affordances. Not set: on in development. Refused in production.",
        ),
        setting("secret", "What `Simulation-Secret` must say. Not set: a random one, shown at start."),
        setting(
            "ledger_path",
            "The ledger of the simulated payments. Not set: beside the SQLite file, or `data/payments.ledger`.",
        ),
        setting("slow_ms", "How late `slow_token` answers. Not set: 2000."),
    ];
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct CheckoutConfig {
    #[validate(range(min = 1, max = 10_080))]
    pub expires_after_minutes: u64,
    #[validate(range(min = 1, max = 3_650))]
    pub retention_days: u64,
    #[validate(range(min = 50, max = 60_000))]
    pub completion_minimum_ms: u64,
    #[validate(range(min = 500, max = 120_000))]
    pub completion_grace_ms: u64,
}

impl Section for CheckoutConfig {
    const PREFIX: &'static str = "TUCKSHOP_CHECKOUT_";
    const TITLE: &'static str = "Checkout";
    const SETTINGS: &'static [Setting] = &[
        setting("expires_after_minutes", "How long an open checkout stays open."),
        setting("retention_days", "How long a finished checkout is kept. Orders are kept for ever."),
        setting(
            "completion_minimum_ms",
            "A completion with less time left than this is refused before anything happens (504).",
        ),
        setting(
            "completion_grace_ms",
            "How long the process works on a completion past its point of no return, whoever still waits: up to three calls of the gateway, and recording what came of them. What does not fit is left to the reconciler.",
        ),
    ];
}

impl Default for CheckoutConfig {
    fn default() -> Self {
        Self {
            expires_after_minutes: 6 * 60,
            retention_days: 30,
            completion_minimum_ms: 500,
            completion_grace_ms: 15_000,
        }
    }
}

/// Who may read an order by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAccess {
    /// The platform that bought it.
    Creator,
    /// Whoever knows the id.
    Open,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct OrderConfig {
    pub read_access: Option<ReadAccess>,
}

impl Section for OrderConfig {
    const PREFIX: &'static str = "TUCKSHOP_ORDER_";
    const TITLE: &'static str = "Order";
    const SETTINGS: &'static [Setting] = &[setting(
        "read_access",
        "`creator`: only the platform that bought may read an order. `open`: whoever knows its id. Not set: `open` in simulation, else `creator`.",
    )];
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct TasksConfig {
    #[validate(range(min = 50, max = 600_000))]
    pub payment_reconcile_ms: u64,
    #[validate(range(min = 50, max = 86_400_000))]
    pub checkout_expire_ms: u64,
    #[validate(range(min = 50, max = 86_400_000))]
    pub idempotency_purge_ms: u64,
    #[validate(range(min = 50, max = 600_000))]
    pub webhook_delivery_ms: u64,
    #[validate(range(min = 50, max = 600_000))]
    pub mail_delivery_ms: u64,
    #[validate(range(min = 50, max = 600_000))]
    pub payment_capture_ms: u64,
    #[validate(range(min = 50, max = 600_000))]
    pub payment_refund_ms: u64,
    #[validate(range(min = 50, max = 86_400_000))]
    pub delivery_purge_ms: u64,
}

impl Section for TasksConfig {
    const PREFIX: &'static str = "TUCKSHOP_TASKS_";
    const TITLE: &'static str = "Background tasks";
    const SETTINGS: &'static [Setting] = &[
        setting("payment_reconcile_ms", "How often lost answers of the payment gateway are looked up."),
        setting("checkout_expire_ms", "How often expired checkouts are cancelled and old ones forgotten."),
        setting("idempotency_purge_ms", "How often idempotency keys older than 48 hours are forgotten."),
        setting("webhook_delivery_ms", "How often due webhooks are looked for; what just happened is sent at once."),
        setting("mail_delivery_ms", "How often due letters are looked for; what just happened is sent at once."),
        setting("payment_capture_ms", "How often payments are looked for that are held and due to be captured."),
        setting("payment_refund_ms", "How often refunds are looked for that the gateway has not answered."),
        setting(
            "delivery_purge_ms",
            "How often messages are forgotten: a week after they were delivered, 90 days after they were given up.",
        ),
    ];
}

impl Default for TasksConfig {
    fn default() -> Self {
        Self {
            payment_reconcile_ms: 1_000,
            checkout_expire_ms: 60_000,
            idempotency_purge_ms: 600_000,
            webhook_delivery_ms: 1_000,
            mail_delivery_ms: 1_000,
            payment_capture_ms: 1_000,
            payment_refund_ms: 1_000,
            delivery_purge_ms: 600_000,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    #[validate(range(max = 600_000))]
    pub listen_ms: Option<u64>,
    #[validate(range(min = 100, max = 600_000))]
    pub drain_ms: u64,
}

impl Section for ShutdownConfig {
    const PREFIX: &'static str = "TUCKSHOP_SHUTDOWN_";
    const TITLE: &'static str = "Shutdown";
    const SETTINGS: &'static [Setting] = &[
        setting(
            "listen_ms",
            "How long a stopping server still accepts connections after its readiness fails. Not set: 3000 in production, else 0.",
        ),
        setting("drain_ms", "How long work under way may take to finish before it is named and left."),
    ];
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { listen_ms: None, drain_ms: 20_000 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Json,
    Terminal,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    pub format: Option<LogFormat>,
    #[serde(serialize_with = "level_to_word", deserialize_with = "level_from_word")]
    pub level: Level,
}

impl Section for LogConfig {
    const PREFIX: &'static str = "TUCKSHOP_LOG_";
    const TITLE: &'static str = "Logs";
    const SETTINGS: &'static [Setting] = &[
        setting(
            "format",
            "`json`: one object a line, on standard output (on standard error for commands other than `serve`). `terminal`: for people, on standard error. Not set: `json` in production, else `terminal`.",
        ),
        setting("level", "`trace`, `debug`, `info`, `warning`, `error` or `critical`."),
    ];
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: None, level: Level::Info }
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

/// A URL without what stands between its scheme and its host. What cannot be parsed is not shown at all.
fn mask_url<S: Serializer>(url: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::app::shown_database_url(url.expose()))
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// The levels of a line, as `TUCKSHOP_LOG_LEVEL` and the log name them. slog reads other words as well.
const LEVELS: [Level; 6] = [Level::Trace, Level::Debug, Level::Info, Level::Warning, Level::Error, Level::Critical];
const LEVEL_NAMES: [&str; 6] = ["trace", "debug", "info", "warning", "error", "critical"];

fn level_to_word<S: Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(level_name(*level))
}

fn level_from_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
    let word = String::deserialize(deserializer)?;
    let level = LEVELS.into_iter().find(|level| level_name(*level) == word);
    level.ok_or_else(|| serde::de::Error::unknown_variant(&word, &LEVEL_NAMES))
}
