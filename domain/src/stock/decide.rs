//! The rules for holding, taking and releasing stock. They are pure functions that return the changed levels.

use super::model::{Demand, StockLevel};
use crate::catalog::Sku;

/// Holds all of `demand` or nothing. Returns the changed levels in SKU order. `None` if a SKU has fewer available units
/// than are demanded.
pub fn hold(demand: &Demand, levels: &[StockLevel]) -> Option<Vec<StockLevel>> {
    let mut wanted = demand.iter();
    let is_covered = wanted.all(|(sku, units)| *units <= available(levels, sku));
    is_covered.then(|| change_levels(demand, levels, |level, units| level.held += units))
}

/// Removes held units from the stock for a placed order. Returns the changed levels in SKU order.
pub fn take(demand: &Demand, levels: &[StockLevel]) -> Vec<StockLevel> {
    change_levels(demand, levels, |level, units| {
        level.held -= units;
        level.on_hand -= units;
    })
}

/// Releases held units, so that other checkouts can hold them. Returns the changed levels in SKU order.
pub fn release(demand: &Demand, levels: &[StockLevel]) -> Vec<StockLevel> {
    change_levels(demand, levels, |level, units| level.held -= units)
}

/// The levels of the demanded SKUs, each changed by its demanded units.
fn change_levels(demand: &Demand, levels: &[StockLevel], change: impl Fn(&mut StockLevel, i64)) -> Vec<StockLevel> {
    demand
        .iter()
        .filter_map(|(sku, units)| {
            let mut level = find(levels, sku)?.clone();
            change(&mut level, *units);
            Some(level)
        })
        .collect()
}

/// The units of a SKU that can still be held. Zero for a SKU that was never stocked.
pub fn available(levels: &[StockLevel], sku: &Sku) -> i64 {
    find(levels, sku).map_or(0, StockLevel::available)
}

fn find<'a>(levels: &'a [StockLevel], sku: &Sku) -> Option<&'a StockLevel> {
    levels.iter().find(|level| level.sku == *sku)
}
