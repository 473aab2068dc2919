//! The outbox: messages about orders, and the state of their delivery.
//!
//! The row of an endpoint is always locked before its messages, so that claims and records wait for each other and
//! never deadlock. A transaction that stores an order only adds rows, and waits for no lock.

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
    MessageState, MessageSummary, NextStep, NotificationComposer, OutboxMessage, OutboxStore, Purged, Receipt,
    Recorded, Selection, SendOutcome, endpoint_backoff, next_step,
};
use domain::page::{Cursor, Limit, Page};

use crate::database::{Database, Operation, Tx, TxError, engine_now};
use crate::stored::{malformed, millis};

/// The most pending messages that become dead letters in the transaction that disables their endpoint. A longer
/// transaction would delay purchases. The purge makes the other pending messages dead letters.
const ENDED_AT_ONCE: u32 = 500;
/// The error of messages to a disabled endpoint.
const DISABLED: &str = "the destination is disabled";

/// The [`OutboxStore`] in the database.
pub struct SqlOutboxStore(pub Database);

impl OutboxStore for SqlOutboxStore {
    fn claim(&self, ctx: &RequestContext, channel: Channel, terms: ClaimTerms) -> PortFuture<Claimed, Fault> {
        let op = Operation::write("outbox.claim");
        self.0.run(ctx, op, move |tx| claim(tx, channel, terms))
    }

    fn record(
        &self,
        ctx: &RequestContext,
        message: &OutboxMessage,
        outcome: SendOutcome,
        now: Timestamp,
    ) -> PortFuture<Recorded, Fault> {
        let message = message.clone();
        self.0.run(ctx, Operation::write("outbox.record"), move |tx| record(tx, &message, &outcome, now))
    }

