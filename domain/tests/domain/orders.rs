//! Orders: how an order is placed, shipped, adjusted and refunded.

use domain::checkout::{CheckoutRequest, LineId, PricingFacts, Status, TotalKind, price};
use domain::fulfillment::{FulfillmentFacts, FulfillmentRequest, MethodKind, OptionId};
use domain::id::PageToken;
use domain::money::Amount;
use domain::order::OrderChangeKind::{Adjusted, Shipped, ShippedRest, TakenBack};
use domain::order::{
    Adjustment, AdjustmentStatus, ExpectedLine, LineStatus, Order, OrderChange, OrderChangeKind, OrderChangeRefusal,
    OrderId, Shipment, apply, place,
};
use domain::promotion::DiscountScope;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::kit::{self, NOW, address, checkout, level, rate, requested_line, sku, variant};

fn name(number: usize) -> String {
    format!("sku{number}")
}

/// An order with `lines`, which are pairs of unit price and units. Every second item must be shipped. The code `FIXED`
/// takes `fixed` minor units off the first item, and `PERCENT` takes `percent` hundredths of a percent off the whole
/// order.
fn order(lines: &[(i64, i64)], fixed: i64, percent: i64, codes: &[&str]) -> Order {
    let requested = lines.iter().enumerate().map(|(number, (_, units))| requested_line(&name(number), *units));
    let request = CheckoutRequest {
        lines: requested.collect(),
        codes: Some(codes.iter().map(|code| (*code).to_owned()).collect()),
        fulfillment: Some(FulfillmentRequest {
            kinds: vec![MethodKind::Shipping],
            destinations: vec![(None, address("US", "1 A St"))],
            selected_destination: None,
            selected_option: Some(OptionId("std".to_owned())),
        }),
        ..CheckoutRequest::default()
    };
    let items = || lines.iter().enumerate();
    let facts = PricingFacts {
        variants: items()
            .map(|(number, (price, _))| variant(&name(number), *price, number.is_multiple_of(2)))
            .collect(),
        stock: items().map(|(number, _)| level(&name(number), 1_000_000, 0)).collect(),
        discounts: vec![
            kit::fixed("FIXED", fixed, DiscountScope::Lines(vec![sku(&name(0))])),
            kit::percent("PERCENT", percent, DiscountScope::Order),
        ],
        fulfillment: FulfillmentFacts {
            rates: vec![rate("std", None, "standard", 450)],
            ..FulfillmentFacts::default()
        },
    };
    let (details, status) = price(&request, None, &facts).expect("something to sell");
    assert_eq!(status, Status::ReadyForComplete, "{:?}", details.messages);
    place(OrderId::generate(NOW), PageToken::generate(NOW), &checkout(status, details), NOW)
}

fn change(order: Order, id: &str, kind: OrderChangeKind) -> Result<Order, OrderChangeRefusal> {
    apply(order, OrderChange { id: id.to_owned(), occurred_at: NOW, kind })
}

fn refunded(order: Order, line: &LineId, units: i64) -> Order {
    let id = format!("adj_{}", order.events.len());
    change(order, &id, TakenBack { kind: "refund".into(), line: line.clone(), units })
        .expect("there are that many units")
}

#[test]
fn refund_of_units_is_what_was_paid_for_them() {
    let worth = |order: &Order, line: usize, units| order.refund_for(&order.lines[line].id, units).map(Amount::minor);
    // The order has a discount of 10 %, so 900 was paid for the unit of 1000.
    assert_eq!(worth(&order(&[(1_000, 1)], 1, 1_000, &["PERCENT"]), 0, 1), Some(900));
    // After the line discount, the lines cost 900 and 1000. The order discount is 10 % of 1900, split into 90 and 100.
    let both = order(&[(500, 2), (1_000, 1)], 100, 1_000, &["FIXED", "PERCENT"]);
    assert_eq!([worth(&both, 0, 2), worth(&both, 1, 1)], [Some(810), Some(900)]);
    // The last unit gets the remainder.
    let thirds = order(&[(100, 3)], 200, 1, &["FIXED"]);
    assert_eq!([1, 2, 3].map(|units| worth(&thirds, 0, units)), [Some(33), Some(66), Some(100)]);
    let thirds = refunded(thirds.clone(), &thirds.lines[0].id, 2);
    assert_eq!([0, 1, 2, i64::MAX].map(|units| worth(&thirds, 0, units)), [Some(0), Some(34), Some(34), Some(34)]);
    let none = order(&[(100, 1)], 1, 1, &[]);
    assert_eq!(none.refund_for(&LineId("li_9".into()), 1), None);
    assert_eq!([worth(&none, 0, 0), worth(&none, 0, -1)], [Some(0), Some(0)]);
}

