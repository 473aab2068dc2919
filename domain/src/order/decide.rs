//! The rules of orders: how an order is placed, shipped and adjusted. Pure functions.

use super::model::{
    Adjustment, AdjustmentStatus, Expectation, ExpectedLine, Order, OrderChange, OrderChangeKind, OrderEvent,
    OrderEventKind, OrderLine, Shipment,
};
use crate::checkout::{Checkout, LineId};
use crate::clock::Timestamp;
use crate::id::{OrderId, PageToken};

/// Why a change of an order is refused. The order stays unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderChangeRefusal {
    UnknownLine(LineId),
    /// The number of units is zero, or it is negative in a change that needs a positive number.
    NoUnits(LineId),
    /// The change needs more units than the line has left, or would restore more units than were bought.
    TooMany(LineId),
}

/// Builds the order of a checkout whose payment succeeded.
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
        lines: checkout
            .details
            .delivered_lines()
            .map(|line| ExpectedLine { line: line.id.clone(), quantity: line.quantity.into() })
            .collect(),
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

/// Applies a change and appends its event. If the change is to ship all remaining units and there are none, returns the
/// order unchanged.
pub fn apply(mut order: Order, change: OrderChange) -> Result<Order, OrderChangeRefusal> {
    let kind = match change.kind {
        OrderChangeKind::Shipped(shipment) => ship(&mut order, shipment)?,
        OrderChangeKind::ShippedRest(shipment) => match order.units_to_ship() {
            lines if lines.is_empty() => return Ok(order),
            lines => ship(&mut order, Shipment { lines, ..shipment })?,
        },
        OrderChangeKind::Adjusted(adjustment) => adjust(&mut order, adjustment)?,
        OrderChangeKind::TakenBack { kind, line, units } => take_back(&mut order, kind, line, units)?,
    };
    order.events.push(OrderEvent { id: change.id, occurred_at: change.occurred_at, kind });
    Ok(order)
}

/// Applies a shipment. The kind `shipped` increases the fulfilled units; other kinds only report where the goods are.
fn ship(order: &mut Order, shipment: Shipment) -> Result<OrderEventKind, OrderChangeRefusal> {
    for ExpectedLine { line, quantity } in &shipment.lines {
        let found = find_line(order, line)?;
        if *quantity < 1 {
            return Err(OrderChangeRefusal::NoUnits(line.clone()));
        }
        let is_sent = shipment.kind == Shipment::SHIPPED;
        let left = if is_sent { found.total - found.fulfilled } else { found.original };
        if *quantity > left {
            return Err(OrderChangeRefusal::TooMany(line.clone()));
        }
        if is_sent {
            found.fulfilled += quantity;
        }
    }
    Ok(OrderEventKind::Shipped(shipment))
}

/// Takes back units of a line: applies an adjustment with these units and with the amount that was paid for them.
fn take_back(order: &mut Order, kind: String, line: LineId, units: i64) -> Result<OrderEventKind, OrderChangeRefusal> {
    if units < 1 {
        return Err(OrderChangeRefusal::NoUnits(line));
    }
    let Some(worth) = order.refund_for(&line, units) else { return Err(OrderChangeRefusal::UnknownLine(line)) };
    let (status, lines) = (AdjustmentStatus::Completed, vec![ExpectedLine { line, quantity: -units }]);
    adjust(order, Adjustment { kind, status, lines, amount: Some(-worth), description: None })
}

/// Applies an adjustment: changes the wanted units of its lines, unless the adjustment failed.
fn adjust(order: &mut Order, adjustment: Adjustment) -> Result<OrderEventKind, OrderChangeRefusal> {
    for ExpectedLine { line, quantity } in &adjustment.lines {
        let found = find_line(order, line)?;
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
    Ok(OrderEventKind::Adjusted(adjustment))
}

/// Finds the line with this id, so that it can be changed.
fn find_line<'a>(order: &'a mut Order, id: &LineId) -> Result<&'a mut OrderLine, OrderChangeRefusal> {
    order.lines.iter_mut().find(|line| line.id == *id).ok_or_else(|| OrderChangeRefusal::UnknownLine(id.clone()))
}
