//! Orders and their events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::Sku;
use crate::checkout::{LineId, TotalKind, Totals};
use crate::clock::Timestamp;
use crate::context::PlatformId;
use crate::customer::Address;
use crate::id::{CheckoutId, OrderId, PageToken};
use crate::money::{Amount, Currency};
use crate::promotion::split_proportionally;

/// An order: a snapshot of its checkout, and the events since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    pub checkout: CheckoutId,
    pub owner: PlatformId,
    /// The token of the page that shows the order to the buyer.
    pub page: PageToken,
    pub currency: Currency,
    pub lines: Vec<OrderLine>,
    pub expectations: Vec<Expectation>,
    pub totals: Totals,
    pub attribution: BTreeMap<String, String>,
    pub placed_at: Timestamp,
    /// The events, oldest first. Append-only.
    pub events: Vec<OrderEvent>,
}

impl Order {
    /// The amount paid for each line, in the order of the lines: the line's price less its discount and less its share
    /// of the order-level discounts. The amounts sum to the order's total without the price of the delivery.
    pub fn paid_per_line(&self) -> Vec<Amount> {
        let net: Vec<(usize, Amount)> = self.lines.iter().map(OrderLine::net).enumerate().collect();
        let of_order = self.totals.iter().filter(|total| total.kind == TotalKind::Discount);
        let discount: Amount = of_order.map(|total| -total.amount).sum();
        let mut paid: Vec<Amount> = net.iter().map(|(_, net)| *net).collect();
        for share in split_proportionally(discount, &net) {
            paid[share.line] = paid[share.line] - share.amount;
        }
        paid
    }

    /// The refund for `units` more units of a line that are returned or cancelled, zero or positive. The refund is the
    /// same number of whole minor units for each unit; the last unit of the line also gets the remainder. `None` for an
    /// unknown line.
    pub fn refund_for(&self, line: &LineId, units: i64) -> Option<Amount> {
        let index = self.lines.iter().position(|known| known.id == *line)?;
        let OrderLine { original, total, .. } = self.lines[index];
        let paid = self.paid_per_line()[index];
        let of_first = |units: i64| match units {
            ..=0 => Amount::ZERO,
            units if units >= original => paid,
            units => Amount::new(paid.minor() / original * units),
        };
        let gone = original - total;
        Some(of_first(gone.saturating_add(units)) - of_first(gone))
    }

    /// The units that must still be shipped. If the order promised no delivery, these are all unshipped units, because
    /// the merchant hands them over in another way.
    pub fn units_to_ship(&self) -> Vec<ExpectedLine> {
        let is_expected = |line: &OrderLine| {
            let mut expected = self.expectations.iter().flat_map(|one| &one.lines);
            self.expectations.is_empty() || expected.any(|expected| expected.line == line.id)
        };
        let open = self.lines.iter().filter(|line| line.total > line.fulfilled && is_expected(line));
        open.map(|line| ExpectedLine { line: line.id.clone(), quantity: line.total - line.fulfilled }).collect()
    }

    /// The highest number of events in an order. Further changes are refused, and a person must look at the order.
    pub const MAX_EVENTS: usize = 1_000;

    pub fn shipments(&self) -> impl Iterator<Item = (&OrderEvent, &Shipment)> {
        self.events.iter().filter_map(|event| match &event.kind {
            OrderEventKind::Shipped(shipment) => Some((event, shipment)),
            OrderEventKind::Placed | OrderEventKind::Adjusted(_) => None,
        })
    }

    pub fn adjustments(&self) -> impl Iterator<Item = (&OrderEvent, &Adjustment)> {
        self.events.iter().filter_map(|event| match &event.kind {
            OrderEventKind::Adjusted(adjustment) => Some((event, adjustment)),
            OrderEventKind::Placed | OrderEventKind::Shipped(_) => None,
        })
    }
}

