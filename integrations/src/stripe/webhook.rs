//! Events from Stripe: the check of their signature, and the payment that they name.
//!
//! An event only wakes the reconciler, which asks Stripe for the state of the payment.

use std::time::Duration;

use aws_lc_rs::hmac;
use domain::clock::Timestamp;
use domain::payment::{GatewayEvent, PaymentReference};
use domain::secret::Secret;
use serde_json::{Map, Value};

/// The longest time by which the timestamp of a signature may be before or after the time of the shop.
pub const SIGNATURE_TOLERANCE: Duration = Duration::from_secs(300);

/// The most signatures of a header that are checked. Further signatures are ignored. Stripe sends one signature for
/// each valid secret, and two secrets are valid during a rotation.
pub const MAX_SIGNATURES: usize = 8;

/// Why the signature of an event is not accepted. The response to the sender does not contain this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the header is not of the form t=...,v1=...")]
    Malformed,
    #[error("no signature matches the payload")]
    Mismatch,
    #[error("signed too long ago, or in the future")]
    OutOfTime,
}

/// Checks a `Stripe-Signature` header (<https://docs.stripe.com/webhooks#verify-manually>). `payload` is the body
/// exactly as it was received. One of the `v1` signatures must be made with one of `secrets`. During a rotation there
/// are two secrets. The signature must not be older or newer than `now` by more than `tolerance`.
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

/// The longest id of an event or a payment, in bytes. Stripe promises that no id is longer
/// (<https://docs.stripe.com/upgrades>).
const MAX_ID: usize = 255;

/// Whether the text is an id. An id has only visible ASCII, because some databases cannot store every other text.
fn is_id(text: &&str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Reads an event. The caller has checked its signature. `None` if the payload is no JSON object, or if the id or the
/// type is missing. The event names no payment if the shop does not know its object.
pub fn parse_event(payload: &[u8]) -> Option<GatewayEvent> {
    let body: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    let id = body.get("id")?.as_str().filter(is_id)?;
    body.get("type")?.as_str()?;
    let object = body.get("data").map_or(&Value::Null, |data| &data["object"]);
    let intent = match object["object"].as_str() {
        Some("payment_intent") => object["id"].as_str(),
        // Charges and refunds contain the id of the payment, or the whole payment if the account is set to expand it.
        _ => object["payment_intent"].as_str().or_else(|| object["payment_intent"]["id"].as_str()),
    };
    let reference = intent.filter(is_id).map(|id| PaymentReference(id.to_owned()));
    Some(GatewayEvent { id: id.to_owned(), reference })
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
