//! The configuration: environment variables, read once at start. All mistakes are reported together.
//!
//! A section is a flat struct with one prefix. Every setting has a safe default. The name of a setting ends in its unit
//! (`_ms`, `_bytes`, `_days`).

mod http;
mod markdown;
mod outbound;
mod read;
mod rules;
mod section;
mod sections;

use std::path::PathBuf;
use std::time::Duration;

use domain::secret::Secret;

pub use http::{HttpConfig, Networks, OperationsConfig};
pub use markdown::markdown;
pub use outbound::{Capture, EmailConfig, EmailProtection, PaymentConfig, WebhookConfig};
pub use read::{Environment, Mistake, Mistakes};
pub use section::{Section, Setting};
pub use sections::{
    CheckoutConfig, DatabaseConfig, LogConfig, LogFormat, Migrate, Mode, OrderConfig, ReadAccess, ShopConfig,
    ShutdownConfig, SimulationConfig, TasksConfig, level_name,
};

/// Defines, from one list of all sections, the struct [`Config`] and the functions that visit every section.
macro_rules! sections {
    ($($field:ident: $section:ident),* $(,)?) => {
        /// All settings, checked.
        #[derive(Clone, Debug)]
        pub struct Config {
            pub mode: Mode,
            $(pub $field: $section,)*
        }

        const PREFIXES: &[&str] = &[$($section::PREFIX),*];

        /// Reads every section. A setting that is wrong keeps its default, and the mistake is added to `mistakes`.
        fn read_sections(mode: Mode, environment: &Environment, mistakes: &mut Mistakes) -> Config {
            Config { mode, $($field: read::section(environment, mistakes),)* }
        }

        /// Full names and values of all settings but the mode.
        fn values(config: &Config) -> Vec<(String, String)> {
            let mut all = Vec::new();
            $(all.extend(read::values(&config.$field));)*
            all
        }

        /// The tables of all sections, for `docs/CONFIGURATION.md`.
        fn tables() -> String {
            [$(markdown::table::<$section>()),*].concat()
        }
    };
}

sections! {
    http: HttpConfig,
    operations: OperationsConfig,
    database: DatabaseConfig,
    shop: ShopConfig,
    simulation: SimulationConfig,
    checkout: CheckoutConfig,
    order: OrderConfig,
    payment: PaymentConfig,
    webhook: WebhookConfig,
    mail: EmailConfig,
    tasks: TasksConfig,
    shutdown: ShutdownConfig,
    log: LogConfig,
}

impl Config {
    /// Reads and checks the environment. `adapter_mistakes` returns the mistakes that only the adapters can find, such
    /// as an address or a key that they cannot use.
    pub fn read(
        environment: &Environment,
        adapter_mistakes: impl FnOnce(&Self) -> Vec<Mistake>,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut config = read::sections(environment, &mut mistakes);
        mistakes.0.extend(adapter_mistakes(&config));
        rules::check(&config, &mut mistakes);
        config.http.public_url = config.http.public_url.as_deref().and_then(rules::origin);
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// Whether payments are simulated and the test affordances are served. Never in production.
    pub fn simulation(&self) -> bool {
        self.mode == Mode::Development && self.simulation.enabled.unwrap_or(true)
    }

    /// The secret of the test affordances: the configured one, or a new random one at each call.
    pub fn simulation_secret(&self) -> Secret {
        let given = self.simulation.secret.clone();
        given.unwrap_or_else(|| Secret::new(uuid::Uuid::new_v4().simple().to_string()))
    }

    /// Who may read an order by its id.
    pub fn order_read_access(&self) -> ReadAccess {
        let default = if self.simulation() { ReadAccess::Open } else { ReadAccess::Creator };
        self.order.read_access.unwrap_or(default)
    }

    /// How long a stopping server accepts connections. A load balancer needs this time to notice that the server is not
    /// ready any more.
    pub fn listen_after_stop(&self) -> Duration {
        let default = if self.mode == Mode::Production { 3_000 } else { 0 };
        Duration::from_millis(self.shutdown.listen_ms.unwrap_or(default))
    }

    /// The configured format, or JSON in production and the terminal format in development.
    pub fn log_format(&self) -> LogFormat {
        let default = if self.mode == Mode::Production { LogFormat::Json } else { LogFormat::Terminal };
        self.log.format.unwrap_or(default)
    }

    /// Whether the shop's own address serves `/statusz`.
    pub fn serves_status(&self) -> bool {
        self.mode == Mode::Development && self.operations.address.is_none()
    }

    /// The number of threads that serve HTTP.
    pub fn workers(&self) -> usize {
        self.http.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from))
    }

    /// How long the simulated gateway waits before it answers `slow_token`.
    pub fn simulated_slowness(&self) -> Duration {
        Duration::from_millis(self.simulation.slow_ms.unwrap_or(2_000))
    }

    /// The address under which clients reach a server that listens on `bound`.
    pub fn public_url(&self, bound: std::net::SocketAddr) -> String {
        self.http.public_url.clone().unwrap_or_else(|| format!("http://{bound}"))
    }

    /// Every setting as its full variable name and its effective value, with secrets masked. `database_url` is the
    /// address of the database without its secrets.
    pub fn effective(&self, database_url: String, ledger_path: PathBuf) -> Vec<(String, String)> {
        read::effective(self, database_url, ledger_path)
    }
}

#[cfg(test)]
mod tests;