    fn list(
        &self,
        ctx: &RequestContext,
        filter: MessageFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Page<MessageSummary>, Fault> {
        let op = Operation::read("outbox.list");
        self.0.run(ctx, op, move |tx| Ok(operators::list(tx, &filter, after.as_ref(), limit)?))
    }

    fn endpoint(&self, ctx: &RequestContext, name: Endpoint) -> PortFuture<Option<EndpointSummary>, Fault> {
        self.0.run(ctx, Operation::read("outbox.endpoint"), move |tx| Ok(operators::endpoint(tx, &name)?))
    }

    fn endpoints(
        &self,
        ctx: &RequestContext,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Page<EndpointSummary>, Fault> {
        let op = Operation::read("outbox.endpoints");
        self.0.run(ctx, op, move |tx| Ok(operators::endpoints(tx, after.as_ref(), limit)?))
    }

    fn retry(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        let op = Operation::write("outbox.retry");
        self.0.run(ctx, op, move |tx| Ok(operators::retry(tx, &which, now, limit)?))
    }

    fn give_up(&self, ctx: &RequestContext, which: Selection, now: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        let op = Operation::write("outbox.give_up");
        self.0.run(ctx, op, move |tx| Ok(operators::give_up(tx, &which, now, limit)?))
    }

    fn forget(
        &self,
        ctx: &RequestContext,
        before: Timestamp,
        dead_before: Timestamp,
        limit: u32,
    ) -> PortFuture<Purged, Fault> {
        let op = Operation::write("outbox.purge");
        self.0.run(ctx, op, move |tx| Ok(purge(tx, before, dead_before, limit)?))
    }
}

/// Stores the messages about the last event of the order, in the transaction that stores the event. `caused_by` is the
/// trace of the request that caused the event.
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
    let to: Vec<_> = notifications.iter().map(|one| (one.content.endpoint(), one.content.channel())).collect();
    if to.is_empty() {
        return Ok(());
    }
    let disabled = queries::ensure_endpoints(tx, &to)?;
    let mut rows = Vec::with_capacity(to.len());
    for (notification, (endpoint, _)) in notifications.iter().zip(&to) {
        // No message overtakes an older message of the same order that is waiting for its next attempt.
        let older = if sequence == 0 { None } else { queries::latest_due(tx, &order.id, endpoint)? };
        let due_at = older.unwrap_or(i64::MIN).max(millis(now));
        let row = rows::new(order, sequence, notification, caused_by, due_at)?;
        rows.push(if disabled.contains(endpoint) { row.dead(DISABLED, now) } else { row });
    }
    queries::insert(tx, &rows)
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

fn claim(tx: &mut Tx<'_>, channel: Channel, terms: ClaimTerms) -> Result<Claimed, TxError<Fault>> {
    /// The most times that one claim chooses an endpoint and a message. A choice yields no message if another instance
    /// took the endpoint first, or if the message has no attempts left and becomes a dead letter. The next pass
    /// continues.
    const MOST_CHOICES: usize = 10;
    let mut claim = Claimed::default();
    for _ in 0..MOST_CHOICES {
        let at = engine_now(tx)?;
        let Some(chosen) = queries::next_endpoint(tx, channel, &terms, at)? else { break };
        // Counted again under the lock of the endpoint, because the choice saw only what was committed before the lock.
        if queries::count_leases(tx, &chosen.id, at)? >= chosen.max_leases(&terms) {
            continue;
        }
        let Some(found) = queries::next_message(tx, &chosen.id, terms.now, at)? else { continue };
        let error = if found.attempts() >= MAX_ATTEMPTS {
            found.last_error.clone().unwrap_or_else(|| "no attempt ended".to_owned())
        } else {
            match found.clone().claimed(chosen.health()) {
                Ok(message) => {
                    queries::grant(tx, vec![found.id.clone()], terms.lease)?;
                    queries::set_served(tx, &chosen.id, terms.now)?;
                    claim.message = Some(message);
                    break;
                }
                // Only the message that cannot be read ends. Later messages of the endpoint are sent.
                Err(error) => rows::unreadable_row(&error),
            }
        };
        queries::end(tx, &found.id, MessageState::Dead, Some(&error), terms.now)?;
        if let Some(summary) = found.summary()? {
            claim.given_up.push(MessageSummary { state: MessageState::Dead, last_error: Some(error), ..summary });
        }
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
    if let Some(stale) = queries::stale(tx, message)? {
        return Ok(Recorded::Stale(stale));
    }
    let error = match outcome {
        SendOutcome::Failed(failure) => Some(failure.reason.as_str()),
        SendOutcome::Received(_) | SendOutcome::Interrupted => None,
    };
    let recorded = match next_step(message, outcome, endpoint.streak()?, now) {
        NextStep::End(state) => {
            queries::end(tx, message.id.as_str(), state, error, now)?;
            queries::release_newer(tx, message.id.as_str(), message.order.as_str(), &endpoint.id, now)?;
            Recorded::Ended(state)
        }
        NextStep::Again(at) => {
            queries::retry_at(tx, message, at, message.attempts, error)?;
            queries::hold_newer(tx, message, at)?;
            Recorded::Again(at)
        }
        // The attempt is not counted: otherwise a few restarts would use up attempts that are meant to last for days.
        NextStep::Uncounted(at) => {
            queries::retry_at(tx, message, at, message.attempts.saturating_sub(1), error)?;
            queries::hold_newer(tx, message, at)?;
            Recorded::Again(at)
        }
        NextStep::Disable => {
            queries::disable(tx, &endpoint.id, now)?;
            // This message is ended first, because it may not be among the messages that `end_pending` selects.
            queries::end(tx, message.id.as_str(), MessageState::Dead, error, now)?;
            let reason = format!("{DISABLED}: {}", error.unwrap_or("no reason"));
            let others = queries::end_pending(tx, &endpoint.id, &reason, millis(now), ENDED_AT_ONCE)?;
            Recorded::Disabled { others }
        }
    };
    match outcome {
        SendOutcome::Received(Receipt::Accepted) if endpoint.failures > 0 || endpoint.answered_at.is_none() => {
            queries::set_healthy(tx, &endpoint.id, now)?;
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
