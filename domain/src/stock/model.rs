//! Stock levels and demands.

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

/// The units wanted of each SKU. Each SKU occurs once, in SKU order, which is the order in which rows are locked, so
/// that two checkouts cannot deadlock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand(Vec<(Sku, i64)>);

impl Demand {
    /// Sums `wanted` by SKU.
    pub fn of<'a>(wanted: impl IntoIterator<Item = (&'a Sku, i64)>) -> Self {
        let mut sums = std::collections::BTreeMap::<Sku, i64>::new();
        for (sku, units) in wanted {
            *sums.entry(sku.clone()).or_default() += units;
        }
        Self(sums.into_iter().collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Sku, i64)> {
        self.0.iter().map(|(sku, units)| (sku, *units))
    }

    pub fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.0.iter().map(|(sku, _)| sku)
    }
}
