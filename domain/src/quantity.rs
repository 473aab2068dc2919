//! How many.

use serde::{Deserialize, Serialize};

/// A number of units that is at least one and at most [`Quantity::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Quantity(u32);

impl Quantity {
    /// No one buys more of one thing in one line; the bound keeps every total inside 64 bits.
    pub const MAX: u32 = 10_000;

    pub fn parse(units: i64) -> Result<Self, QuantityError> {
        match u32::try_from(units) {
            Ok(units @ 1..=Self::MAX) => Ok(Self(units)),
            _ => Err(QuantityError(units)),
        }
    }

    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Quantity {
    type Error = QuantityError;
    fn try_from(units: i64) -> Result<Self, QuantityError> {
        Self::parse(units)
    }
}
impl From<Quantity> for i64 {
    fn from(quantity: Quantity) -> Self {
        i64::from(quantity.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is between 1 and {max}, not {0}", max = Quantity::MAX)]
pub struct QuantityError(i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_bounded_on_both_sides() {
        assert_eq!(Quantity::parse(1).map(Quantity::get), Ok(1));
        assert_eq!(Quantity::parse(10_000).map(Quantity::get), Ok(10_000));
        for bad in [i64::MIN, -5, 0, 10_001, i64::MAX] {
            assert_eq!(Quantity::parse(bad), Err(QuantityError(bad)));
        }
    }
}
