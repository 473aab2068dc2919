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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sku(name: &str) -> Sku {
        Sku::parse(name).expect("valid")
    }

    fn level(name: &str, on_hand: i64, held: i64) -> StockLevel {
        StockLevel { sku: sku(name), on_hand, held }
    }

    #[test]
    fn demand_is_summed_by_sku_and_sorted() {
        let (rose, pot) = (sku("rose"), sku("pot"));
        let demand = Demand::of([(&rose, 2), (&pot, 1), (&rose, 3)]);
        assert_eq!(demand.iter().collect::<Vec<_>>(), [(&pot, 1), (&rose, 5)]);
    }

    #[test]
    fn refused_hold_names_each_short_sku() {
        let (rose, pot, fern) = (sku("rose"), sku("pot"), sku("fern"));
        let demand = Demand::of([(&rose, 3), (&pot, 1), (&fern, 1)]);
        let refused = hold(&demand, &[level("rose", 5, 3), level("pot", 1, 0)]).expect_err("short");
        assert_eq!(refused.short, [(fern, 0), (rose, 2)]);
    }

    #[test]
    fn taken_units_leave_the_shelf_and_released_units_stay() {
        let (rose, pot) = (sku("rose"), sku("pot"));
        let demand = Demand::of([(&rose, 3), (&pot, 1)]);
        // In the order of the demand. Levels without demand are left out.
        let levels = [level("rose", 10, 5), level("fern", 7, 7), level("pot", 4, 1)];
        assert_eq!(hold(&demand, &levels), Ok(vec![level("pot", 4, 2), level("rose", 10, 8)]));
        assert_eq!(take(&demand, &levels), [level("pot", 3, 0), level("rose", 7, 2)]);
        assert_eq!(release(&demand, &levels), [level("pot", 4, 0), level("rose", 10, 2)]);
    }

    proptest! {
        #[test]
        fn held_units_never_exceed_units_on_hand(
            shelf in prop::collection::vec((0_i64..50, 0_i64..50), 1..6),
            wanted in prop::collection::vec((0_usize..6, 1_i64..40), 1..8),
        ) {
            let levels: Vec<_> =
                shelf.iter().enumerate().map(|(n, (on, held))| level(&format!("s{n}"), *on, (*held).min(*on))).collect();
            let names: Vec<Sku> = wanted.iter().map(|(n, _)| sku(&format!("s{n}"))).collect();
            let demand = Demand::of(names.iter().zip(wanted.iter().map(|(_, units)| *units)));
            if let Ok(held) = hold(&demand, &levels) {
                for level in &held {
                    prop_assert!(0 <= level.held && level.held <= level.on_hand);
                }
                let before: Vec<_> = demand.skus().map(|sku| find(&levels, sku).expect("held").clone()).collect();
                prop_assert_eq!(&release(&demand, &held), &before);
                for (taken, before) in take(&demand, &held).iter().zip(&before) {
                    prop_assert_eq!(taken.available(), before.available() - (before.on_hand - taken.on_hand));
                    prop_assert_eq!(taken.held, before.held);
                }
            }
        }
    }
}
