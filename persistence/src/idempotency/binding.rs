//! The one resource that a key is bound to within an operation, and SQL for it.
//!
//! A binding counts while its key exists and its outcome may be replayed. After that another resource takes the
//! binding over. Operations that create something have no resource and no bindings.

use diesel::QueryResult;
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::upsert::excluded;
use domain::clock::Timestamp;
use domain::idempotency::KeyClaim;

use super::queries::{self, KeyId};
use crate::database::{Tx, execute, lock_free, on_backend};
use crate::schema::{idempotency_binding as bindings, idempotency_key as keys};
use crate::stored::{count, millis};

/// Binds a key that this transaction has claimed. False if the key is bound to another resource; the transaction must
/// then be rolled back, and the claim with it.
///
/// The row is locked until the transaction ends, also if it existed before. Of two claims for two resources the
/// second waits for the first, and then sees its key.
pub(super) fn bind(tx: &mut Tx<'_>, claim: &KeyClaim, outlived: Timestamp, now: Timestamp) -> QueryResult<bool> {
    if claim.resource.is_empty() {
        return Ok(true);
    }
    let upsert = diesel::insert_into(bindings::table)
        .values(row(claim, millis(now)))
        .on_conflict((bindings::principal, bindings::operation, bindings::key))
        .do_update()
        .set(bindings::created_at.eq(excluded(bindings::created_at)))
        .returning(bindings::resource);
    let resource: String = on_backend!(tx, |conn| upsert.get_result(*conn))?;
    if resource == claim.resource {
        return Ok(true);
    }
    // A separate statement, so that it sees what was committed while the statement before it waited.
    if queries::counts(tx, claim, &resource, outlived)? {
        return Ok(false);
    }
    let update = diesel::update(bindings::table.find((&claim.principal.0, claim.operation, claim.key.as_str())))
        .set(bindings::resource.eq(&claim.resource));
    execute!(tx, update)?;
    Ok(true)
}

/// Binds a key that was claimed at `created_at` by a release without bindings.
pub(super) fn bind_late(tx: &mut Tx<'_>, claim: &KeyClaim, created_at: i64) -> QueryResult<()> {
    let insert = diesel::insert_into(bindings::table)
        .values(row(claim, created_at))
        .on_conflict((bindings::principal, bindings::operation, bindings::key))
        .do_nothing();
    execute!(tx, insert).map(drop)
}

type Row<'c> = (
    diesel::dsl::Eq<bindings::principal, &'c str>,
    diesel::dsl::Eq<bindings::operation, &'c str>,
    diesel::dsl::Eq<bindings::key, &'c str>,
    diesel::dsl::Eq<bindings::resource, &'c str>,
    diesel::dsl::Eq<bindings::created_at, i64>,
);

fn row(claim: &KeyClaim, created_at: i64) -> Row<'_> {
    (
        bindings::principal.eq(claim.principal.0.as_str()),
        bindings::operation.eq(claim.operation),
        bindings::key.eq(claim.key.as_str()),
        bindings::resource.eq(claim.resource.as_str()),
        bindings::created_at.eq(created_at),
    )
}

pub(super) fn delete(tx: &mut Tx<'_>, id: KeyId<'_>) -> QueryResult<()> {
    let target = bindings::table.find((id.principal, id.operation, id.key)).filter(bindings::resource.eq(id.resource));
    execute!(tx, diesel::delete(target)).map(drop)
}

/// Deletes old bindings whose key was purged, here or by a release without bindings.
pub(super) fn purge(tx: &mut Tx<'_>, before: Timestamp, limit: u32) -> QueryResult<u32> {
    type Row = (String, String, String, String);
    let key = keys::table.filter(
        keys::principal
            .eq(bindings::principal)
            .and(keys::operation.eq(bindings::operation))
            .and(keys::resource.eq(bindings::resource))
            .and(keys::key.eq(bindings::key)),
    );
    let query = bindings::table
        .filter(bindings::created_at.lt(millis(before)).and(not(exists(key))))
        .order(bindings::created_at)
        .select((bindings::principal, bindings::operation, bindings::resource, bindings::key))
        .limit(i64::from(limit));
    let old: Vec<Row> = lock_free!(tx, query)?;
    for (principal, operation, resource, key) in &old {
        delete(tx, KeyId { principal, operation, resource, key })?;
    }
    Ok(count(old.len()))
}
