//! Stock: units are held, taken and released.

use domain::stock::{Demand, StockChange, StockLevel, is_covered};
use proptest::prelude::*;

use crate::kit::{level, sku};

fn demand(wanted: &[(&str, i64)]) -> Demand {
    wanted.iter().map(|(name, units)| (sku(name), *units)).collect()
}

#[test]
fn demand_above_what_is_available_is_not_covered() {
    let levels = [level("rose", 5, 3), level("pot", 1, 0)];
    assert!(is_covered(&demand(&[("rose", 2), ("pot", 1)]), &levels));
    for (sku, units) in [("rose", 3), ("pot", 2), ("fern", 1)] {
        assert!(!is_covered(&demand(&[(sku, units)]), &levels), "{sku}");
        let with_others = demand(&[("rose", 1), ("pot", 1)]).into_iter().chain(demand(&[(sku, units)])).collect();
        assert!(!is_covered(&with_others, &levels), "{sku}");
    }
}

/// The level after a change by this many units.
fn after(level: &StockLevel, change: StockChange, units: i64) -> StockLevel {
    let (on_hand, held) = change.per_unit();
    StockLevel { on_hand: level.on_hand + on_hand * units, held: level.held + held * units, ..level.clone() }
}

#[test]
fn taken_units_leave_the_shelf_and_released_units_stay() {
    let before = level("rose", 10, 5);
    assert_eq!(after(&before, StockChange::Hold, 3), level("rose", 10, 8));
    assert_eq!(after(&before, StockChange::Take, 3), level("rose", 7, 2));
    assert_eq!(after(&before, StockChange::Release, 3), level("rose", 10, 2));
}

proptest! {
    #[test]
    fn held_units_never_exceed_units_on_hand(on_hand in 0_i64..50, held in 0_i64..50, units in 1_i64..40) {
        let before = level("rose", on_hand, held.min(on_hand));
        let within = |level: &StockLevel| 0 <= level.held && level.held <= level.on_hand;
        let held = after(&before, StockChange::Hold, units);
        prop_assert_eq!(is_covered(&demand(&[("rose", units)]), std::slice::from_ref(&before)), within(&held));
        if within(&held) {
            prop_assert_eq!(&after(&held, StockChange::Release, units), &before);
            let taken = after(&held, StockChange::Take, units);
            prop_assert!(within(&taken));
            prop_assert_eq!(taken.available(), before.available() - units);
            prop_assert_eq!(taken.held, before.held);
        }
    }
}
