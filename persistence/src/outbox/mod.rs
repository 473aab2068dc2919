//! The outbox: what is to be told of orders, and how far it got.
//!
//! A destination's row is always locked before any of its deliveries, so that claims and records wait for each other
//! and never deadlock. Whoever writes an order down only adds rows and waits for nobody.

mod operators;
mod queries;
mod rows;

use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::{RequestContext, TraceContext};
use domain::customer::Buyer;
use domain::fault::Fault;
use domain::order::Order;
use domain::outbox::{
    Channel, ClaimTerms, Claimed, Endpoint, EndpointSummary, FailureStreak, Finality, MAX_ATTEMPTS, MessageFilter,
    MessageState, MessageSummary, NotificationComposer, OutboxMessage, OutboxStore, Purged, Receipt, Recorded,
    Selection, SendOutcome, Step, endpoint_backoff, step,
};

use crate::database::{Database, Operation, Tx, TxError, engine_now};
use crate::stored::{malformed, millis};

/// Messages that are given up in the transaction that disables their destination: a long one would make every purchase
/// wait. The rest is left to the purge.
const GIVEN_UP_AT_ONCE: u32 = 500;
/// Why.
const DISABLED: &str = "the destination is disabled";

pub struct SqlOutboxStore {
    database: Database,
}

