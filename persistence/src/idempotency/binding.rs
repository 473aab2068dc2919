//! The one resource that a key is bound to within an operation, and SQL for it.
//!
//! A binding counts while its key exists and has no outcome, or an outcome that may still be replayed. After that
//! another resource can take the binding over. Operations that create something have no resource and no bindings.

use diesel::QueryResult;
use diesel::prelude::*;
use diesel::sql_types::Text;
use domain::clock::Timestamp;
use domain::idempotency::KeyClaim;

use super::queries::{self, KeyId};
use crate::database::{Engine, Statement, Tx, execute, on_backend, update};
use crate::schema::idempotency_binding as bindings;
use crate::stored::millis;

/// Claims the key and binds it in one round trip. Returns no row if the key is not free. The claim comes first, because
/// the binding selects from it.
const CLAIM_AND_BIND: &str = "WITH claimed AS ( \
      INSERT INTO idempotency_key (principal, operation, idempotency_key, resource, created_at, fingerprint) \
      VALUES ($1, $2, $3, $4, $5, $6) \
      ON CONFLICT (principal, operation, resource, idempotency_key) DO NOTHING RETURNING resource) \
    INSERT INTO idempotency_binding (principal, operation, idempotency_key, resource, created_at) \
    SELECT $1, $2, $3, c.resource, $5 FROM claimed c ON CONFLICT (principal, operation, idempotency_key) \
    DO UPDATE SET created_at = excluded.created_at RETURNING resource";
/// Diesel would prepare an upsert again for each run.
const BIND: &str = "INSERT INTO idempotency_binding (principal, operation, idempotency_key, resource, created_at) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (principal, operation, idempotency_key) \
    DO UPDATE SET created_at = excluded.created_at RETURNING resource";

/// Claims a key if it is free, and binds it to the resource of the claim. `None` if the key is not free. The binding is
/// the same as that of [`bind`].
pub(super) fn claim(tx: &mut Tx<'_>, claim: &KeyClaim, now: Timestamp) -> QueryResult<Option<bool>> {
    if claim.resource.is_empty() || tx.engine() == Engine::Sqlite {
        return if queries::insert_once(tx, claim, now)? { bind(tx, claim, now).map(Some) } else { Ok(None) };
    }
    let statement = of_claim(CLAIM_AND_BIND, claim, now).text(&claim.fingerprint.0);
    let bound: Option<String> = on_backend!(tx, |conn| statement.get_result(*conn).optional())?;
    bound.map(|bound| is_bound(tx, claim, &bound, now)).transpose()
}

/// Binds a key that this transaction has claimed. False if the key is bound to another resource. Then the transaction,
/// and so the claim, must be rolled back.
///
/// The row is locked until the transaction ends, even if it existed before. If two claims of a key are for two
/// resources, the second claim waits for the first, and then sees its key.
pub(super) fn bind(tx: &mut Tx<'_>, claim: &KeyClaim, now: Timestamp) -> QueryResult<bool> {
    if claim.resource.is_empty() {
        return Ok(true);
    }
    let upsert = of_claim(BIND, claim, now);
    let bound: String = on_backend!(tx, |conn| upsert.get_result(*conn))?;
    is_bound(tx, claim, &bound, now)
}

fn of_claim(text: &'static str, claim: &KeyClaim, now: Timestamp) -> Statement<Text> {
    Statement::new(text)
        .text(&claim.principal)
        .text(claim.operation)
        .text(claim.key.as_str())
        .text(&claim.resource)
        .bigint(millis(now))
}

/// Whether the key, whose binding has the resource `bound` and is locked, is now bound to the resource of the claim.
fn is_bound(tx: &mut Tx<'_>, claim: &KeyClaim, bound: &str, now: Timestamp) -> QueryResult<bool> {
    if bound == claim.resource {
        return Ok(true);
    }
    // A separate statement, so that it sees what was committed while the upsert waited.
    if queries::is_in_use(tx, claim, bound, now)? {
        return Ok(false);
    }
    let change = update(bindings::table.find((&claim.principal, claim.operation, claim.key.as_str())))
        .set(bindings::resource.eq(&claim.resource));
    execute!(tx, change)?;
    Ok(true)
}

pub(super) fn delete(tx: &mut Tx<'_>, id: KeyId<'_>) -> QueryResult<()> {
    let target = bindings::table.find((id.principal, id.operation, id.key)).filter(bindings::resource.eq(id.resource));
    execute!(tx, diesel::delete(target)).map(drop)
}
