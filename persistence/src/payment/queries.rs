//! SQL for payment attempts.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Bool;
use domain::checkout::CheckoutId;
use domain::clock::Timestamp;
use domain::money::{Amount, Money};
use domain::payment::{
    Attempt, AttemptId, AttemptState, Credential, GatewayEvent, HandlerId, LONGEST_WAIT_UNSETTLED, PaymentReference,
};
use domain::secret::Secret;

use crate::database::{
    NO_LEASE, Tx, among, constant, execute, first, lease, lease_queue, load, lock, on_backend, update,
};
use crate::schema::{
    gateway_event as events, order_line, orders, payment_attempt as attempts, payment_instrument as instruments,
};
use crate::stored::{currency, id, instant, malformed, millis, word};

lease_queue!(attempts as AttemptRow, checks);

/// The predicates of the partial indexes on due attempts. Their text is equal to that of the migration, so both engines
/// use the indexes.
const IS_UNSETTLED: &str = "state IN ('opened', 'unknown')";
const IS_HELD: &str = "state = 'authorized'";

#[derive(Queryable, Selectable)]
#[diesel(table_name = attempts)]
pub(crate) struct AttemptRow {
    id: String,
    checkout_id: String,
    handler: String,
    amount: i64,
    currency: String,
    state: String,
    reference: Option<String>,
    checks: i32,
    claim_key: String,
    created_at: i64,
}

impl AttemptRow {
    /// The attempt, and the idempotency key of its completion.
    pub(crate) fn into_attempt(self) -> QueryResult<(Attempt, String)> {
        let attempt = Attempt {
            id: id(&self.id)?,
            checkout: id(&self.checkout_id)?,
            handler: HandlerId(self.handler),
            money: Money { amount: Amount::new(self.amount), currency: currency(&self.currency)? },
            state: word(&self.state)?,
            reference: self.reference.map(PaymentReference),
            checks: u32::try_from(self.checks).unwrap_or(0),
            created_at: instant(self.created_at)?,
        };
        Ok((attempt, self.claim_key))
    }
}

/// A claimed attempt, with the id of its row.
pub(super) type Claimed = (String, QueryResult<Attempt>);

fn claimed(row: AttemptRow) -> Claimed {
    (row.id.clone(), row.into_attempt().map(|(attempt, _)| attempt))
}

/// Stores an attempt with a lease of `owned_for` for its owner.
pub(crate) fn insert(tx: &mut Tx<'_>, attempt: &Attempt, claim_key: &str, owned_for: Duration) -> QueryResult<()> {
    let values = (
        attempts::id.eq(attempt.id.to_string()),
        attempts::checkout_id.eq(attempt.checkout.to_string()),
        attempts::handler.eq(attempt.handler.0.clone()),
        attempts::amount.eq(attempt.money.amount.minor()),
        attempts::currency.eq(attempt.money.currency.code()),
        attempts::state.eq(attempt.state.into_str()),
        attempts::checks.eq(0),
        attempts::claim_key.eq(claim_key.to_owned()),
        attempts::created_at.eq(millis(attempt.created_at)),
        attempts::due_at.eq(millis(attempt.created_at)),
        attempts::leased_until.eq(lease(tx, owned_for)),
    );
    tx.defer(diesel::insert_into(attempts::table).values(values))
}

/// Deletes an attempt that this transaction has inserted.
pub(crate) fn discard(tx: &mut Tx<'_>, id: &AttemptId) -> QueryResult<()> {
    execute!(tx, diesel::delete(attempts::table.find(id.as_str()))).map(drop)
}

/// The attempt and the idempotency key of its completion, locked until the transaction ends.
pub(crate) fn lock(tx: &mut Tx<'_>, id: &AttemptId) -> QueryResult<Option<(Attempt, String)>> {
    let query = attempts::table.find(id.as_str());
    let row: Option<AttemptRow> = lock!(tx, query.select(AttemptRow::as_select()))?;
    row.map(AttemptRow::into_attempt).transpose()
}

pub(crate) fn state(tx: &mut Tx<'_>, id: &AttemptId) -> QueryResult<Option<AttemptState>> {
    let query = attempts::table.find(id.as_str()).select(attempts::state);
    let state: Option<String> = first!(tx, query)?;
    state.as_deref().map(word).transpose()
}

/// Moves an attempt from one state to another and ends its lease. Does nothing if the attempt is in another state. The
/// due time matters only to unsettled and held attempts.
pub(crate) fn transition(
    tx: &mut Tx<'_>,
    id: &AttemptId,
    (from, to): (AttemptState, AttemptState),
    due_at: Option<Timestamp>,
) -> QueryResult<()> {
    let target = attempts::table.find(id.to_string()).filter(attempts::state.eq(from.into_str()));
    let change = update(target).set((
        attempts::state.eq(to.into_str()),
        due_at.map(|at| attempts::due_at.eq(millis(at))),
        attempts::leased_until.eq(NO_LEASE),
    ));
    tx.defer(change)
}

