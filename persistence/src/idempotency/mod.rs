//! Claims on keys, made inside each write's own transaction, and the upkeep of the records.
//!
//! A claim locks the row of the key first, then the row that binds the key to a resource.
//!
//! [`once`] is how a keyed write runs. Only a completion claims its key in one transaction and stores the outcome in a
//! later one.

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

use crate::database::{Database, Operation, Tx, TxError, refuse};
use crate::stored::{from_text, millis, to_text};

/// How a claim went.
pub(crate) enum Claimed<O> {
    /// It is ours; an outcome must be stored before this transaction, or a later one, commits.
    New,
    /// It was done before, with this outcome.
    Answered(Box<O>),
    /// Someone else has it and is not done.
    InProgress,
    Refused(KeyRefusal),
}

/// Runs `body` in a transaction, once for each idempotency key, and stores its outcome with the key. A repetition gets
/// the stored outcome, and `body` does not run. A refusal of `body` rolls back the claim, so that the key can be used
/// again.
pub(crate) fn once<O, R>(
    database: &Database,
    ctx: &RequestContext,
    operation: &'static str,
    write: Write,
    body: impl Fn(&mut Tx<'_>, Timestamp) -> Result<O, TxError<Failure<R>>> + Send + 'static,
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

/// Claims a key, or says who has it. A claim made by a transaction that is still open is waited for, within the
/// engine's lock timeout. A transaction whose claim is refused must be rolled back.
pub(crate) fn claim<O: DeserializeOwned>(tx: &mut Tx<'_>, claim: &KeyClaim, now: Timestamp) -> QueryResult<Claimed<O>> {
    let outlived = now - RETENTION;
    if queries::insert_once(tx, claim, now)? {
        return bound(tx, claim, outlived, now);
    }
    match queries::find(tx, claim)? {
        Some(found) if found.outcome.is_some() && found.created_at <= millis(outlived) => {
            if queries::renew(tx, claim, outlived, now)? {
                return bound(tx, claim, outlived, now);
            }
            // Another claim was faster; what it left there counts.
            match stands(queries::find(tx, claim)?, claim)? {
                Claimed::New => Ok(Claimed::InProgress),
                stands => Ok(stands),
            }
        }
        Some(found) if !found.bound && !claim.resource.is_empty() => {
            binding::bind_late(tx, claim, found.created_at)?;
            stands(Some(found), claim)
        }
        // Its owner gave it back between the insert and this look.
        None if queries::insert_once(tx, claim, now)? => bound(tx, claim, outlived, now),
        None => Ok(Claimed::InProgress),
        found => stands(found, claim),
    }
}

fn bound<O>(tx: &mut Tx<'_>, claim: &KeyClaim, outlived: Timestamp, now: Timestamp) -> QueryResult<Claimed<O>> {
    Ok(match binding::bind(tx, claim, outlived, now)? {
        true => Claimed::New,
        false => Claimed::Refused(KeyRefusal::Reused),
    })
}

/// How a key stands, without claiming it: `New` means that it is free.
pub(crate) fn standing<O: DeserializeOwned>(tx: &mut Tx<'_>, claim: &KeyClaim) -> QueryResult<Claimed<O>> {
    stands(queries::find(tx, claim)?, claim)
}

fn stands<O: DeserializeOwned>(found: Option<queries::Found>, claim: &KeyClaim) -> QueryResult<Claimed<O>> {
    let Some(found) = found else { return Ok(Claimed::New) };
    if found.fingerprint != claim.fingerprint.0 {
        return Ok(Claimed::Refused(KeyRefusal::Reused));
    }
    match found.outcome {
        None => Ok(Claimed::InProgress),
        Some(outcome) => Ok(Claimed::Answered(from_text(&outcome)?)),
    }
}

/// Fixes what every repetition of a claimed write is answered with.
pub(crate) fn store<O: Serialize>(tx: &mut Tx<'_>, claim: &KeyClaim, outcome: &O) -> QueryResult<()> {
    queries::set_outcome(tx, KeyId::of(claim), &to_text(outcome)?)
}

pub(crate) use queries::{KeyId, forget, set_outcome, stored_outcome};

pub struct SqlIdempotencyStore {
    database: Database,
}

impl SqlIdempotencyStore {
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl IdempotencyStore for SqlIdempotencyStore {
    fn purge(&self, ctx: &RequestContext, before: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        self.database.run(ctx, Operation::write("idempotency.purge"), move |tx| {
            let keys = queries::purge(tx, before, limit)?;
            // One can be more than the other while an older release runs beside this one.
            Ok(keys.max(binding::purge(tx, before, limit)?))
        })
    }

    fn age(&self, ctx: &RequestContext, key: String, hours: u32) -> PortFuture<u32, Fault> {
        self.database.run(ctx, Operation::write("idempotency.age"), move |tx| Ok(queries::age(tx, &key, hours)?))
    }
}
