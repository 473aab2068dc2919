//! Orders: what a paid checkout becomes, and what money and units do afterwards.

use domain::catalog::{Sku, Variant};
use domain::checkout::{Checkout, CheckoutId, CheckoutRequest, Facts, LineId, RequestedLine, Status, TotalKind, price};
use domain::clock::Timestamp;
use domain::context::PlatformId;
use domain::customer::Address;
use domain::fulfillment::{FulfillmentFacts, FulfillmentRequest, MethodKind, OptionId, ServiceLevel, ShippingRate};
use domain::id::PageToken;
use domain::money::{Amount, Currency, Money};
use domain::order::{
    Adjustment, AdjustmentStatus, ExpectedLine, Order, OrderChange, OrderId, Shipment, place, ship, take_back,
};
use domain::promotion::{Code, Discount, DiscountScope, DiscountValue};
use domain::quantity::Quantity;
use domain::stock::StockLevel;
use proptest::collection::vec;
use proptest::prelude::*;
use time::macros::datetime;

const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

fn sku(number: usize) -> Sku {
    Sku::parse(&format!("sku{number}")).expect("valid")
}

/// An order of lines of price and units; every second item is shipped. The first code takes `fixed` off the first item,
/// the second `percent` off everything.
fn order(lines: &[(i64, i64)], fixed: i64, percent: i64, codes: &[&str]) -> Order {
    let requested = lines.iter().enumerate().map(|(number, (_, units))| RequestedLine {
        id: None,
        sku: sku(number).as_str().to_owned(),
        quantity: Quantity::parse(*units).expect("a quantity"),
    });
    let request = CheckoutRequest {
        lines: requested.collect(),
        codes: Some(codes.iter().map(|code| (*code).to_owned()).collect()),
        fulfillment: Some(FulfillmentRequest {
            kinds: vec![MethodKind::Shipping],
            destinations: vec![(
                None,
                Address { street: Some("1 A St".into()), country: Some("US".into()), ..Address::default() },
            )],
            selected_destination: None,
            selected_option: Some(OptionId("std".to_owned())),
        }),
        ..CheckoutRequest::default()
    };
    let discount =
        |code: &str, value, scope| Discount { code: Code::new(code), value, scope, description: code.into() };
    let facts = Facts {
        variants: lines.iter().enumerate().map(|(number, (price, _))| variant(number, *price)).collect(),
        stock: (0..lines.len()).map(|number| StockLevel { sku: sku(number), on_hand: 1_000_000, held: 0 }).collect(),
        discounts: vec![
            discount("FIXED", DiscountValue::Fixed(Amount::new(fixed)), DiscountScope::Lines(vec![sku(0)])),
            discount("PERCENT", DiscountValue::Percentage { basis_points: percent }, DiscountScope::Order),
        ],
        fulfillment: FulfillmentFacts {
            rates: vec![ShippingRate {
                id: OptionId("std".to_owned()),
                country: None,
                service_level: ServiceLevel("standard".to_owned()),
                price: Amount::new(450),
                title: "Standard".to_owned(),
            }],
            ..FulfillmentFacts::default()
        },
    };
    let (details, status) = price(&request, None, &facts).expect("something to sell");
    assert_eq!(status, Status::ReadyForComplete, "{:?}", details.messages);
    let checkout = Checkout {
        id: CheckoutId::generate(NOW),
        owner: PlatformId("https://platform.example/".to_owned()),
        status,
        version: 1,
        currency: Currency::USD,
        page: PageToken::generate(),
        created_at: NOW,
        updated_at: NOW,
        expires_at: NOW,
        attempt: None,
        order: None,
        details,
    };
    place(OrderId::generate(NOW), PageToken::generate(), &checkout, NOW)
}

fn variant(number: usize, price: i64) -> Variant {
    Variant {
        sku: sku(number),
        title: format!("Item {number}"),
        image_url: None,
        price: Money { amount: Amount::new(price), currency: Currency::USD },
        requires_shipping: number.is_multiple_of(2),
    }
}

fn give_back(order: Order, line: &LineId, units: i64) -> Order {
    let id = format!("adj_{}", order.events.len());
    take_back(order, id, "refund".into(), line.clone(), units, NOW).expect("there are that many units")
}

#[test]
fn units_are_worth_what_was_paid_for_them() {
    let worth = |order: &Order, line: usize, units| order.worth_of(&order.lines[line].id, units).map(Amount::minor);
    // Ten per cent off the whole: 900 were paid for the unit of 1000.
    assert_eq!(worth(&order(&[(1_000, 1)], 1, 1_000, &["PERCENT"]), 0, 1), Some(900));
    // A discount of the line, then one of the order: 1000 - 100 = 900, and 10 % of 1900 are shared out 90 to 100.
    let both = order(&[(500, 2), (1_000, 1)], 100, 1_000, &["FIXED", "PERCENT"]);
    assert_eq!([worth(&both, 0, 2), worth(&both, 1, 1)], [Some(810), Some(900)]);
    // The last unit takes the remainder.
    let thirds = order(&[(100, 3)], 200, 1, &["FIXED"]);
    assert_eq!([1, 2, 3].map(|units| worth(&thirds, 0, units)), [Some(33), Some(66), Some(100)]);
    let thirds = give_back(thirds.clone(), &thirds.lines[0].id, 2);
    assert_eq!([0, 1, 2, i64::MAX].map(|units| worth(&thirds, 0, units)), [Some(0), Some(34), Some(34), Some(34)]);
    let none = order(&[(100, 1)], 1, 1, &[]);
    assert_eq!(none.worth_of(&LineId("li_9".into()), 1), None);
    assert_eq!([worth(&none, 0, 0), worth(&none, 0, -1)], [Some(0), Some(0)]);
}

