//! Which destinations can be chosen, which options a destination has, and what free shipping changes.

use std::collections::BTreeMap;

use super::model::{
    FreeShipping, Fulfillment, FulfillmentRequest, Group, MethodKind, ServiceLevel, ShippingOption, ShippingRate,
};
use crate::catalog::Sku;
use crate::customer::{Address, Country, CountryCode, Destination, DestinationId, known_by};
use crate::money::Amount;

/// What the shop knows when it arranges a delivery.
#[derive(Clone, Debug, Default)]
pub struct FulfillmentFacts {
    pub rates: Vec<ShippingRate>,
    pub free_shipping: Vec<FreeShipping>,
    /// Stored addresses of the buyer; empty for a platform that may not see them.
    pub address_book: Vec<Destination>,
}

/// What is bought, as far as its delivery depends on it.
#[derive(Clone, Debug, Default)]
pub struct Basket<'a> {
    /// Of all goods, before discounts.
    pub subtotal: Amount,
    /// Of all goods.
    pub skus: Vec<&'a Sku>,
    /// Whether any of the goods must be brought to the buyer.
    pub needs_delivery: bool,
}

/// What keeps a delivery from being settled. Each is told to the platform; none is an error of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FulfillmentProblem {
    /// Only shipping is offered.
    PickupNotOffered,
    /// Only one destination can be served in one checkout.
    OneDestinationOnly,
    DestinationMissing,
    UnknownDestination,
    /// The selected destination, by its index, has no country; nothing can be priced for it.
    CountryMissing(usize),
    /// The selected destination, by its index, has a country that is none.
    CountryUnreadable(usize),
    /// The selected destination names a country and no place in it.
    PlaceMissing,
    /// No rate covers the country.
    Undeliverable,
    OptionMissing,
    UnknownOption,
}

/// Arranges the delivery of a basket: of the items that need delivery. Where nothing does, what is offered costs nothing.
///
/// `before` is the delivery arranged last time: a selection may name a destination that was offered then.
pub fn arrange(
    request: &FulfillmentRequest,
    before: Option<&Fulfillment>,
    facts: &FulfillmentFacts,
    basket: &Basket<'_>,
) -> (Option<Fulfillment>, Vec<FulfillmentProblem>) {
    let mut problems = Vec::new();
    if request.kinds.contains(&MethodKind::Pickup) {
        problems.push(FulfillmentProblem::PickupNotOffered);
    }
    match request.kinds.iter().filter(|kind| **kind == MethodKind::Shipping).count() {
        0 => return (None, problems),
        1 => {}
        _ => problems.push(FulfillmentProblem::OneDestinationOnly),
    }

    let destinations = offered_destinations(request, before, &facts.address_book);
    let selected = match &request.selected_destination {
        Some(id) => destinations.iter().position(|destination| destination.id == *id),
        None if request.destinations.len() == 1 => (!destinations.is_empty()).then_some(0),
        None => None,
    };
    let mut group = Group::default();
    match selected {
        Some(index) => {
            let address = &destinations[index].address;
            match &address.country {
                Some(Country::Known(country)) => {
                    group.options = options_for(*country, facts, basket);
                    problems.extend(choose_option(&mut group, request));
                    if !address.names_a_place() {
                        problems.push(FulfillmentProblem::PlaceMissing);
                    }
                }
                Some(Country::Unreadable(_)) => problems.push(FulfillmentProblem::CountryUnreadable(index)),
                None => problems.push(FulfillmentProblem::CountryMissing(index)),
            }
        }
        None if request.selected_destination.is_some() => problems.push(FulfillmentProblem::UnknownDestination),
        None => problems.push(FulfillmentProblem::DestinationMissing),
    }
    let selected_destination = selected.map(|index| destinations[index].id.clone());
    (Some(Fulfillment { destinations, selected_destination, group }), problems)
}

fn choose_option(group: &mut Group, request: &FulfillmentRequest) -> Option<FulfillmentProblem> {
    match &request.selected_option {
        _ if group.options.is_empty() => Some(FulfillmentProblem::Undeliverable),
        None => Some(FulfillmentProblem::OptionMissing),
        Some(id) if group.options.iter().any(|option| option.id == *id) => {
            group.selected_option = Some(id.clone());
            None
        }
        Some(_) => Some(FulfillmentProblem::UnknownOption),
    }
}

