//! Stock levels and demands.

use std::collections::BTreeMap;

use crate::catalog::Sku;

/// The units of a SKU on hand, and how many of them are held for checkouts in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockLevel {
    pub sku: Sku,
    pub on_hand: i64,
    pub held: i64,
}

impl StockLevel {
    /// The units that can still be held.
    pub fn available(&self) -> i64 {
        self.on_hand - self.held
    }
}

/// The number of demanded units of each SKU, sorted by SKU. Rows are locked in this order, so that two checkouts cannot
/// deadlock.
pub type Demand = BTreeMap<Sku, i64>;
