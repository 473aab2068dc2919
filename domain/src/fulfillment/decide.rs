//! Which destinations can be chosen, which options a destination has, and what free shipping changes.

use std::collections::BTreeMap;

use super::model::{
    FreeShipping, Fulfillment, FulfillmentRequest, Group, MethodKind, ServiceLevel, ShippingOption, ShippingRate,
};
use crate::catalog::Sku;
use crate::customer::{Destination, DestinationId, known_by};
use crate::money::Amount;

/// What the shop knows when it arranges a delivery.
#[derive(Clone, Debug, Default)]
pub struct FulfillmentFacts {
    pub rates: Vec<ShippingRate>,
    pub free_shipping: Vec<FreeShipping>,
    /// Stored addresses of the buyer; empty for a platform that may not see them.
    pub address_book: Vec<Destination>,
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
    /// No rate covers the country.
    Undeliverable,
    OptionMissing,
    UnknownOption,
}

/// Arranges the delivery of a basket.
///
/// `before` is the delivery arranged last time: a selection may name a destination that was offered then.
pub fn arrange(
    request: &FulfillmentRequest,
    before: Option<&Fulfillment>,
    facts: &FulfillmentFacts,
    basket: &[Sku],
    subtotal: Amount,
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
        Some(id) => destinations.iter().find(|destination| destination.id == *id),
        None if request.destinations.len() == 1 => destinations.first(),
        None => None,
    };
    let mut group = Group::default();
    match (selected, &request.selected_destination) {
        (Some(destination), _) => {
            let country = destination.address.country.as_deref();
            group.options = options_for(country, facts, basket, subtotal);
            if group.options.is_empty() {
                problems.push(FulfillmentProblem::Undeliverable);
            } else {
                match &request.selected_option {
                    None => problems.push(FulfillmentProblem::OptionMissing),
                    Some(id) if group.options.iter().any(|option| option.id == *id) => {
                        group.selected_option = Some(id.clone());
                    }
                    Some(_) => problems.push(FulfillmentProblem::UnknownOption),
                }
            }
        }
        (None, Some(_)) => problems.push(FulfillmentProblem::UnknownDestination),
        (None, None) => problems.push(FulfillmentProblem::DestinationMissing),
    }
    let selected_destination = selected.map(|destination| destination.id.clone());
    (Some(Fulfillment { destinations, selected_destination, group }), problems)
}

