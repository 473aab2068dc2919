//! The rules of payments: when an authorized amount is captured, and how much of a captured amount may be refunded.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::fault::Refusal;
use crate::money::Amount;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the shop relies on the gateway to hold an authorized amount. Card schemes hold it for at least seven days.
pub(super) const HELD_FOR: Duration = DAY.saturating_mul(7);
/// How early the shop captures or cancels a payment before the gateway would release the amount.
const CAPTURE_MARGIN: Duration = DAY;

/// The time at which an authorized amount is captured or cancelled, if nothing is shipped before. `began` is the beginning
/// of the attempt, which is before the authorization. The shop may know of the authorization only days later.
pub fn capture_due(began: Timestamp) -> Timestamp {
    began + HELD_FOR.saturating_sub(CAPTURE_MARGIN)
}

/// Why a refund is refused. Nothing is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundRefusal {
    /// The payment is not captured yet, or was never charged.
    NotCaptured,
    /// The requested amount is more than `left`, the part of the captured amount that is not refunded yet.
    TooMuch {
        left: Amount,
    },
    NotPositive,
}

impl Refusal for RefundRefusal {}

/// Decides whether `wanted` may be refunded. `captured` is the captured amount; `refunded` is the sum of the refunds
/// that have not failed.
pub fn may_refund(captured: Amount, refunded: Amount, wanted: Amount) -> Result<(), RefundRefusal> {
    let left = captured - refunded;
    if wanted <= Amount::ZERO {
        Err(RefundRefusal::NotPositive)
    } else if wanted > left {
        Err(RefundRefusal::TooMuch { left })
    } else {
        Ok(())
    }
}
