//! SQL for payment attempts.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use domain::clock::Timestamp;
use domain::money::{Amount, Money};
use domain::payment::{Attempt, AttemptId, AttemptState, Credential, HandlerId, PaymentReference};
use domain::secret::Secret;

use crate::checkout::rows::{attempt_id, checkout_id};
use crate::database::{Tx, on_backend};
use crate::schema::{payment_attempt as attempts, payment_instrument as instruments};
use crate::stored::{currency, instant, malformed, millis};

/// The states that the reconciler looks at.
const UNSETTLED: [&str; 2] = ["opened", "unknown"];
/// The same, to the letter as the index of due attempts has it: with parameters in their place, neither engine can know
/// that the index covers them.
const IS_UNSETTLED: &str = "state IN ('opened', 'unknown')";

#[derive(Queryable, Selectable)]
#[diesel(table_name = attempts)]
struct AttemptRow {
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
    /// The attempt, and the idempotency key that began it.
    fn into_attempt(self) -> QueryResult<(Attempt, String)> {
        let attempt = Attempt {
            id: attempt_id(&self.id)?,
            checkout: checkout_id(&self.checkout_id)?,
            handler: HandlerId(self.handler),
            money: Money { amount: Amount::new(self.amount), currency: currency(&self.currency)? },
            state: parse_state(&self.state)?,
            reference: self.reference.map(PaymentReference),
            checks: u32::try_from(self.checks).unwrap_or(0),
            created_at: instant(self.created_at)?,
        };
        Ok((attempt, self.claim_key))
    }
}

pub(crate) fn insert(tx: &mut Tx<'_>, attempt: &Attempt, claim_key: &str, due_at: Timestamp) -> QueryResult<()> {
    let values = (
        attempts::id.eq(attempt.id.as_str()),
        attempts::checkout_id.eq(attempt.checkout.as_str()),
        attempts::handler.eq(&attempt.handler.0),
        attempts::amount.eq(attempt.money.amount.minor()),
        attempts::currency.eq(attempt.money.currency.code()),
        attempts::state.eq(state_word(attempt.state)),
        attempts::checks.eq(0),
        attempts::claim_key.eq(claim_key),
        attempts::created_at.eq(millis(attempt.created_at)),
        attempts::due_at.eq(millis(due_at)),
    );
    on_backend!(tx, |conn| diesel::insert_into(attempts::table).values(values).execute(*conn))?;
    Ok(())
}

/// The attempt and the key that began it, locked until the transaction ends.
pub(crate) fn lock(tx: &mut Tx<'_>, id: &AttemptId) -> QueryResult<Option<(Attempt, String)>> {
    let query = attempts::table.find(id.as_str());
    let row: Option<AttemptRow> = match tx {
        Tx::Sqlite(conn) => query.select(AttemptRow::as_select()).first(*conn).optional()?,
        Tx::Postgres(conn) => query.select(AttemptRow::as_select()).for_update().first(*conn).optional()?,
    };
    row.map(AttemptRow::into_attempt).transpose()
}

pub(crate) fn state(tx: &mut Tx<'_>, id: &AttemptId) -> QueryResult<Option<AttemptState>> {
    let query = attempts::table.find(id.as_str()).select(attempts::state);
    let word: Option<String> = on_backend!(tx, |conn| query.first(*conn).optional())?;
    word.as_deref().map(parse_state).transpose()
}

pub(crate) fn settle(tx: &mut Tx<'_>, id: &AttemptId, state: AttemptState) -> QueryResult<()> {
    let update = diesel::update(attempts::table.find(id.as_str())).set(attempts::state.eq(state_word(state)));
    on_backend!(tx, |conn| update.execute(*conn))?;
    Ok(())
}

pub(super) fn set_reference(tx: &mut Tx<'_>, id: &AttemptId, reference: &PaymentReference) -> QueryResult<()> {
    let update = diesel::update(attempts::table.find(id.as_str())).set(attempts::reference.eq(&reference.0));
    on_backend!(tx, |conn| update.execute(*conn))?;
    Ok(())
}

/// Only from `opened`: whoever settled it meanwhile knows more.
pub(super) fn set_unknown(tx: &mut Tx<'_>, id: &AttemptId, now: Timestamp) -> QueryResult<()> {
    let target = attempts::table.find(id.as_str()).filter(attempts::state.eq(state_word(AttemptState::Opened)));
    let update = diesel::update(target)
        .set((attempts::state.eq(state_word(AttemptState::Unknown)), attempts::due_at.eq(millis(now))));
    on_backend!(tx, |conn| update.execute(*conn))?;
    Ok(())
}

pub(super) fn claim_due(tx: &mut Tx<'_>, now: Timestamp, retry_at: Timestamp, limit: u32) -> QueryResult<Vec<Attempt>> {
    let query = attempts::table
        .filter(sql::<Bool>(IS_UNSETTLED).and(attempts::due_at.le(millis(now))))
        .order(attempts::due_at)
        .limit(i64::from(limit));
    let rows: Vec<AttemptRow> = match tx {
        Tx::Sqlite(conn) => query.select(AttemptRow::as_select()).load(*conn)?,
        Tx::Postgres(conn) => query.select(AttemptRow::as_select()).for_update().skip_locked().load(*conn)?,
    };
    for row in &rows {
        let update = diesel::update(attempts::table.find(&row.id))
            .set((attempts::due_at.eq(millis(retry_at)), attempts::checks.eq(attempts::checks + 1)));
        on_backend!(tx, |conn| update.execute(*conn))?;
    }
    rows.into_iter().map(|row| Ok(row.into_attempt()?.0)).collect()
}

pub(super) fn postpone(tx: &mut Tx<'_>, id: &AttemptId, at: Timestamp) -> QueryResult<()> {
    let target = attempts::table.find(id.as_str()).filter(attempts::state.eq_any(UNSETTLED));
    let update = diesel::update(target).set(attempts::due_at.eq(millis(at)));
    on_backend!(tx, |conn| update.execute(*conn))?;
    Ok(())
}

pub(super) fn stored_credential(tx: &mut Tx<'_>, id: &str, handler: &str) -> QueryResult<Option<Credential>> {
    let query = instruments::table
        .find(id)
        .filter(instruments::handler.eq(handler))
        .select((instruments::kind, instruments::token));
    let row: Option<(String, String)> = on_backend!(tx, |conn| query.first(*conn).optional())?;
    Ok(row.map(|(kind, token)| Credential { kind, token: Secret::new(token) }))
}

fn state_word(state: AttemptState) -> &'static str {
    match state {
        AttemptState::Opened => UNSETTLED[0],
        AttemptState::Unknown => UNSETTLED[1],
        AttemptState::Authorized => "authorized",
        AttemptState::Confirmed => "confirmed",
        AttemptState::Released => "released",
        AttemptState::Declined => "declined",
        AttemptState::Cancelled => "cancelled",
    }
}

fn parse_state(word: &str) -> QueryResult<AttemptState> {
    [
        AttemptState::Opened,
        AttemptState::Unknown,
        AttemptState::Authorized,
        AttemptState::Confirmed,
        AttemptState::Released,
        AttemptState::Declined,
        AttemptState::Cancelled,
    ]
    .into_iter()
    .find(|state| state_word(*state) == word)
    .ok_or_else(|| malformed(format!("{word:?} is no state of an attempt")))
}
