//! How much a pass of a payment task takes on: no more than it can end before it is cut off.

use std::time::Duration;

/// A pass of a payment task ends within this time, even if every call and every write takes as long as it may. The
/// supervisor must not cut it off sooner. The one exception is a commit that broke: to find out what became of it
/// takes the commit grace of the storage on top.
pub const LONGEST_PASS: Duration = Duration::from_secs(60);
/// For claiming what is due.
pub(super) const CLAIMING: Duration = Duration::from_secs(5);

/// How many items a pass may claim if one of them takes at most as long as the sum of `steps`.
pub(super) const fn batch(steps: &[Duration]) -> u32 {
    let mut one = Duration::ZERO;
    let mut at = 0;
    while at < steps.len() {
        one = one.saturating_add(steps[at]);
        at += 1;
    }
    let items = LONGEST_PASS.saturating_sub(CLAIMING).as_millis() / one.as_millis();
    assert!(items > 0 && items <= 100, "a pass has no time for one item, or far too much");
    items as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_is_what_fits_into_a_pass() {
        for (steps, expected) in [(&[55][..], 1), (&[27], 2), (&[10, 5, 3], 3), (&[10, 2], 4), (&[1], 55)] {
            let steps: Vec<_> = steps.iter().copied().map(Duration::from_secs).collect();
            assert_eq!(batch(&steps), expected, "{steps:?}");
        }
    }
}
