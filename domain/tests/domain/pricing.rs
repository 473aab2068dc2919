//! Pricing, rule by rule: the lines, the messages, and the resulting status.

use std::collections::BTreeMap;

use domain::checkout::{
    BuyerContext, CheckoutRequest, Details, LineId, MessageCode, NothingToSell, PricingFacts, RequestedLine, Severity,
    Status, Subject, demand_of, price, shortages,
};
use domain::customer::{Address, Buyer, Destination, DestinationId, Email};
use domain::fulfillment::{FulfillmentFacts, FulfillmentRequest, MethodKind, OptionId};
use domain::money::Amount;
use domain::promotion::DiscountScope;

use crate::kit::{address, fixed, level, percent, rate, requested_line, sku, variant};

/// The items `song` and `card` need no shipping, and `rose` does. Three units of each are available, and none of
/// `gone`.
fn facts() -> PricingFacts {
    PricingFacts {
        variants: vec![
            variant("song", 500, false),
            variant("card", 1_000, false),
            variant("rose", 3_000, true),
            variant("gone", 700, false),
            variant("never", 700, false),
        ],
        stock: vec![level("song", 3, 0), level("card", 5, 2), level("rose", 3, 0), level("gone", 4, 4)],
        discounts: vec![
            percent("TEN", 1_000, DiscountScope::Order),
            fixed("ROSES", 500, DiscountScope::Lines(vec![sku("rose")])),
        ],
        fulfillment: FulfillmentFacts {
            rates: vec![rate("std", Some("US"), "standard", 450)],
            free_shipping: Vec::new(),
            address_book: Vec::new(),
        },
    }
}

fn lines(wanted: &[(&str, i64)]) -> Vec<RequestedLine> {
    wanted.iter().map(|(name, units)| requested_line(name, *units)).collect()
}

fn request(wanted: &[(&str, i64)]) -> CheckoutRequest {
    CheckoutRequest { lines: lines(wanted), ..CheckoutRequest::default() }
}

#[test]
fn request_above_the_subtotal_limit_is_refused() {
    let most = Amount::MAX_PRICE;
    let mut facts = facts();
    facts.variants = vec![variant("song", most, false), variant("card", 191_254_740_991, false)];
    facts.stock.iter_mut().for_each(|level| level.on_hand = 100_000);
    for (wanted, beyond) in [
        (&[("song", 9_006)][..], None),
        (&[("song", 9_007)], Some(0)),
        (&[("song", 9_008)], Some(0)),
        (&[("card", 1), ("song", 9_006)], None),
        (&[("card", 10), ("song", 9_006)], Some(1)),
        (&[("card", 9_006), ("song", 9_006)], Some(1)),
        (&[("song", 1), ("song", 9_007)], Some(1)),
        (&[("never", 1), ("card", 1), ("song", 5_000), ("song", 5_000)], Some(2)),
        (&[("song", 10_000); 100], Some(0)),
    ] {
        let priced = price(&request(wanted), None, &facts);
        let refused = priced.err().map(|NothingToSell(messages)| messages);
        let expected = beyond.map(|index| vec![(MessageCode::LimitExceeded, Some(Subject::RequestedLine(index)))]);
        let refused = refused.map(|all| all.into_iter().map(|one| (one.code, one.subject)).collect::<Vec<_>>());
        assert_eq!(refused, expected, "{:?}", &wanted[..1]);
    }
}

fn delivery(country: &str, option: Option<&str>) -> FulfillmentRequest {
    FulfillmentRequest {
        kinds: vec![MethodKind::Shipping],
        destinations: vec![(Some(DestinationId("home".into())), address(country, "1 A St"))],
        selected_destination: None,
        selected_option: option.map(|id| OptionId(id.into())),
    }
}

fn priced(request: &CheckoutRequest, before: Option<&Details>) -> (Details, Status) {
    price(request, before, &facts()).expect("something to sell")
}

type Summary = (Severity, MessageCode, Option<Subject>);

fn summary(details: &Details) -> Vec<Summary> {
    details.messages.iter().map(|message| (message.severity, message.code, message.subject)).collect()
}

fn ids(details: &Details) -> Vec<&str> {
    details.lines.iter().map(|line| line.id.0.as_str()).collect()
}