/// A line of an order. Always `fulfilled <= total <= original`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderLine {
    pub id: LineId,
    pub sku: Sku,
    pub title: String,
    pub image_url: Option<String>,
    pub unit_price: Amount,
    /// The number of units that were bought.
    pub original: i64,
    /// The number of units that are still wanted: the bought units less the returned or cancelled units.
    pub total: i64,
    /// The number of wanted units that were shipped.
    pub fulfilled: i64,
    /// The amount that line-level discounts take off the line. Never negative.
    pub discount: Amount,
}

impl OrderLine {
    /// The price of the line less its discount.
    fn net(&self) -> Amount {
        Amount::new(self.unit_price.minor() * self.original) - self.discount
    }

    /// The status of the line. Derived from the quantities, never stored.
    pub fn status(&self) -> LineStatus {
        match (self.total, self.fulfilled) {
            (0, _) => LineStatus::Removed,
            (total, fulfilled) if fulfilled >= total => LineStatus::Fulfilled,
            (_, 0) => LineStatus::Processing,
            _ => LineStatus::Partial,
        }
    }
}

/// The shipping status of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum LineStatus {
    Processing,
    Partial,
    Fulfilled,
    Removed,
}

/// The delivery that the buyer was promised: which units, how, and to which address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    pub id: String,
    pub lines: Vec<ExpectedLine>,
    pub destination: Address,
    /// The title of the chosen shipping option.
    pub description: String,
}

/// A number of units of a line. Negative for returned units in an adjustment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedLine {
    pub line: LineId,
    pub quantity: i64,
}

/// An event in the history of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// The id of the event, unique within the order. Generated by the shop, or chosen by the caller that reports the
    /// event.
    pub id: String,
    pub occurred_at: Timestamp,
    pub kind: OrderEventKind,
}

impl OrderEvent {
    /// Whether the event says that goods left the warehouse.
    pub fn is_shipping(&self) -> bool {
        matches!(&self.kind, OrderEventKind::Shipped(shipment) if shipment.kind == Shipment::SHIPPED)
    }
}

/// What an event records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEventKind {
    Placed,
    Shipped(Shipment),
    Adjusted(Adjustment),
}

/// A change of an order that a caller requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderChange {
    /// The id of the event that the change becomes. The change is skipped if the order already has an event with this
    /// id.
    pub id: String,
    pub occurred_at: Timestamp,
    pub kind: OrderChangeKind,
}

/// What a change does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderChangeKind {
    Shipped(Shipment),
    Adjusted(Adjustment),
    /// A shipment of all units that must still be shipped. The lines of the given shipment are ignored. If no units
    /// remain, the order does not change.
    ShippedRest(Shipment),
    /// Units of a line are taken back, with an adjustment for the amount that was paid for them.
    TakenBack {
        kind: String,
        line: LineId,
        units: i64,
    },
}

/// A shipment, or a report about goods in transit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// [`Shipment::SHIPPED`], or a report such as `in_transit` or `delivered`.
    pub kind: String,
    pub lines: Vec<ExpectedLine>,
    pub tracking_number: Option<String>,
    pub tracking_url: Option<String>,
    pub carrier: Option<String>,
    pub description: Option<String>,
}

impl Shipment {
    /// The kind of a shipment whose goods left the warehouse.
    pub const SHIPPED: &'static str = "shipped";
}

/// A change of the money or the quantities after the sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// The kind of adjustment, such as `refund`, `return` or `cancellation`.
    pub kind: String,
    pub status: AdjustmentStatus,
    /// The change of each line's wanted units. Negative for returned units.
    pub lines: Vec<ExpectedLine>,
    /// The amount of money. Negative if it is returned to the buyer.
    pub amount: Option<Amount>,
    pub description: Option<String>,
}

/// The progress of an adjustment. A failed adjustment changes no units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum AdjustmentStatus {
    Pending,
    Completed,
    Failed,
}
