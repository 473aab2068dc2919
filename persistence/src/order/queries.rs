//! SQL for orders.

use diesel::prelude::*;
use domain::checkout::CheckoutRequest;
use domain::id::PageToken;
use domain::order::{Order, OrderId};

use super::rows::{self, EventRow, LineRow, OrderRow};
use crate::database::{Tx, first, insert_all, load, lock, update};
use crate::schema::{order_event, order_line, orders};

/// The most events that are read for an order. Earlier releases stored one event more than the limit.
const STORED_EVENTS: i64 = Order::MAX_EVENTS as i64 + 1;

pub(crate) fn insert(tx: &mut Tx<'_>, order: &Order) -> QueryResult<()> {
    let row = rows::OrderRow::new(order)?;
    tx.defer(diesel::insert_into(orders::table).values(row))?;
    let lines = rows::line_rows(order);
    insert_all!(tx, order_line::table, lines)?;
    append_events(tx, order, 0)
}

pub(super) fn find(tx: &mut Tx<'_>, id: &OrderId) -> QueryResult<Option<Order>> {
    let query = orders::table.find(id.as_str());
    let row: Option<OrderRow> = first!(tx, query.select(OrderRow::as_select()))?;
    row.map(|row| whole(tx, row)).transpose()
}

pub(super) fn find_by_page(tx: &mut Tx<'_>, page: &PageToken) -> QueryResult<Option<Order>> {
    let query = orders::table.filter(orders::page.eq(page.as_str()));
    let row: Option<OrderRow> = first!(tx, query.select(OrderRow::as_select()))?;
    row.map(|row| whole(tx, row)).transpose()
}

/// Returns the order, locked until the transaction ends. On SQLite the transaction already holds the only write lock.
pub(super) fn lock(tx: &mut Tx<'_>, id: &OrderId) -> QueryResult<Option<Order>> {
    let query = orders::table.find(id.as_str());
    let row: Option<OrderRow> = lock!(tx, query.select(OrderRow::as_select()))?;
    row.map(|row| whole(tx, row)).transpose()
}

fn whole(tx: &mut Tx<'_>, row: OrderRow) -> QueryResult<Order> {
    let lines = order_line::table
        .filter(order_line::order_id.eq(&row.id))
        .order(order_line::position)
        .limit(CheckoutRequest::MAX_LINES as i64);
    let lines: Vec<LineRow> = load!(tx, lines.select(LineRow::as_select()))?;
    let events =
        order_event::table.filter(order_event::order_id.eq(&row.id)).order(order_event::sequence).limit(STORED_EVENTS);
    let events: Vec<EventRow> = load!(tx, events)?;
    rows::order(row, lines, events)
}

pub(super) fn update_lines(tx: &mut Tx<'_>, order: &Order) -> QueryResult<()> {
    for line in rows::line_rows(order) {
        let change = update(order_line::table.find((line.order_id, line.position)))
            .set((order_line::total.eq(line.total), order_line::fulfilled.eq(line.fulfilled)));
        tx.defer(change)?;
    }
    Ok(())
}

/// Stores the events of the order from index `first` on.
pub(super) fn append_events(tx: &mut Tx<'_>, order: &Order, first: usize) -> QueryResult<()> {
    let events = rows::event_rows(order, first)?;
    insert_all!(tx, order_event::table, events)
}
