//! Stock: units are held, taken and released.

use domain::stock::{Demand, hold, release, take};
use proptest::prelude::*;

use crate::kit::{level, sku};

fn demand(wanted: &[(&str, i64)]) -> Demand {
    wanted.iter().map(|(name, units)| (sku(name), *units)).collect()
}

#[test]
fn hold_of_more_than_is_available_is_refused_as_a_whole() {
    let levels = [level("rose", 5, 3), level("pot", 1, 0)];
    assert!(hold(&demand(&[("rose", 2), ("pot", 1)]), &levels).is_some());
    for (sku, units) in [("rose", 3), ("pot", 2), ("fern", 1)] {
        assert_eq!(hold(&demand(&[(sku, units)]), &levels), None, "{sku}");
        let with_others = demand(&[("rose", 1), ("pot", 1)]).into_iter().chain(demand(&[(sku, units)])).collect();
        assert_eq!(hold(&with_others, &levels), None, "{sku}");
    }
}

#[test]
fn taken_units_leave_the_shelf_and_released_units_stay() {
    let demand = demand(&[("rose", 3), ("pot", 1)]);
    // The result is in the order of the demand. Levels without demand are left out.
    let levels = [level("rose", 10, 5), level("fern", 7, 7), level("pot", 4, 1)];
    assert_eq!(hold(&demand, &levels), Some(vec![level("pot", 4, 2), level("rose", 10, 8)]));
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
        let demand: Demand = wanted.iter().map(|(n, units)| (sku(&format!("s{n}")), *units)).collect();
        if let Some(held) = hold(&demand, &levels) {
            for level in &held {
                prop_assert!(0 <= level.held && level.held <= level.on_hand);
            }
            let before: Vec<_> = demand
                .keys()
                .filter_map(|sku| levels.iter().find(|level| level.sku == *sku).cloned())
                .collect();
            prop_assert_eq!(&release(&demand, &held), &before);
            for (taken, before) in take(&demand, &held).iter().zip(&before) {
                prop_assert_eq!(taken.available(), before.available() - (before.on_hand - taken.on_hand));
                prop_assert_eq!(taken.held, before.held);
            }
        }
    }
}
