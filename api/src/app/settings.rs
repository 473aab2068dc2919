//! Converts the configuration into the types of the adapters, and lets the adapters check their settings.
//!
//! The checks are part of reading the configuration, so that all mistakes are reported together, before the process
//! opens a socket or the database. The checks read the files that settings name and have no other effect.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::payment::{HandlerId, PaymentHandler};
use domain::secret::Secret;
use integrations::email::{self, EmailConfig, EmailCredentials, EmailSender, EmailTls};
use integrations::outbound::UntrustedPolicy;
use integrations::signatures::FixedKeys;
use integrations::stripe::{self, CaptureMethod, StripeConfig};
use persistence::DatabaseUrl;
use slog::{Logger, warn};

use super::StartError;
use crate::config::{Capture, Config, EmailProtection, Environment, Mistake, Mistakes, Mode};
use crate::file;
use crate::http::connection::Limits;

const MAIL_CA_VARIABLE: &str = "TUCKSHOP_MAIL_CA_PATH";
const KEYS_VARIABLE: &str = "TUCKSHOP_WEBHOOK_KEYS_PATH";
/// The largest file of keys or certificates, in bytes. The certificates of all public authorities need a tenth of this.
const LARGEST_FILE: u64 = 4 * 1_024 * 1_024;
const WRITABLE_BY_OTHERS: u32 = 0o002;
const READABLE_BY_OTHERS: u32 = 0o004;

/// The limits of the connections at the shop's address.
pub(super) fn connection_limits(config: &Config) -> Limits {
    let (http, millis) = (&config.http, Duration::from_millis);
    Limits {
        head_time: millis(http.header_timeout_ms),
        keep_alive: millis(http.keep_alive_ms),
        body_time: millis(http.body_timeout_ms),
        write_time: millis(http.write_timeout_ms),
        body_bytes: http.max_body_bytes,
        held_bytes: http.held_bytes,
        connections: http.max_connections.saturating_mul(config.workers()),
    }
}

/// Reads and checks the configuration, with the checks of the adapters.
pub fn read_config(environment: &Environment) -> Result<Config, Mistakes> {
    Config::read(environment, mistakes)
}

/// The settings of the database.
pub(super) fn database(config: &Config) -> Result<persistence::DatabaseConfig, StartError> {
    let settings = &config.database;
    let millis = Duration::from_millis;
    let url = DatabaseUrl::parse(settings.url.expose(), settings.allow_plaintext)
        .map_err(|error| mistake("TUCKSHOP_DATABASE_URL", error))?;
    Ok(persistence::DatabaseConfig {
        url,
        pool_size: settings.pool_size,
        pool_wait: millis(settings.pool_wait_ms),
        statement_timeout: millis(settings.statement_timeout_ms),
        lock_timeout: millis(settings.lock_timeout_ms),
        commit_grace: millis(settings.commit_grace_ms),
    })
}

/// The configured address of the database without its secrets. Secrets are also removed from an address that is not
/// valid.
pub fn shown_database_url(config: &Config) -> String {
    DatabaseUrl::shown(config.database.url.expose())
}

/// Every setting as its full variable name and its effective value, with secrets masked.
pub fn effective(config: &Config) -> Vec<(String, String)> {
    config.effective(shown_database_url(config), ledger_path(config))
}

/// The path of the ledger of the simulated payments.
pub(super) fn ledger_path(config: &Config) -> PathBuf {
    let beside = match DatabaseUrl::parse(config.database.url.expose(), config.database.allow_plaintext) {
        // Symbolic links are resolved, so that a database file has the same ledger under every path.
        Ok(DatabaseUrl::Sqlite(path)) => path.canonicalize().unwrap_or(path).with_extension("payments.ledger"),
        _ => PathBuf::from("data/payments.ledger"),
    };
    config.simulation.ledger_path.clone().unwrap_or(beside)
}

/// The mistakes of all settings that an adapter refuses.
fn mistakes(config: &Config) -> Vec<Mistake> {
    let mut found = Found::default();
    let database = DatabaseUrl::parse(config.database.url.expose(), config.database.allow_plaintext);
    found.note("TUCKSHOP_DATABASE_URL", database);
    let payment = &config.payment;
    if let Some(url) = &payment.gateway_url {
        found.note("TUCKSHOP_PAYMENT_GATEWAY_URL", stripe::check_address(url));
        found.note("TUCKSHOP_PAYMENT_GATEWAY_VERSION", stripe::check_header(&payment.gateway_version));
        found.note("TUCKSHOP_SHOP_CURRENCY", stripe::check_currency(config.shop.currency));
    }
    if let Some(key) = &payment.gateway_key {
        found.note("TUCKSHOP_PAYMENT_GATEWAY_KEY", stripe::check_header(key.expose()));
    }
    let relay = &config.mail;
    if let Some(host) = &relay.host {
        match email::check_host(host) {
            Ok(()) => found.note(
                "TUCKSHOP_MAIL_TLS",
                email::check_protection(mail_tls(relay.tls), host, relay.password.is_some()),
            ),
            refused => found.note("TUCKSHOP_MAIL_HOST", refused),
        }
    }
    if let Some(from) = &relay.from {
        found.note("TUCKSHOP_MAIL_FROM", email::check_sender(from));
    }
    if let Some(path) = &relay.ca_path {
        let roots = read(MAIL_CA_VARIABLE, path);
        found.extend(roots.and_then(|pem| email::check_roots(&pem).map_err(|error| mistake(MAIL_CA_VARIABLE, error))));
    }
    found.extend(keys(config));
    found.0
}