#[test]
fn each_request_gets_its_messages_and_its_status() {
    use MessageCode as M;
    use Severity::{Recoverable, Warning};
    use Status::{Incomplete, ReadyForComplete};
    let code = |codes: &[&str]| Some(codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>());
    let pickup = FulfillmentRequest { kinds: vec![MethodKind::Pickup], ..FulfillmentRequest::default() };
    let mut twice = delivery("US", Some("std"));
    twice.kinds.push(MethodKind::Shipping);
    let mut unknown = delivery("US", Some("std"));
    unknown.selected_destination = Some(DestinationId("elsewhere".into()));
    let known = |kinds| FulfillmentRequest { kinds, ..FulfillmentRequest::default() };
    let mut nowhere = delivery("US", Some("std"));
    nowhere.destinations[0].1.street = None;
    let mut stateless = delivery("US", Some("std"));
    stateless.destinations[0].1.country = None;
    let claims = |claims: &[&str]| {
        let eligibility = claims.iter().map(|claim| (*claim).to_owned()).collect();
        Some(BuyerContext { eligibility, ..BuyerContext::default() })
    };
    let at = Some;
    let cases: Vec<(CheckoutRequest, Vec<Summary>, Status)> = vec![
        (request(&[("song", 1)]), vec![], ReadyForComplete),
        (request(&[("song", 3)]), vec![], ReadyForComplete),
        (request(&[("song", 4)]), vec![(Recoverable, M::OutOfStock, at(Subject::Line(0)))], Incomplete),
        // Two lines of the same item share the stock of the item.
        (
            request(&[("song", 2), ("card", 1), ("song", 2)]),
            vec![
                (Recoverable, M::OutOfStock, at(Subject::Line(0))),
                (Recoverable, M::OutOfStock, at(Subject::Line(2))),
            ],
            Incomplete,
        ),
        (
            request(&[("gone", 1), ("song", 1)]),
            vec![(Recoverable, M::OutOfStock, at(Subject::RequestedLine(0)))],
            Incomplete,
        ),
        (
            request(&[("song", 1), ("never", 1)]),
            vec![(Recoverable, M::OutOfStock, at(Subject::RequestedLine(1)))],
            Incomplete,
        ),
        (
            request(&[("song", 1), ("no such item", 1)]),
            vec![(Recoverable, M::ItemUnavailable, at(Subject::RequestedLine(1)))],
            Incomplete,
        ),
        (request(&[("rose", 1)]), vec![(Recoverable, M::Missing, at(Subject::Fulfillment))], Incomplete),
        (
            CheckoutRequest { fulfillment: Some(known(vec![])), ..request(&[("rose", 1)]) },
            vec![(Recoverable, M::Missing, at(Subject::Fulfillment))],
            Incomplete,
        ),
        (
            CheckoutRequest { fulfillment: Some(pickup.clone()), ..request(&[("rose", 1)]) },
            vec![(Recoverable, M::MethodUnavailable, at(Subject::Fulfillment))],
            Incomplete,
        ),
        (
            CheckoutRequest { fulfillment: Some(known(vec![MethodKind::Shipping])), ..request(&[("rose", 1)]) },
            vec![(Recoverable, M::Missing, at(Subject::Destination))],
            Incomplete,
        ),
        (
            CheckoutRequest { fulfillment: Some(unknown), ..request(&[("rose", 1)]) },
            vec![(Recoverable, M::UnknownSelection, at(Subject::Destination))],
            Incomplete,
        ),
        (
            CheckoutRequest { fulfillment: Some(stateless), ..request(&[("rose", 1)]) },
            vec![(Recoverable, M::Missing, at(Subject::Country(0)))],
            Incomplete,
        ),
        (
            CheckoutRequest { fulfillment: Some(delivery("Narnia", Some("std"))), ..request(&[("rose", 1)]) },
            vec![(Recoverable, M::UnknownCountry, at(Subject::Country(0)))],
            Incomplete,
        ),
        (
            CheckoutRequest { fulfillment: Some(delivery("CA", Some("std"))), ..request(&[("rose", 1)]) },
            vec![(Recoverable, M::AddressUndeliverable, at(Subject::Destination))],
            Incomplete,
        ),
        (
            CheckoutRequest { fulfillment: Some(delivery("US", None)), ..request(&[("rose", 1)]) },
            vec![(Recoverable, M::Missing, at(Subject::DeliveryOption))],
            Incomplete,
        ),
        (
            CheckoutRequest { fulfillment: Some(delivery("US", Some("owl"))), ..request(&[("rose", 1)]) },
            vec![(Recoverable, M::UnknownSelection, at(Subject::DeliveryOption))],
            Incomplete,
        ),
        (
            CheckoutRequest { fulfillment: Some(nowhere), ..request(&[("rose", 1)]) },
            vec![(Warning, M::Missing, at(Subject::Destination))],
            ReadyForComplete,
        ),
        (
            CheckoutRequest { fulfillment: Some(twice), ..request(&[("rose", 1)]) },
            vec![(Warning, M::OneDestinationOnly, at(Subject::Fulfillment))],
            ReadyForComplete,
        ),
        (
            CheckoutRequest { fulfillment: Some(delivery("US", Some("std"))), ..request(&[("rose", 1)]) },
            vec![],
            ReadyForComplete,
        ),
        // If no line must be shipped, no delivery data is required.
        (CheckoutRequest { fulfillment: Some(pickup), ..request(&[("song", 1)]) }, vec![], ReadyForComplete),
        (
            CheckoutRequest { fulfillment: Some(delivery("CA", None)), ..request(&[("song", 1)]) },
            vec![],
            ReadyForComplete,
        ),
        (
            CheckoutRequest { codes: code(&["nope", "ten", "TEN", "ROSES"]), ..request(&[("song", 1)]) },
            vec![
                (Warning, M::DiscountCodeInvalid, at(Subject::Code(0))),
                (Warning, M::DiscountCodeAlreadyApplied, at(Subject::Code(2))),
                (Warning, M::DiscountCodeIneligible, at(Subject::Code(3))),
            ],
            ReadyForComplete,
        ),
        (
            CheckoutRequest { context: claims(&["student", "staff"]), ..request(&[("song", 1)]) },
            vec![
                (Warning, M::EligibilityNotAccepted, at(Subject::Eligibility(0))),
                (Warning, M::EligibilityNotAccepted, at(Subject::Eligibility(1))),
            ],
            ReadyForComplete,
        ),
    ];
    for (request, messages, status) in cases {
        let (details, is) = priced(&request, None);
        assert_eq!((summary(&details), is), (messages, status), "{request:?}");
    }
}

