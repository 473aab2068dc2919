//! Refunds. A refund is stored under the lock of its payment, so that the sum of the refunds never exceeds the payment.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::fault::{Failure, Fault};
use domain::money::{Amount, Money};
use domain::payment::{
    AttemptState, LONGEST_WAIT_REFUND, PaymentReference, Refund, RefundRefusal, RefundState, RefundStore, RefundWanted,
    may_refund,
};

use super::queries;
use crate::database::{
    Database, Decided, NO_LEASE, Operation, Tx, constant, execute, first, lease_queue, on_backend, readable, refuse,
    update,
};
use crate::schema::{payment_attempt, refund};
use crate::stored::{currency, id, instant, malformed, millis};

/// The [`RefundStore`] in the database.
pub struct SqlRefundStore(pub Database);

impl RefundStore for SqlRefundStore {
    fn request(&self, ctx: &RequestContext, wanted: RefundWanted) -> PortFuture<Refund, Failure<RefundRefusal>> {
        self.0.run(
            ctx,
            Operation::repeatable_write(
                "refund.request",
                "locks the attempt, and returns the stored refund if there is one",
            ),
            move |tx| request(tx, &wanted),
        )
    }

    fn claim_due(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> PortFuture<Vec<Refund>, Fault> {
        let (op, log) = (Operation::write("refund.claim_due"), ctx.log().clone());
        self.0.run(ctx, op, move |tx| Ok(readable(&log, op, claim(tx, now, lease, limit)?)))
    }

    fn record(
        &self,
        ctx: &RequestContext,
        claimed: &Refund,
        state: RefundState,
        at: Timestamp,
    ) -> PortFuture<(), Fault> {
        let claimed = claimed.clone();
        self.0.run(ctx, Operation::repeatable_write("refund.record", "sets columns to fixed values"), move |tx| {
            Ok(record(tx, &claimed, &state, at)?)
        })
    }
}

lease_queue!(refund as RefundRow, tries);

/// The predicate of the partial index on due refunds. The text is equal to that of the migration.
const IS_OPEN: &str = "refund.state IN ('requested', 'pending')";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = refund, treat_none_as_default_value = false)]
struct RefundRow {
    id: String,
    attempt_id: String,
    amount: i64,
    currency: String,
    state: String,
    reason: Option<String>,
    tries: i32,
    created_at: i64,
}

fn request(tx: &mut Tx<'_>, wanted: &RefundWanted) -> Decided<Refund, RefundRefusal> {
    let (attempt, _) = queries::lock(tx, &wanted.attempt)?.ok_or_else(|| refuse(RefundRefusal::NotCaptured))?;
    let reference = attempt.reference.filter(|_| attempt.state == AttemptState::Confirmed);
    let reference = reference.ok_or_else(|| refuse(RefundRefusal::NotCaptured))?;
    let query = refund::table.find(wanted.id.as_str());
    let known: Option<RefundRow> = first!(tx, query.select(RefundRow::as_select()))?;
    if let Some(row) = known {
        if row.attempt_id != wanted.attempt.as_str() {
            return Err(malformed(format!("{} is a refund of {}", wanted.id, row.attempt_id)).into());
        }
        return Ok(row.into_refund(reference)?);
    }
    may_refund(attempt.money.amount, refunded(tx, wanted)?, wanted.amount).map_err(refuse)?;
    let row = RefundRow {
        id: wanted.id.to_string(),
        attempt_id: wanted.attempt.to_string(),
        amount: wanted.amount.minor(),
        currency: attempt.money.currency.code().to_owned(),
        state: "requested".to_owned(),
        reason: None,
        tries: 0,
        created_at: millis(wanted.now),
    };
    let due = refund::due_at.eq(millis(wanted.now));
    execute!(tx, diesel::insert_into(refund::table).values((&row, due)))?;
    Ok(row.into_refund(reference)?)
}

/// The sum of the payment's refunds that have succeeded or may still succeed.
fn refunded(tx: &mut Tx<'_>, wanted: &RefundWanted) -> QueryResult<Amount> {
    let query = refund::table
        .filter(refund::attempt_id.eq(wanted.attempt.as_str()).and(refund::state.ne("failed")))
        .select(constant::<BigInt>("CAST(COALESCE(SUM(amount), 0) AS BIGINT)"));
    Ok(Amount::new(on_backend!(tx, |conn| query.first(*conn))?))
}

/// Claims due refunds, each with the id of its row.
fn claim(
    tx: &mut Tx<'_>,
    now: Timestamp,
    length: Duration,
    limit: u32,
) -> QueryResult<Vec<(String, QueryResult<Refund>)>> {
    bring_forward(tx, IS_OPEN, now + LONGEST_WAIT_REFUND, now, limit)?;
    let rows = claim_due(tx, IS_OPEN, now, length, limit)?;
    let claimed = |row: RefundRow| {
        let query = payment_attempt::table.find(&row.attempt_id).select(payment_attempt::reference);
        let reference: Option<String> = on_backend!(tx, |conn| query.first(*conn))?;
        let reference = reference.ok_or_else(|| malformed("a refund of a payment without a reference"));
        Ok((row.id.clone(), reference.and_then(|reference| row.into_refund(PaymentReference(reference)))))
    };
    rows.into_iter().map(claimed).collect()
}

/// Records the state of a claimed refund. Changes nothing after a later claim, or once the refund has ended.
fn record(tx: &mut Tx<'_>, claimed: &Refund, state: &RefundState, at: Timestamp) -> QueryResult<()> {
    let fence = i32::try_from(claimed.tries).map_err(|_| malformed("too many tries"))?;
    let (word, reason) = match state {
        RefundState::Requested => ("requested", None),
        RefundState::Pending => ("pending", None),
        RefundState::Succeeded => ("succeeded", None),
        RefundState::Failed(reason) => ("failed", Some(reason)),
    };
    let target = fenced(claimed.id.as_str(), fence).filter(constant::<Bool>(IS_OPEN));
    let change = update(target).set((
        refund::state.eq(word),
        refund::reason.eq(reason),
        refund::due_at.eq(millis(at)),
        refund::leased_until.eq(NO_LEASE),
    ));
    execute!(tx, change).map(drop)
}

impl RefundRow {
    fn into_refund(self, reference: PaymentReference) -> QueryResult<Refund> {
        let state = match self.state.as_str() {
            "requested" => RefundState::Requested,
            "pending" => RefundState::Pending,
            "succeeded" => RefundState::Succeeded,
            "failed" => RefundState::Failed(self.reason.unwrap_or_default()),
            other => return Err(malformed(format!("{other:?} is no state of a refund"))),
        };
        Ok(Refund {
            id: id(&self.id)?,
            attempt: id(&self.attempt_id)?,
            reference,
            money: Money { amount: Amount::new(self.amount), currency: currency(&self.currency)? },
            state,
            tries: u32::try_from(self.tries).unwrap_or(0),
            created_at: instant(self.created_at)?,
        })
    }
}
