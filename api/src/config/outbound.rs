//! The sections of what the shop reaches beyond its database: the payment gateway, webhooks, signatures, mail.

use std::path::PathBuf;

use domain::secret::Secret;
use serde::{Deserialize, Serialize};

use super::section::section;
use super::sections::{mask, secret};

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

section! {
    pub struct PaymentConfig("TUCKSHOP_PAYMENT_", "Payment") {
        /// The longest one call of the payment gateway may take, answer included.
        #[validate(range(min = 50, max = 40_000))]
        call_timeout_ms: u64 = 4_000,
        /// A gateway that speaks as Stripe does, such as `https://api.stripe.com`. Not set: payments are simulated in
        /// development, and in production only what costs nothing can be completed.
        gateway_url: Option<String> = None,
        /// The gateway's secret key. Needed with `gateway_url`, and without it a mistake.
        #[serde(serialize_with = "mask", deserialize_with = "secret")]
        gateway_key: Option<Secret> = None,
        /// The version of the gateway's API that is asked for (`Stripe-Version`).
        #[validate(length(min = 1, max = 64))]
        gateway_version: String = "2025-09-30.clover".to_owned(),
        /// The secrets that the gateway signs its events with, separated by commas; during a rotation there are two.
        /// Not set: `/payments/events` is not served, and lost answers are found by looking alone.
        #[serde(serialize_with = "mask", deserialize_with = "secret")]
        event_secrets: Option<Secret> = None,
        /// `automatic`: the amount is taken when the order is placed. `manual`: it is held then, and taken with the
        /// first shipment.
        capture: Capture = Capture::Automatic,
        /// The payment handler as platforms know it: a reverse-domain name.
        #[validate(length(min = 1, max = 200))]
        handler_name: String = "example.tuckshop.card".to_owned(),
        /// What instruments call the handler.
        #[validate(length(min = 1, max = 200))]
        handler_id: String = "card".to_owned(),
        /// The version of the handler's specification, `YYYY-MM-DD`.
        handler_version: String = "2026-04-08".to_owned(),
        /// The handler's specification. In production at the domain that the name reverses, or below it, with `https`.
        #[validate(url)]
        handler_spec: String = "https://tuckshop.example/specs/card".to_owned(),
        /// The handler's schema, there too.
        #[validate(url)]
        handler_schema: String = "https://tuckshop.example/schemas/card.json".to_owned(),
        /// What platforms need to make a credential: a JSON object, published as it is.
        handler_config: String = "{}".to_owned(),
    }
}

impl PaymentConfig {
    /// Each of the secrets that events may be signed with.
    pub fn event_secrets(&self) -> Vec<Secret> {
        let all = self.event_secrets.as_ref().map_or("", Secret::expose);
        all.split(',').map(str::trim).filter(|one| !one.is_empty()).map(Secret::new).collect()
    }
}

section! {
    pub struct WebhookConfig("TUCKSHOP_WEBHOOK_", "Webhooks") {
        /// The longest one try may take, answer included.
        #[validate(range(min = 100, max = 15_000))]
        timeout_ms: u64 = 15_000,
        /// Tries at once, by this process.
        #[validate(range(min = 1, max = 256))]
        at_once: u32 = 64,
        /// Tries at once to one platform, by all processes together.
        #[validate(range(min = 1, max = 64))]
        at_once_per_platform: u32 = 4,
        /// A file of private keys to sign with, each once (PEM, PKCS #8 or SEC 1, on the curve P-256): the first signs,
        /// all are published. Not set: keys are made by the shop and kept in its database; see `tuckshop keys`.
        keys_path: Option<PathBuf> = None,
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

section! {
    pub struct EmailConfig("TUCKSHOP_MAIL_", "Mail") {
        /// The SMTP relay that order confirmations are handed to. Not set: no mail is written, and `port`, `tls`,
        /// `username`, `password`, `from` and `ca_path` are mistakes.
        host: Option<String> = None,
        /// The port of the relay. Not set: 465, 587 or 25, as `tls` says.
        #[validate(range(min = 1, max = 65_535))]
        port: Option<u16> = None,
        /// `implicit`: from the first byte. `starttls`: before anything is told. `none`: for a relay on this machine
        /// only.
        tls: EmailProtection = EmailProtection::Implicit,
        /// Not set: the relay asks for none.
        username: Option<String> = None,
        /// Needed with `username`.
        #[serde(serialize_with = "mask", deserialize_with = "secret")]
        password: Option<Secret> = None,
        /// Who writes, such as `Sweets <orders@sweets.example>`. Needed with `host`.
        from: Option<String> = None,
        /// Certificates (PEM) that are trusted besides those of the operating system.
        ca_path: Option<PathBuf> = None,
        /// The longest one letter may take.
        #[validate(range(min = 100, max = 45_000))]
        timeout_ms: u64 = 30_000,
        /// Letters at once, by all processes together.
        #[validate(range(min = 1, max = 32))]
        at_once: u32 = 2,
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
