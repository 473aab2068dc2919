//! Payment attempts, refunds, and the stored instruments of the simulated handler.

mod queries;
mod refund;

use std::time::Duration;

use diesel::QueryResult;
use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::fault::Fault;
use domain::payment::{
    Attempt, AttemptId, AttemptState, AttemptStore, AuthorizationEnd, AuthorizedAttempt, Credential, GatewayEvent,
    PaymentChoice, PaymentReference,
};

use crate::database::{Database, Operation, Tx, readable};

pub(crate) use queries::{AttemptRow, capture_now, discard, insert, lock, state, transition};
pub use refund::SqlRefundStore;

/// The [`AttemptStore`] in the database.
pub struct SqlAttemptStore(pub Database);

impl AttemptStore for SqlAttemptStore {
    fn record_reference(
        &self,
        ctx: &RequestContext,
        id: AttemptId,
        reference: PaymentReference,
    ) -> PortFuture<(), Fault> {
        let op = Operation::repeatable_write_one("payment.record_reference", "sets columns to fixed values");
        self.0.run(ctx, op, move |tx| Ok(queries::set_reference(tx, &id, &reference)?))
    }

    fn record_unknown(&self, ctx: &RequestContext, id: AttemptId, now: Timestamp) -> PortFuture<(), Fault> {
        let op = Operation::repeatable_write("payment.record_unknown", "changes only an opened attempt");
        self.0.run(ctx, op, move |tx| {
            // The owner gives up the attempt. An attempt that was settled meanwhile stays settled.
            let change = (AttemptState::Opened, AttemptState::Unknown);
            Ok(queries::transition(tx, &id, change, Some(now))?)
        })
    }

    fn claim_due(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> PortFuture<Vec<Attempt>, Fault> {
        let (op, log) = (Operation::write("payment.claim_due"), ctx.log().clone());
        self.0.run(ctx, op, move |tx| Ok(readable(&log, op, queries::claim_unsettled(tx, now, lease, limit)?)))
    }

    fn postpone(&self, ctx: &RequestContext, claimed: &Attempt, at: Timestamp) -> PortFuture<(), Fault> {
        let claimed = claimed.clone();
        let op = Operation::repeatable_write_one("payment.postpone", "sets columns to fixed values");
        self.0.run(ctx, op, move |tx| Ok(queries::postpone(tx, &claimed, at)?))
    }

    fn claim_authorized(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> PortFuture<Vec<AuthorizedAttempt>, Fault> {
        let (op, log) = (Operation::write("payment.claim_held"), ctx.log().clone());
        self.0.run(ctx, op, move |tx| {
            let held = readable(&log, op, queries::claim_held(tx, now, lease, limit)?).into_iter().map(|attempt| {
                let has_units = queries::has_units(tx, &attempt.checkout)?;
                Ok(AuthorizedAttempt { attempt, has_units })
            });
            Ok(held.collect::<QueryResult<_>>()?)
        })
    }

    fn record_captured(&self, ctx: &RequestContext, id: AttemptId, end: AuthorizationEnd) -> PortFuture<(), Fault> {
        let state = match end {
            AuthorizationEnd::Captured => AttemptState::Confirmed,
            AuthorizationEnd::Released => AttemptState::Released,
        };
        let op = Operation::repeatable_write("payment.record_captured", "changes only an authorized attempt");
        self.0.run(ctx, op, move |tx| Ok(queries::transition(tx, &id, (AttemptState::Authorized, state), None)?))
    }

    fn record_event(&self, ctx: &RequestContext, event: GatewayEvent, now: Timestamp) -> PortFuture<bool, Fault> {
        self.0.run(ctx, Operation::write("payment.record_event"), move |tx| Ok(record_event(tx, &event, now)?))
    }
}

/// How long gateway events are stored, so that a repeated event is recognized. Gateways stop repeating an event after a
/// few days.
const EVENTS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn record_event(tx: &mut Tx<'_>, event: &GatewayEvent, now: Timestamp) -> QueryResult<bool> {
    if !queries::insert_event(tx, event, now)? {
        return Ok(false);
    }
    queries::delete_old_events(tx, now - EVENTS_KEPT)?;
    if let Some(reference) = &event.reference {
        queries::make_due(tx, reference, now)?;
    }
    Ok(true)
}

/// The imported payment instruments of the simulated payment handler. A real gateway stores the instruments itself.
#[derive(Clone)]
pub struct SqlStoredInstruments(pub Database);

impl SqlStoredInstruments {
    /// The credential of the instrument that `choice` names, if it is stored under the same handler.
    pub fn credential(&self, ctx: &RequestContext, choice: &PaymentChoice) -> PortFuture<Option<Credential>, Fault> {
        let (id, handler) = (choice.instrument.id.clone(), choice.instrument.handler.0.clone());
        let op = Operation::read_one("payment.stored_credential");
        self.0.run(ctx, op, move |tx| Ok(queries::stored_credential(tx, &id, &handler)?))
    }
}
