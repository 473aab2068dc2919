//! Giving money back: never more than was taken.

use super::model::{AttemptId, PaymentReference};
use crate::id::{Id, Named};
use crate::money::{Amount, Money};

pub type RefundId = Id<Refund>;

impl Named for Refund {
    const PREFIX: &'static str = "ref";
}

/// Money on its way back to the buyer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    pub id: RefundId,
    pub attempt: AttemptId,
    pub reference: PaymentReference,
    pub money: Money,
    pub state: RefundState,
    /// How often the gateway was asked for it.
    pub tries: u32,
}

impl Refund {
    /// The gateway's idempotency key.
    pub fn key(&self) -> String {
        self.id.to_string()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundState {
    /// Recorded here; the gateway has not answered for it yet.
    Requested,
    /// The gateway has taken it on and will say how it ends.
    Pending,
    Succeeded,
    /// Refused, with the gateway's reason. No money moved.
    Failed(String),
}

/// Why nothing is given back. Nothing was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundRefused {
    /// Nothing was captured for it, or not yet.
    NotCaptured,
    /// Less than that is left of what was captured.
    TooMuch {
        left: Amount,
    },
    NotPositive,
}

/// Whether `wanted` may be given back of what was captured, given the refunds so far that have not failed.
pub fn may_refund(captured: Amount, refunded: Amount, wanted: Amount) -> Result<(), RefundRefused> {
    let left = captured - refunded;
    if wanted <= Amount::ZERO {
        Err(RefundRefused::NotPositive)
    } else if wanted > left {
        Err(RefundRefused::TooMuch { left })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_more_is_given_back_than_was_taken() {
        use RefundRefused::{NotPositive, TooMuch};
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
        fn whatever_is_asked_for_the_sum_stays_within_what_was_captured(
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
}
