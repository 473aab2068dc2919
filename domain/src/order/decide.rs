//! The rules of orders: how an order is placed, shipped and adjusted. Pure functions.

use super::model::{
    Adjustment, AdjustmentStatus, Expectation, ExpectedLine, Order, OrderEvent, OrderEventKind, OrderId, OrderLine,
    Shipment,
};
use crate::checkout::{Checkout, LineId};
use crate::clock::Timestamp;
use crate::id::PageToken;

/// A change contradicts the order. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderChangeRefusal {
    UnknownLine(LineId),
    /// The line has fewer units left than the change needs.
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
    let expectation = checkout.details.delivery().map(|(destination, option)| Expectation {
        id: "exp_1".to_owned(),
        lines: checkout.details.delivered_lines().map(|line| units(&line.id, line.quantity.into())).collect(),
        destination: destination.address.clone(),
        description: option.title.clone(),
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

/// Appends a shipment. A shipment of kind `shipped` increases the fulfilled units; other kinds only report where the
/// goods are.
pub fn ship(
    mut order: Order,
    id: String,
    shipment: Shipment,
    occurred_at: Timestamp,
) -> Result<Order, OrderChangeRefusal> {
    for ExpectedLine { line, quantity } in &shipment.lines {
        let found = line_mut(&mut order, line)?;
        if shipment.kind == "shipped" {
            if *quantity < 1 || found.fulfilled.saturating_add(*quantity) > found.total {
                return Err(OrderChangeRefusal::TooMany(line.clone()));
            }
            found.fulfilled += quantity;
        }
    }
    order.events.push(OrderEvent { id, occurred_at, kind: OrderEventKind::Shipped(shipment) });
    Ok(order)
}

/// Appends an adjustment. Its units change the wanted units of a line, unless the adjustment failed.
pub fn adjust(
    mut order: Order,
    id: String,
    adjustment: Adjustment,
    occurred_at: Timestamp,
) -> Result<Order, OrderChangeRefusal> {
    for ExpectedLine { line, quantity } in &adjustment.lines {
        let found = line_mut(&mut order, line)?;
        let total = found.total.saturating_add(*quantity);
        if !(0..=found.original).contains(&total) {
            return Err(OrderChangeRefusal::TooMany(line.clone()));
        }
        if adjustment.status != AdjustmentStatus::Failed {
            found.total = total;
            found.fulfilled = found.fulfilled.min(total);
        }
    }
    order.events.push(OrderEvent { id, occurred_at, kind: OrderEventKind::Adjusted(adjustment) });
    Ok(order)
}

fn line_mut<'a>(order: &'a mut Order, id: &LineId) -> Result<&'a mut OrderLine, OrderChangeRefusal> {
    order.lines.iter_mut().find(|line| line.id == *id).ok_or_else(|| OrderChangeRefusal::UnknownLine(id.clone()))
}

fn units(line: &LineId, quantity: i64) -> ExpectedLine {
    ExpectedLine { line: line.clone(), quantity }
}
