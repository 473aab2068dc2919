//! What the adapters are told: the configuration in their words, and what they find wrong with it.
//!
//! The checks are part of reading the configuration, so that nothing is opened with a setting that cannot work, and so
//! that all mistakes are told at once. They read the files that settings name and touch nothing else.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::payment::{HandlerId, PaymentHandler};
use domain::secret::Secret;
use integrations::email::{self, EmailConfig, EmailCredentials, EmailSender, EmailTls};
use integrations::outbound::UntrustedPolicy;
use integrations::signatures::FixedKeys;
use integrations::stripe::{self, CaptureMethod, StripeConfig};
use persistence::DatabaseUrl;
use slog::{Logger, warn};

use crate::config::{Capture, Config, EmailProtection, Mistake, Mode};
use crate::file;
use crate::http::connection::{Connections, Limits};

const MAIL_CA_PATH: &str = "TUCKSHOP_MAIL_CA_PATH";
const KEYS_PATH: &str = "TUCKSHOP_WEBHOOK_KEYS_PATH";
/// Bytes of a file of keys or certificates; the certificates of all public authorities are a tenth of it.
const LARGEST_FILE: u64 = 4 * 1_024 * 1_024;
const WRITABLE_BY_OTHERS: u32 = 0o002;
const READABLE_BY_OTHERS: u32 = 0o004;

/// The connections of the shop's own address, none of them open yet.
pub(super) fn connections(config: &Config) -> Arc<Connections> {
    let (http, millis) = (&config.http, Duration::from_millis);
    let limits = Limits {
        head_time: millis(http.header_timeout_ms),
        keep_alive: millis(http.keep_alive_ms),
        body_time: millis(http.body_timeout_ms),
        write_time: millis(http.write_timeout_ms),
        body_bytes: http.max_body_bytes,
        held_bytes: http.held_bytes,
        connections: http.max_connections.saturating_mul(config.workers()),
    };
    Arc::new(Connections::new("shop", limits))
}

/// Everything that an adapter finds wrong.
pub fn mistakes(config: &Config) -> Vec<Mistake> {
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
        let roots = read(MAIL_CA_PATH, path);
        found.extend(roots.and_then(|pem| email::check_roots(&pem).map_err(|error| mistake(MAIL_CA_PATH, error))));
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

/// Which destinations others may name. Those on this machine in development only.
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

/// `None` when no relay is configured: then nothing is written either.
pub(super) fn mail(config: &Config) -> Result<Option<EmailSender>, Mistake> {
    let mail = &config.mail;
    let (Some(host), Some(from)) = (mail.host.clone(), mail.from.clone()) else { return Ok(None) };
    let credentials = match (mail.username.clone(), mail.password.clone()) {
        (Some(username), Some(password)) => Some(EmailCredentials { username, password }),
        _ => None,
    };
    let extra_roots = mail.ca_path.as_deref().map(|path| read(MAIL_CA_PATH, path)).transpose()?;
    let settings = EmailConfig { host, port: mail.port(), tls: mail_tls(mail.tls), credentials, from, extra_roots };
    EmailSender::new(settings).map(Some).map_err(|error| mistake("TUCKSHOP_MAIL_HOST", error))
}

fn mail_tls(protection: EmailProtection) -> EmailTls {
    match protection {
        EmailProtection::Implicit => EmailTls::Implicit,
        EmailProtection::Starttls => EmailTls::StartTls,
        EmailProtection::None => EmailTls::None,
    }
}

/// `None` when no file is configured: then the shop makes its keys and keeps them itself.
pub(super) fn keys(config: &Config) -> Result<Option<FixedKeys>, Mistake> {
    let Some(path) = &config.webhook.keys_path else { return Ok(None) };
    FixedKeys::read(&read(KEYS_PATH, path)?).map(Some).map_err(|error| mistake(KEYS_PATH, error))
}

/// The file that a setting names. Its name is not repeated: a value may be a secret in the wrong place.
///
/// One that every user of the machine can write is refused: it says whom the shop trusts, or what it signs with.
fn read(variable: &str, path: &Path) -> Result<String, Mistake> {
    let unreadable = |error| mistake(variable, format!("the file cannot be read: {error}"));
    let file = file::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    if found.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(mistake(variable, "every user of the machine can write the file: take that permission away"));
    }
    file::text_at_most(file, LARGEST_FILE).map_err(unreadable)
}

/// Warned about and not refused, since systems mount secrets so.
pub(super) fn warn_of_readable_keys(config: &Config, log: &Logger) {
    let readable = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & READABLE_BY_OTHERS != 0)
    };
    if config.webhook.keys_path.as_ref().is_some_and(readable) {
        warn!(log, "every user of the machine can read the signing keys"; "op" => "start", "variable" => KEYS_PATH);
    }
}
