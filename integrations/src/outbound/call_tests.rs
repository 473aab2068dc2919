//! Tests of `call.rs`.

use super::*;

#[test]
fn whole_call_has_at_least_the_time_of_one_attempt() {
    for (attempt, total) in [(500, 15_000), (15_000, 15_000), (40_000, 40_000)] {
        let limits = Limits::PAYMENT.with_attempt(Duration::from_millis(attempt));
        let expected = (Duration::from_millis(attempt), Duration::from_millis(total));
        assert_eq!((limits.attempt, limits.total), expected);
    }
}

#[test]
fn retry_after_is_a_number_of_at_most_a_day() {
    for (text, expected) in [
        ("0", Some(0)),
        (" 120 ", Some(120)),
        ("86401", Some(86_400)),
        ("99999999999999999999", Some(86_400)),
        ("+120", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("Wed, 08 Apr 2026 12:02:00 GMT", None),
    ] {
        let value = HeaderValue::from_str(text).expect("a value");
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
        let reply = Reply { status: 503, headers, body: Vec::new(), attempts: 1, in_doubt: false };
        assert_eq!(reply.retry_after().map(|wait| wait.as_secs()), expected, "{text}");
    }
}
