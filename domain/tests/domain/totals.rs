//! The rules of the totals, one test each, over random baskets, codes and rates.

use domain::catalog::{Sku, Variant};
use domain::checkout::{CheckoutRequest, Details, MessageCode, PricingFacts, Status, Total, TotalKind, Totals, price};
use domain::customer::Address;
use domain::fulfillment::{FreeShipping, FulfillmentFacts, FulfillmentRequest, MethodKind, OptionId};
use domain::money::Amount;
use domain::promotion::{DiscountScope, DiscountValue};
use domain::quantity::Quantity;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::kit::{self, discount, level, rate, requested_line, variant};

/// A random request and the facts to price it with.
#[derive(Clone, Debug)]
struct Case {
    request: CheckoutRequest,
    facts: PricingFacts,
}

impl Case {
    fn priced(&self) -> Details {
        price(&self.request, None, &self.facts).expect("there is something to sell").0
    }

    /// Prices the same case without discount codes.
    fn undiscounted(&self) -> Details {
        Self { request: CheckoutRequest { codes: None, ..self.request.clone() }, facts: self.facts.clone() }.priced()
    }
}

const SKUS: usize = 5;
const CODES: [&str; 6] = ["A", "B", "C", "D", "E", "a"];
const OPTIONS: [&str; 3] = ["standard", "express", "nowhere"];

fn name(number: usize) -> String {
    format!("sku{number}")
}

fn sku(number: usize) -> Sku {
    kit::sku(&name(number))
}

/// The highest price with which eight lines of the highest quantity stay within the subtotal limit.
const HIGHEST: i64 = Amount::MAX_SUBTOTAL / 8 / Quantity::MAX as i64;

/// Random prices: mostly ordinary, and sometimes zero, the smallest or the highest price.
fn prices() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 1_i64..100_000, 1 => Just(0), 1 => Just(1), 1 => Just(HIGHEST)]
}

fn quantities() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 1_i64..20, 1 => Just(i64::from(Quantity::MAX))]
}

fn values() -> impl Strategy<Value = DiscountValue> {
    prop_oneof![
        (1_i64..=10_000).prop_map(|basis_points| DiscountValue::Percentage { basis_points }),
        prop_oneof![1_i64..10_000, Just(i64::MAX / 4)].prop_map(|amount| DiscountValue::Fixed(Amount::new(amount))),
    ]
}

fn scopes() -> impl Strategy<Value = DiscountScope> {
    let some = vec(0..SKUS, 1..4).prop_map(|skus| DiscountScope::Lines(skus.into_iter().map(sku).collect()));
    prop_oneof![Just(DiscountScope::Order), some]
}

fn facts() -> impl Strategy<Value = PricingFacts> {
    let free = proptest::option::of((0_i64..200_000, vec(0..SKUS, 0..2)));
    (vec(prices(), SKUS), vec((values(), scopes()), 4), vec(prices(), 2), free).prop_map(
        |(prices, discounts, rates, free)| PricingFacts {
            variants: prices.iter().enumerate().map(|(number, price)| item(number, *price)).collect(),
            stock: (0..SKUS).map(|number| level(&name(number), 1_000_000_000, 0)).collect(),
            discounts: discounts
                .into_iter()
                .zip(CODES)
                .map(|((value, scope), code)| discount(code, value, scope))
                .collect(),
            fulfillment: FulfillmentFacts {
                rates: rates.iter().zip(OPTIONS).map(|(price, level)| rate(level, None, level, *price)).collect(),
                free_shipping: free.into_iter().map(|(minimum, skus)| promotion(minimum, &skus)).collect(),
                address_book: Vec::new(),
            },
        },
    )
}

fn item(number: usize, price: i64) -> Variant {
    variant(&name(number), price, number.is_multiple_of(2))
}

fn promotion(minimum: i64, skus: &[usize]) -> FreeShipping {
    FreeShipping {
        id: "promotion".to_owned(),
        min_subtotal: Some(Amount::new(minimum)),
        eligible_skus: skus.iter().copied().map(sku).collect(),
        description: "Free".to_owned(),
    }
}

