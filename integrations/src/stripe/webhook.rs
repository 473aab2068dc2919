//! Events from Stripe: the check of their signature, and the payment that they name.
//!
//! An event only wakes the reconciler, which asks Stripe for the state of the payment.

use std::time::Duration;

use aws_lc_rs::hmac;
use domain::clock::Timestamp;
use domain::payment::{GatewayEvent, PaymentReference};
use domain::secret::Secret;
use serde::Deserialize;
use serde_json::Value;

/// How old a signature may be, and how far its clock may be ahead.
pub const SIGNATURE_TOLERANCE: Duration = Duration::from_secs(300);

/// Further signatures of a header are ignored. Stripe sends one for each secret, of which two are valid during a rotation.
pub const MAX_SIGNATURES: usize = 8;

/// Why the signature of an event is not accepted. The sender does not learn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum SignatureError {
    #[error("the header is not of the form t=...,v1=...")]
    Malformed,
    #[error("no signature matches the payload")]
    Mismatch,
    #[error("signed too long ago, or in the future")]
    OutOfTime,
}

impl SignatureError {
    /// The stable word for logs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Checks a `Stripe-Signature` (<https://docs.stripe.com/webhooks#verify-manually>) of the body as it was received. One of
/// its `v1` signatures must be made with one of `secrets`. There are two secrets while one replaces the other.
pub fn verify_signature(
    payload: &[u8],
    header: &str,
    secrets: &[Secret],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), SignatureError> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let time = parts().find(|(name, _)| *name == "t").map(|(_, time)| time).ok_or(SignatureError::Malformed)?;
    let signed_at: i64 = time.parse().map_err(|_| SignatureError::Malformed)?;
    let tags: Vec<_> =
        parts().filter(|(name, _)| *name == "v1").filter_map(|(_, tag)| from_hex(tag)).take(MAX_SIGNATURES).collect();
    if tags.is_empty() {
        return Err(SignatureError::Malformed);
    }
    let message = [time.as_bytes(), b".", payload].concat();
    let matches = |secret: &Secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        // Compares in constant time.
        tags.iter().any(|tag| hmac::verify(&key, &message, tag).is_ok())
    };
    if !secrets.iter().any(matches) {
        return Err(SignatureError::Mismatch);
    }
    if now.unix_timestamp().abs_diff(signed_at) > tolerance.as_secs() {
        return Err(SignatureError::OutOfTime);
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

/// The part of an event that the shop reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The same for all deliveries of the event.
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    /// The payment of the event; `None` if it is about something else.
    pub intent: Option<PaymentReference>,
}

impl From<Event> for GatewayEvent {
    fn from(event: Event) -> Self {
        Self { id: event.id, reference: event.intent }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("not an event")]
pub struct EventError(#[from] serde_json::Error);

/// Reads an event whose signature was checked. Only its id and its kind must be present: without an object that the shop
/// knows, it names no payment.
pub fn parse_event(payload: &[u8]) -> Result<Event, EventError> {
    #[derive(Deserialize)]
    struct Body {
        id: String,
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        data: Value,
    }
    let body: Body = serde_json::from_slice(payload)?;
    let object = &body.data["object"];
    let intent = match object["object"].as_str() {
        Some("payment_intent") => object["id"].as_str(),
        // Charges and refunds contain the id, or the payment itself if the account expands it.
        _ => object["payment_intent"].as_str().or_else(|| object["payment_intent"]["id"].as_str()),
    };
    let intent = intent.map(|id| PaymentReference(id.to_owned()));
    Ok(Event { id: body.id, kind: body.kind, intent })
}
