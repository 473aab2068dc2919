//! The rules of delivery: which destinations and options are offered, and which problems are reported.

use domain::checkout::{Message, MessageCode, MessageCode as M, Subject};
use domain::customer::{Address, CountryCode, Destination, DestinationId};
use domain::fulfillment::{
    Basket, FreeShipping, Fulfillment, FulfillmentFacts, FulfillmentRequest, MethodKind, OptionId, ShippingOption,
    arrange, options_for,
};
use domain::money::Amount;

use crate::kit::{address, rate, sku};

fn facts() -> FulfillmentFacts {
    FulfillmentFacts {
        rates: vec![
            rate("std", None, "standard", 500),
            rate("exp-intl", None, "express", 2500),
            rate("exp-us", Some("US"), "express", 1500),
        ],
        free_shipping: vec![FreeShipping {
            id: "p1".into(),
            min_subtotal: Some(Amount::new(10_000)),
            eligible_skus: vec![sku("rose")],
            description: "Free over 100".into(),
        }],
        address_book: vec![destination("addr_1", "US", "123 Main St")],
    }
}

fn destination(id: &str, country: &str, street: &str) -> Destination {
    Destination { id: DestinationId(id.into()), address: address(country, street) }
}

fn country(text: &str) -> CountryCode {
    CountryCode::parse(text).expect("a country")
}

fn delivered() -> Basket<'static> {
    Basket { needs_delivery: true, ..Basket::default() }
}

/// The code of a message about the delivery, and the part of the checkout that the message is about.
type Problem = (MessageCode, Subject);

fn problems(messages: &[Message]) -> Vec<Problem> {
    messages.iter().map(|message| (message.code, message.subject.expect("a subject"))).collect()
}

fn arrange_first(request: &FulfillmentRequest) -> (Fulfillment, Vec<Problem>) {
    let (arranged, messages) = arrange(request, None, &facts(), &delivered());
    (arranged.expect("shipping"), problems(&messages))
}

fn ids(options: &[ShippingOption]) -> Vec<&str> {
    options.iter().map(|option| option.id.0.as_str()).collect()
}

fn shipping() -> FulfillmentRequest {
    FulfillmentRequest { kinds: vec![MethodKind::Shipping], ..FulfillmentRequest::default() }
}

#[test]
fn own_rate_of_a_country_replaces_the_default_rate_of_its_level() {
    let mut facts = facts();
    let ids = |country_text, facts: &FulfillmentFacts| -> Vec<String> {
        let options = options_for(country(country_text), facts, &delivered());
        options.iter().map(|option| option.id.0.clone()).collect()
    };
    assert_eq!(ids("US", &facts), ["std", "exp-us"]);
    assert_eq!(ids("CA", &facts), ["std", "exp-intl"]);
    facts.rates.reverse();
    assert_eq!(ids("US", &facts), ["std", "exp-us"]);
    // Of two rates for the same country and service level, the first is used.
    for country in [None, Some("US")] {
        facts.rates = vec![rate("a", country, "standard", 1), rate("b", country, "standard", 2)];
        assert_eq!(ids("US", &facts), ["a"]);
    }
    // A rate with an unknown country applies to no country.
    facts.rates = vec![rate("nowhere", Some("Narnia"), "standard", 1)];
    assert_eq!(ids("US", &facts), Vec::<String>::new());
}

#[test]
fn standard_delivery_is_free_by_subtotal_or_by_item_and_express_never() {
    let (facts, rose) = (facts(), sku("rose"));
    for (skus, subtotal, expected) in [(vec![], 9_999, 500), (vec![], 10_000, 0), (vec![&rose], 1, 0), (vec![], 0, 500)]
    {
        let basket = Basket { subtotal: Amount::new(subtotal), skus, needs_delivery: true };
        let options = options_for(country("US"), &facts, &basket);
        assert_eq!(options[0].price, Amount::new(expected));
        assert_eq!(options[0].title.ends_with("(Free)"), expected == 0);
        assert_eq!(options[1].price, Amount::new(1500));
    }
}

#[test]
fn options_cost_nothing_if_nothing_must_be_shipped() {
    let options = options_for(country("US"), &facts(), &Basket::default());
    assert_eq!(ids(&options), ["exp-us", "std"]);
    assert!(options.iter().all(|option| option.price.is_zero()));
}