/// Makes the held payment of a checkout due now, because something was shipped, so that the payment is captured. A worker
/// that has claimed the payment can no longer postpone it.
pub(crate) fn capture_now(tx: &mut Tx<'_>, checkout: &CheckoutId, now: Timestamp) -> QueryResult<()> {
    let held = attempts::table
        .filter(attempts::checkout_id.eq(checkout.as_str()))
        .filter(attempts::state.eq(AttemptState::Authorized.into_str()));
    let change = update(held).set((attempts::due_at.eq(millis(now)), attempts::checks.eq(attempts::checks + 1)));
    execute!(tx, change).map(drop)
}

pub(super) fn set_reference(tx: &mut Tx<'_>, id: &AttemptId, reference: &PaymentReference) -> QueryResult<()> {
    let change = update(attempts::table.find(id.as_str())).set(attempts::reference.eq(&reference.0));
    execute!(tx, change).map(drop)
}

pub(super) fn claim_unsettled(
    tx: &mut Tx<'_>,
    now: Timestamp,
    length: Duration,
    limit: u32,
) -> QueryResult<Vec<Claimed>> {
    // Attempts with a due time too far ahead are checked now, because a check that comes too early does no harm.
    bring_forward(tx, IS_UNSETTLED, now + LONGEST_WAIT_UNSETTLED, now, limit)?;
    let rows = claim_due(tx, IS_UNSETTLED, now, length, limit)?;
    Ok(rows.into_iter().map(claimed).collect())
}

/// Claims held attempts that are due. A due time that is far ahead is not changed: a capture cannot be undone, and the
/// clock of this instance may be the wrong one.
pub(super) fn claim_held(tx: &mut Tx<'_>, now: Timestamp, length: Duration, limit: u32) -> QueryResult<Vec<Claimed>> {
    let rows = claim_due(tx, IS_HELD, now, length, limit)?;
    Ok(rows.into_iter().map(claimed).collect())
}

/// Makes a claimed attempt due at `at`, and ends its lease. Changes nothing after a later claim or a change of state.
pub(super) fn postpone(tx: &mut Tx<'_>, claimed: &Attempt, at: Timestamp) -> QueryResult<()> {
    let fence = i32::try_from(claimed.checks).map_err(|_| malformed("too many checks"))?;
    let target = fenced(claimed.id.as_str(), fence).filter(attempts::state.eq(claimed.state.into_str()));
    let change = update(target).set((attempts::due_at.eq(millis(at)), attempts::leased_until.eq(NO_LEASE)));
    execute!(tx, change).map(drop)
}

/// Whether the order of this checkout has a line with a quantity above zero.
pub(super) fn has_units(tx: &mut Tx<'_>, checkout: &CheckoutId) -> QueryResult<bool> {
    let of_order = orders::table.filter(orders::checkout_id.eq(checkout.as_str())).select(orders::id);
    #[expect(clippy::disallowed_methods, reason = "a subquery has no values")]
    let lines = order_line::table.filter(order_line::order_id.eq_any(of_order)).filter(order_line::total.gt(0)).count();
    let lines: i64 = on_backend!(tx, |conn| lines.get_result(*conn))?;
    Ok(lines > 0)
}

/// Stores a gateway event. False if it was stored before.
pub(super) fn insert_event(tx: &mut Tx<'_>, event: &GatewayEvent, now: Timestamp) -> QueryResult<bool> {
    let values = (
        events::id.eq(&event.id),
        events::reference.eq(event.reference.as_ref().map(|reference| &reference.0)),
        events::received_at.eq(millis(now)),
    );
    let insert = diesel::insert_into(events::table).values(values).on_conflict(events::id).do_nothing();
    Ok(execute!(tx, insert)? == 1)
}

/// Deletes at most ten events that were received before `before`. Runs after each insert of an event, so old events do
/// not accumulate.
pub(super) fn delete_old_events(tx: &mut Tx<'_>, before: Timestamp) -> QueryResult<()> {
    const AT_ONCE: i64 = 10;
    let old = events::table.filter(events::received_at.lt(millis(before))).limit(AT_ONCE).select(events::id);
    let ids: Vec<String> = load!(tx, old)?;
    if !ids.is_empty() {
        execute!(tx, diesel::delete(events::table.filter(among(events::id, ids))))?;
    }
    Ok(())
}

/// Makes the unsettled attempt with this reference due now. Does not change its lease.
pub(super) fn make_due(tx: &mut Tx<'_>, reference: &PaymentReference, now: Timestamp) -> QueryResult<()> {
    let target = attempts::table
        .filter(attempts::reference.eq(&reference.0).and(attempts::due_at.gt(millis(now))))
        .filter(constant::<Bool>(IS_UNSETTLED));
    let change = update(target).set(attempts::due_at.eq(millis(now)));
    execute!(tx, change).map(drop)
}

pub(super) fn stored_credential(tx: &mut Tx<'_>, id: &str, handler: &str) -> QueryResult<Option<Credential>> {
    let query = instruments::table
        .find(id)
        .filter(instruments::handler.eq(handler))
        .select((instruments::kind, instruments::token));
    let row: Option<(String, String)> = first!(tx, query)?;
    Ok(row.map(|(kind, token)| Credential { kind, token: Secret::new(token) }))
}
