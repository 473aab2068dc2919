//! The sections of the outbound services: payment gateway, webhooks, mail relay.

use std::path::PathBuf;

use domain::secret::Secret;
use serde::{Deserialize, Serialize};

use super::section::section;
use super::sections::{mask, secret};

/// When a payment is captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// When the order is placed.
    #[default]
    Automatic,
    /// With the first shipment. When the order is placed, the amount is only authorized.
    Manual,
}

section! {
    pub struct PaymentConfig("TUCKSHOP_PAYMENT_", "Payment") {
        /// The longest one call of the payment gateway may take, response included.
        #[validate(range(min = 50, max = 40_000))]
        call_timeout_ms: u64 = 4_000,
        /// A gateway with Stripe's API, such as `https://api.stripe.com`. Not set: payments are simulated in
        /// development, and in production only a checkout that costs nothing can be completed.
        gateway_url: Option<String> = None,
        /// The gateway's secret key. Needed with `gateway_url`, refused without it.
        #[serde(serialize_with = "mask", deserialize_with = "secret")]
        gateway_key: Option<Secret> = None,
        /// The requested version of the gateway's API (`Stripe-Version`).
        #[validate(length(min = 1, max = 64))]
        gateway_version: String = "2025-09-30.clover".to_owned(),
        /// The secrets that the gateway signs its events with, separated by commas. During a rotation there are two.
        /// Not set: `/payments/events` is not served, and only the reconciler resolves unknown outcomes.
        #[serde(serialize_with = "mask", deserialize_with = "secret")]
        event_secrets: Option<Secret> = None,
        /// `automatic`: the amount is captured when the order is placed. `manual`: the amount is authorized then, and
        /// captured with the first shipment.
        capture: Capture = Capture::Automatic,
        /// The payment handler as platforms know it: a reverse-domain name.
        #[validate(length(min = 1, max = 200))]
        handler_name: String = "example.tuckshop.card".to_owned(),
        /// The id of the handler, by which instruments refer to it.
        #[validate(length(min = 1, max = 200))]
        handler_id: String = "card".to_owned(),
        /// The version of the handler's specification, `YYYY-MM-DD`.
        handler_version: String = "2026-04-08".to_owned(),
        /// The URL of the handler's specification. In production it must be `https`, at the domain that the name
        /// reverses or below it.
        #[validate(url)]
        handler_spec: String = "https://tuckshop.example/specs/card".to_owned(),
        /// The URL of the handler's schema. The rule of `handler_spec` applies here too.
        #[validate(url)]
        handler_schema: String = "https://tuckshop.example/schemas/card.json".to_owned(),
        /// What platforms need to create a credential: a JSON object, published unchanged.
        handler_config: String = "{}".to_owned(),
    }
}

impl PaymentConfig {
    /// The secrets that the gateway signs its events with.
    pub fn event_secrets(&self) -> Vec<Secret> {
        let all = self.event_secrets.as_ref().map_or("", Secret::expose);
        all.split(',').map(str::trim).filter(|one| !one.is_empty()).map(Secret::new).collect()
    }
}

section! {
    pub struct WebhookConfig("TUCKSHOP_WEBHOOK_", "Webhooks") {
        /// The longest an attempt to send a webhook may take, response included.
        #[validate(range(min = 100, max = 15_000))]
        timeout_ms: u64 = 15_000,
        /// The most attempts to send a webhook that this process makes at the same time.
        #[validate(range(min = 1, max = 256))]
        at_once: u32 = 64,
        /// The most attempts to one platform at the same time, over all processes.
        #[validate(range(min = 1, max = 64))]
        at_once_per_platform: u32 = 8,
        /// A file of private keys (PEM, PKCS #8 or SEC 1, on the curve P-256), each once. The first one signs, all are
        /// published. Not set: the shop creates keys and stores them in its database; see `tuckshop keys`.
        keys_path: Option<PathBuf> = None,
    }
}

/// How the connection to the mail relay is encrypted.
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
        /// The SMTP relay for order confirmations. Not set: no email is sent, and `port`, `tls`, `username`,
        /// `password`, `from` and `ca_path` are refused.
        host: Option<String> = None,
        /// The port of the relay. Not set: 465 for `implicit`, 587 for `starttls`, 25 for `none`.
        #[validate(range(min = 1, max = 65_535))]
        port: Option<u16> = None,
        /// `implicit`: TLS from the first byte. `starttls`: TLS is required before anything is sent. `none`: no TLS,
        /// only for a relay on this machine.
        tls: EmailProtection = EmailProtection::Implicit,
        /// The user at the relay. Not set: no authentication.
        username: Option<String> = None,
        /// The password of `username`. Needed with it.
        #[serde(serialize_with = "mask", deserialize_with = "secret")]
        password: Option<Secret> = None,
        /// The sender, such as `Sweets <orders@sweets.example>`. Needed with `host`.
        from: Option<String> = None,
        /// Certificates (PEM) that are trusted besides those of the operating system.
        ca_path: Option<PathBuf> = None,
        /// The longest that sending one email message may take.
        #[validate(range(min = 100, max = 45_000))]
        timeout_ms: u64 = 30_000,
        /// The most email messages that are sent at the same time, over all processes.
        #[validate(range(min = 1, max = 32))]
        at_once: u32 = 2,
    }
}

impl EmailConfig {
    /// The configured port, or the usual one of `tls`.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            EmailProtection::Implicit => 465,
            EmailProtection::Starttls => 587,
            EmailProtection::None => 25,
        })
    }
}
