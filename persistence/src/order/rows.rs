//! Order rows: columns for what is searched and counted, documents for what is only shown.

use diesel::prelude::*;
use domain::checkout::LineId;
use domain::context::PlatformId;
use domain::money::Amount;
use domain::order::{Adjustment, Order, OrderEvent, OrderEventKind, OrderLine, Shipment};

use crate::catalog::sku;
use crate::schema::{order_event, order_line, orders};
use crate::stored::{currency, exact_millis, from_text, id, instant, malformed, page_token, to_text};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = orders, treat_none_as_default_value = false)]
pub(super) struct OrderRow {
    pub id: String,
    pub checkout_id: String,
    pub owner: String,
    pub page: String,
    pub currency: String,
    pub expectations: String,
    pub totals: String,
    pub attribution: String,
    pub placed_at: i64,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = order_line, treat_none_as_default_value = false)]
pub(super) struct LineRow {
    pub order_id: String,
    pub position: i32,
    pub id: String,
    pub sku: String,
    pub title: String,
    pub image_url: Option<String>,
    pub unit_price: i64,
    pub original: i64,
    pub total: i64,
    pub fulfilled: i64,
    pub discount: i64,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = order_event, treat_none_as_default_value = false)]
pub(super) struct EventRow {
    pub order_id: String,
    pub sequence: i32,
    pub id: String,
    pub kind: String,
    pub occurred_at: i64,
    pub body: String,
}

impl OrderRow {
    pub(super) fn new(order: &Order) -> QueryResult<Self> {
        Ok(Self {
            id: order.id.to_string(),
            checkout_id: order.checkout.to_string(),
            owner: order.owner.0.clone(),
            page: order.page.as_str().to_owned(),
            currency: order.currency.code().to_owned(),
            expectations: to_text(&order.expectations)?,
            totals: to_text(&order.totals)?,
            attribution: to_text(&order.attribution)?,
            placed_at: exact_millis(order.placed_at)?,
        })
    }
}

pub(super) fn line_rows(order: &Order) -> Vec<LineRow> {
    let row = |(position, line): (i32, &OrderLine)| LineRow {
        order_id: order.id.to_string(),
        position,
        id: line.id.0.clone(),
        sku: line.sku.as_str().to_owned(),
        title: line.title.clone(),
        image_url: line.image_url.clone(),
        unit_price: line.unit_price.minor(),
        original: line.original,
        total: line.total,
        fulfilled: line.fulfilled,
        discount: line.discount.minor(),
    };
    (0..).zip(&order.lines).map(row).collect()
}

/// Returns the rows of the events of the order from index `first` on.
pub(super) fn event_rows(order: &Order, first: usize) -> QueryResult<Vec<EventRow>> {
    let numbered = (0..).zip(&order.events).skip(first);
    numbered
        .map(|(sequence, event)| {
            let (kind, body) = match &event.kind {
                OrderEventKind::Placed => ("placed", "{}".to_owned()),
                OrderEventKind::Shipped(shipment) => ("shipped", to_text(shipment)?),
                OrderEventKind::Adjusted(adjustment) => ("adjusted", to_text(adjustment)?),
            };
            Ok(EventRow {
                order_id: order.id.to_string(),
                sequence,
                id: event.id.clone(),
                kind: kind.to_owned(),
                occurred_at: exact_millis(event.occurred_at)?,
                body,
            })
        })
        .collect()
}

pub(super) fn order(row: OrderRow, lines: Vec<LineRow>, events: Vec<EventRow>) -> QueryResult<Order> {
    Ok(Order {
        id: id(&row.id)?,
        checkout: id(&row.checkout_id)?,
        owner: PlatformId(row.owner),
        page: page_token(&row.page)?,
        currency: currency(&row.currency)?,
        lines: lines.into_iter().map(line).collect::<QueryResult<_>>()?,
        expectations: from_text(&row.expectations)?,
        totals: from_text(&row.totals)?,
        attribution: from_text(&row.attribution)?,
        placed_at: instant(row.placed_at)?,
        events: events.into_iter().map(event).collect::<QueryResult<_>>()?,
    })
}

fn line(row: LineRow) -> QueryResult<OrderLine> {
    Ok(OrderLine {
        id: LineId(row.id),
        sku: sku(&row.sku)?,
        title: row.title,
        image_url: row.image_url,
        unit_price: Amount::new(row.unit_price),
        original: row.original,
        total: row.total,
        fulfilled: row.fulfilled,
        discount: Amount::new(row.discount),
    })
}

fn event(row: EventRow) -> QueryResult<OrderEvent> {
    let kind = match row.kind.as_str() {
        "placed" => OrderEventKind::Placed,
        "shipped" => OrderEventKind::Shipped(from_text::<Shipment>(&row.body)?),
        "adjusted" => OrderEventKind::Adjusted(from_text::<Adjustment>(&row.body)?),
        other => return Err(malformed(format!("{other:?} is no kind of order event"))),
    };
    Ok(OrderEvent { id: row.id, occurred_at: instant(row.occurred_at)?, kind })
}