/// The platform's own destinations if it brought any, else those offered before, else the address book.
fn offered_destinations(
    request: &FulfillmentRequest,
    before: Option<&Fulfillment>,
    address_book: &[Destination],
) -> Vec<Destination> {
    if request.destinations.is_empty() {
        let earlier = before.iter().flat_map(|before| &before.destinations);
        return each_once(address_book.iter().chain(earlier), request.selected_destination.as_ref());
    }
    let known = |id: &DestinationId| {
        let earlier = before.iter().flat_map(|before| &before.destinations);
        address_book.iter().chain(earlier).find(|known| known.id == *id)
    };
    let mut brought: Vec<Destination> = Vec::new();
    for (id, address) in &request.destinations {
        // An id and nothing else refers to a destination that was offered.
        let referred = id.as_ref().filter(|_| *address == Address::default()).and_then(known);
        let address = referred.map_or(address, |known| &known.address);
        let id = match (id, known_by(address_book, address)) {
            (Some(id), _) => id.clone(),
            (None, Some(known)) => known.id.clone(),
            (None, None) => DestinationId::derived(address),
        };
        if !brought.iter().any(|earlier| earlier.id == id) {
            brought.push(Destination { id, address: address.clone() });
        }
    }
    brought
}

/// Each id and each address once, as it comes first. An address that is there under two ids is kept under the selected one.
fn each_once<'d>(all: impl Iterator<Item = &'d Destination>, selected: Option<&DestinationId>) -> Vec<Destination> {
    let mut offered: Vec<Destination> = Vec::new();
    for one in all {
        if offered.iter().any(|known| known.id == one.id) {
            continue;
        }
        match offered.iter_mut().find(|known| known.address.is_copy_of(&one.address)) {
            None => offered.push(one.clone()),
            Some(known) if selected == Some(&one.id) => *known = one.clone(),
            Some(_) => {}
        }
    }
    offered
}

/// The options for a country, cheapest first: one per service level, the country's own rate before the default.
/// Titles are made distinct, because a buyer chooses by them. They cost nothing if nothing needs delivery.
pub fn options_for(country: CountryCode, facts: &FulfillmentFacts, basket: &Basket<'_>) -> Vec<ShippingOption> {
    let mut by_level = BTreeMap::<&ServiceLevel, &ShippingRate>::new();
    for rate in &facts.rates {
        let own = rate.country.is_some();
        if rate.country.as_ref().is_some_and(|of| of.code() != Some(country)) {
            continue;
        }
        let taken = by_level.get(&rate.service_level);
        if taken.is_none_or(|taken| own && taken.country.is_none()) {
            by_level.insert(&rate.service_level, rate);
        }
    }
    let free = facts.free_shipping.iter().any(|promotion| applies(promotion, basket));
    let mut options: Vec<ShippingOption> = Vec::new();
    for (level, rate) in by_level {
        let is_free = free && level.0 == ServiceLevel::STANDARD;
        let mut title = if is_free { format!("{} (Free)", rate.title) } else { rate.title.clone() };
        if options.iter().any(|option| option.title == title) {
            title = format!("{title} ({})", level.0);
        }
        let price = if is_free || !basket.needs_delivery { Amount::ZERO } else { rate.price };
        options.push(ShippingOption { id: rate.id.clone(), title, price });
    }
    options.sort_by(|a, b| (a.price, &a.id.0).cmp(&(b.price, &b.id.0)));
    options
}

fn applies(promotion: &FreeShipping, basket: &Basket<'_>) -> bool {
    promotion.min_subtotal.is_some_and(|minimum| basket.subtotal >= minimum)
        || promotion.eligible_skus.iter().any(|sku| basket.skus.contains(&sku))
}

#[cfg(test)]
mod tests {
    use super::super::model::OptionId;
    use super::*;
    use crate::customer::Address;

