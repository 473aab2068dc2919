//! Sends events to the shop, with Stripe's envelope and signature. Events can be sent in several copies and out of
//! order.

use std::time::Duration;

use aws_lc_rs::hmac;

const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// Where and how events are sent.
#[derive(Clone, Debug)]
pub struct Webhooks {
    pub url: String,
    /// The secrets that sign each event. There are two while a secret is rotated, and each makes one signature.
    pub secrets: Vec<String>,
    /// How many copies of each event are sent.
    pub copies: u32,
    /// Each copy is delayed by a random time of up to this many milliseconds.
    pub shuffle_ms: u64,
    /// The seed of the random delays.
    pub seed: u64,
}

impl Webhooks {
    /// Sends each event once and without delay, signed with one secret.
    pub fn to(url: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { url: url.into(), secrets: vec![secret.into()], copies: 1, shuffle_ms: 0, seed: 0 }
    }
}

/// The number of copies of events so far, by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Copies that the receiver answered with 2xx.
    pub delivered: u64,
    /// Copies that were not answered, or answered with another status. They are not sent again.
    pub failed: u64,
    /// Copies that still wait for their delay or for an answer.
    pub pending: u64,
}

impl Deliveries {
    pub(crate) fn count(&mut self, is_delivered: bool) {
        self.pending -= 1;
        if is_delivered {
            self.delivered += 1;
        } else {
            self.failed += 1;
        }
    }
}

/// Returns the value of the header `Stripe-Signature` (<https://docs.stripe.com/webhooks#verify-manually>). `at` is the
/// time of the signature in seconds since 1970.
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

/// Sends one copy of an event. Returns whether the receiver accepted it.
pub(crate) async fn post(http: &reqwest::Client, webhooks: &Webhooks, payload: String, now: i64) -> bool {
    let signature = signature(&webhooks.secrets, now, &payload);
    let request = http.post(&webhooks.url).timeout(SEND_DEADLINE).body(payload);
    let request = request.header("Content-Type", "application/json").header("Stripe-Signature", signature);
    request.send().await.is_ok_and(|response| response.status().is_success())
}
