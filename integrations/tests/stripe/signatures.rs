//! The check of `Stripe-Signature`, and the payment that an event names.

use domain::clock::Timestamp;
use domain::payment::{GatewayEvent, PaymentReference};
use domain::secret::Secret;
use integrations::stripe::{MAX_SIGNATURES, SIGNATURE_TOLERANCE, SignatureError, parse_event, verify_signature};

/// The body of an event. `FIRST` and `SECOND` are signatures of it at the time `AT`. They were made with Python's
/// `hmac` and `hashlib`, and the `stripe` package accepts them.
const PAYLOAD: &[u8] =
    br#"{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{"object":"payment_intent","id":"pi_1"}}}"#;
const AT: i64 = 1_775_649_600;
const FIRST: &str = "f08a2a0054fd1a23194cfeac138b84cdc19a1b2200edb33bb14a5c4fc7d972df";
const SECOND: &str = "766b86b381bda26a6df55dcf89a9022f73b67225f7e728c52e9c9d8e44d0e087";

fn check(header: &str, secrets: &[&str], seconds_later: i64) -> Result<(), SignatureError> {
    let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    let now = Timestamp::from_unix_timestamp(AT + seconds_later).expect("a time");
    verify_signature(PAYLOAD, header, &secrets, now, SIGNATURE_TOLERANCE)
}

#[test]
fn one_valid_signature_is_enough() {
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
fn malformed_and_wrong_signatures_are_refused() {
    use SignatureError::{Malformed, Mismatch};
    let (later, odd) = (AT + 1, &FIRST[..63]);
    let flood = "v1=00,".repeat(MAX_SIGNATURES);
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
fn signature_outside_the_tolerance_is_refused() {
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
fn event_names_its_payment() {
    let intent = Some(PaymentReference("pi_1".to_owned()));
    let event = parse_event(PAYLOAD).expect("an event");
    assert_eq!(event, GatewayEvent { id: "evt_1".to_owned(), reference: intent.clone() });
    let refunded = br#"{"id": "evt_2", "type": "charge.refunded", "data": {"object":
        {"object": "charge", "id": "ch_1", "payment_intent": "pi_1"}}}"#;
    assert_eq!(parse_event(refunded).expect("an event").reference, intent);
    let other = br#"{"id": "evt_3", "type": "balance.available", "data": {"object": {"object": "balance"}}}"#;
    assert_eq!(parse_event(other).expect("an event").reference, None);
    for malformed in ["<html>", "[]", r#"{"id": "evt_1"}"#, r#"{"type": "x"}"#, r#"{"id": 1, "type": "x"}"#] {
        assert_eq!(parse_event(malformed.as_bytes()), None, "{malformed}");
    }
}

#[test]
fn event_without_known_object_names_no_payment() {
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
        let read = parse_event(event.as_bytes()).unwrap_or_else(|| panic!("{event}"));
        assert_eq!(read.reference.map(|intent| intent.0).as_deref(), intent, "{event}");
    }
}
