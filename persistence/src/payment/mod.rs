//! Payment attempts, and the instruments that the simulated handler keeps on file.

mod queries;

use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::fault::Fault;
use domain::payment::{Attempt, AttemptId, Credential, PaymentAttempts, PaymentChoice, PaymentReference};

use crate::database::{Database, Operation};

pub(crate) use queries::{insert, lock, settle, state};

pub struct SqlPaymentAttempts {
    database: Database,
}

impl SqlPaymentAttempts {
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl PaymentAttempts for SqlPaymentAttempts {
    fn record_reference(
        &self,
        ctx: &RequestContext,
        id: AttemptId,
        reference: PaymentReference,
    ) -> PortFuture<(), Fault> {
        let op = Operation::repeatable_write("payment.record_reference");
        self.database.run(ctx, op, move |tx| Ok(queries::set_reference(tx, &id, &reference)?))
    }

    fn record_unknown(&self, ctx: &RequestContext, id: AttemptId, now: Timestamp) -> PortFuture<(), Fault> {
        let op = Operation::repeatable_write("payment.record_unknown");
        self.database.run(ctx, op, move |tx| Ok(queries::set_unknown(tx, &id, now)?))
    }

    fn claim_due(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        retry_at: Timestamp,
        limit: u32,
    ) -> PortFuture<Vec<Attempt>, Fault> {
        let op = Operation::write("payment.claim_due");
        self.database.run(ctx, op, move |tx| Ok(queries::claim_due(tx, now, retry_at, limit)?))
    }

    fn postpone(&self, ctx: &RequestContext, id: AttemptId, at: Timestamp) -> PortFuture<(), Fault> {
        let op = Operation::repeatable_write("payment.postpone");
        self.database.run(ctx, op, move |tx| Ok(queries::postpone(tx, &id, at)?))
    }
}

/// The imported instruments of the simulated payment handler. A real gateway keeps its own vault.
#[derive(Clone)]
pub struct SqlStoredInstruments {
    database: Database,
}

impl SqlStoredInstruments {
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// The credential of the instrument that `choice` names, if it is on file under the same handler.
    pub fn credential(&self, ctx: &RequestContext, choice: &PaymentChoice) -> PortFuture<Option<Credential>, Fault> {
        let (id, handler) = (choice.instrument.id.clone(), choice.instrument.handler.0.clone());
        let op = Operation::read("payment.stored_credential");
        self.database.run(ctx, op, move |tx| Ok(queries::stored_credential(tx, &id, &handler)?))
    }
}
