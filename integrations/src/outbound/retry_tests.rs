//! Tests of `retry.rs`.

use super::*;
use crate::outbound::call::Limits;
use crate::outbound::error::Effect;
use crate::outbound::guard::{Blocked, Destination};

fn call(repeat: Repeat) -> Call {
    let to = Destination::trusted("https://gateway.internal/").expect("allowed");
    Call::post("test.call", to, Limits::PAYMENT).repeat(repeat)
}

fn response(status: u16, header: Option<(&'static str, &'static str)>) -> Result<Reply, CallError> {
    let headers = header.into_iter().map(|(name, value)| {
        (reqwest::header::HeaderName::from_static(name), reqwest::header::HeaderValue::from_static(value))
    });
    let headers = headers.collect();
    Ok(Reply { status, headers, body: Vec::new(), attempts: 1, in_doubt: false })
}

fn no_response(reason: Reason) -> Result<Reply, CallError> {
    Err(CallError { operation: "test.call", effect: Effect::Unknown, reason, source: None })
}

#[test]
fn only_harmless_calls_are_repeated() {
    let (keyed, plain) = (call(Repeat::USUAL), call(Repeat::Never));
    for (outcome, expected) in [
        (response(200, None), false),
        (response(302, None), false),
        (response(402, None), false),
        (response(409, None), false),
        (response(429, None), true),
        (response(500, None), true),
        (response(503, None), true),
        (response(500, Some(("stripe-should-retry", "false"))), false),
        (response(409, Some(("stripe-should-retry", "true"))), true),
        (no_response(Reason::Unreachable), true),
        (no_response(Reason::Deadline), true),
        (no_response(Reason::Broken), true),
        (no_response(Reason::TooLarge), true),
        (no_response(Reason::Unreadable), true),
        (response(500, Some(("idempotent-replayed", "true"))), false),
        (no_response(Reason::Busy), false),
        (no_response(Reason::Cancelled), false),
        (no_response(Reason::BadRequest), false),
        (no_response(Reason::Blocked(Blocked::Scheme)), false),
    ] {
        assert_eq!(may_repeat(&keyed, &outcome), expected, "{outcome:?}");
        assert!(!may_repeat(&plain, &outcome), "{outcome:?}");
    }
}

#[test]
fn backoff_doubles_up_to_a_limit_and_adds_retry_after() {
    let most: Jitter = Arc::new(|most| most);
    let milliseconds = |attempts| backoff(&most, attempts, &no_response(Reason::Broken)).as_millis();
    assert_eq!([1, 2, 3, 5, 6, 60].map(milliseconds), [100, 200, 400, 1600, 2000, 2000]);
    let asked = backoff(&most, 1, &response(503, Some(("retry-after", "3"))));
    assert_eq!(asked, Duration::from_millis(3100));
    let nonsense = backoff(&most, 1, &response(503, Some(("retry-after", "soon"))));
    assert_eq!(nonsense, Duration::from_millis(100));
}

#[test]
fn jitter_covers_its_whole_range() {
    let (jitter, most) = (random_jitter(), Duration::from_millis(100));
    let chosen: Vec<_> = (0..1000).map(|_| jitter(most)).collect();
    assert!(chosen.iter().all(|chosen| *chosen <= most));
    assert!(chosen.iter().any(|chosen| *chosen < most / 10));
    assert!(chosen.iter().any(|chosen| *chosen > most / 10 * 9));
    assert_eq!(jitter(Duration::ZERO), Duration::ZERO);
}
