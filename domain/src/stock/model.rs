//! Stock levels and what is asked of them.

use crate::catalog::Sku;

/// How many units of a SKU there are, and how many of them are promised to completing checkouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockLevel {
    pub sku: Sku,
    pub on_hand: i64,
    pub held: i64,
}

impl StockLevel {
    /// What can still be promised.
    pub fn available(&self) -> i64 {
        self.on_hand - self.held
    }
}

/// Units wanted of each SKU, each SKU once, in SKU order: the order in which rows are locked, so that two checkouts
/// cannot wait for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand(Vec<(Sku, i64)>);

impl Demand {
    /// Sums up `wanted` by SKU.
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