    fn rate(id: &str, country: Option<&str>, level: &str, price: i64) -> ShippingRate {
        ShippingRate {
            id: OptionId(id.into()),
            country: country.map(Into::into),
            service_level: ServiceLevel(level.into()),
            price: Amount::new(price),
            title: format!("{level} delivery"),
        }
    }

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
                eligible_skus: vec![Sku::parse("rose").expect("valid")],
                description: "Free over 100".into(),
            }],
            address_book: vec![destination("addr_1", "US", "123 Main St")],
        }
    }

    fn destination(id: &str, country: &str, street: &str) -> Destination {
        Destination { id: DestinationId(id.into()), address: address(country, street) }
    }

    fn address(country: &str, street: &str) -> Address {
        Address { street: Some(street.into()), country: Some(country.into()), ..Address::default() }
    }

    fn country(text: &str) -> CountryCode {
        CountryCode::parse(text).expect("a country")
    }

    fn delivered() -> Basket<'static> {
        Basket { needs_delivery: true, ..Basket::default() }
    }

    fn arrange_first(request: &FulfillmentRequest) -> (Fulfillment, Vec<FulfillmentProblem>) {
        let (arranged, problems) = arrange(request, None, &facts(), &delivered());
        (arranged.expect("shipping"), problems)
    }

    fn ids(options: &[ShippingOption]) -> Vec<&str> {
        options.iter().map(|option| option.id.0.as_str()).collect()
    }

    fn shipping() -> FulfillmentRequest {
        FulfillmentRequest { kinds: vec![MethodKind::Shipping], ..FulfillmentRequest::default() }
    }

    #[test]
    fn own_rate_of_a_country_replaces_the_default_of_its_level() {
        let mut facts = facts();
        let ids = |country_text, facts: &FulfillmentFacts| -> Vec<String> {
            let options = options_for(country(country_text), facts, &delivered());
            options.iter().map(|option| option.id.0.clone()).collect()
        };
        assert_eq!(ids("US", &facts), ["std", "exp-us"]);
        assert_eq!(ids("CA", &facts), ["std", "exp-intl"]);
        facts.rates.reverse();
        assert_eq!(ids("US", &facts), ["std", "exp-us"]);
        // Of two that say the same, the first counts.
        for country in [None, Some("US")] {
            facts.rates = vec![rate("a", country, "standard", 1), rate("b", country, "standard", 2)];
            assert_eq!(ids("US", &facts), ["a"]);
        }
        // A rate of a country that is none is a rate of no country, and not of every country.
        facts.rates = vec![rate("nowhere", Some("Narnia"), "standard", 1)];
        assert_eq!(ids("US", &facts), Vec::<String>::new());
    }

    #[test]
    fn standard_delivery_is_free_by_subtotal_or_by_item_and_express_never() {
        let (facts, rose) = (facts(), Sku::parse("rose").expect("valid"));
        for (skus, subtotal, expected) in
            [(vec![], 9_999, 500), (vec![], 10_000, 0), (vec![&rose], 1, 0), (vec![], 0, 500)]
        {
            let basket = Basket { subtotal: Amount::new(subtotal), skus, needs_delivery: true };
            let options = options_for(country("US"), &facts, &basket);
            assert_eq!(options[0].price, Amount::new(expected));
            assert_eq!(options[0].title.ends_with("(Free)"), expected == 0);
            assert_eq!(options[1].price, Amount::new(1500));
        }
    }

    #[test]
    fn options_cost_nothing_where_nothing_needs_delivery() {
        let options = options_for(country("US"), &facts(), &Basket::default());
        assert_eq!(ids(&options), ["exp-us", "std"]);
        assert!(options.iter().all(|option| option.price.is_zero()));
    }

    #[test]
    fn titles_are_distinct() {
        let mut facts = facts();
        for rate in &mut facts.rates {
            rate.title = "Delivery".into();
        }
        let options = options_for(country("US"), &facts, &delivered());
        let titles: Vec<&str> = options.iter().map(|option| option.title.as_str()).collect();
        assert_eq!(titles, ["Delivery (standard)", "Delivery"]);
    }

    #[test]
    fn known_addresses_are_offered_only_when_the_platform_brings_none() {
        let (offered, problems) = arrange_first(&shipping());
        assert_eq!((offered.destinations.len(), offered.selected_destination), (1, None));
        assert_eq!(problems, [FulfillmentProblem::DestinationMissing]);

        let mut request = shipping();
        request.destinations = vec![(None, address("CA", "9 King St"))];
        let (brought, problems) = arrange_first(&request);
        assert_eq!(brought.destinations.len(), 1);
        assert_eq!(brought.destination().map(|d| &d.address), Some(&address("CA", "9 King St")));
        assert_eq!(problems, [FulfillmentProblem::OptionMissing]);
    }

    #[test]
    fn each_address_is_offered_once() {
        let named = |id: &str, name: &str| {
            let address = Address { first_name: Some(name.into()), ..address("US", "1 A St") };
            Destination { id: DestinationId(id.into()), address }
        };
        let book = vec![
            destination("home", "US", "123 Main St"),
            // Of two customers with one e-mail address.
            destination("home", "CA", "9 King St"),
            destination("again", "USA", " 123 MAIN st"),
            // Of two people in one house.
            named("ada", "Ada"),
            named("bob", "Bob"),
            named("ada_2", "ada "),
        ];
        let facts = FulfillmentFacts { address_book: book, ..facts() };
        for (selected, expected) in [
            (None, ["home", "ada", "bob"]),
            (Some("home"), ["home", "ada", "bob"]),
            // What a platform chose before is still there under its id.
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
            // What was offered is offered again as it was.
            let (again, _) = arrange(&request, Some(&offered), &facts, &delivered());
            assert_eq!(again.expect("shipping").destinations, offered.destinations);
        }
    }

    #[test]
    fn of_several_addresses_none_is_chosen_for_the_platform() {
        let mut request = shipping();
        request.destinations = vec![(None, address("CA", "9 King St")), (None, address("US", "1 A St"))];
        let (arranged, problems) = arrange_first(&request);
        assert_eq!((arranged.destinations.len(), arranged.destination()), (2, None));
        assert_eq!(problems, [FulfillmentProblem::DestinationMissing]);
    }

    #[test]
    fn an_address_that_is_known_keeps_its_known_id() {
        let mut request = shipping();
        request.destinations = vec![(None, address("usa", "123 MAIN st"))];
        let (arranged, _) = arrange_first(&request);
        assert_eq!(arranged.destinations[0].id.0, "addr_1");
        // The same place twice is one destination.
        request.destinations.push((None, address("United States", "123 Main St")));
        assert_eq!(arrange_first(&request).0.destinations.len(), 1);
    }

    #[test]
    fn an_id_alone_refers_to_a_destination_that_was_offered() {
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
    fn presence_of_an_address_is_not_taken_for_its_content() {
        use FulfillmentProblem::{CountryMissing, CountryUnreadable, PlaceMissing};
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
            (Address::default(), 0, vec![CountryMissing(0)]),
            (street(None), 0, vec![CountryMissing(0)]),
            (Address { region: Some("OR".into()), ..Address::default() }, 0, vec![CountryMissing(0)]),
            (street(Some("Narnia")), 0, vec![CountryUnreadable(0)]),
            (street(Some("XX")), 0, vec![CountryUnreadable(0)]),
            (only("US", None), 2, vec![PlaceMissing]),
            (only("US", Some(" ")), 2, vec![PlaceMissing]),
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
    fn each_obstacle_is_named() {
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
            (unknown, vec![FulfillmentProblem::UnknownDestination]),
            (option, vec![FulfillmentProblem::UnknownOption]),
            (pickup, vec![FulfillmentProblem::PickupNotOffered]),
            (twice, vec![FulfillmentProblem::OneDestinationOnly, FulfillmentProblem::UnknownOption]),
            (both, vec![FulfillmentProblem::PickupNotOffered, FulfillmentProblem::UnknownOption]),
        ] {
            assert_eq!(arrange(&request, None, &facts(), &delivered()).1, expected);
        }
        let mut abroad = shipping();
        abroad.destinations = vec![(None, address("AQ", "1 Ice"))];
        let no_default = FulfillmentFacts { rates: vec![rate("us", Some("US"), "standard", 1)], ..facts() };
        let (_, problems) = arrange(&abroad, None, &no_default, &delivered());
        assert_eq!(problems, [FulfillmentProblem::Undeliverable]);
    }
}