impl SqlOutboxStore {
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl OutboxStore for SqlOutboxStore {
    fn claim(&self, ctx: &RequestContext, channel: Channel, terms: ClaimTerms) -> PortFuture<Claimed, Fault> {
        let op = Operation::write("delivery.claim");
        self.database.run(ctx, op, move |tx| claim(tx, channel, terms))
    }

    fn record(
        &self,
        ctx: &RequestContext,
        message: &OutboxMessage,
        outcome: SendOutcome,
        now: Timestamp,
    ) -> PortFuture<Recorded, Fault> {
        let message = message.clone();
        self.database.run(ctx, Operation::write("delivery.record"), move |tx| record(tx, &message, &outcome, now))
    }

    fn list(&self, ctx: &RequestContext, filter: MessageFilter, limit: u32) -> PortFuture<Vec<MessageSummary>, Fault> {
        self.database.run(ctx, Operation::read("delivery.list"), move |tx| Ok(operators::list(tx, &filter, limit)?))
    }

    fn endpoints(
        &self,
        ctx: &RequestContext,
        one: Option<Endpoint>,
        limit: u32,
    ) -> PortFuture<Vec<EndpointSummary>, Fault> {
        let op = Operation::read("delivery.destinations");
        self.database.run(ctx, op, move |tx| Ok(operators::endpoints(tx, one.as_ref(), limit)?))
    }

    fn retry(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        let op = Operation::write("delivery.retry");
        self.database.run(ctx, op, move |tx| Ok(operators::retry(tx, &which, now, limit)?))
    }

    fn give_up(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        let op = Operation::write("delivery.give_up");
        self.database.run(ctx, op, move |tx| Ok(operators::give_up(tx, &which, now, limit)?))
    }

    fn forget(
        &self,
        ctx: &RequestContext,
        before: Timestamp,
        dead_before: Timestamp,
        limit: u32,
    ) -> PortFuture<Purged, Fault> {
        let op = Operation::write("delivery.forget");
        self.database.run(ctx, op, move |tx| Ok(clear_up(tx, before, dead_before, limit)?))
    }
}

/// Writes down what is to be told of the order's last event, in the transaction of the event, and whence the event came.
pub(crate) fn enqueue(
    tx: &mut Tx<'_>,
    composer: &dyn NotificationComposer,
    order: &Order,
    buyer: Option<&Buyer>,
    caused_by: TraceContext,
    now: Timestamp,
) -> diesel::QueryResult<()> {
    let Some(event) = order.events.last() else { return Ok(()) };
    let sequence = order.events.len() - 1;
    let notifications = composer.compose(order, event, buyer).map_err(|error| malformed(error.to_string()))?;
    for notification in notifications {
        let endpoint = notification.content.endpoint();
        let disabled = queries::endpoint_disabled(tx, &endpoint, notification.content.channel())?;
        // Nothing overtakes an older message of the same order that waits to be tried again.
        let older = if sequence == 0 { None } else { queries::latest_due(tx, &order.id, &endpoint)? };
        let row = rows::new(order, sequence, event.occurred_at, &notification, caused_by)?;
        queries::insert(tx, row.due(now, older).given_up_if(disabled, now))?;
    }
    Ok(())
}

fn clear_up(tx: &mut Tx<'_>, before: Timestamp, dead_before: Timestamp, limit: u32) -> diesel::QueryResult<Purged> {
    let mut cleared = Purged::default();
    while cleared.total() < limit {
        let Some((endpoint, disabled_at)) = queries::disabled_with_pending(tx)? else { break };
        let given_up = queries::give_up_pending(tx, &endpoint, DISABLED, disabled_at, limit - cleared.total())?;
        cleared.given_up.push((Endpoint(endpoint), given_up));
    }
    cleared.forgotten = queries::forget(tx, before, dead_before, limit - cleared.total())?;
    Ok(cleared)
}

fn claim(tx: &mut Tx<'_>, channel: Channel, terms: ClaimTerms) -> Result<Claimed, TxError<Fault>> {
    /// What killed the process on each of its tries is given up here, and a choice that others were faster with is made
    /// again; more than a few are left for the next pass.
    const MOST_CHOICES: usize = 10;
    let mut claim = Claimed::default();
    for _ in 0..MOST_CHOICES {
        let at = engine_now(tx)?;
        let Some(chosen) = queries::next_endpoint(tx, channel, &terms, at)? else { break };
        // Counted again under the lock: the choice was made on what was visible before it.
        if queries::leases(tx, &chosen.id, at)? >= chosen.leases(&terms) {
            continue;
        }
        let Some(found) = queries::next_message(tx, &chosen.id, terms.now, at)? else { continue };
        if found.tries() < MAX_ATTEMPTS {
            queries::grant(tx, vec![found.id.clone()], terms.lease)?;
            queries::served(tx, &chosen.id, terms.now)?;
            claim.message = Some(found.claimed(chosen.standing())?);
            break;
        }
        let error = found.last_error.clone().unwrap_or_else(|| "no try came to an end".to_owned());
        queries::end(tx, &found.id, MessageState::Dead, Some(&error), terms.now)?;
        claim.given_up.push(MessageSummary { state: MessageState::Dead, last_error: Some(error), ..found.summary()? });
    }
    Ok(claim)
}

fn record(
    tx: &mut Tx<'_>,
    message: &OutboxMessage,
    outcome: &SendOutcome,
    now: Timestamp,
) -> Result<Recorded, TxError<Fault>> {
    let endpoint = queries::lock_endpoint(tx, &message.content.endpoint().0)?;
    if let Some(meanwhile) = queries::meanwhile(tx, message)? {
        return Ok(Recorded::Stale(meanwhile));
    }
    let error = match outcome {
        SendOutcome::Failed(failure) => Some(failure.reason.as_str()),
        SendOutcome::Received(_) | SendOutcome::Interrupted => None,
    };
    let recorded = match step(message, outcome, endpoint.streak()?, now) {
        Step::End(state) => {
            queries::end(tx, message.id.as_str(), state, error, now)?;
            queries::release_newer(tx, message.id.as_str(), message.order.as_str(), &endpoint.id, now)?;
            Recorded::Ended(state)
        }
        Step::Again(at) => {
            queries::again(tx, message, at, message.attempts, error)?;
            queries::hold_newer(tx, message, at)?;
            Recorded::Again(at)
        }
        // As if it had not been claimed: else a few restarts would use up what was meant to last for days.
        Step::Uncounted(at) => {
            queries::again(tx, message, at, message.attempts.saturating_sub(1), error)?;
            queries::hold_newer(tx, message, at)?;
            Recorded::Again(at)
        }
        Step::Disable => {
            queries::disable(tx, &endpoint.id, now)?;
            // This one first: it may not be among those that have waited longest.
            queries::end(tx, message.id.as_str(), MessageState::Dead, error, now)?;
            let why = format!("{DISABLED}: {}", error.unwrap_or("no reason"));
            let others = queries::give_up_pending(tx, &endpoint.id, &why, millis(now), GIVEN_UP_AT_ONCE)?;
            Recorded::Disabled { others }
        }
    };
    match outcome {
        SendOutcome::Received(Receipt::Accepted) if endpoint.failures > 0 || endpoint.answered_at.is_none() => {
            queries::set_well(tx, &endpoint.id, now)?;
        }
        SendOutcome::Failed(failure) => {
            if let Finality::Again { after } = failure.finality {
                let streak = FailureStreak::with_failure(endpoint.streak()?, now);
                let rest = endpoint_backoff(streak.failures, after);
                let asked = endpoint_backoff(0, after);
                queries::set_failing(tx, &endpoint.id, streak, (rest, asked))?;
            }
        }
        SendOutcome::Received(_) | SendOutcome::Interrupted => {}
    }
    Ok(recorded)
}
