//! The rules for holding, taking and releasing stock.

use super::model::{Demand, StockLevel};
use crate::catalog::Sku;

/// A change of the stock by the units of a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockChange {
    /// Units are held for a checkout. Only available units can be held.
    Hold,
    /// Held units leave the stock for a placed order.
    Take,
    /// Held units become available again.
    Release,
}

impl StockChange {
    /// The numbers that are added to the units on hand and to the held units, for each demanded unit.
    pub const fn per_unit(self) -> (i64, i64) {
        match self {
            Self::Hold => (0, 1),
            Self::Take => (-1, -1),
            Self::Release => (0, -1),
        }
    }
}

/// Whether all of `demand` can be held.
pub fn is_covered(demand: &Demand, levels: &[StockLevel]) -> bool {
    demand.iter().all(|(sku, units)| *units <= available(levels, sku))
}

/// The units of a SKU that can still be held. Zero for a SKU that was never stocked.
pub fn available(levels: &[StockLevel], sku: &Sku) -> i64 {
    levels.iter().find(|level| level.sku == *sku).map_or(0, StockLevel::available)
}
