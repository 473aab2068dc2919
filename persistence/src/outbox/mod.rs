//! The outbox: messages about orders, and the state of their delivery.
//!
//! The row of an endpoint is locked before its messages, so that claims and records wait for each other and never
//! deadlock. A transaction that stores an order only adds rows. It waits for a lock only if the endpoint is disabled. A
//! transaction that stores a later event also waits for the oldest pending message of its order. If it stores several
//! events while their endpoint becomes disabled, it may deadlock with an operator or a purge, and runs again.

mod claim;
mod operators;
mod queries;
mod record;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::{RequestContext, TraceContext};
use domain::customer::Buyer;
use domain::fault::Fault;
use domain::order::Order;
use domain::outbox::{
    Channel, ClaimTerms, Claimed, Endpoint, EndpointSummary, MessageFilter, MessageSummary, NotificationComposer,
    OutboxMessage, OutboxStore, Purged, Recorded, Selection, SendOutcome,
};
use domain::page::{Cursor, Limit, Page};

use slog::warn;

use crate::database::{Batch, Database, Done, Operation, Tx};
use crate::stored::{malformed, millis};

/// The longest time for a claim. All claims and records of the process wait for it.
const TIME_TO_CLAIM: Duration = Duration::from_secs(5);
/// The longest time to release the lease of a message whose claim has no caller any more.
const TIME_TO_RELEASE: Duration = Duration::from_secs(1);
/// The error of messages to a disabled endpoint.
const DISABLED: &str = "the destination is disabled";

/// The [`OutboxStore`] in the database. Claims that wait at the same time are one transaction, and so are records. A
/// process runs one of these transactions at a time, because all of them lock the rows of the same endpoints.
pub struct SqlOutboxStore {
    database: Database,
    claims: Arc<Batch<(Channel, ClaimTerms), Claimed>>,
    records: Arc<Batch<(OutboxMessage, SendOutcome), Recorded>>,
}

impl SqlOutboxStore {
    pub fn new(database: Database) -> Self {
        let leader = Arc::default();
        Self { database, claims: Arc::new(Batch::new(Arc::clone(&leader))), records: Arc::new(Batch::new(leader)) }
    }
}

impl OutboxStore for SqlOutboxStore {
    fn claim(&self, ctx: &RequestContext, channel: Channel, terms: ClaimTerms) -> PortFuture<Claimed, Fault> {
        let (database, ctx, claims) = (self.database.clone(), ctx.at_most(TIME_TO_CLAIM), Arc::clone(&self.claims));
        Box::pin(async move {
            let joins = |(other, others): &(Channel, ClaimTerms)| *other == channel && others.joins(&terms);
            let op = Operation::write("outbox.claim");
            let run = |calls: Vec<_>| database.run(&ctx, op, move |tx| claim::claim(tx, channel, terms, calls.len()));
            let Done { result, unclaimed } = claims.call(&ctx, op.name, (channel, terms), joins, run).await?;
            // The leases of these messages would keep every other worker away until they end.
            let unsent = unclaimed.into_iter().filter_map(|claimed| claimed.message);
            let attempts: Vec<_> = unsent.map(|message| (message, SendOutcome::Interrupted)).collect();
            if !attempts.is_empty() {
                let (ctx, op) = (ctx.must_finish(TIME_TO_RELEASE), Operation::write("outbox.record"));
                let released: Result<Vec<Recorded>, Fault> =
                    database.run(&ctx, op, move |tx| record::record(tx, &attempts, terms.now)).await;
                if let Err(fault) = released {
                    warn!(ctx.log(), "claimed messages keep their leases until they end"; "op" => fault.operation(),
                        "error_code" => fault.kind().into_str(), "error" => fault.chain());
                }
            }
            Ok(result)
        })
    }

    fn record(
        &self,
        ctx: &RequestContext,
        message: &OutboxMessage,
        outcome: SendOutcome,
        now: Timestamp,
    ) -> PortFuture<Recorded, Fault> {
        let (database, ctx, records) = (self.database.clone(), ctx.clone(), Arc::clone(&self.records));
        let attempt = (message.clone(), outcome);
        Box::pin(async move {
            let op = Operation::write("outbox.record");
            let run = |attempts: Vec<_>| database.run(&ctx, op, move |tx| record::record(tx, &attempts, now));
            records.call(&ctx, op.name, attempt, |_| true, run).await.map(|done| done.result)
        })
    }

