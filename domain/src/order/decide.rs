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
    /// A number of units that changes nothing, or that is negative where units are counted.
    NoUnits(LineId),
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

/// Appends a shipment. One of kind `shipped` raises what is fulfilled; others only tell where the goods are.
pub fn ship(
    mut order: Order,
    id: String,
    shipment: Shipment,
    occurred_at: Timestamp,
) -> Result<Order, OrderChangeRefused> {
    for ExpectedLine { line, quantity } in &shipment.lines {
        let found = line_mut(&mut order, line)?;
        if *quantity < 1 {
            return Err(OrderChangeRefused::NoUnits(line.clone()));
        }
        let is_sent = shipment.kind == "shipped";
        let left = if is_sent { found.total - found.fulfilled } else { found.original };
        if *quantity > left {
            return Err(OrderChangeRefused::TooMany(line.clone()));
        }
        if is_sent {
            found.fulfilled += quantity;
        }
    }
    order.events.push(OrderEvent { id, occurred_at, kind: OrderEventKind::Shipped(shipment) });
    Ok(order)
}

/// Ships all units that are still to be sent. Changes nothing if there are none.
pub fn ship_rest(
    order: Order,
    id: String,
    shipment: Shipment,
    occurred_at: Timestamp,
) -> Result<Order, OrderChangeRefused> {
    match order.to_ship() {
        lines if lines.is_empty() => Ok(order),
        lines => ship(order, id, Shipment { lines, ..shipment }, occurred_at),
    }
}

