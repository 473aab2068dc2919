//! Events to the shop, with Stripe's envelope and signature. Events can be sent in several copies and out of order.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::gateway::{Gateway, new_id};

const SEND_DEADLINE: Duration = Duration::from_secs(10);
const API_VERSION: &str = "2026-10-28.endive";

/// Where and how events are sent.
#[derive(Clone, Debug)]
pub struct Webhooks {
    pub url: String,
    /// Two while a secret is rotated; each makes one signature.
    pub secrets: Vec<String>,
    /// How often each event is sent.
    pub copies: u32,
    /// Each copy is delayed by a random time of up to this many milliseconds.
    pub shuffle_ms: u64,
    /// Of the random delays.
    pub seed: u64,
}

impl Webhooks {
    /// Each event once, at once.
    pub fn to(url: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { url: url.into(), secrets: vec![secret.into()], copies: 1, shuffle_ms: 0, seed: 0 }
    }
}

/// How many copies of events were sent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Answered with 2xx.
    pub delivered: u64,
    /// Not answered, or answered with another status. A copy is sent only once.
    pub failed: u64,
    pub pending: u64,
}

/// An event (<https://docs.stripe.com/api/events/object>).
pub(crate) fn event(kind: &str, object: Value, created: i64) -> Value {
    json!({
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": {"object": object},
        "livemode": false,
        "type": kind,
    })
}

/// The value of `Stripe-Signature` (<https://docs.stripe.com/webhooks#verify-manually>); `at` in seconds since 1970.
pub fn signature(secrets: &[String], at: i64, payload: &str) -> String {
    let mut header = format!("t={at}");
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, format!("{at}.{payload}").as_bytes());
        header.push_str(",v1=");
        header.extend(tag.as_ref().iter().map(|byte| format!("{byte:02x}")));
    }
    header
}

/// Sends one copy of an event, signed at the time of sending.
pub(crate) async fn deliver(gateway: Arc<Gateway>, webhooks: Webhooks, payload: String, delay: Duration) {
    tokio::time::sleep(delay).await;
    let signature = signature(&webhooks.secrets, gateway.state().account.journal.now(), &payload);
    let request = gateway.http.post(&webhooks.url).timeout(SEND_DEADLINE).body(payload);
    let request = request.header("Content-Type", "application/json").header("Stripe-Signature", signature);
    let is_delivered = request.send().await.is_ok_and(|response| response.status().is_success());
    let deliveries = &mut gateway.state().deliveries;
    deliveries.pending -= 1;
    if is_delivered {
        deliveries.delivered += 1;
    } else {
        deliveries.failed += 1;
    }
}
