//! Claims of idempotency keys, made inside each write's transaction, and the purge of old keys.
//!
//! A claim locks the row of the key first, then the row that binds the key to a resource.
//!
//! [`once`] runs a keyed write. Only a completion claims its key in one transaction and stores the outcome in a later
//! one.

mod binding;
mod queries;

use diesel::QueryResult;
use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::fault::{Failure, Fault};
use domain::idempotency::{Answer, IdempotencyStore, KeyClaim, KeyRefusal, RETENTION, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::database::{Database, Decided, Operation, Tx, refuse};
use crate::stored::{count, from_text, millis, to_text};

/// The result of a claim.
pub(crate) enum Claimed<O> {
    /// The key is claimed. This transaction, or a later one, must store an outcome before it commits.
    New,
    /// The write was done before, and had this outcome.
    Answered(Box<O>),
    /// Another claim has the key, and its write has no outcome yet.
    InProgress,
    Refused(KeyRefusal),
}

/// Runs `body` in a transaction, once for each idempotency key, and stores its outcome with the key. A replay returns
/// the stored outcome, and `body` does not run. A refusal of `body` rolls back the claim, so that the key can be used
/// again.
pub(crate) fn once<O, R>(
    database: &Database,
    ctx: &RequestContext,
    operation: &'static str,
    write: Write,
    body: impl Fn(&mut Tx<'_>, Timestamp) -> Decided<O, R> + Send + Sync + 'static,
) -> PortFuture<Answer<O>, Failure<R>>
where
    O: Serialize + DeserializeOwned + Send + 'static,
    R: From<KeyRefusal> + Send + 'static,
{
    let op = Operation::repeatable_write(operation, "it claims an idempotency key first");
    database.run(ctx, op, move |tx| match claim(tx, &write.claim, write.now)? {
        Claimed::New => {
            let outcome = body(tx, write.now)?;
            store(tx, &write.claim, &outcome)?;
            Ok(Answer { outcome, replayed: false })
        }
        Claimed::Answered(outcome) => Ok(Answer { outcome: *outcome, replayed: true }),
        Claimed::InProgress => Err(refuse(KeyRefusal::InProgress.into())),
        Claimed::Refused(refusal) => Err(refuse(refusal.into())),
    })
}

/// Claims a key, or reports its state. Waits for a claim of a transaction that is still open, within the engine's
/// lock timeout. A transaction whose claim is refused must be rolled back.
pub(crate) fn claim<O: DeserializeOwned>(tx: &mut Tx<'_>, claim: &KeyClaim, now: Timestamp) -> QueryResult<Claimed<O>> {
    if let Some(is_bound) = binding::claim(tx, claim, now)? {
        return Ok(claimed_if(is_bound));
    }
    match queries::find(tx, claim)? {
        Some(found) if found.outcome.is_some() && found.created_at <= millis(now - RETENTION) => {
            if queries::renew(tx, claim, now)? {
                return Ok(claimed_if(binding::bind(tx, claim, now)?));
            }
            // Another claim was faster, so its result counts.
            match state_of(queries::find(tx, claim)?, claim)? {
                Claimed::New => Ok(Claimed::InProgress),
                state => Ok(state),
            }
        }
        // The key was released between the insert and this read.
        None => Ok(binding::claim(tx, claim, now)?.map_or(Claimed::InProgress, claimed_if)),
        found => state_of(found, claim),
    }
}

fn claimed_if<O>(is_bound: bool) -> Claimed<O> {
    if is_bound { Claimed::New } else { Claimed::Refused(KeyRefusal::Reused) }
}

/// Returns the state of a key without claiming it. `New` means that the key is free.
pub(crate) fn state<O: DeserializeOwned>(tx: &mut Tx<'_>, claim: &KeyClaim) -> QueryResult<Claimed<O>> {
    state_of(queries::find(tx, claim)?, claim)
}

fn state_of<O: DeserializeOwned>(found: Option<queries::Found>, claim: &KeyClaim) -> QueryResult<Claimed<O>> {
    let Some(found) = found else { return Ok(Claimed::New) };
    if found.fingerprint != claim.fingerprint.0 {
        return Ok(Claimed::Refused(KeyRefusal::Reused));
    }
    match found.outcome {
        None => Ok(Claimed::InProgress),
        Some(outcome) => Ok(Claimed::Answered(from_text(&outcome)?)),
    }
}

/// Stores the outcome of a claimed write, which every replay returns.
pub(crate) fn store<O: Serialize>(tx: &mut Tx<'_>, claim: &KeyClaim, outcome: &O) -> QueryResult<()> {
    queries::set_outcome(tx, KeyId::of(claim), &to_text(outcome)?, None)
}

/// Deletes at most `limit` keys that are older than `before`, with their bindings, and returns their number. A key
/// without an outcome is kept at any age.
fn purge(tx: &mut Tx<'_>, before: Timestamp, limit: u32) -> QueryResult<u32> {
    let old = queries::lock_old(tx, before, limit)?;
    for (principal, operation, resource, key) in &old {
        forget(tx, KeyId { principal, operation, resource, key })?;
    }
    Ok(count(old.len()))
}

/// Deletes a key and its binding, so that the key is free again.
pub(crate) fn forget(tx: &mut Tx<'_>, id: KeyId<'_>) -> QueryResult<()> {
    queries::delete(tx, id)?;
    binding::delete(tx, id)
}

pub(crate) use queries::{KeyId, set_outcome, stored_outcome};

/// The [`IdempotencyStore`] in the database.
pub struct SqlIdempotencyStore(pub Database);

impl IdempotencyStore for SqlIdempotencyStore {
    fn purge(&self, ctx: &RequestContext, before: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        self.0.run(ctx, Operation::write("idempotency.purge"), move |tx| Ok(purge(tx, before, limit)?))
    }

    fn age(&self, ctx: &RequestContext, key: String, hours: u32) -> PortFuture<u32, Fault> {
        self.0.run(ctx, Operation::write("idempotency.age"), move |tx| Ok(queries::age(tx, &key, hours)?))
    }
}