fn requests() -> impl Strategy<Value = CheckoutRequest> {
    // The first line names an existing item; the others may name an unknown item.
    let first = (0..SKUS, quantities());
    let others = vec((0..SKUS + 1, quantities()), 0..7);
    let codes = proptest::option::of(vec(0..CODES.len(), 0..5));
    let option = proptest::option::of(proptest::option::of(0..OPTIONS.len()));
    (first, others, codes, option).prop_map(|(first, others, codes, option)| CheckoutRequest {
        lines: std::iter::once(first)
            .chain(others)
            .map(|(number, units)| requested_line(&name(number), units))
            .collect(),
        codes: codes.map(|codes| codes.into_iter().map(|number| CODES[number].to_owned()).collect()),
        fulfillment: option.map(delivery),
        ..CheckoutRequest::default()
    })
}

fn delivery(option: Option<usize>) -> FulfillmentRequest {
    FulfillmentRequest {
        kinds: vec![MethodKind::Shipping],
        destinations: vec![(None, Address { country: Some("US".into()), ..Address::default() })],
        selected_destination: None,
        selected_option: option.map(|number| OptionId(OPTIONS[number].to_owned())),
    }
}

fn cases() -> impl Strategy<Value = Case> {
    (requests(), facts()).prop_map(|(request, facts)| Case { request, facts })
}

fn of(totals: &Totals, kind: &TotalKind) -> Vec<Amount> {
    totals.iter().filter(|total| total.kind == *kind).map(|total| total.amount).collect()
}

fn sum(totals: &Totals, kind: &TotalKind) -> Amount {
    of(totals, kind).into_iter().sum()
}

