//! How an order comes to be, and how it changes. Pure.

use super::model::{
    Adjustment, AdjustmentStatus, Expectation, ExpectedLine, Order, OrderEvent, OrderEventKind, OrderId, OrderLine,
    Shipment,
};
use crate::checkout::{Checkout, LineId};
use crate::clock::Timestamp;
use crate::id::PageToken;

/// A change that contradicts the order. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderChangeRefused {
    UnknownLine(LineId),
    /// More units than the line has left for it.
    TooMany(LineId),
}

/// The order that a paid checkout becomes.
pub fn place(id: OrderId, page: PageToken, checkout: &Checkout, now: Timestamp) -> Order {
    let lines: Vec<OrderLine> = checkout
        .details
        .lines
        .iter()
        .map(|line| OrderLine {
            id: line.id.clone(),
            sku: line.sku.clone(),
            title: line.title.clone(),
            image_url: line.image_url.clone(),
            unit_price: line.unit_price,
            original: line.quantity.into(),
            total: line.quantity.into(),
            fulfilled: 0,
            discount: line.discount,
        })
        .collect();
    let expectation = checkout.details.fulfillment.as_ref().and_then(|fulfillment| {
        let (destination, option) = (fulfillment.destination()?, fulfillment.option()?);
        Some(Expectation {
            id: "exp_1".to_owned(),
            lines: lines.iter().map(|line| units(&line.id, line.total)).collect(),
            destination: destination.address.clone(),
            description: option.title.clone(),
        })
    });
    Order {
        id,
        checkout: checkout.id.clone(),
        owner: checkout.owner.clone(),
        page,
        currency: checkout.currency,
        lines,
        expectations: expectation.into_iter().collect(),
        totals: checkout.details.totals.clone(),
        attribution: checkout.details.attribution.clone(),
        placed_at: now,
        events: vec![OrderEvent { id: "evt_placed".to_owned(), occurred_at: now, kind: OrderEventKind::Placed }],
    }
}

/// Appends a shipment. One of kind `shipped` raises what is fulfilled; others only tell where the goods are.
pub fn ship(
    mut order: Order,
    id: String,
    shipment: Shipment,
    occurred_at: Timestamp,
) -> Result<Order, OrderChangeRefused> {
    for ExpectedLine { line, quantity } in &shipment.lines {
        let found = line_mut(&mut order, line)?;
        if shipment.kind == "shipped" {
            if *quantity < 1 || found.fulfilled + quantity > found.total {
                return Err(OrderChangeRefused::TooMany(line.clone()));
            }
            found.fulfilled += quantity;
        }
    }
    order.events.push(OrderEvent { id, occurred_at, kind: OrderEventKind::Shipped(shipment) });
    Ok(order)
}

/// Appends an adjustment. Its units change what is wanted of a line, unless it failed.
pub fn adjust(
    mut order: Order,
    id: String,
    adjustment: Adjustment,
    occurred_at: Timestamp,
) -> Result<Order, OrderChangeRefused> {
    for ExpectedLine { line, quantity } in &adjustment.lines {
        let found = line_mut(&mut order, line)?;
        let total = found.total + quantity;
        if !(0..=found.original).contains(&total) {
            return Err(OrderChangeRefused::TooMany(line.clone()));
        }
        if adjustment.status != AdjustmentStatus::Failed {
            found.total = total;
            found.fulfilled = found.fulfilled.min(total);
        }
    }
    order.events.push(OrderEvent { id, occurred_at, kind: OrderEventKind::Adjusted(adjustment) });
    Ok(order)
}

fn line_mut<'a>(order: &'a mut Order, id: &LineId) -> Result<&'a mut OrderLine, OrderChangeRefused> {
    order.lines.iter_mut().find(|line| line.id == *id).ok_or_else(|| OrderChangeRefused::UnknownLine(id.clone()))
}

fn units(line: &LineId, quantity: i64) -> ExpectedLine {
    ExpectedLine { line: line.clone(), quantity }
}