#[test]
fn delivery_is_promised_for_lines_that_must_be_shipped() {
    let mixed = order(&[(100, 2), (100, 1), (100, 3)], 1, 1, &[]);
    let units = |lines: &[ExpectedLine]| -> Vec<(String, i64)> {
        lines.iter().map(|line| (line.line.0.clone(), line.quantity)).collect()
    };
    let expected = vec![("li_1".to_owned(), 2), ("li_3".to_owned(), 3)];
    assert_eq!(units(&mixed.expectations[0].lines), expected);
    assert_eq!(mixed.expectations[0].description, "standard delivery");
    assert_eq!(units(&mixed.units_to_ship()), expected);

    let mut nothing_promised = mixed.clone();
    nothing_promised.expectations.clear();
    let all = [("li_1", 2), ("li_2", 1), ("li_3", 3)].map(|(line, units)| (line.to_owned(), units));
    assert_eq!(units(&nothing_promised.units_to_ship()), all);

    let back = refunded(mixed.clone(), &mixed.lines[0].id, 1);
    let sent = change(back, "s1", Shipped(shipment("shipped", "li_3", 2))).expect("there are that many units");
    assert_eq!(units(&sent.units_to_ship()), [("li_1".to_owned(), 1), ("li_3".to_owned(), 1)]);
    let mut all_sent = sent.clone();
    all_sent.lines[0].fulfilled = all_sent.lines[0].total;
    assert_eq!(units(&all_sent.units_to_ship()), [("li_3".to_owned(), 1)]);
    assert_eq!((sent.shipments().count(), sent.adjustments().count(), sent.events.len()), (1, 1, 3));
    assert_eq!(sent.events.iter().map(|event| event.is_shipping()).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(sent.adjustments().next().map(|(event, _)| event.id.as_str()), Some("adj_1"));
    assert_eq!(sent.shipments().next().map(|(event, _)| event.id.as_str()), Some("s1"));
    for line in mixed.lines.iter().zip([2, 0, 3]) {
        assert_eq!((line.0.original, line.0.fulfilled), (line.0.total, 0));
    }
}

fn three_roses() -> Order {
    order(&[(100, 3)], 1, 1, &[])
}

fn units(line: &str, quantity: i64) -> ExpectedLine {
    ExpectedLine { line: LineId(line.to_owned()), quantity }
}

fn shipment(kind: &str, line: &str, quantity: i64) -> Shipment {
    let lines = vec![units(line, quantity)];
    let (tracking_number, tracking_url, carrier, description) = (None, None, None, None);
    Shipment { kind: kind.into(), lines, tracking_number, tracking_url, carrier, description }
}

fn adjustment(status: AdjustmentStatus, quantity: i64) -> Adjustment {
    let lines = vec![units("li_1", quantity)];
    Adjustment { kind: "refund".into(), status, lines, amount: None, description: None }
}

#[test]
fn shipment_of_more_units_than_wanted_is_refused() {
    for (kind, line, quantity, expected) in [
        ("shipped", "li_1", 2, Ok((2, LineStatus::Partial))),
        ("shipped", "li_1", 3, Ok((3, LineStatus::Fulfilled))),
        ("delivered", "li_1", 3, Ok((0, LineStatus::Processing))),
        ("shipped", "li_1", 4, Err(OrderChangeRefusal::TooMany(LineId("li_1".into())))),
        ("shipped", "li_1", 1, Ok((1, LineStatus::Partial))),
        ("shipped", "li_1", 0, Err(OrderChangeRefusal::NoUnits(LineId("li_1".into())))),
        ("shipped", "li_1", -1, Err(OrderChangeRefusal::NoUnits(LineId("li_1".into())))),
        ("delivered", "li_1", 0, Err(OrderChangeRefusal::NoUnits(LineId("li_1".into())))),
        ("delivered", "li_1", -5, Err(OrderChangeRefusal::NoUnits(LineId("li_1".into())))),
        ("delivered", "li_1", 4, Err(OrderChangeRefusal::TooMany(LineId("li_1".into())))),
        ("shipped", "li_1", i64::MAX, Err(OrderChangeRefusal::TooMany(LineId("li_1".into())))),
        ("shipped", "li_9", 1, Err(OrderChangeRefusal::UnknownLine(LineId("li_9".into())))),
    ] {
        let shipped = change(three_roses(), "e1", Shipped(shipment(kind, line, quantity)));
        let outcome = shipped.map(|order| (order.lines[0].fulfilled, order.lines[0].status()));
        assert_eq!(outcome, expected, "{kind} {line} {quantity}");
    }
}

#[test]
fn second_shipment_is_limited_to_the_units_that_were_not_shipped() {
    let partly = || change(three_roses(), "e1", Shipped(shipment("shipped", "li_1", 2))).expect("shipped");
    let rest = change(partly(), "e2", Shipped(shipment("shipped", "li_1", 1)));
    assert_eq!(rest.map(|order| order.lines[0].fulfilled), Ok(3));
    let more = change(partly(), "e2", Shipped(shipment("shipped", "li_1", 2)));
    assert_eq!(more.map(drop), Err(OrderChangeRefusal::TooMany(LineId("li_1".into()))));
}

#[test]
fn adjustment_changes_wanted_units_and_keeps_the_line() {
    use AdjustmentStatus::{Completed, Failed};
    let too_many = || Err(OrderChangeRefusal::TooMany(LineId("li_1".into())));
    for (status, quantity, expected) in [
        (Completed, -1, Ok((2, LineStatus::Processing))),
        (Completed, -3, Ok((0, LineStatus::Removed))),
        (Failed, -3, Ok((3, LineStatus::Processing))),
        (Completed, 0, Err(OrderChangeRefusal::NoUnits(LineId("li_1".into())))),
        (Failed, 0, Err(OrderChangeRefusal::NoUnits(LineId("li_1".into())))),
        (Failed, -4, too_many()),
        (Completed, -4, too_many()),
        (Completed, 1, too_many()),
        (Completed, i64::MIN, too_many()),
    ] {
        let adjusted = change(three_roses(), "a1", Adjusted(adjustment(status, quantity)));
        let outcome = adjusted.map(|order| (order.lines[0].total, order.lines[0].status()));
        assert_eq!(outcome, expected, "{status:?} {quantity}");
    }
}

#[test]
fn units_taken_back_are_limited_to_the_wanted_units_and_refund_what_was_paid() {
    let li_1 = || LineId("li_1".into());
    let take = |order, line, units| change(order, "a1", TakenBack { kind: "refund".into(), line, units });
    let amount = |order: &Order| order.adjustments().last().and_then(|(_, adjustment)| adjustment.amount);
    for (gone, units, expected) in [
        (0, 1, Ok((2, Some(Amount::new(-100))))),
        (2, 1, Ok((0, Some(Amount::new(-100))))),
        (0, 3, Ok((0, Some(Amount::new(-300))))),
        (0, 0, Err(OrderChangeRefusal::NoUnits(li_1()))),
        (0, -1, Err(OrderChangeRefusal::NoUnits(li_1()))),
        (3, -1, Err(OrderChangeRefusal::NoUnits(li_1()))),
        (0, i64::MIN, Err(OrderChangeRefusal::NoUnits(li_1()))),
        (0, 4, Err(OrderChangeRefusal::TooMany(li_1()))),
        (3, 1, Err(OrderChangeRefusal::TooMany(li_1()))),
        (0, i64::MAX, Err(OrderChangeRefusal::TooMany(li_1()))),
    ] {
        let mut order = three_roses();
        order.lines[0].total -= gone;
        let outcome = take(order, li_1(), units).map(|order| (order.lines[0].total, amount(&order)));
        assert_eq!(outcome, expected, "{units} of {}", 3 - gone);
    }
    let unknown = take(three_roses(), LineId("li_9".into()), 1);
    assert_eq!(unknown, Err(OrderChangeRefusal::UnknownLine(LineId("li_9".into()))));
}

#[test]
fn rest_of_an_order_is_shipped_once() {
    let once = change(three_roses(), "e1", ShippedRest(shipment("shipped", "li_9", 9))).expect("shipped");
    assert_eq!((once.lines[0].fulfilled, once.shipments().count()), (3, 1));
    assert_eq!(change(once.clone(), "e2", ShippedRest(shipment("shipped", "li_9", 9))), Ok(once));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn refunds_of_all_units_add_up_to_the_paid_amount(
        lines in vec((0_i64..100_000, 1_i64..8), 1..6),
        fixed in 1_i64..50_000,
        percent in 1_i64..=10_000,
        codes in vec(prop_oneof![Just("FIXED"), Just("PERCENT")], 0..3),
        steps in vec((0_usize..6, 1_i64..8), 0..40),
    ) {
        let mut order = order(&lines, fixed, percent, &codes);
        let of_delivery = order.totals.iter().filter(|total| total.kind == TotalKind::Fulfillment);
        let goods = order.totals.total() - of_delivery.map(|total| total.amount).sum();
        prop_assert_eq!(order.paid_per_line().into_iter().sum::<Amount>(), goods);
        prop_assert!(order.paid_per_line().into_iter().all(|paid| paid >= Amount::ZERO));

        let back = |order: &Order| -> Amount { order.adjustments().filter_map(|(_, one)| one.amount).sum() };
        for (line, units) in steps {
            let line = order.lines[line % order.lines.len()].clone();
            if units <= line.total {
                order = refunded(order, &line.id, units);
                prop_assert!(-back(&order) <= goods);
            }
        }
        for line in order.lines.clone().into_iter().filter(|line| line.total > 0) {
            order = refunded(order, &line.id, line.total);
        }
        prop_assert_eq!(-back(&order), goods);
    }
}