#[test]
fn requested_content_is_stored_in_the_checkout() {
    let request = CheckoutRequest {
        buyer: Some(Buyer { email: Email::parse("ada@example.com"), ..Buyer::default() }),
        context: Some(BuyerContext { intent: Some("a present".into()), ..BuyerContext::default() }),
        attribution: BTreeMap::from([("campaign".to_owned(), "autumn".to_owned())]),
        codes: Some(vec!["TEN".to_owned(), "roses".to_owned()]),
        fulfillment: Some(delivery("usa", Some("std"))),
        ..request(&[("song", 2), ("rose", 1)])
    };
    let (details, status) = priced(&request, None);
    assert_eq!(status, Status::ReadyForComplete);
    assert_eq!((&details.buyer, &details.context), (&request.buyer, &request.context));
    assert_eq!((&details.attribution, &details.codes), (&request.attribution, &request.codes));
    assert_eq!(details.instruments, request.instruments);
    assert!(!details.of_registered_platform);
    let shown: Vec<(&str, &str, i64, i64, bool, i64)> = details
        .lines
        .iter()
        .map(|line| {
            let (price, off) = (line.unit_price.minor(), line.discount.minor());
            (line.sku.as_str(), line.title.as_str(), price, i64::from(line.quantity), line.requires_shipping, off)
        })
        .collect();
    assert_eq!(shown, [("song", "The song", 500, 2, false, 0), ("rose", "The rose", 3_000, 1, true, 500)]);
    let amounts: Vec<i64> = details.totals.iter().map(|total| total.amount.minor()).collect();
    assert_eq!(amounts, [4_000, -500, -350, 450, 3_600]);
    let (destination, option) = details.delivery().expect("it is settled");
    assert_eq!((destination.id.0.as_str(), option.id.0.as_str()), ("home", "std"));
    assert_eq!(details.delivered_lines().map(|line| line.sku.as_str()).collect::<Vec<_>>(), ["rose"]);
}