/// Takes units of a line back, of those that are still wanted, and returns what was paid for them.
pub fn take_back(
    order: Order,
    id: String,
    kind: String,
    line: LineId,
    units: i64,
    occurred_at: Timestamp,
) -> Result<Order, OrderChangeRefused> {
    if units < 1 {
        return Err(OrderChangeRefused::NoUnits(line));
    }
    let Some(worth) = order.worth_of(&line, units) else { return Err(OrderChangeRefused::UnknownLine(line)) };
    let adjustment = Adjustment {
        kind,
        status: AdjustmentStatus::Completed,
        lines: vec![ExpectedLine { line, quantity: -units }],
        amount: Some(-worth),
        description: None,
    };
    adjust(order, id, adjustment, occurred_at)
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
        if *quantity == 0 {
            return Err(OrderChangeRefused::NoUnits(line.clone()));
        }
        let total = found.total.saturating_add(*quantity);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Sku;
    use crate::checkout::{CheckoutId, Totals};
    use crate::context::PlatformId;
    use crate::money::{Amount, Currency};
    use crate::order::LineStatus;
    use time::macros::datetime;

    const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

    fn order() -> Order {
        let line = OrderLine {
            id: LineId("li_1".into()),
            sku: Sku::parse("rose").expect("valid"),
            title: "Rose".into(),
            image_url: None,
            unit_price: Amount::new(100),
            original: 3,
            total: 3,
            fulfilled: 0,
            discount: Amount::ZERO,
        };
        Order {
            id: OrderId::generate(NOW),
            checkout: CheckoutId::generate(NOW),
            owner: PlatformId("https://platform.example/".into()),
            page: PageToken::generate(),
            currency: Currency::USD,
            lines: vec![line],
            expectations: Vec::new(),
            totals: Totals::of(Amount::new(300), Amount::ZERO, Amount::ZERO, None),
            attribution: Default::default(),
            placed_at: NOW,
            events: Vec::new(),
        }
    }

    fn shipment(kind: &str, line: &str, quantity: i64) -> Shipment {
        let lines = vec![units(&LineId(line.into()), quantity)];
        let (tracking_number, tracking_url, carrier, description) = (None, None, None, None);
        Shipment { kind: kind.into(), lines, tracking_number, tracking_url, carrier, description }
    }

    fn adjustment(status: AdjustmentStatus, quantity: i64) -> Adjustment {
        let lines = vec![units(&LineId("li_1".into()), quantity)];
        Adjustment { kind: "refund".into(), status, lines, amount: None, description: None }
    }

    #[test]
    fn shipments_fulfil_what_is_wanted_and_no_more() {
        for (kind, line, quantity, expected) in [
            ("shipped", "li_1", 2, Ok((2, LineStatus::Partial))),
            ("shipped", "li_1", 3, Ok((3, LineStatus::Fulfilled))),
            ("delivered", "li_1", 3, Ok((0, LineStatus::Processing))),
            ("shipped", "li_1", 4, Err(OrderChangeRefused::TooMany(LineId("li_1".into())))),
            ("shipped", "li_1", 1, Ok((1, LineStatus::Partial))),
            ("shipped", "li_1", 0, Err(OrderChangeRefused::NoUnits(LineId("li_1".into())))),
            ("shipped", "li_1", -1, Err(OrderChangeRefused::NoUnits(LineId("li_1".into())))),
            ("delivered", "li_1", 0, Err(OrderChangeRefused::NoUnits(LineId("li_1".into())))),
            ("delivered", "li_1", -5, Err(OrderChangeRefused::NoUnits(LineId("li_1".into())))),
            ("delivered", "li_1", 4, Err(OrderChangeRefused::TooMany(LineId("li_1".into())))),
            ("shipped", "li_1", i64::MAX, Err(OrderChangeRefused::TooMany(LineId("li_1".into())))),
            ("shipped", "li_9", 1, Err(OrderChangeRefused::UnknownLine(LineId("li_9".into())))),
        ] {
            let shipped = ship(order(), "e1".into(), shipment(kind, line, quantity), NOW);
            let outcome = shipped.map(|order| (order.lines[0].fulfilled, order.lines[0].status()));
            assert_eq!(outcome, expected, "{kind} {line} {quantity}");
        }
    }

    #[test]
    fn adjustments_change_what_is_wanted_and_lines_never_disappear() {
        use AdjustmentStatus::{Completed, Failed};
        let too_many = || Err(OrderChangeRefused::TooMany(LineId("li_1".into())));
        for (status, quantity, expected) in [
            (Completed, -1, Ok((2, LineStatus::Processing))),
            (Completed, -3, Ok((0, LineStatus::Removed))),
            (Failed, -3, Ok((3, LineStatus::Processing))),
            (Completed, 0, Err(OrderChangeRefused::NoUnits(LineId("li_1".into())))),
            (Failed, 0, Err(OrderChangeRefused::NoUnits(LineId("li_1".into())))),
            (Failed, -4, too_many()),
            (Completed, -4, too_many()),
            (Completed, 1, too_many()),
            (Completed, i64::MIN, too_many()),
        ] {
            let adjusted = adjust(order(), "a1".into(), adjustment(status, quantity), NOW);
            let outcome = adjusted.map(|order| (order.lines[0].total, order.lines[0].status()));
            assert_eq!(outcome, expected, "{status:?} {quantity}");
        }
    }

    #[test]
    fn units_are_taken_back_from_those_that_are_left_with_what_was_paid_for_them() {
        let li_1 = || LineId("li_1".into());
        let take = |order: Order, line: LineId, units| take_back(order, "a1".into(), "refund".into(), line, units, NOW);
        let amount = |order: &Order| order.adjustments().last().and_then(|(_, adjustment)| adjustment.amount);
        for (gone, units, expected) in [
            (0, 1, Ok((2, Some(Amount::new(-100))))),
            (2, 1, Ok((0, Some(Amount::new(-100))))),
            (0, 3, Ok((0, Some(Amount::new(-300))))),
            (0, 0, Err(OrderChangeRefused::NoUnits(li_1()))),
            (0, -1, Err(OrderChangeRefused::NoUnits(li_1()))),
            (3, -1, Err(OrderChangeRefused::NoUnits(li_1()))),
            (0, i64::MIN, Err(OrderChangeRefused::NoUnits(li_1()))),
            (0, 4, Err(OrderChangeRefused::TooMany(li_1()))),
            (3, 1, Err(OrderChangeRefused::TooMany(li_1()))),
            (0, i64::MAX, Err(OrderChangeRefused::TooMany(li_1()))),
        ] {
            let mut order = order();
            order.lines[0].total -= gone;
            let outcome = take(order, li_1(), units).map(|order| (order.lines[0].total, amount(&order)));
            assert_eq!(outcome, expected, "{units} of {}", 3 - gone);
        }
        let unknown = take(order(), LineId("li_9".into()), 1);
        assert_eq!(unknown, Err(OrderChangeRefused::UnknownLine(LineId("li_9".into()))));
    }

    #[test]
    fn rest_is_shipped_once() {
        let once = ship_rest(order(), "e1".into(), shipment("shipped", "li_9", 9), NOW).expect("shipped");
        assert_eq!((once.lines[0].fulfilled, once.events.len()), (3, 1));
        assert_eq!(ship_rest(once.clone(), "e2".into(), shipment("shipped", "li_9", 9), NOW), Ok(once));
    }
}
