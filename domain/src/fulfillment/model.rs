//! Rates, options, and the chosen way of delivery.

use serde::{Deserialize, Serialize};

use crate::catalog::Sku;
use crate::customer::{Country, Destination, DestinationId};
use crate::money::Amount;

/// A class of delivery, such as `standard` or `express`. Rates of one level replace each other by country.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceLevel(pub String);

impl ServiceLevel {
    /// The level that a free-shipping promotion makes free.
    pub const STANDARD: &'static str = "standard";
}

/// What delivery costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShippingRate {
    pub id: OptionId,
    /// `None` for every country without a rate of its own at this service level.
    pub country: Option<Country>,
    pub service_level: ServiceLevel,
    pub price: Amount,
    pub title: String,
}

/// When standard delivery is free. Either condition that is set suffices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeShipping {
    pub id: String,
    /// Goods before discounts must reach this.
    pub min_subtotal: Option<Amount>,
    /// At least one of these must be in the basket.
    pub eligible_skus: Vec<Sku>,
    pub description: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MethodKind {
    Shipping,
    /// Known so that it can be refused by name: the shop has no counter.
    Pickup,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OptionId(pub String);

/// One way of delivery, priced for one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippingOption {
    pub id: OptionId,
    pub title: String,
    pub price: Amount,
}

/// The delivery of all lines of a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fulfillment {
    /// What can be chosen: what the platform gave, or what is known of the customer.
    pub destinations: Vec<Destination>,
    pub selected_destination: Option<DestinationId>,
    pub group: Group,
}

/// Lines that travel together. Empty of options until a destination is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub options: Vec<ShippingOption>,
    pub selected_option: Option<OptionId>,
}

impl Fulfillment {
    pub fn destination(&self) -> Option<&Destination> {
        let selected = self.selected_destination.as_ref()?;
        self.destinations.iter().find(|destination| destination.id == *selected)
    }

    pub fn option(&self) -> Option<&ShippingOption> {
        let selected = self.group.selected_option.as_ref()?;
        self.group.options.iter().find(|option| option.id == *selected)
    }
}

/// What a platform asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FulfillmentRequest {
    pub kinds: Vec<MethodKind>,
    /// Destinations that the platform brings; each has an id or gets one from its content.
    pub destinations: Vec<(Option<DestinationId>, crate::customer::Address)>,
    pub selected_destination: Option<DestinationId>,
    pub selected_option: Option<OptionId>,
}