fn is_discount(total: &Total) -> bool {
    matches!(total.kind, TotalKind::Discount | TotalKind::ItemsDiscount)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn totals_have_exactly_one_subtotal_of_the_gross_prices(case in cases()) {
        let details = case.priced();
        let gross: Amount = details.lines.iter().map(|line| line.unit_price.times(line.quantity)).sum();
        prop_assert_eq!(of(&details.totals, &TotalKind::Subtotal), [gross]);
    }

    #[test]
    fn totals_end_with_exactly_one_total(case in cases()) {
        let totals = case.priced().totals;
        prop_assert_eq!(of(&totals, &TotalKind::Total), [totals.total()]);
        prop_assert_eq!(totals.iter().last().map(|total| &total.kind), Some(&TotalKind::Total));
    }

    #[test]
    fn sum_of_non_total_equals_total(case in cases()) {
        let totals = case.priced().totals;
        let parts: Amount =
            totals.iter().filter(|total| total.kind != TotalKind::Total).map(|total| total.amount).sum();
        prop_assert_eq!(parts, totals.total());
    }

    #[test]
    fn each_discount_of_totals_is_negative(case in cases()) {
        let totals = case.priced().totals;
        prop_assert!(totals.iter().filter(|total| is_discount(total)).all(|total| total.amount < Amount::ZERO));
    }

    #[test]
    fn subtotal_and_fulfillment_not_negative(case in cases()) {
        let totals = case.priced().totals;
        prop_assert!(totals.iter().filter(|total| !is_discount(total)).all(|total| total.amount >= Amount::ZERO));
    }

    #[test]
    fn items_discount_equals_sum_of_lines(case in cases()) {
        let details = case.priced();
        let of_lines: Amount = details.lines.iter().map(|line| line.discount).sum();
        prop_assert_eq!(sum(&details.totals, &TotalKind::ItemsDiscount), -of_lines);
    }

    #[test]
    fn allocations_sum_to_amount(case in cases()) {
        let details = case.priced();
        let mut per_line = vec![Amount::ZERO; details.lines.len()];
        for applied in details.discounts.iter().filter(|applied| !applied.allocations.is_empty()) {
            prop_assert_eq!(applied.allocations.iter().map(|one| one.amount).sum::<Amount>(), applied.amount);
            for one in &applied.allocations {
                prop_assert!(one.amount > Amount::ZERO);
                per_line[one.line] = per_line[one.line] + one.amount;
            }
        }
        prop_assert_eq!(per_line, details.lines.iter().map(|line| line.discount).collect::<Vec<_>>());
    }

    #[test]
    fn applied_discounts_are_what_the_totals_take_off(case in cases()) {
        let details = case.priced();
        prop_assert!(details.discounts.iter().all(|applied| applied.amount > Amount::ZERO));
        let (lines, order): (Vec<_>, Vec<_>) =
            details.discounts.iter().partition(|applied| !applied.allocations.is_empty());
        let amount = |applied: Vec<&domain::promotion::AppliedDiscount>| -> Amount {
            applied.into_iter().map(|one| one.amount).sum()
        };
        prop_assert_eq!(sum(&details.totals, &TotalKind::ItemsDiscount), -amount(lines));
        prop_assert_eq!(sum(&details.totals, &TotalKind::Discount), -amount(order));
    }

    #[test]
    fn total_is_not_negative_and_not_below_the_shipping_price(case in cases()) {
        let details = case.priced();
        prop_assert!(details.totals.total() >= sum(&details.totals, &TotalKind::Fulfillment));
        prop_assert!(details.totals.total() >= Amount::ZERO);
    }

    #[test]
    fn discounts_do_not_touch_shipping(case in cases()) {
        let (with, without) = (case.priced(), case.undiscounted());
        prop_assert_eq!(
            of(&with.totals, &TotalKind::Fulfillment), of(&without.totals, &TotalKind::Fulfillment)
        );
        prop_assert_eq!(with.fulfillment, without.fulfillment);
    }

    #[test]
    fn shipping_is_the_price_of_the_chosen_option(case in cases()) {
        let details = case.priced();
        let prices: Vec<Amount> = details.delivery().iter().map(|(_, option)| option.price).collect();
        prop_assert_eq!(of(&details.totals, &TotalKind::Fulfillment), prices);
    }

    #[test]
    fn goods_without_shipping_pay_no_delivery(case in cases()) {
        let details = case.priced();
        if !details.lines.iter().any(|line| line.requires_shipping) {
            prop_assert_eq!(of(&details.totals, &TotalKind::Fulfillment), []);
            prop_assert!(!details.messages.iter().any(|message| message.code == MessageCode::Missing));
        }
    }

    #[test]
    fn line_totals_add_up(case in cases()) {
        let details = case.priced();
        for line in &details.lines {
            prop_assert!(Amount::ZERO <= line.discount && line.discount <= line.subtotal());
            let totals = Totals::of(line.subtotal(), line.discount, Amount::ZERO, None);
            prop_assert_eq!(totals.total(), line.total());
            prop_assert_eq!(line.subtotal() - line.discount, line.total());
        }
        let gross: Amount = details.lines.iter().map(|line| line.subtotal()).sum();
        let net: Amount = details.lines.iter().map(|line| line.total()).sum();
        prop_assert_eq!(gross, sum(&details.totals, &TotalKind::Subtotal));
        prop_assert_eq!(net, gross + sum(&details.totals, &TotalKind::ItemsDiscount));
    }

    #[test]
    fn same_request_has_the_same_price(case in cases()) {
        prop_assert_eq!(price(&case.request, None, &case.facts), price(&case.request, None, &case.facts));
    }
}

/// The random cases must cover all kinds of totals, because otherwise the property tests prove little.
#[test]
fn random_cases_cover_all_kinds_of_totals() {
    let mut runner = TestRunner::deterministic();
    let (mut items, mut order, mut shipped, mut free, mut nothing, mut ready) = (0, 0, 0, 0, 0, 0);
    for _ in 0..512 {
        let case = cases().new_tree(&mut runner).expect("a case").current();
        let (details, status) = price(&case.request, None, &case.facts).expect("something to sell");
        let totals = &details.totals;
        items += i32::from(!of(totals, &TotalKind::ItemsDiscount).is_empty());
        order += i32::from(!of(totals, &TotalKind::Discount).is_empty());
        shipped += i32::from(of(totals, &TotalKind::Fulfillment).iter().any(|amount| *amount > Amount::ZERO));
        free += i32::from(of(totals, &TotalKind::Fulfillment).contains(&Amount::ZERO));
        nothing += i32::from(totals.total().is_zero());
        ready += i32::from(status == Status::ReadyForComplete);
    }
    for (kind, count) in [
        ("items_discount", items),
        ("discount", order),
        ("fulfillment", shipped),
        ("free fulfillment", free),
        ("nothing to pay", nothing),
        ("ready", ready),
    ] {
        assert!(count >= 10, "{kind}: {count} of 512");
    }
}
