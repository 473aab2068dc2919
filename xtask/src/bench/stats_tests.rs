//! Tests of the medians and ratios.

use super::*;

#[test]
fn median_is_the_middle_value_in_any_order() {
    assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median([]), 0.0);
}

#[test]
fn runs_are_compared_pair_by_pair() {
    assert_eq!(ratios(&[1.0, 9.0], &[2.0, 3.0]), [0.5, 3.0]);
    let sample = Sample { done: 4.0, ..Sample::default() };
    assert_eq!(for_each(&sample, 2.0), 0.5);
}
