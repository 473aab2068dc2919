//! The rules for holding, taking and releasing stock: pure functions from levels to levels.

use super::model::{Demand, StockLevel};
use crate::catalog::Sku;

/// The stock does not cover the demand. Nothing is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRefused {
    /// Each SKU that is short, with its available units. Zero for a SKU that was never stocked.
    pub short: Vec<(Sku, i64)>,
}

/// Holds all of `demand` or nothing. Returns the changed levels in SKU order.
pub fn hold(demand: &Demand, levels: &[StockLevel]) -> Result<Vec<StockLevel>, HoldRefused> {
    let short: Vec<(Sku, i64)> = demand
        .iter()
        .filter_map(|(sku, units)| {
            let available = find(levels, sku).map_or(0, StockLevel::available);
            (units > available).then(|| (sku.clone(), available))
        })
        .collect();
    if !short.is_empty() {
        return Err(HoldRefused { short });
    }
    Ok(shift(demand, levels, |level, units| level.held += units))
}

/// Takes held units off the shelf, for a placed order. Returns the changed levels in SKU order.
pub fn take(demand: &Demand, levels: &[StockLevel]) -> Vec<StockLevel> {
    shift(demand, levels, |level, units| {
        level.held -= units;
        level.on_hand -= units;
    })
}

/// Releases held units, so that other checkouts can hold them. Returns the changed levels in SKU order.
pub fn release(demand: &Demand, levels: &[StockLevel]) -> Vec<StockLevel> {
    shift(demand, levels, |level, units| level.held -= units)
}

fn shift(demand: &Demand, levels: &[StockLevel], change: impl Fn(&mut StockLevel, i64)) -> Vec<StockLevel> {
    demand
        .iter()
        .filter_map(|(sku, units)| {
            let mut level = find(levels, sku)?.clone();
            change(&mut level, units);
            Some(level)
        })
        .collect()
}

fn find<'a>(levels: &'a [StockLevel], sku: &Sku) -> Option<&'a StockLevel> {
    levels.iter().find(|level| level.sku == *sku)
}