#[test]
fn changes_are_named_by_the_id_that_was_brought() {
    let status = AdjustmentStatus::Pending;
    let adjustment = Adjustment { kind: "refund".into(), status, lines: Vec::new(), amount: None, description: None };
    let adjusted = OrderChange::Adjusted { id: "adj_7".into(), occurred_at: NOW, adjustment };
    let (tracking_number, tracking_url, carrier, description) = (None, None, None, None);
    let lines = Vec::new();
    let shipment = Shipment { kind: "shipped".into(), lines, tracking_number, tracking_url, carrier, description };
    let shipped = OrderChange::Shipped { id: "evt_7".into(), occurred_at: NOW, shipment };
    assert_eq!([adjusted.id(), shipped.id()], ["adj_7", "evt_7"]);
}

#[test]
fn delivery_is_promised_for_the_lines_that_need_it() {
    let mixed = order(&[(100, 2), (100, 1), (100, 3)], 1, 1, &[]);
    let units = |lines: &[ExpectedLine]| -> Vec<(String, i64)> {
        lines.iter().map(|line| (line.line.0.clone(), line.quantity)).collect()
    };
    let expected = vec![("li_1".to_owned(), 2), ("li_3".to_owned(), 3)];
    assert_eq!(units(&mixed.expectations[0].lines), expected);
    assert_eq!(mixed.expectations[0].description, "Standard");
    assert_eq!(units(&mixed.to_ship()), expected);

    let mut nothing_promised = mixed.clone();
    nothing_promised.expectations.clear();
    let all = [("li_1", 2), ("li_2", 1), ("li_3", 3)].map(|(line, units)| (line.to_owned(), units));
    assert_eq!(units(&nothing_promised.to_ship()), all);

    let back = give_back(mixed.clone(), &mixed.lines[0].id, 1);
    let lines = vec![ExpectedLine { line: mixed.lines[2].id.clone(), quantity: 2 }];
    let (tracking_number, tracking_url, carrier, description) = (None, None, None, None);
    let shipment = Shipment { kind: "shipped".into(), lines, tracking_number, tracking_url, carrier, description };
    let sent = ship(back, "s1".into(), shipment, NOW).expect("there are that many units");
    assert_eq!(units(&sent.to_ship()), [("li_1".to_owned(), 1), ("li_3".to_owned(), 1)]);
    let mut all_sent = sent.clone();
    all_sent.lines[0].fulfilled = all_sent.lines[0].total;
    assert_eq!(units(&all_sent.to_ship()), [("li_3".to_owned(), 1)]);
    assert_eq!((sent.shipments().count(), sent.adjustments().count(), sent.events.len()), (1, 1, 3));
    assert_eq!(sent.events.iter().map(|event| event.is_shipping()).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(sent.adjustments().next().map(|(event, _)| event.id.as_str()), Some("adj_1"));
    assert_eq!(sent.shipments().next().map(|(event, _)| event.id.as_str()), Some("s1"));
    for line in mixed.lines.iter().zip([2, 0, 3]) {
        assert_eq!((line.0.original, line.0.fulfilled), (line.0.total, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_is_given_back_adds_up_to_what_was_paid(
        lines in vec((0_i64..100_000, 1_i64..8), 1..6),
        fixed in 1_i64..50_000,
        percent in 1_i64..=10_000,
        codes in vec(prop_oneof![Just("FIXED"), Just("PERCENT")], 0..3),
        steps in vec((0_usize..6, 1_i64..8), 0..40),
    ) {
        let mut order = order(&lines, fixed, percent, &codes);
        let of_delivery = order.totals.iter().filter(|total| total.kind == TotalKind::Fulfillment);
        let goods = order.totals.total() - of_delivery.map(|total| total.amount).sum();
        prop_assert_eq!(order.paid().into_iter().sum::<Amount>(), goods);
        prop_assert!(order.paid().into_iter().all(|paid| paid >= Amount::ZERO));

        let back = |order: &Order| -> Amount { order.adjustments().filter_map(|(_, one)| one.amount).sum() };
        for (line, units) in steps {
            let line = order.lines[line % order.lines.len()].clone();
            if units <= line.total {
                order = give_back(order, &line.id, units);
                prop_assert!(-back(&order) <= goods);
            }
        }
        for line in order.lines.clone().into_iter().filter(|line| line.total > 0) {
            order = give_back(order, &line.id, line.total);
        }
        prop_assert_eq!(-back(&order), goods);
    }
}
