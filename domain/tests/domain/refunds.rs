//! Refunds: the limit of their sum.

use domain::money::Amount;
use domain::payment::{RefundRefusal, may_refund};
use proptest::prelude::*;

#[test]
fn refund_of_more_than_is_left_is_refused() {
    use RefundRefusal::{NotPositive, TooMuch};
    for (captured, refunded, wanted, expected) in [
        (600, 0, 600, Ok(())),
        (600, 0, 601, Err(TooMuch { left: Amount::new(600) })),
        (600, 400, 200, Ok(())),
        (600, 400, 201, Err(TooMuch { left: Amount::new(200) })),
        (600, 600, 1, Err(TooMuch { left: Amount::ZERO })),
        (600, 0, 0, Err(NotPositive)),
        (600, 0, -1, Err(NotPositive)),
    ] {
        let judged = may_refund(Amount::new(captured), Amount::new(refunded), Amount::new(wanted));
        assert_eq!(judged, expected, "{captured} {refunded} {wanted}");
    }
}

proptest! {
    #[test]
    fn sum_of_accepted_refunds_never_exceeds_the_captured_amount(
        captured in 0_i64..1_000_000, wishes in prop::collection::vec(-10_i64..400_000, 0..30),
    ) {
        let mut refunded = Amount::ZERO;
        for wish in wishes.into_iter().map(Amount::new) {
            if may_refund(Amount::new(captured), refunded, wish).is_ok() {
                refunded = refunded + wish;
            }
        }
        prop_assert!(refunded <= Amount::new(captured));
        prop_assert!(refunded >= Amount::ZERO);
    }
}
