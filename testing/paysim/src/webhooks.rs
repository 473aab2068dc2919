//! Events to the shop: Stripe's envelope and signature, each event sent once or more, late, and out of order if asked to.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::hmac;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::dice::Dice;
use crate::gateway::Gateway;
use crate::server::API_VERSION;

const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// More deliveries at once than this wait for their turn.
const MOST_AT_ONCE: usize = 256;
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// Where events go, and how badly.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    pub url: String,
    /// While a secret is being rotated there are two, and a signature of each.
    pub secrets: Vec<String>,
    pub seed: u64,
    /// Each event is sent once to this many times, as the seed says.
    pub most_copies: u32,
    /// Each copy leaves this long after its event, ...
    pub delay_ms: u64,
    /// ... and up to this much later, as the seed says, which is what shuffles them.
    pub shuffle_ms: u64,
    /// How often a copy is tried until a 2xx comes back.
    pub attempts: u32,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            url: String::new(),
            secrets: Vec::new(),
            seed: 0,
            most_copies: 1,
            delay_ms: 0,
            shuffle_ms: 0,
            attempts: 5,
        }
    }
}

impl Webhooks {
    /// Each event once, at once.
    pub fn to(url: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { url: url.into(), secrets: vec![secret.into()], ..Self::default() }
    }
}

/// What became of the webhooks so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deliveries {
    /// Copies that were answered with 2xx.
    pub delivered: u64,
    /// Attempts that were not.
    pub failed: u64,
    /// Copies given up after their last attempt.
    pub given_up: u64,
    /// Events that found the queue full.
    pub dropped: u64,
    /// Copies under way.
    pub pending: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub id: String,
    kind: &'static str,
    object: Value,
    created: i64,
}

impl Event {
    pub fn new(kind: &'static str, object: Value, created: i64) -> Self {
        Self { id: format!("evt_{}", Uuid::new_v4().simple()), kind, object, created }
    }

    /// <https://docs.stripe.com/api/events/object>
    pub fn envelope(&self) -> Value {
        json!({
            "id": self.id,
            "object": "event",
            "api_version": API_VERSION,
            "created": self.created,
            "data": {"object": self.object},
            "livemode": false,
            "pending_webhooks": 1,
            "request": {"id": null, "idempotency_key": null},
            "type": self.kind,
        })
    }
}

/// The value of `Stripe-Signature` (<https://docs.stripe.com/webhooks#verify-manually>); `at` in seconds since 1970.
pub fn signature(secrets: &[String], at: i64, payload: &str) -> String {
    let mut header = format!("t={at}");
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, format!("{at}.{payload}").as_bytes());
        header.push_str(",v1=");
        for byte in tag.as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(header, "{byte:02x}");
        }
    }
    header
}

/// Sends until the simulator ends; whatever is under way then is lost, as it would be with any sender.
pub(crate) async fn deliver(gateway: &Gateway, mut events: mpsc::Receiver<Event>) {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let Ok(client) = client.timeout(SEND_DEADLINE).build() else { return };
    let mut under_way = FuturesUnordered::new();
    let mut dice: Option<(u64, Dice)> = None;
    loop {
        tokio::select! {
            event = events.recv(), if under_way.len() < MOST_AT_ONCE => {
                let Some(event) = event else { return };
                let Some(webhooks) = gateway.webhooks() else { continue };
                if dice.as_ref().is_none_or(|(seed, _)| *seed != webhooks.seed) {
                    dice = Some((webhooks.seed, Dice::seeded(webhooks.seed)));
                }
                let Some((_, dice)) = &mut dice else { continue };
                let copies = 1 + dice.below(u64::from(webhooks.most_copies));
                gateway.delivery(|counts| counts.pending += copies);
                for _ in 0..copies {
                    let later = webhooks.delay_ms.saturating_add(dice.below(webhooks.shuffle_ms));
                    let due = Instant::now() + Duration::from_millis(later);
                    under_way.push(send(gateway, client.clone(), webhooks.clone(), event.clone(), due));
                }
            }
            Some(()) = under_way.next() => {}
        }
    }
}

async fn send(gateway: &Gateway, client: reqwest::Client, webhooks: Webhooks, event: Event, due: Instant) {
    sleep_until(due).await;
    let payload = event.envelope().to_string();
    let mut pause = FIRST_RETRY;
    for attempt in 1..=webhooks.attempts.max(1) {
        let request = client
            .post(&webhooks.url)
            .header("Content-Type", "application/json; charset=utf-8")
            .header("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
            .header("Stripe-Signature", signature(&webhooks.secrets, gateway.now(), &payload))
            .body(payload.clone());
        if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
            return gateway.delivery(|counts| {
                counts.delivered += 1;
                counts.pending -= 1;
            });
        }
        gateway.delivery(|counts| counts.failed += 1);
        if attempt < webhooks.attempts {
            sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
    }
    gateway.delivery(|counts| {
        counts.given_up += 1;
        counts.pending -= 1;
    });
}
