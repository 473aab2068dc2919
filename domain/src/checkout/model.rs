//! The checkout, and the content that a platform may request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::totals::Totals;
use crate::catalog::Sku;
use crate::clock::Timestamp;
use crate::context::PlatformId;
use crate::customer::{Buyer, Destination};
use crate::fulfillment::{Fulfillment, FulfillmentRequest, ShippingOption};
use crate::id::{AttemptId, CheckoutId, OrderId, PageToken};
use crate::money::{Amount, Currency};
use crate::payment::Instrument;
use crate::promotion::AppliedDiscount;
use crate::quantity::Quantity;

/// A purchase in preparation. Each change increments `version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    pub id: CheckoutId,
    /// The platform that created the checkout. No other platform may read or change it.
    pub owner: PlatformId,
    pub status: Status,
    pub version: i64,
    pub currency: Currency,
    /// The token of the page that shows the checkout to the buyer.
    pub page: PageToken,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: Timestamp,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: Timestamp,
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: Timestamp,
    /// The payment attempt that is in progress, or that paid for the checkout.
    pub attempt: Option<AttemptId>,
    pub order: Option<OrderLink>,
    pub details: Details,
}

/// The status of a checkout. The diagram in the module documentation shows the transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Status {
    Incomplete,
    /// The buyer must act on the shop's page.
    RequiresEscalation,
    ReadyForComplete,
    CompleteInProgress,
    Completed,
    Canceled,
}

impl Status {
    /// Whether a checkout with this status can be changed, cancelled or completed, and can expire.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Incomplete | Self::RequiresEscalation | Self::ReadyForComplete)
    }

    /// Whether the status is final.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled)
    }
}

/// A link to the order that a checkout became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLink {
    pub id: OrderId,
    pub page: PageToken,
}

/// The content of a checkout: the requested goods, and their price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    pub lines: Vec<Line>,
    pub buyer: Option<Buyer>,
    pub context: Option<BuyerContext>,
    pub attribution: BTreeMap<String, String>,
    pub fulfillment: Option<Fulfillment>,
    /// The discount codes as the platform sent them. `None` if it sent no list.
    pub codes: Option<Vec<String>>,
    pub discounts: Vec<AppliedDiscount>,
    /// The payment instruments without credentials. Credentials are never stored.
    pub instruments: Vec<Instrument>,
    pub totals: Totals,
    pub messages: Vec<Message>,
    /// Whether a registered platform began the completion. Only then is the address of the order stored for the buyer.
    /// Checkouts that earlier versions stored lack the field.
    #[serde(default)]
    pub of_registered_platform: bool,
}

impl Details {
    /// The lines that must be shipped.
    pub fn delivered_lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.requires_shipping)
    }

    /// The destination and the shipping option. `None` if they are not selected yet, or if nothing needs delivery.
    pub fn delivery(&self) -> Option<(&Destination, &ShippingOption)> {
        self.delivered_lines().next()?;
        let fulfillment = self.fulfillment.as_ref()?;
        Some((fulfillment.destination()?, fulfillment.option()?))
    }
}

/// The id of a line, unique in its checkout and kept by its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LineId(pub String);

impl LineId {
    pub const MAX_LENGTH: usize = 64;
}

/// A line of goods at its quoted price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub id: LineId,
    pub sku: Sku,
    pub title: String,
    pub image_url: Option<String>,
    pub unit_price: Amount,
    pub quantity: Quantity,
    pub requires_shipping: bool,
    /// The amount that line-level discounts take off this line. Never negative.
    pub discount: Amount,
}

impl Line {
    pub fn subtotal(&self) -> Amount {
        self.unit_price.times(self.quantity)
    }

    pub fn total(&self) -> Amount {
        self.subtotal() - self.discount
    }
}

/// Hints about the buyer's market. They do not change prices; the shop stores and returns them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuyerContext {
    pub country: Option<String>,
    pub region: Option<String>,
    pub postal_code: Option<String>,
    pub language: Option<String>,
    pub currency: Option<String>,
    pub intent: Option<String>,
    /// The benefits that the buyer claims. The shop supports none; each claim gets a warning.
    pub eligibility: Vec<String>,
}

/// The complete content that a platform requests. An update replaces the whole content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckoutRequest {
    pub lines: Vec<RequestedLine>,
    pub buyer: Option<Buyer>,
    pub context: Option<BuyerContext>,
    pub attribution: BTreeMap<String, String>,
    pub fulfillment: Option<FulfillmentRequest>,
    pub codes: Option<Vec<String>>,
    pub instruments: Vec<Instrument>,
}

impl CheckoutRequest {
    /// The highest number of lines in a request. With [`Quantity::MAX`] it bounds each total.
    pub const MAX_LINES: usize = 100;
    pub const MAX_CODES: usize = 20;
    pub const MAX_DESTINATIONS: usize = 20;
    pub const MAX_INSTRUMENTS: usize = 10;
}

/// A line that a platform requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedLine {
    /// The id that the line had in an earlier response, if the line is to keep it.
    pub id: Option<LineId>,
    /// The SKU that the platform sent. The catalog may not contain it.
    pub sku: String,
    pub quantity: Quantity,
}
