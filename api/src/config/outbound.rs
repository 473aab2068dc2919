//! The sections of what the shop reaches beyond its database: the payment gateway, webhooks, signatures, mail.

use std::path::PathBuf;

use domain::secret::Secret;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::sections::{Section, Setting, mask, secret, setting};

/// When an amount is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// When the order is placed.
    #[default]
    Automatic,
    /// It is held when the order is placed, and taken when the first goods are shipped.
    Manual,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct PaymentConfig {
    #[validate(range(min = 50, max = 40_000))]
    pub call_timeout_ms: u64,
    pub gateway_url: Option<String>,
    #[serde(serialize_with = "mask", deserialize_with = "secret")]
    pub gateway_key: Option<Secret>,
    #[validate(length(min = 1, max = 64))]
    pub gateway_version: String,
    #[serde(serialize_with = "mask", deserialize_with = "secret")]
    pub event_secrets: Option<Secret>,
    pub capture: Capture,
    #[validate(length(min = 1, max = 200))]
    pub handler_name: String,
    #[validate(length(min = 1, max = 200))]
    pub handler_id: String,
    pub handler_version: String,
    #[validate(url)]
    pub handler_spec: String,
    #[validate(url)]
    pub handler_schema: String,
    pub handler_config: String,
}

impl Section for PaymentConfig {
    const PREFIX: &'static str = "TUCKSHOP_PAYMENT_";
    const TITLE: &'static str = "Payment";
    const SETTINGS: &'static [Setting] = &[
        setting("call_timeout_ms", "The longest one call of the payment gateway may take, answer included."),
        setting(
            "gateway_url",
            "A gateway that speaks as Stripe does, such as `https://api.stripe.com`. Not set: payments are simulated in development, and in production only what costs nothing can be completed.",
        ),
        setting("gateway_key", "The gateway's secret key. Needed with `gateway_url`, and without it a mistake."),
        setting("gateway_version", "The version of the gateway's API that is asked for (`Stripe-Version`)."),
        setting(
            "event_secrets",
            "The secrets that the gateway signs its events with, separated by commas; during a rotation there are two. Not set: `/payments/events` is not served, and lost answers are found by looking alone.",
        ),
        setting(
            "capture",
            "`automatic`: the amount is taken when the order is placed. `manual`: it is held then, and taken with the first shipment.",
        ),
        setting("handler_name", "The payment handler as platforms know it: a reverse-domain name."),
        setting("handler_id", "What instruments call the handler."),
        setting("handler_version", "The version of the handler's specification, `YYYY-MM-DD`."),
        setting(
            "handler_spec",
            "The handler's specification. In production at the domain that the name reverses, or below it, with `https`.",
        ),
        setting("handler_schema", "The handler's schema, there too."),
        setting("handler_config", "What platforms need to make a credential: a JSON object, published as it is."),
    ];
}

impl Default for PaymentConfig {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            call_timeout_ms: 4_000,
            gateway_url: None,
            gateway_key: None,
            gateway_version: text("2025-09-30.clover"),
            event_secrets: None,
            capture: Capture::Automatic,
            handler_name: text("example.tuckshop.card"),
            handler_id: text("card"),
            handler_version: text("2026-04-08"),
            handler_spec: text("https://tuckshop.example/specs/card"),
            handler_schema: text("https://tuckshop.example/schemas/card.json"),
            handler_config: text("{}"),
        }
    }
}

impl PaymentConfig {
    /// Each of the secrets that events may be signed with.
    pub fn event_secrets(&self) -> Vec<Secret> {
        let all = self.event_secrets.as_ref().map_or("", Secret::expose);
        all.split(',').map(str::trim).filter(|one| !one.is_empty()).map(Secret::new).collect()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    #[validate(range(min = 100, max = 15_000))]
    pub timeout_ms: u64,
    #[validate(range(min = 1, max = 256))]
    pub at_once: u32,
    #[validate(range(min = 1, max = 64))]
    pub at_once_per_platform: u32,
    pub keys_path: Option<PathBuf>,
}

impl Section for WebhookConfig {
    const PREFIX: &'static str = "TUCKSHOP_WEBHOOK_";
    const TITLE: &'static str = "Webhooks";
    const SETTINGS: &'static [Setting] = &[
        setting("timeout_ms", "The longest one try may take, answer included."),
        setting("at_once", "Tries at once, by this process."),
        setting("at_once_per_platform", "Tries at once to one platform, by all processes together."),
        setting(
            "keys_path",
            "A file of private keys to sign with, each once (PEM, PKCS #8 or SEC 1, on the curve P-256): the first signs, all are published. Not set: keys are made by the shop and kept in its database; see `tuckshop keys`.",
        ),
    ];
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { timeout_ms: 15_000, at_once: 64, at_once_per_platform: 4, keys_path: None }
    }
}

/// How the connection to the mail relay is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailProtection {
    #[default]
    Implicit,
    Starttls,
    None,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct EmailConfig {
    pub host: Option<String>,
    #[validate(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    pub tls: EmailProtection,
    pub username: Option<String>,
    #[serde(serialize_with = "mask", deserialize_with = "secret")]
    pub password: Option<Secret>,
    pub from: Option<String>,
    pub ca_path: Option<PathBuf>,
    #[validate(range(min = 100, max = 45_000))]
    pub timeout_ms: u64,
    #[validate(range(min = 1, max = 32))]
    pub at_once: u32,
}

impl Section for EmailConfig {
    const PREFIX: &'static str = "TUCKSHOP_MAIL_";
    const TITLE: &'static str = "Mail";
    const SETTINGS: &'static [Setting] = &[
        setting(
            "host",
            "The SMTP relay that order confirmations are handed to. Not set: no mail is written, and `port`, `tls`, `username`, `password`, `from` and `ca_path` are mistakes.",
        ),
        setting("port", "The port of the relay. Not set: 465, 587 or 25, as `tls` says."),
        setting(
            "tls",
            "`implicit`: from the first byte. `starttls`: before anything is told. `none`: for a relay on this machine only.",
        ),
        setting("username", "Not set: the relay asks for none."),
        setting("password", "Needed with `username`."),
        setting("from", "Who writes, such as `Sweets <orders@sweets.example>`. Needed with `host`."),
        setting("ca_path", "Certificates (PEM) that are trusted besides those of the operating system."),
        setting("timeout_ms", "The longest one letter may take."),
        setting("at_once", "Letters at once, by all processes together."),
    ];
}

impl Default for EmailConfig {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            tls: EmailProtection::Implicit,
            username: None,
            password: None,
            from: None,
            ca_path: None,
            timeout_ms: 30_000,
            at_once: 2,
        }
    }
}

impl EmailConfig {
    /// The port, or the usual one for how the connection is protected.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            EmailProtection::Implicit => 465,
            EmailProtection::Starttls => 587,
            EmailProtection::None => 25,
        })
    }
}