#[derive(Default)]
struct Found(Vec<Mistake>);

impl Found {
    fn note<T>(&mut self, variable: &str, outcome: Result<T, impl ToString>) {
        self.extend(outcome.map_err(|error| mistake(variable, error)));
    }

    fn extend<T>(&mut self, outcome: Result<T, Mistake>) {
        self.0.extend(outcome.err());
    }
}

fn mistake(variable: &str, error: impl ToString) -> Mistake {
    Mistake { variable: variable.to_owned(), message: error.to_string() }
}

/// Which destinations platforms may name: public ones, and in development also those on this machine.
pub(super) fn untrusted_policy(config: &Config) -> UntrustedPolicy {
    match config.mode {
        Mode::Development => UntrustedPolicy::DevelopmentLoopback,
        Mode::Production => UntrustedPolicy::Public,
    }
}

pub(super) fn stripe(config: &Config, base_url: String, secret_key: Secret) -> StripeConfig {
    let payment = &config.payment;
    let handler = PaymentHandler {
        name: payment.handler_name.clone(),
        id: HandlerId(payment.handler_id.clone()),
        version: payment.handler_version.clone(),
        spec: payment.handler_spec.clone(),
        schema: payment.handler_schema.clone(),
        instruments: vec!["card".to_owned()],
        config: payment.handler_config.clone(),
    };
    StripeConfig {
        base_url,
        secret_key,
        api_version: payment.gateway_version.clone(),
        capture: match payment.capture {
            Capture::Automatic => CaptureMethod::Automatic,
            Capture::Manual => CaptureMethod::Manual,
        },
        handler,
        currencies: vec![config.shop.currency],
        attempt_timeout: Duration::from_millis(payment.call_timeout_ms),
    }
}

/// The sender of email messages. `None` if no relay is configured: then the shop composes no email messages.
pub(super) fn mail(config: &Config) -> Result<Option<EmailSender>, StartError> {
    let mail = &config.mail;
    let (Some(host), Some(from)) = (mail.host.clone(), mail.from.clone()) else { return Ok(None) };
    let credentials = match (mail.username.clone(), mail.password.clone()) {
        (Some(username), Some(password)) => Some(EmailCredentials { username, password }),
        _ => None,
    };
    let extra_roots = mail.ca_path.as_deref().map(|path| read(MAIL_CA_VARIABLE, path)).transpose()?;
    let settings = EmailConfig { host, port: mail.port(), tls: mail_tls(mail.tls), credentials, from, extra_roots };
    let sender = EmailSender::new(settings);
    // The checks of the configuration have found no fault in a single setting.
    sender.map(Some).map_err(|error| StartError::caused("the mail relay cannot be used as configured", &error))
}

fn mail_tls(protection: EmailProtection) -> EmailTls {
    match protection {
        EmailProtection::Implicit => EmailTls::Implicit,
        EmailProtection::Starttls => EmailTls::StartTls,
        EmailProtection::None => EmailTls::None,
    }
}

/// The signing keys of the configured file. `None` if no file is configured.
pub(super) fn keys(config: &Config) -> Result<Option<FixedKeys>, Mistake> {
    let Some(path) = &config.webhook.keys_path else { return Ok(None) };
    FixedKeys::read(&read(KEYS_VARIABLE, path)?).map(Some).map_err(|error| mistake(KEYS_VARIABLE, error))
}

/// Reads the file that a setting names. An error does not repeat the path, because the setting may contain a secret by
/// mistake.
///
/// A file that every user of the machine can write is refused, since it holds trusted certificates or signing keys.
fn read(variable: &str, path: &Path) -> Result<String, Mistake> {
    let unreadable = |error| mistake(variable, format!("the file cannot be read: {error}"));
    let file = file::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    if found.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(mistake(variable, "every user of the machine can write the file: remove that permission"));
    }
    file::text_at_most(file, LARGEST_FILE).map_err(unreadable)
}

/// Warns of signing keys that every user of the machine can read. Such keys are not refused, because some systems mount
/// secrets with this permission.
pub(super) fn warn_of_readable_keys(config: &Config, log: &Logger) {
    let readable = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & READABLE_BY_OTHERS != 0)
    };
    if config.webhook.keys_path.as_ref().is_some_and(readable) {
        warn!(log, "every user of the machine can read the signing keys"; "op" => "start", "variable" => KEYS_VARIABLE);
    }
}
