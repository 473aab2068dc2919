//! Rates, options and the arranged delivery.

use serde::{Deserialize, Serialize};

use crate::catalog::Sku;
use crate::customer::{Country, Destination, DestinationId};
use crate::money::Amount;

/// A class of delivery, such as `standard` or `express`. A rate of a country replaces the default rate of the same
/// level.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceLevel(pub String);

impl ServiceLevel {
    /// The level that a free-shipping promotion makes free.
    pub const STANDARD: &'static str = "standard";
}

/// The price of a delivery at one service level, for one country or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShippingRate {
    pub id: OptionId,
    /// The country to which the rate applies. `None` for the default rate, which applies to all countries without a
    /// rate at this service level.
    pub country: Option<Country>,
    pub service_level: ServiceLevel,
    pub price: Amount,
    pub title: String,
}

/// A promotion that makes standard delivery free. One fulfilled condition is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeShipping {
    pub id: String,
    /// The condition that the subtotal before discounts is at least this amount. `None` if there is no such condition.
    pub min_subtotal: Option<Amount>,
    /// The condition that at least one of these SKUs is in the basket. Empty if there is no such condition.
    pub eligible_skus: Vec<Sku>,
    pub description: String,
}

/// A way in which goods reach the buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MethodKind {
    Shipping,
    /// Parsed only so that the shop can refuse it with a clear message: the shop offers no pickup.
    Pickup,
}

/// The id of a shipping rate, and of the shipping option that has this rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OptionId(pub String);

/// A shipping option, priced for one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippingOption {
    pub id: OptionId,
    pub title: String,
    pub price: Amount,
}

/// The delivery of a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fulfillment {
    /// The destinations that can be selected: those that the platform sent, or, if it sent none, stored and earlier
    /// ones.
    pub destinations: Vec<Destination>,
    pub selected_destination: Option<DestinationId>,
    pub group: Group,
}

/// The shipping options for the lines that are shipped together, and the selected option. Empty until a destination is
/// selected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub options: Vec<ShippingOption>,
    pub selected_option: Option<OptionId>,
}

impl Fulfillment {
    /// The selected destination, if there is one.
    pub fn destination(&self) -> Option<&Destination> {
        let selected = self.selected_destination.as_ref()?;
        self.destinations.iter().find(|destination| destination.id == *selected)
    }

    /// The selected option, if there is one.
    pub fn option(&self) -> Option<&ShippingOption> {
        let selected = self.group.selected_option.as_ref()?;
        self.group.options.iter().find(|option| option.id == *selected)
    }
}

/// The delivery that a platform requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FulfillmentRequest {
    pub kinds: Vec<MethodKind>,
    /// The destinations that the platform sent. A destination without an id gets the id of the stored address of the
    /// same place, or an id that is derived from its content.
    pub destinations: Vec<(Option<DestinationId>, crate::customer::Address)>,
    pub selected_destination: Option<DestinationId>,
    pub selected_option: Option<OptionId>,
}
