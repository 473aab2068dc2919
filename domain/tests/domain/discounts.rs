//! Discount codes: what they take off, in which order, and which codes are rejected.

use domain::money::Amount;
use domain::promotion::{Allocation, Discount, DiscountScope, Rejection, discount};
use proptest::prelude::*;

use crate::kit::{fixed, percent, sku};

fn known() -> Vec<Discount> {
    let roses = DiscountScope::Lines(vec![sku("rose")]);
    vec![
        percent("10OFF", 1000, DiscountScope::Order),
        percent("WELCOME20", 2000, DiscountScope::Order),
        fixed("FIXED500", 500, DiscountScope::Order),
        percent("ROSES", 5000, roses.clone()),
        fixed("ROSE3", 300, roses),
    ]
}

fn codes(list: &[&str]) -> Vec<String> {
    list.iter().map(|code| (*code).to_owned()).collect()
}

#[test]
fn codes_apply_in_order_to_what_is_left() {
    let goods = [(sku("rose"), Amount::new(3500))];
    for (list, expected) in [
        (vec!["10off"], 350),
        (vec!["10OFF", "FIXED500"], 350 + 500),
        (vec!["FIXED500", "10OFF"], 500 + 300),
        (vec!["10OFF", "WELCOME20"], 350 + 630),
        (vec![], 0),
    ] {
        let result = discount(&codes(&list), &goods, &known());
        assert_eq!(result.order_level, Amount::new(expected), "{list:?}");
        assert_eq!(result.rejected, []);
    }
}

#[test]
fn line_discount_applies_before_the_order_discount() {
    let goods = [(sku("pot"), Amount::new(1000)), (sku("rose"), Amount::new(2000))];
    let result = discount(&codes(&["10OFF", "roses"]), &goods, &known());
    assert_eq!(result.per_line, [Amount::ZERO, Amount::new(1000)]);
    assert_eq!(result.order_level, Amount::new(200));
    assert_eq!(result.applied[0].allocations, [Allocation { line: 1, amount: Amount::new(1000) }]);
    assert_eq!(result.applied.iter().map(|applied| applied.priority).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn codes_without_effect_are_rejected_with_a_reason() {
    let goods = [(sku("pot"), Amount::new(100))];
    let result = discount(&codes(&["NOPE", "10OFF", "10off", "ROSES", "FIXED500", "FIXED500"]), &goods, &known());
    assert_eq!(
        result.rejected,
        [
            (0, Rejection::Unknown),
            (2, Rejection::AlreadyApplied),
            (3, Rejection::NothingToDiscount),
            (5, Rejection::AlreadyApplied)
        ]
    );
    assert_eq!(result.order_level, Amount::new(100));
}

proptest! {
    #[test]
    fn discounts_add_up_and_never_make_an_amount_negative(
        goods in prop::collection::vec((0_usize..3, 0_i64..1_000_000), 1..8),
        picks in prop::collection::vec(0_usize..6, 0..6),
        fixed_amount in 1_i64..2_000_000,
        basis_points in 1_i64..=10_000,
    ) {
        let names = ["rose", "pot", "fern"];
        let goods: Vec<_> = goods.iter().map(|(n, amount)| (sku(names[*n]), Amount::new(*amount))).collect();
        let some = DiscountScope::Lines(vec![sku("rose"), sku("fern")]);
        let known = [
            percent("A", basis_points, DiscountScope::Order), fixed("B", fixed_amount, DiscountScope::Order),
            percent("C", basis_points, some.clone()), fixed("D", fixed_amount, some),
        ];
        let list = codes(&picks.iter().map(|n| ["A", "B", "C", "D", "E", "a"][*n]).collect::<Vec<_>>());
        let result = discount(&list, &goods, &known);
        let gross: Amount = goods.iter().map(|(_, amount)| *amount).sum();
        let lines: Amount = result.per_line.iter().copied().sum();
        for ((_, subtotal), off) in goods.iter().zip(&result.per_line) {
            prop_assert!(Amount::ZERO <= *off && off <= subtotal);
        }
        prop_assert!(gross - lines - result.order_level >= Amount::ZERO);
        for applied in &result.applied {
            prop_assert!(applied.amount > Amount::ZERO);
            if !applied.allocations.is_empty() {
                prop_assert_eq!(applied.allocations.iter().map(|a| a.amount).sum::<Amount>(), applied.amount);
            }
        }
        let applied: Amount = result.applied.iter().map(|applied| applied.amount).sum();
        prop_assert_eq!(applied, lines + result.order_level);
        prop_assert_eq!(result.applied.len() + result.rejected.len(), list.len());
    }
}
