//! The rules of orders: how an order is placed, shipped and adjusted. Pure functions.

use super::model::{
    Adjustment, AdjustmentStatus, Expectation, ExpectedLine, Order, OrderEvent, OrderEventKind, OrderLine, Shipment,
};
use crate::checkout::{Checkout, LineId};
use crate::clock::Timestamp;
use crate::id::{OrderId, PageToken};

/// A change contradicts the order. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderChangeRefusal {
    UnknownLine(LineId),
    /// The number of units is zero, or negative where only a positive number makes sense.
    NoUnits(LineId),
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
        if *quantity < 1 {
            return Err(OrderChangeRefusal::NoUnits(line.clone()));
        }
        let is_sent = shipment.kind == "shipped";
        let left = if is_sent { found.total - found.fulfilled } else { found.original };
        if *quantity > left {
            return Err(OrderChangeRefusal::TooMany(line.clone()));
        }
        if is_sent {
            found.fulfilled += quantity;
        }
    }
    order.events.push(OrderEvent { id, occurred_at, kind: OrderEventKind::Shipped(shipment) });
    Ok(order)
}

/// Ships all units that are not shipped yet. Changes nothing if there are none.
pub fn ship_rest(
    order: Order,
    id: String,
    shipment: Shipment,
    occurred_at: Timestamp,
) -> Result<Order, OrderChangeRefusal> {
    match order.to_ship() {
        lines if lines.is_empty() => Ok(order),
        lines => ship(order, id, Shipment { lines, ..shipment }, occurred_at),
    }
}

/// Takes back units of a line that are still wanted, and adds an adjustment with the amount that was paid for them.
pub fn take_back(
    order: Order,
    id: String,
    kind: String,
    line: LineId,
    units: i64,
    occurred_at: Timestamp,
) -> Result<Order, OrderChangeRefusal> {
    if units < 1 {
        return Err(OrderChangeRefusal::NoUnits(line));
    }
    let Some(worth) = order.worth_of(&line, units) else { return Err(OrderChangeRefusal::UnknownLine(line)) };
    let adjustment = Adjustment {
        kind,
        status: AdjustmentStatus::Completed,
        lines: vec![ExpectedLine { line, quantity: -units }],
        amount: Some(-worth),
        description: None,
    };
    adjust(order, id, adjustment, occurred_at)
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
        if *quantity == 0 {
            return Err(OrderChangeRefusal::NoUnits(line.clone()));
        }
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
