//! Events from Stripe: whether one is genuine, and which payment it speaks of.
//!
//! An event is a wake and no more: what became of a payment is asked for, with the shop's own key.

use std::time::Duration;

use aws_lc_rs::hmac;
use domain::clock::Timestamp;
use domain::payment::{GatewayEvent, PaymentReference};
use domain::secret::Secret;
use serde::Deserialize;
use serde_json::Value;

/// How old an event's signature may be, and how far ahead its clock.
pub const SIGNATURE_TOLERANCE: Duration = Duration::from_secs(300);

/// More signatures in one header than this are not looked at. Stripe sends one for each secret, of which two are valid
/// during a rotation.
const MOST_SIGNATURES: usize = 8;

/// Why an event is not believed. The sender is told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the header is not of the form t=...,v1=...")]
    Malformed,
    #[error("no signature of it fits the payload")]
    Mismatch,
    #[error("signed too long ago, or in the future")]
    OutOfTime,
}

impl SignatureError {
    /// The stable word for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::OutOfTime => "out_of_time",
        }
    }
}

/// Checks a `Stripe-Signature` (<https://docs.stripe.com/webhooks#verify-manually>) over the body as it arrived: one of
/// its `v1` signatures by one of `secrets`, of which there are two while one replaces the other.
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
        parts().filter(|(name, _)| *name == "v1").filter_map(|(_, tag)| from_hex(tag)).take(MOST_SIGNATURES).collect();
    if tags.is_empty() {
        return Err(SignatureError::Malformed);
    }
    let message = [time.as_bytes(), b".", payload].concat();
    let fits = |secret: &Secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        // Each comparison takes the same time whatever it compares.
        tags.iter().any(|tag| hmac::verify(&key, &message, tag).is_ok())
    };
    if !secrets.iter().any(fits) {
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

/// As much of an event as the shop reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The same on every delivery of it.
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    /// The payment that it speaks of; `None` if it speaks of something else.
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

/// Reads an event whose signature was checked. Only its id and its kind are needed: one without an object that the shop
/// reads speaks of no payment of the shop.
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
        // Of charges and refunds: an id, or the payment itself where the account expands it.
        _ => object["payment_intent"].as_str().or_else(|| object["payment_intent"]["id"].as_str()),
    };
    let intent = intent.map(|id| PaymentReference(id.to_owned()));
    Ok(Event { id: body.id, kind: body.kind, intent })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's `hmac` and `hashlib`, and accepted by the `stripe` package.
    const PAYLOAD: &[u8] = br#"{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{"object":"payment_intent","id":"pi_1"}}}"#;
    const AT: i64 = 1_775_649_600;
    const FIRST: &str = "f08a2a0054fd1a23194cfeac138b84cdc19a1b2200edb33bb14a5c4fc7d972df";
    const SECOND: &str = "766b86b381bda26a6df55dcf89a9022f73b67225f7e728c52e9c9d8e44d0e087";

    fn check(header: &str, secrets: &[&str], seconds_later: i64) -> Result<(), SignatureError> {
        let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let now = Timestamp::from_unix_timestamp(AT + seconds_later).expect("a time");
        verify_signature(PAYLOAD, header, &secrets, now, SIGNATURE_TOLERANCE)
    }

    #[test]
    fn one_good_signature_by_one_known_secret_is_enough() {
        for header in [
            format!("t={AT},v1={FIRST}"),
            format!("t={AT},v1={SECOND},v1={FIRST},v0=00"),
            format!("v1={FIRST}, t={AT}"),
            format!("t={AT},v1=nonsense,v1={}", FIRST.to_uppercase()),
        ] {
            assert_eq!(check(&header, &["whsec_old", "whsec_first"], 0), Ok(()), "{header}");
        }
        assert_eq!(check(&format!("t={AT},v1={SECOND}"), &["whsec_first", "whsec_second"], 0), Ok(()));
    }

    #[test]
    fn anything_else_is_refused() {
        use SignatureError::{Malformed, Mismatch};
        let (later, odd) = (AT + 1, &FIRST[..63]);
        let flood = "v1=00,".repeat(MOST_SIGNATURES);
        for (header, expected) in [
            (String::new(), Malformed),
            (format!("v1={FIRST}"), Malformed),
            (format!("t={AT}"), Malformed),
            (format!("t=soon,v1={FIRST}"), Malformed),
            (format!("t={AT},v1={odd}"), Malformed),
            (format!("t={AT},v0={FIRST}"), Malformed),
            (format!("t={AT},v1="), Mismatch),
            (format!("t={later},v1={FIRST}"), Mismatch),
            (format!("t={AT},v1={SECOND}"), Mismatch),
            (format!("t={AT},v1={}", "0".repeat(64)), Mismatch),
            (format!("t={AT},{flood}v1={FIRST}"), Mismatch),
        ] {
            assert_eq!(check(&header, &["whsec_first"], 0), Err(expected), "{header}");
        }
        assert_eq!(check(&format!("t={AT},v1={FIRST}"), &[], 0), Err(Mismatch));
        assert_eq!(check(&format!("t={AT},v1={FIRST}"), &["whsec_other"], 0), Err(Mismatch));
    }

    #[test]
    fn an_old_signature_is_refused_and_so_is_one_from_the_future() {
        let header = format!("t={AT},v1={FIRST}");
        for (seconds_later, expected) in [
            (-301, Err(SignatureError::OutOfTime)),
            (-300, Ok(())),
            (300, Ok(())),
            (301, Err(SignatureError::OutOfTime)),
            (86_400, Err(SignatureError::OutOfTime)),
        ] {
            assert_eq!(check(&header, &["whsec_first"], seconds_later), expected, "{seconds_later}");
        }
    }

    #[test]
    fn an_event_names_its_payment_if_it_has_one() {
        let intent = Some(PaymentReference("pi_1".to_owned()));
        let event = parse_event(PAYLOAD).expect("an event");
        let kind = "payment_intent.succeeded".to_owned();
        assert_eq!(event, Event { id: "evt_1".to_owned(), kind, intent: intent.clone() });
        let refunded = br#"{"id": "evt_2", "type": "charge.refunded", "data": {"object":
            {"object": "charge", "id": "ch_1", "payment_intent": "pi_1"}}}"#;
        assert_eq!(parse_event(refunded).expect("an event").intent, intent);
        let other = br#"{"id": "evt_3", "type": "balance.available", "data": {"object": {"object": "balance"}}}"#;
        assert_eq!(parse_event(other).expect("an event").intent, None);
        for malformed in ["<html>", "[]", r#"{"id": "evt_1"}"#, r#"{"type": "x"}"#, r#"{"id": 1, "type": "x"}"#] {
            assert!(parse_event(malformed.as_bytes()).is_err(), "{malformed}");
        }
    }

    #[test]
    fn event_without_an_object_that_is_read_names_no_payment() {
        for (data, intent) in [
            ("", None),
            (r#", "data": null"#, None),
            (r#", "data": {}"#, None),
            (r#", "data": []"#, None),
            (r#", "data": "x""#, None),
            (r#", "data": {"object": null}"#, None),
            (r#", "data": {"object": "balance"}"#, None),
            (r#", "data": {"object": {"object": 1, "id": 2}}"#, None),
            (r#", "data": {"object": {"object": "payment_intent"}}"#, None),
            (r#", "data": {"object": {"object": "payment_intent", "id": 1}}"#, None),
            (r#", "data": {"object": {"object": "charge", "payment_intent": null}}"#, None),
            (r#", "data": {"object": {"object": "charge", "payment_intent": {"id": "pi_1"}}}"#, Some("pi_1")),
        ] {
            let event = format!(r#"{{"id": "evt_1", "type": "v2.core.event"{data}}}"#);
            let read = parse_event(event.as_bytes()).unwrap_or_else(|error| panic!("{event}: {error}"));
            assert_eq!(read.intent.map(|intent| intent.0).as_deref(), intent, "{event}");
        }
    }
}
