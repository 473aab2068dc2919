//! SQL for checkouts.

use diesel::prelude::*;
use domain::checkout::{Checkout, CheckoutId, Status};
use domain::clock::Timestamp;
use domain::id::PageToken;
use domain::payment::{Attempt, AttemptId};

use super::rows::{CheckoutRow, FINAL, OPEN};
use crate::database::{Tx, among, execute, first, load, lock, lock_free, update};
use crate::payment::AttemptRow;
use crate::schema::{checkout, payment_attempt};
use crate::stored::millis;

pub(super) fn insert(tx: &mut Tx<'_>, new: &Checkout) -> QueryResult<()> {
    let insert = diesel::insert_into(checkout::table).values(CheckoutRow::new(new)?);
    tx.defer(insert)
}

pub(super) fn find(tx: &mut Tx<'_>, id: &CheckoutId) -> QueryResult<Option<Checkout>> {
    let query = checkout::table.find(id.as_str());
    let row: Option<CheckoutRow> = first!(tx, query.select(CheckoutRow::as_select()))?;
    row.map(TryInto::try_into).transpose()
}

/// Returns the checkout, locked until the transaction ends. On SQLite the transaction already holds the only write
/// lock.
pub(super) fn lock(tx: &mut Tx<'_>, id: &CheckoutId) -> QueryResult<Option<Checkout>> {
    let query = checkout::table.find(id.as_str());
    let row: Option<CheckoutRow> = lock!(tx, query.select(CheckoutRow::as_select()))?;
    row.map(TryInto::try_into).transpose()
}

/// Returns an attempt, the idempotency key of its completion, and its checkout. The attempt is locked first, then the
/// checkout, until the transaction ends.
pub(super) fn lock_with_attempt(tx: &mut Tx<'_>, id: &AttemptId) -> QueryResult<Option<((Attempt, String), Checkout)>> {
    let of_attempt = checkout::id.eq(payment_attempt::checkout_id);
    let query = payment_attempt::table.inner_join(checkout::table.on(of_attempt));
    let query = query.filter(payment_attempt::id.eq(id.as_str()));
    let row: Option<(AttemptRow, CheckoutRow)> =
        lock!(tx, query.select((AttemptRow::as_select(), CheckoutRow::as_select())))?;
    row.map(|(attempt, checkout)| Ok((attempt.into_attempt()?, checkout.try_into()?))).transpose()
}

pub(super) fn find_by_page(tx: &mut Tx<'_>, page: &PageToken) -> QueryResult<Option<Checkout>> {
    let query = checkout::table.filter(checkout::page.eq(page.as_str()));
    let row: Option<CheckoutRow> = first!(tx, query.select(CheckoutRow::as_select()))?;
    row.map(TryInto::try_into).transpose()
}

/// Replaces the stored checkout, whose version must be one below that of `changed`. The row is locked, so any other
/// stored version is a bug.
pub(super) fn save(tx: &mut Tx<'_>, changed: &Checkout) -> QueryResult<()> {
    save_over(tx, changed, changed.version - 1)
}

/// Replaces the stored checkout, whose version must be `version`. Unlike [`save`], it can replace a version that this
/// transaction wrote itself.
pub(super) fn save_over(tx: &mut Tx<'_>, changed: &Checkout, version: i64) -> QueryResult<()> {
    let target = checkout::table.find(changed.id.to_string()).filter(checkout::version.eq(version));
    tx.defer_one(update(target).set(CheckoutRow::new(changed)?), format!("{} changed under its lock", changed.id))
}

/// Stores that a checkout became an order. Does not write the content of the checkout, which has not changed.
pub(super) fn save_order(tx: &mut Tx<'_>, completed: &Checkout) -> QueryResult<()> {
    let target = checkout::table.find(completed.id.to_string()).filter(checkout::version.eq(completed.version - 1));
    let change = update(target).set((
        checkout::status.eq(completed.status.into_str()),
        checkout::version.eq(completed.version),
        checkout::updated_at.eq(millis(completed.updated_at)),
        checkout::order_id.eq(completed.order.as_ref().map(|order| order.id.to_string())),
        checkout::order_page.eq(completed.order.as_ref().map(|order| order.page.as_str().to_owned())),
    ));
    tx.defer_one(change, format!("{} changed under its lock", completed.id))
}

/// Cancels at most `limit` open checkouts that have expired, and returns their number.
pub(super) fn cancel_expired(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> QueryResult<usize> {
    let query = checkout::table
        .filter(among(checkout::status, OPEN).and(checkout::expires_at.le(millis(now))))
        .select(checkout::id)
        .limit(i64::from(limit));
    let ids: Vec<String> = lock_free!(tx, query)?;
    let change = update(checkout::table.filter(among(checkout::id, &ids))).set((
        checkout::status.eq(Status::Canceled.into_str()),
        checkout::version.eq(checkout::version + 1),
        checkout::updated_at.eq(millis(now)),
    ));
    execute!(tx, change)
}

/// Deletes at most `limit` checkouts that ended before `before`, and returns their number. Their orders stay.
pub(super) fn forget(tx: &mut Tx<'_>, before: Timestamp, limit: u32) -> QueryResult<usize> {
    let query = checkout::table
        .filter(among(checkout::status, FINAL).and(checkout::updated_at.lt(millis(before))))
        .select(checkout::id)
        .limit(i64::from(limit));
    let ids: Vec<String> = load!(tx, query)?;
    let delete = diesel::delete(checkout::table.filter(among(checkout::id, &ids)));
    execute!(tx, delete)
}