#[test]
fn equal_titles_of_options_are_made_distinct() {
    let mut facts = facts();
    for rate in &mut facts.rates {
        rate.title = "Delivery".into();
    }
    let options = options_for(country("US"), &facts, &delivered());
    let titles: Vec<&str> = options.iter().map(|option| option.title.as_str()).collect();
    assert_eq!(titles, ["Delivery (standard)", "Delivery"]);
}

#[test]
fn stored_addresses_are_offered_only_if_the_platform_sends_none() {
    let (offered, problems) = arrange_first(&shipping());
    assert_eq!((offered.destinations.len(), offered.selected_destination), (1, None));
    assert_eq!(problems, [(M::Missing, Subject::Destination)]);

    let mut request = shipping();
    request.destinations = vec![(None, address("CA", "9 King St"))];
    let (brought, problems) = arrange_first(&request);
    assert_eq!(brought.destinations.len(), 1);
    assert_eq!(brought.destination().map(|d| &d.address), Some(&address("CA", "9 King St")));
    assert_eq!(problems, [(M::Missing, Subject::DeliveryOption)]);
}

#[test]
fn repeated_address_is_offered_once() {
    let named = |id: &str, name: &str| {
        let address = Address { first_name: Some(name.into()), ..address("US", "1 A St") };
        Destination { id: DestinationId(id.into()), address }
    };
    let book = vec![
        destination("home", "US", "123 Main St"),
        // This address belongs to another customer with the same email address.
        destination("home", "CA", "9 King St"),
        destination("again", "USA", " 123 MAIN st"),
        // These addresses belong to two people in one house.
        named("ada", "Ada"),
        named("bob", "Bob"),
        named("ada_2", "ada "),
    ];
    let facts = FulfillmentFacts { address_book: book, ..facts() };
    for (selected, expected) in [
        (None, ["home", "ada", "bob"]),
        (Some("home"), ["home", "ada", "bob"]),
        // A selected address keeps the id under which it was selected.
        (Some("again"), ["again", "ada", "bob"]),
        (Some("ada_2"), ["home", "ada_2", "bob"]),
    ] {
        let selected = selected.map(|id| DestinationId(id.into()));
        let request = FulfillmentRequest { selected_destination: selected.clone(), ..shipping() };
        let (offered, _) = arrange(&request, None, &facts, &delivered());
        let offered = offered.expect("shipping");
        let ids: Vec<_> = offered.destinations.iter().map(|destination| destination.id.0.as_str()).collect();
        assert_eq!((ids.as_slice(), &offered.selected_destination), (&expected[..], &selected));
        assert_eq!(offered.destinations[0].address.country, Some("US".into()));
        // The same list is offered again if it was offered before.
        let (again, _) = arrange(&request, Some(&offered), &facts, &delivered());
        assert_eq!(again.expect("shipping").destinations, offered.destinations);
    }
}

#[test]
fn no_destination_is_selected_if_the_platform_sends_several() {
    let mut request = shipping();
    request.destinations = vec![(None, address("CA", "9 King St")), (None, address("US", "1 A St"))];
    let (arranged, problems) = arrange_first(&request);
    assert_eq!((arranged.destinations.len(), arranged.destination()), (2, None));
    assert_eq!(problems, [(M::Missing, Subject::Destination)]);
}

#[test]
fn stored_address_keeps_its_stored_id() {
    let mut request = shipping();
    request.destinations = vec![(None, address("usa", "123 MAIN st"))];
    let (arranged, _) = arrange_first(&request);
    assert_eq!(arranged.destinations[0].id.0, "addr_1");
    // Two addresses of the same place become one destination.
    request.destinations.push((None, address("United States", "123 Main St")));
    assert_eq!(arrange_first(&request).0.destinations.len(), 1);
}