#[test]
fn known_line_id_is_kept_once_and_others_get_the_next_number() {
    let (before, _) = priced(&request(&[("song", 1), ("card", 1), ("song", 1)]), None);
    assert_eq!(ids(&before), ["li_1", "li_2", "li_3"]);
    let with_ids = |wanted: &[(&str, Option<&str>)]| {
        let line = |(name, id): &(&str, Option<&str>)| RequestedLine {
            id: id.map(|id| LineId(id.to_owned())),
            ..lines(&[(name, 1)]).remove(0)
        };
        CheckoutRequest { lines: wanted.iter().map(line).collect(), ..CheckoutRequest::default() }
    };
    for (wanted, expected) in [
        (vec![("song", Some("li_3")), ("card", Some("li_1"))], vec!["li_3", "li_1"]),
        // The next free number is used for a repeated id, an unknown id, and no id.
        (vec![("song", Some("li_2")), ("card", Some("li_2"))], vec!["li_2", "li_4"]),
        (vec![("song", Some("mine")), ("card", None)], vec!["li_4", "li_5"]),
        (vec![("song", Some("li_9"))], vec!["li_4"]),
    ] {
        let (after, _) = priced(&with_ids(&wanted), Some(&before));
        assert_eq!(ids(&after), expected, "{wanted:?}");
    }
    // If there is no earlier content, the id in the request is not known.
    assert_eq!(ids(&priced(&with_ids(&[("song", Some("li_3"))]), None).0), ["li_1"]);
}

#[test]
fn request_without_sellable_items_is_refused_with_messages() {
    let NothingToSell(messages) =
        price(&request(&[("gone", 1), ("no such item", 1)]), None, &facts()).expect_err("none");
    let summary: Vec<_> = messages.iter().map(|message| (message.severity, message.code)).collect();
    let never = Severity::Unrecoverable;
    assert_eq!(summary, [(never, MessageCode::OutOfStock), (never, MessageCode::ItemUnavailable)]);
    let long = "x".repeat(1_000);
    let NothingToSell(messages) = price(&request(&[(&long, 1)]), None, &facts()).expect_err("none");
    assert!(messages[0].content.len() < 200, "{}", messages[0].content);
}

#[test]
fn shortage_message_names_the_available_units_and_counts_all_lines() {
    let (details, _) = priced(&request(&[("song", 2), ("song", 1), ("card", 3)]), None);
    assert_eq!(shortages(&details.lines, &facts().stock), []);
    let demand: Vec<(String, i64)> =
        demand_of(&details.lines).into_iter().map(|(sku, units)| (sku.to_string(), units)).collect();
    assert_eq!(demand, [("card".to_owned(), 3), ("song".to_owned(), 3)]);
    let level = |on_hand, held| vec![level("song", on_hand, held)];
    for (stock, expected) in [
        (level(2, 0), "Only 2 of The song are in stock"),
        (level(3, 1), "Only 2 of The song are in stock"),
        (level(3, 2), "Only 1 of The song are in stock"),
        (level(1, 1), "The song is out of stock"),
        (Vec::new(), "The song is out of stock"),
    ] {
        let texts: Vec<String> =
            shortages(&details.lines[..2], &stock).into_iter().map(|message| message.content).collect();
        assert_eq!(texts, [expected, expected]);
    }
}

#[test]
fn stored_addresses_of_one_buyer_are_not_offered_to_another() {
    let of = |email: &str| Some(Buyer { email: Email::parse(email), ..Buyer::default() });
    let only_asked = || Some(FulfillmentRequest { kinds: vec![MethodKind::Shipping], ..FulfillmentRequest::default() });
    let mut book = facts();
    book.fulfillment.address_book = vec![Destination { id: DestinationId("adas".into()), address: Address::default() }];
    let offered = |details: &Details| details.fulfillment.as_ref().map_or(0, |arranged| arranged.destinations.len());
    for (first, second, kept) in [
        (of("ada@example.com"), of("ada@example.com"), 1),
        (of("ada@example.com"), of("ADA@example.com"), 1),
        (of("ada@example.com"), of("eve@example.com"), 0),
        (of("ada@example.com"), Some(Buyer::default()), 0),
        (of("ada@example.com"), None, 0),
        (None, of("eve@example.com"), 1),
        (None, None, 1),
    ] {
        let about = format!("{first:?} {second:?}");
        let first = CheckoutRequest { buyer: first, fulfillment: only_asked(), ..request(&[("rose", 1)]) };
        let (before, _) = price(&first, None, &book).expect("something to sell");
        assert_eq!(offered(&before), 1);
        let second = CheckoutRequest { buyer: second, ..first };
        assert_eq!(offered(&priced(&second, Some(&before)).0), kept, "{about}");
    }
}
