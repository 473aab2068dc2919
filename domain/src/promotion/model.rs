//! Discounts and their effects.

use serde::{Deserialize, Serialize};

use crate::catalog::Sku;
use crate::money::Amount;

/// A discount code in the form that is compared: trimmed and upper-cased.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(String);

impl Code {
    pub const MAX_LENGTH: usize = 64;

    pub fn new(text: &str) -> Self {
        Self(text.trim().to_uppercase())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A discount that a code gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discount {
    pub code: Code,
    pub value: DiscountValue,
    pub scope: DiscountScope,
    pub description: String,
}

/// How much a discount takes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscountValue {
    /// A part of the amount, in hundredths of a percent: 1000 is 10 %. At most 10 000.
    Percentage { basis_points: i64 },
    /// A fixed amount, in minor units of the shop's currency.
    Fixed(Amount),
}

/// What a discount is taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscountScope {
    /// All goods together.
    Order,
    /// Only lines of these SKUs.
    Lines(Vec<Sku>),
}

/// The effect of one discount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedDiscount {
    /// The code as the platform sent it.
    pub code: String,
    pub title: String,
    /// The amount that the discount takes off. Positive.
    pub amount: Amount,
    /// The position in the order of calculation, from 1.
    pub priority: u32,
    /// The part of a line-level discount that each line gets; the parts sum to `amount`. Empty for an order-level
    /// discount.
    pub allocations: Vec<Allocation>,
    /// Whether each line was discounted separately (a percentage) or one amount was split over several lines.
    pub each_line: bool,
}

/// The part of a discount that is taken off one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The index of the line.
    pub line: usize,
    pub amount: Amount,
}