#[test]
fn id_without_address_refers_to_an_offered_destination() {
    let mut first = shipping();
    first.destinations = vec![(Some(DestinationId("d1".into())), address("US", "1 A St"))];
    let (before, _) = arrange_first(&first);
    let by_selection = FulfillmentRequest {
        selected_destination: Some(DestinationId("d1".into())),
        selected_option: Some(OptionId("exp-us".into())),
        ..shipping()
    };
    let by_reference = FulfillmentRequest {
        destinations: vec![(Some(DestinationId("d1".into())), Address::default())],
        ..by_selection.clone()
    };
    for second in [by_selection, by_reference] {
        let (arranged, problems) = arrange(&second, Some(&before), &facts(), &delivered());
        let arranged = arranged.expect("shipping");
        assert_eq!(arranged.destination().map(|d| &d.address), Some(&address("US", "1 A St")));
        assert!(arranged.option().is_some());
        assert_eq!(problems, []);
    }
    let mut known = shipping();
    known.destinations = vec![(Some(DestinationId("addr_1".into())), Address::default())];
    let (arranged, _) = arrange_first(&known);
    assert_eq!(arranged.destination().map(|d| &d.address), Some(&address("US", "123 Main St")));
}

#[test]
fn address_without_country_or_place_is_reported() {
    let country_missing = (M::Missing, Subject::Country(0));
    let country_unknown = (M::UnknownCountry, Subject::Country(0));
    let place_missing = (M::Missing, Subject::Destination);
    let street = |country: Option<&str>| Address {
        street: Some("1 A St".into()),
        country: country.map(Into::into),
        ..Address::default()
    };
    let only = |country: &str, street: Option<&str>| Address {
        country: Some(country.into()),
        street: street.map(Into::into),
        ..Address::default()
    };
    for (address, offered, expected) in [
        (Address::default(), 0, vec![country_missing]),
        (street(None), 0, vec![country_missing]),
        (Address { region: Some("OR".into()), ..Address::default() }, 0, vec![country_missing]),
        (street(Some("Narnia")), 0, vec![country_unknown]),
        (street(Some("XX")), 0, vec![country_unknown]),
        (only("US", None), 2, vec![place_missing]),
        (only("US", Some(" ")), 2, vec![place_missing]),
        (Address { postal_code: Some("97301".into()), ..only("US", None) }, 2, vec![]),
        (Address { locality: Some("Salem".into()), ..only("US", None) }, 2, vec![]),
        (Address { extended: Some("c/o Ada".into()), ..only("US", None) }, 2, vec![]),
        (street(Some("us")), 2, vec![]),
        (street(Some("United States")), 2, vec![]),
    ] {
        let mut request = shipping();
        request.destinations = vec![(Some(DestinationId("d".into())), address.clone())];
        request.selected_option = Some(OptionId("exp-us".into()));
        let (arranged, problems) = arrange_first(&request);
        assert_eq!(problems, expected, "{address:?}");
        assert_eq!(arranged.group.options.len(), offered, "{address:?}");
        assert_eq!(arranged.option().is_some(), offered > 0, "{address:?}");
    }
}

#[test]
fn each_problem_is_reported() {
    let mut unknown = shipping();
    unknown.selected_destination = Some(DestinationId("nowhere".into()));
    let mut option = shipping();
    option.destinations = vec![(None, address("US", "1 A St"))];
    option.selected_option = Some(OptionId("teleport".into()));
    let pickup = FulfillmentRequest { kinds: vec![MethodKind::Pickup], ..FulfillmentRequest::default() };
    let mut twice = option.clone();
    twice.kinds.push(MethodKind::Shipping);
    let mut both = option.clone();
    both.kinds.push(MethodKind::Pickup);
    for (request, expected) in [
        (FulfillmentRequest::default(), vec![]),
        (unknown, vec![(M::UnknownSelection, Subject::Destination)]),
        (option, vec![(M::UnknownSelection, Subject::DeliveryOption)]),
        (pickup, vec![(M::MethodUnavailable, Subject::Fulfillment)]),
        (twice, vec![(M::OneDestinationOnly, Subject::Fulfillment), (M::UnknownSelection, Subject::DeliveryOption)]),
        (both, vec![(M::MethodUnavailable, Subject::Fulfillment), (M::UnknownSelection, Subject::DeliveryOption)]),
    ] {
        assert_eq!(problems(&arrange(&request, None, &facts(), &delivered()).1), expected);
    }
    let mut abroad = shipping();
    abroad.destinations = vec![(None, address("AQ", "1 Ice"))];
    let no_default = FulfillmentFacts { rates: vec![rate("us", Some("US"), "standard", 1)], ..facts() };
    let (_, messages) = arrange(&abroad, None, &no_default, &delivered());
    assert_eq!(problems(&messages), [(M::AddressUndeliverable, Subject::Destination)]);
}
