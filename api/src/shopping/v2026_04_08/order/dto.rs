//! The order of a response: `order.json`.

use std::collections::BTreeMap;

use domain::order::{Adjustment, ExpectedLine, Order, OrderEvent, OrderLine, Shipment};
use serde::Serialize;
use serde_with::skip_serializing_none;

use super::super::ShoppingSettings;
use super::super::envelope::{Envelope, of_order};
use super::super::total::{TotalDto, line_totals, single, totals};
use super::super::wire::{AddressDto, ItemDto};
use crate::buyer_pages;
use crate::instant::rfc3339;

#[derive(Serialize)]
pub struct OrderDto {
    ucp: Envelope,
    id: String,
    checkout_id: String,
    permalink_url: String,
    line_items: Vec<LineDto>,
    fulfillment: FulfillmentDto,
    adjustments: Vec<AdjustmentDto>,
    currency: &'static str,
    totals: Vec<TotalDto>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attribution: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct LineDto {
    id: String,
    item: ItemDto,
    quantity: QuantityDto,
    totals: Vec<TotalDto>,
    status: &'static str,
}

#[derive(Serialize)]
struct QuantityDto {
    original: i64,
    total: i64,
    fulfilled: i64,
}

#[derive(Serialize)]
struct FulfillmentDto {
    expectations: Vec<ExpectationDto>,
    events: Vec<EventDto>,
}

#[derive(Serialize)]
struct ExpectationDto {
    id: String,
    line_items: Vec<UnitsDto>,
    method_type: &'static str,
    destination: AddressDto,
    description: String,
}

#[derive(Serialize)]
struct UnitsDto {
    id: String,
    quantity: i64,
}

#[skip_serializing_none]
#[derive(Serialize)]
struct EventDto {
    id: String,
    occurred_at: String,
    #[serde(rename = "type")]
    kind: String,
    line_items: Vec<UnitsDto>,
    tracking_number: Option<String>,
    tracking_url: Option<String>,
    carrier: Option<String>,
    description: Option<String>,
}

#[skip_serializing_none]
#[derive(Serialize)]
struct AdjustmentDto {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    occurred_at: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    line_items: Vec<UnitsDto>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    totals: Vec<TotalDto>,
    description: Option<String>,
}

/// The order as a document. The result depends on the order and the settings alone.
pub fn order(order: &Order, settings: &ShoppingSettings) -> OrderDto {
    let expectations = order.expectations.iter().map(|expectation| ExpectationDto {
        id: expectation.id.clone(),
        line_items: units(&expectation.lines),
        method_type: "shipping",
        destination: AddressDto::of(None, &expectation.destination),
        description: expectation.description.clone(),
    });
    OrderDto {
        ucp: of_order(),
        id: order.id.to_string(),
        checkout_id: order.checkout.to_string(),
        permalink_url: format!("{}{}{}", settings.public_url, buyer_pages::ORDER_PATH, order.page.as_str()),
        line_items: order.lines.iter().map(line).collect(),
        fulfillment: FulfillmentDto {
            expectations: expectations.collect(),
            events: order.shipments().map(|(event, shipment)| shipped(event, shipment)).collect(),
        },
        adjustments: order.adjustments().map(|(event, adjustment)| adjusted(event, adjustment)).collect(),
        currency: order.currency.code(),
        totals: totals(&order.totals),
        attribution: order.attribution.clone(),
    }
}

fn line(line: &OrderLine) -> LineDto {
    let bought = line.unit_price.minor().saturating_mul(line.original);
    LineDto {
        id: line.id.0.clone(),
        item: ItemDto {
            id: line.sku.to_string(),
            title: line.title.clone(),
            price: line.unit_price.minor(),
            image_url: line.image_url.clone(),
        },
        quantity: QuantityDto { original: line.original, total: line.total, fulfilled: line.fulfilled },
        totals: line_totals(domain::money::Amount::new(bought), line.discount),
        status: line.status().into_str(),
    }
}

fn units(lines: &[ExpectedLine]) -> Vec<UnitsDto> {
    lines.iter().map(|line| UnitsDto { id: line.line.0.clone(), quantity: line.quantity }).collect()
}

fn shipped(event: &OrderEvent, shipment: &Shipment) -> EventDto {
    EventDto {
        id: event.id.clone(),
        occurred_at: rfc3339(event.occurred_at),
        kind: shipment.kind.clone(),
        line_items: units(&shipment.lines),
        tracking_number: shipment.tracking_number.clone(),
        tracking_url: shipment.tracking_url.clone(),
        carrier: shipment.carrier.clone(),
        description: shipment.description.clone(),
    }
}

fn adjusted(event: &OrderEvent, adjustment: &Adjustment) -> AdjustmentDto {
    AdjustmentDto {
        id: event.id.clone(),
        kind: adjustment.kind.clone(),
        occurred_at: rfc3339(event.occurred_at),
        status: adjustment.status.into_str(),
        line_items: units(&adjustment.lines),
        totals: adjustment.amount.map(|amount| single(amount, &adjustment.kind)).into_iter().collect(),
        description: adjustment.description.clone(),
    }
}
