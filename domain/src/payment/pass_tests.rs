//! Tests of `pass.rs`.

use super::*;

#[test]
fn items_of_a_pass_fit_into_its_time() {
    for (seconds, expected) in [(55, 1), (27, 2), (18, 3), (12, 4), (1, 55)] {
        assert_eq!(items_per_pass(Duration::from_secs(seconds)), expected, "{seconds}");
    }
}
