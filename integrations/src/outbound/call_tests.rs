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
