//! SQL for the rows of idempotency keys.

use diesel::dsl::exists;
use diesel::prelude::*;
use domain::clock::Timestamp;
use domain::idempotency::{KeyClaim, RETENTION};

use crate::database::{Tx, execute, first, lock_free, on_backend, update};
use crate::schema::idempotency_key as keys;
use crate::stored::{count, millis};

/// The primary key of the row of an idempotency key.
#[derive(Clone, Copy)]
pub(crate) struct KeyId<'k> {
    pub(crate) principal: &'k str,
    pub(crate) operation: &'k str,
    pub(crate) resource: &'k str,
    pub(crate) key: &'k str,
}

impl<'k> KeyId<'k> {
    pub(super) fn of(claim: &'k KeyClaim) -> Self {
        let (principal, key) = (claim.principal.as_str(), claim.key.as_str());
        Self { principal, operation: claim.operation, resource: &claim.resource, key }
    }

    fn columns(self) -> (&'k str, &'k str, &'k str, &'k str) {
        (self.principal, self.operation, self.resource, self.key)
    }
}

pub(super) struct Found {
    pub(super) fingerprint: String,
    pub(super) outcome: Option<String>,
    pub(super) created_at: i64,
}

/// Claims a key if it is free. False if the key is not free. Never causes a unique violation, which would abort the
/// transaction on Postgres.
pub(super) fn insert_once(tx: &mut Tx<'_>, claim: &KeyClaim, now: Timestamp) -> QueryResult<bool> {
    let values = (
        keys::principal.eq(&claim.principal),
        keys::operation.eq(claim.operation),
        keys::resource.eq(&claim.resource),
        keys::key.eq(claim.key.as_str()),
        keys::fingerprint.eq(&claim.fingerprint.0),
        keys::created_at.eq(millis(now)),
    );
    let insert = diesel::insert_into(keys::table)
        .values(values)
        .on_conflict((keys::principal, keys::operation, keys::resource, keys::key))
        .do_nothing();
    Ok(execute!(tx, insert)? == 1)
}

pub(super) fn find(tx: &mut Tx<'_>, claim: &KeyClaim) -> QueryResult<Option<Found>> {
    let query =
        keys::table.find(KeyId::of(claim).columns()).select((keys::fingerprint, keys::outcome, keys::created_at));
    let row: Option<(String, Option<String>, i64)> = first!(tx, query)?;
    Ok(row.map(|(fingerprint, outcome, created_at)| Found { fingerprint, outcome, created_at }))
}

/// Whether the key has no outcome yet, or an outcome that may still be replayed.
pub(super) fn is_in_use(tx: &mut Tx<'_>, claim: &KeyClaim, resource: &str, now: Timestamp) -> QueryResult<bool> {
    let key = keys::table
        .find(KeyId { resource, ..KeyId::of(claim) }.columns())
        .filter(keys::outcome.is_null().or(keys::created_at.gt(millis(now - RETENTION))));
    let query = diesel::select(exists(key));
    on_backend!(tx, |conn| query.get_result(*conn))
}

/// Claims a key again whose outcome may not be replayed any more. Of several concurrent calls exactly one returns true.
pub(super) fn renew(tx: &mut Tx<'_>, claim: &KeyClaim, now: Timestamp) -> QueryResult<bool> {
    let target = keys::table
        .find(KeyId::of(claim).columns())
        .filter(keys::outcome.is_not_null().and(keys::created_at.le(millis(now - RETENTION))));
    let change = update(target).set((
        keys::fingerprint.eq(&claim.fingerprint.0),
        keys::outcome.eq(None::<String>),
        keys::created_at.eq(millis(now)),
    ));
    Ok(execute!(tx, change)? == 1)
}

/// Stores the outcome of a claimed key. With `since`, the age of the key begins at that time.
pub(crate) fn set_outcome(tx: &mut Tx<'_>, id: KeyId<'_>, outcome: &str, since: Option<Timestamp>) -> QueryResult<()> {
    let KeyId { principal, operation, resource, key } = id;
    let [principal, name, resource, key] = [principal, operation, resource, key].map(str::to_owned);
    // Without its outcome the key would be in progress for ever.
    let otherwise = format!("{operation} of {resource:?} has no such key");
    let values = (keys::outcome.eq(outcome.to_owned()), since.map(|since| keys::created_at.eq(millis(since))));
    tx.defer_one(update(keys::table.find((principal, name, resource, key))).set(values), otherwise)
}

pub(crate) fn stored_outcome(tx: &mut Tx<'_>, id: KeyId<'_>) -> QueryResult<Option<String>> {
    let query = keys::table.find(id.columns()).select(keys::outcome);
    let row: Option<Option<String>> = first!(tx, query)?;
    Ok(row.flatten())
}

pub(super) fn delete(tx: &mut Tx<'_>, id: KeyId<'_>) -> QueryResult<()> {
    execute!(tx, diesel::delete(keys::table.find(id.columns()))).map(drop)
}

/// Returns the primary keys of at most `limit` idempotency keys that have an outcome and are older than `before`, the
/// oldest first. Locks the rows, and skips rows that another transaction has locked.
pub(super) fn lock_old(
    tx: &mut Tx<'_>,
    before: Timestamp,
    limit: u32,
) -> QueryResult<Vec<(String, String, String, String)>> {
    let query = keys::table
        .filter(keys::created_at.lt(millis(before)).and(keys::outcome.is_not_null()))
        .order(keys::created_at)
        .select((keys::principal, keys::operation, keys::resource, keys::key))
        .limit(i64::from(limit));
    lock_free!(tx, query)
}

pub(super) fn age(tx: &mut Tx<'_>, key: &str, hours: u32) -> QueryResult<u32> {
    let by = i64::from(hours) * 60 * 60 * 1_000;
    let change = update(keys::table.filter(keys::key.eq(key))).set(keys::created_at.eq(keys::created_at - by));
    execute!(tx, change).map(count)
}
