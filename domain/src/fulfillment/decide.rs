//! The rules of delivery: which destinations are offered, which options a destination has, and when shipping is free.

use std::collections::BTreeMap;

use super::model::{
    FreeShipping, Fulfillment, FulfillmentRequest, Group, MethodKind, ServiceLevel, ShippingOption, ShippingRate,
};
use crate::catalog::Sku;
use crate::checkout::{Message, MessageCode, Subject};
use crate::customer::{Address, Country, CountryCode, Destination, DestinationId, find_same_place};
use crate::money::Amount;

/// The stored facts that the rules of delivery need.
#[derive(Clone, Debug, Default)]
pub struct FulfillmentFacts {
    pub rates: Vec<ShippingRate>,
    pub free_shipping: Vec<FreeShipping>,
    /// The stored addresses of the buyer. Empty if the platform may not read them.
    pub address_book: Vec<Destination>,
}

/// The part of a checkout on which its delivery depends.
#[derive(Clone, Debug, Default)]
pub struct Basket<'a> {
    /// The subtotal of all goods, before discounts.
    pub subtotal: Amount,
    /// The SKUs of all goods.
    pub skus: Vec<&'a Sku>,
    /// Whether any of the goods must be shipped.
    pub needs_delivery: bool,
}

/// Arranges the delivery that a platform requests. Returns the delivery, and messages about what is wrong with the
/// request or missing from it. The delivery is `None` if the platform does not request shipping. The options cost
/// nothing if no goods must be shipped.
///
/// `before` is the delivery that the shop arranged for the previous content of the checkout. The platform may select a
/// destination that was offered in it.
pub fn arrange(
    request: &FulfillmentRequest,
    before: Option<&Fulfillment>,
    facts: &FulfillmentFacts,
    basket: &Basket<'_>,
) -> (Option<Fulfillment>, Vec<Message>) {
    let mut problems = Vec::new();
    if request.kinds.contains(&MethodKind::Pickup) {
        problems.push(Message::recoverable(
            MessageCode::MethodUnavailable,
            Subject::Fulfillment,
            "Pickup is not offered",
        ));
    }
    match request.kinds.iter().filter(|kind| **kind == MethodKind::Shipping).count() {
        0 => return (None, problems),
        1 => {}
        _ => {
            let content = "All items are shipped to one destination";
            problems.push(Message::warning(MessageCode::OneDestinationOnly, Subject::Fulfillment, content));
        }
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
                        let content = "The fulfillment address names a country and no place in it";
                        problems.push(Message::warning(MessageCode::Missing, Subject::Destination, content));
                    }
                }
                Some(Country::Unreadable(_)) => {
                    let content = "The country of the fulfillment address is not known; give its ISO 3166-1 code";
                    problems.push(Message::recoverable(MessageCode::UnknownCountry, Subject::Country(index), content));
                }
                None => {
                    let content = "The fulfillment address must name its country";
                    problems.push(Message::recoverable(MessageCode::Missing, Subject::Country(index), content));
                }
            }
        }
        None if request.selected_destination.is_some() => {
            let content = "The selected destination was not offered";
            problems.push(Message::recoverable(MessageCode::UnknownSelection, Subject::Destination, content));
        }
        None => {
            let content = "A fulfillment address must be selected";
            problems.push(Message::recoverable(MessageCode::Missing, Subject::Destination, content));
        }
    }
    let selected_destination = selected.map(|index| destinations[index].id.clone());
    (Some(Fulfillment { destinations, selected_destination, group }), problems)
}

/// Selects the requested option. Returns a message if no option can be selected.
fn choose_option(group: &mut Group, request: &FulfillmentRequest) -> Option<Message> {
    let (code, subject, content) = match &request.selected_option {
        _ if group.options.is_empty() => {
            (MessageCode::AddressUndeliverable, Subject::Destination, "Nothing is shipped to this address")
        }
        None => (MessageCode::Missing, Subject::DeliveryOption, "A fulfillment option must be selected"),
        Some(id) if group.options.iter().any(|option| option.id == *id) => {
            group.selected_option = Some(id.clone());
            return None;
        }
        Some(_) => (MessageCode::UnknownSelection, Subject::DeliveryOption, "The selected option was not offered"),
    };
    Some(Message::recoverable(code, subject, content))
}

/// The destinations that the platform can select: those that it sent, or, if it sent none, the address book and the
/// destinations offered before.
fn offered_destinations(
    request: &FulfillmentRequest,
    before: Option<&Fulfillment>,
    address_book: &[Destination],
) -> Vec<Destination> {
    if request.destinations.is_empty() {
        let earlier = before.iter().flat_map(|before| &before.destinations);
        return without_repetitions(address_book.iter().chain(earlier), request.selected_destination.as_ref());
    }
    let known = |id: &DestinationId| {
        let earlier = before.iter().flat_map(|before| &before.destinations);
        address_book.iter().chain(earlier).find(|known| known.id == *id)
    };
    let mut brought: Vec<Destination> = Vec::new();
    for (id, address) in &request.destinations {
        // An id without an address refers to a destination that was offered before.
        let referred = id.as_ref().filter(|_| *address == Address::default()).and_then(known);
        let address = referred.map_or(address, |known| &known.address);
        let id = match (id, find_same_place(address_book, address)) {
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

/// Returns the destinations without repeated ids and without repeated addresses. Of destinations with the same id, the
/// first is kept. Of destinations with the same address, the selected one is kept, or the first if none is selected.
fn without_repetitions<'d>(
    all: impl Iterator<Item = &'d Destination>,
    selected: Option<&DestinationId>,
) -> Vec<Destination> {
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

/// The shipping options for a country, one for each service level, cheapest first. A rate of the country replaces the
/// default rate of its level. Titles are made distinct, because the buyer chooses by title. Options cost nothing if
/// nothing must be shipped.
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
    let free = facts.free_shipping.iter().any(|promotion| makes_shipping_free(promotion, basket));
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

/// Whether the basket fulfills a condition of the promotion.
fn makes_shipping_free(promotion: &FreeShipping, basket: &Basket<'_>) -> bool {
    promotion.min_subtotal.is_some_and(|minimum| basket.subtotal >= minimum)
        || promotion.eligible_skus.iter().any(|sku| basket.skus.contains(&sku))
}