/// The platform's own destinations if it brought any, else those offered before, else the address book.
fn offered_destinations(
    request: &FulfillmentRequest,
    before: Option<&Fulfillment>,
    address_book: &[Destination],
) -> Vec<Destination> {
    if request.destinations.is_empty() {
        let mut offered = address_book.to_vec();
        for earlier in before.iter().flat_map(|before| &before.destinations) {
            if !offered.iter().any(|known| known.id == earlier.id) {
                offered.push(earlier.clone());
            }
        }
        return offered;
    }
    let mut brought: Vec<Destination> = Vec::new();
    for (id, address) in &request.destinations {
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

/// The options for a country, cheapest first: one per service level, the country's own rate before the default.
/// Titles are made distinct, because a buyer chooses by them.
pub fn options_for(
    country: Option<&str>,
    facts: &FulfillmentFacts,
    basket: &[Sku],
    subtotal: Amount,
) -> Vec<ShippingOption> {
    let mut by_level = BTreeMap::<&ServiceLevel, &ShippingRate>::new();
    for rate in &facts.rates {
        let own = rate.country.is_some();
        if own && rate.country.as_deref() != country {
            continue;
        }
        let taken = by_level.get(&rate.service_level);
        if taken.is_none_or(|taken| own && taken.country.is_none()) {
            by_level.insert(&rate.service_level, rate);
        }
    }
    let free = facts.free_shipping.iter().any(|promotion| applies(promotion, basket, subtotal));
    let mut options: Vec<ShippingOption> = Vec::new();
    for (level, rate) in by_level {
        let is_free = free && level.0 == ServiceLevel::STANDARD;
        let mut title = if is_free { format!("{} (Free)", rate.title) } else { rate.title.clone() };
        if options.iter().any(|option| option.title == title) {
            title = format!("{title} ({})", level.0);
        }
        let price = if is_free { Amount::ZERO } else { rate.price };
        options.push(ShippingOption { id: rate.id.clone(), title, price });
    }
    options.sort_by(|a, b| (a.price, &a.id.0).cmp(&(b.price, &b.id.0)));
    options
}

fn applies(promotion: &FreeShipping, basket: &[Sku], subtotal: Amount) -> bool {
    promotion.min_subtotal.is_some_and(|minimum| subtotal >= minimum)
        || promotion.eligible_skus.iter().any(|sku| basket.contains(sku))
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

    fn ids(options: &[ShippingOption]) -> Vec<&str> {
        options.iter().map(|option| option.id.0.as_str()).collect()
    }

    fn shipping() -> FulfillmentRequest {
        FulfillmentRequest { kinds: vec![MethodKind::Shipping], ..FulfillmentRequest::default() }
    }

    #[test]
    fn a_countrys_own_rate_replaces_the_default_of_its_level() {
        let facts = facts();
        assert_eq!(ids(&options_for(Some("US"), &facts, &[], Amount::ZERO)), ["std", "exp-us"]);
        assert_eq!(ids(&options_for(Some("CA"), &facts, &[], Amount::ZERO)), ["std", "exp-intl"]);
        assert_eq!(ids(&options_for(None, &facts, &[], Amount::ZERO)), ["std", "exp-intl"]);
    }

    #[test]
    fn standard_delivery_is_free_by_subtotal_or_by_item_and_express_never() {
        let (facts, rose) = (facts(), Sku::parse("rose").expect("valid"));
        for (basket, subtotal, expected) in
            [(vec![], 9_999, 500), (vec![], 10_000, 0), (vec![rose.clone()], 1, 0), (vec![], 0, 500)]
        {
            let options = options_for(Some("US"), &facts, &basket, Amount::new(subtotal));
            assert_eq!(options[0].price, Amount::new(expected));
            assert_eq!(options[0].title.ends_with("(Free)"), expected == 0);
            assert_eq!(options[1].price, Amount::new(1500));
        }
    }

    #[test]
    fn titles_are_distinct() {
        let mut facts = facts();
        for rate in &mut facts.rates {
            rate.title = "Delivery".into();
        }
        let options = options_for(Some("US"), &facts, &[], Amount::ZERO);
        assert_ne!(options[0].title, options[1].title);
    }

    #[test]
    fn known_addresses_are_offered_only_when_the_platform_brings_none() {
        let (offered, problems) = arrange(&shipping(), None, &facts(), &[], Amount::ZERO);
        assert_eq!(offered.expect("shipping").destinations.len(), 1);
        assert_eq!(problems, [FulfillmentProblem::DestinationMissing]);

        let mut request = shipping();
        request.destinations = vec![(None, address("CA", "9 King St"))];
        let (brought, problems) = arrange(&request, None, &facts(), &[], Amount::ZERO);
        let brought = brought.expect("shipping");
        assert_eq!(brought.destinations.len(), 1);
        assert_eq!(brought.destination().map(|d| &d.address), Some(&address("CA", "9 King St")));
        assert_eq!(problems, [FulfillmentProblem::OptionMissing]);
    }

    #[test]
    fn an_address_that_is_known_keeps_its_known_id() {
        let mut request = shipping();
        request.destinations = vec![(None, address("US", "123 MAIN st"))];
        let (arranged, _) = arrange(&request, None, &facts(), &[], Amount::ZERO);
        assert_eq!(arranged.expect("shipping").destinations[0].id.0, "addr_1");
    }

    #[test]
    fn a_destination_offered_before_can_be_selected_by_id_alone() {
        let mut first = shipping();
        first.destinations = vec![(Some(DestinationId("d1".into())), address("US", "1 A St"))];
        let (before, _) = arrange(&first, None, &facts(), &[], Amount::ZERO);
        let mut second = shipping();
        second.selected_destination = Some(DestinationId("d1".into()));
        second.selected_option = Some(OptionId("exp-us".into()));
        let (arranged, problems) = arrange(&second, before.as_ref(), &facts(), &[], Amount::ZERO);
        assert!(arranged.expect("shipping").is_settled());
        assert_eq!(problems, []);
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
        for (request, expected) in [
            (unknown, vec![FulfillmentProblem::UnknownDestination]),
            (option, vec![FulfillmentProblem::UnknownOption]),
            (pickup, vec![FulfillmentProblem::PickupNotOffered]),
            (twice, vec![FulfillmentProblem::OneDestinationOnly, FulfillmentProblem::UnknownOption]),
        ] {
            assert_eq!(arrange(&request, None, &facts(), &[], Amount::ZERO).1, expected);
        }
        let mut abroad = shipping();
        abroad.destinations = vec![(None, address("AQ", "1 Ice"))];
        let no_default = FulfillmentFacts { rates: vec![rate("us", Some("US"), "standard", 1)], ..facts() };
        let (_, problems) = arrange(&abroad, None, &no_default, &[], Amount::ZERO);
        assert_eq!(problems, [FulfillmentProblem::Undeliverable]);
    }
}