    fn list(
        &self,
        ctx: &RequestContext,
        filter: MessageFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Page<MessageSummary>, Fault> {
        let op = Operation::read("outbox.list");
        self.database.run(ctx, op, move |tx| Ok(operators::list(tx, &filter, after.as_ref(), limit)?))
    }

    fn endpoint(&self, ctx: &RequestContext, name: Endpoint) -> PortFuture<Option<EndpointSummary>, Fault> {
        self.database.run(ctx, Operation::read("outbox.endpoint"), move |tx| Ok(operators::endpoint(tx, &name)?))
    }

    fn endpoints(
        &self,
        ctx: &RequestContext,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Page<EndpointSummary>, Fault> {
        let op = Operation::read("outbox.endpoints");
        self.database.run(ctx, op, move |tx| Ok(operators::endpoints(tx, after.as_ref(), limit)?))
    }

    fn retry(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        let op = Operation::write("outbox.retry");
        self.database.run(ctx, op, move |tx| Ok(operators::retry(tx, &which, now, limit)?))
    }

    fn give_up(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        let op = Operation::write("outbox.give_up");
        self.database.run(ctx, op, move |tx| Ok(operators::give_up(tx, &which, now, limit)?))
    }

    fn forget(
        &self,
        ctx: &RequestContext,
        before: Timestamp,
        dead_before: Timestamp,
        limit: u32,
    ) -> PortFuture<Purged, Fault> {
        let op = Operation::write("outbox.purge");
        self.database.run(ctx, op, move |tx| Ok(purge(tx, before, dead_before, limit)?))
    }
}

/// The messages about an event, which the transaction that stores the event must [`store`](Self::store).
#[must_use = "messages that are not stored are never sent"]
pub(crate) struct Messages(Vec<rows::DeliveryRow>);

impl Messages {
    pub(crate) fn store(self, tx: &mut Tx<'_>) -> diesel::QueryResult<()> {
        queries::insert(tx, self.0)
    }
}

/// Stores the messages about the last event of the order, in the transaction that stores the event. `caused_by` is the
/// trace of the request that caused the event.
pub(crate) fn enqueue(
    tx: &mut Tx<'_>,
    composer: &dyn NotificationComposer,
    order: &Order,
    caused_by: TraceContext,
    now: Timestamp,
) -> diesel::QueryResult<()> {
    messages(tx, composer, order, None, caused_by, now)?.store(tx)
}

/// Returns the messages about the last event of the order, and creates the rows of their endpoints. With `buyer` also the
/// messages to the buyer.
pub(crate) fn messages(
    tx: &mut Tx<'_>,
    composer: &dyn NotificationComposer,
    order: &Order,
    buyer: Option<&Buyer>,
    caused_by: TraceContext,
    now: Timestamp,
) -> diesel::QueryResult<Messages> {
    let mut messages = Vec::new();
    let Some(event) = order.events.last() else { return Ok(Messages(messages)) };
    let sequence = order.events.len() - 1;
    let notifications = composer.compose(order, event, buyer).map_err(|error| malformed(error.to_string()))?;
    let to: Vec<_> = notifications.iter().map(|one| (one.content.endpoint(), one.content.channel())).collect();
    if to.is_empty() {
        return Ok(Messages(messages));
    }
    let disabled = queries::ensure_endpoints(tx, &to)?;
    for (notification, (endpoint, _)) in notifications.iter().zip(&to) {
        // No message overtakes an older message of the same order that is waiting for its next attempt.
        let older = if sequence == 0 { None } else { queries::latest_due(tx, &order.id, endpoint)? };
        let due_at = older.unwrap_or(i64::MIN).max(millis(now));
        let row = rows::new(order, sequence, notification, caused_by, due_at)?;
        messages.push(if disabled.contains(endpoint) { row.dead(DISABLED, now) } else { row });
    }
    Ok(Messages(messages))
}

fn purge(tx: &mut Tx<'_>, before: Timestamp, dead_before: Timestamp, limit: u32) -> diesel::QueryResult<Purged> {
    let mut cleared = Purged::default();
    while cleared.total() < limit {
        let Some((endpoint, disabled_at)) = queries::disabled_with_pending(tx)? else { break };
        let given_up = queries::end_pending(tx, &endpoint, DISABLED, disabled_at, limit - cleared.total())?;
        cleared.given_up.push((Endpoint(endpoint), given_up));
    }
    cleared.forgotten = queries::forget(tx, before, dead_before, limit - cleared.total())?;
    Ok(cleared)
}
