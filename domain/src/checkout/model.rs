//! A checkout, and what a platform may ask of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::totals::Totals;
use crate::catalog::Sku;
use crate::clock::Timestamp;
use crate::context::PlatformId;
use crate::customer::{Buyer, Destination};
use crate::fulfillment::{Fulfillment, FulfillmentRequest, ShippingOption};
use crate::id::{Id, Named, PageToken};
use crate::money::{Amount, Currency};
use crate::order::OrderId;
use crate::payment::{AttemptId, Instrument};
use crate::promotion::AppliedDiscount;
use crate::quantity::Quantity;

pub type CheckoutId = Id<Checkout>;

impl Named for Checkout {
    const PREFIX: &'static str = "chk";
}

/// A purchase in the making. Every change raises `version` by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    pub id: CheckoutId,
    /// The platform that created it, and the only one that it answers.
    pub owner: PlatformId,
    pub status: Status,
    pub version: i64,
    pub currency: Currency,
    /// Names its page for the buyer.
    pub page: PageToken,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: Timestamp,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: Timestamp,
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: Timestamp,
    /// The payment attempt that is under way, or that paid for it.
    pub attempt: Option<AttemptId>,
    pub order: Option<OrderLink>,
    pub details: Details,
}

/// Where a checkout stands. See the module's picture for what leads where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Status {
    Incomplete,
    /// The buyer must act on the shop's own page.
    RequiresEscalation,
    ReadyForComplete,
    CompleteInProgress,
    Completed,
    Canceled,
}

impl Status {
    /// It can still be changed, cancelled, completed or run out of time.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Incomplete | Self::RequiresEscalation | Self::ReadyForComplete)
    }

    /// Nothing leads out of it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled)
    }
}

/// The order that a checkout became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLink {
    pub id: OrderId,
    pub page: PageToken,
}

/// The content: what was asked for and what it costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    pub lines: Vec<Line>,
    pub buyer: Option<Buyer>,
    pub context: Option<BuyerContext>,
    pub attribution: BTreeMap<String, String>,
    pub fulfillment: Option<Fulfillment>,
    /// Codes as the platform sent them; `None` when it sent none.
    pub codes: Option<Vec<String>>,
    pub discounts: Vec<AppliedDiscount>,
    /// Without their credentials, which are never kept.
    pub instruments: Vec<Instrument>,
    pub totals: Totals,
    pub messages: Vec<Message>,
    /// Whether the platform that completes it may use the shop's address book. Documents of earlier versions lack it.
    #[serde(default)]
    pub of_registered_platform: bool,
}

impl Details {
    /// The lines that must be brought to the buyer.
    pub fn delivered_lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.requires_shipping)
    }

    /// Where the goods go and how; `None` while that is open, and if nothing needs delivery.
    pub fn delivery(&self) -> Option<(&Destination, &ShippingOption)> {
        self.delivered_lines().next()?;
        let fulfillment = self.fulfillment.as_ref()?;
        Some((fulfillment.destination()?, fulfillment.option()?))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LineId(pub String);

impl LineId {
    pub const MAX_LENGTH: usize = 64;
}

/// A line of goods at the price it was quoted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub id: LineId,
    pub sku: Sku,
    pub title: String,
    pub image_url: Option<String>,
    pub unit_price: Amount,
    pub quantity: Quantity,
    pub requires_shipping: bool,
    /// Taken off this line by line-level discounts. Positive.
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

/// Hints about the buyer's market. They do not change prices; they are kept and echoed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuyerContext {
    pub country: Option<String>,
    pub region: Option<String>,
    pub postal_code: Option<String>,
    pub language: Option<String>,
    pub currency: Option<String>,
    pub intent: Option<String>,
    /// Benefits that the buyer claims. The shop knows none yet; each is answered with a warning.
    pub eligibility: Vec<String>,
}

/// The whole content that a platform wants. An update replaces everything.
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
    /// More lines than anyone reads on one screen; with [`Quantity::MAX`] it bounds every total.
    pub const MAX_LINES: usize = 100;
    pub const MAX_CODES: usize = 20;
    pub const MAX_DESTINATIONS: usize = 20;
    pub const MAX_INSTRUMENTS: usize = 10;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedLine {
    /// The id of a line of an earlier answer, to keep it.
    pub id: Option<LineId>,
    /// What the platform calls the item. Need not exist.
    pub sku: String,
    pub quantity: Quantity,
}
