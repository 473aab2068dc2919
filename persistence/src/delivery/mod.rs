//! The outbox: what is to be told of orders, and how far it got.
//!
//! A destination's row is always locked before any of its deliveries, so that claims and records wait for each other
//! and never deadlock. Whoever writes an order down only adds rows and waits for nobody.

mod queries;
mod rows;

use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::customer::Buyer;
use domain::delivery::{
    Announcer, Channel, Claim, Claimed, Delivery, DeliveryBook, DeliveryFilter, DeliveryOutcome, DeliveryState,
    DeliverySummary, Finality, MAX_ATTEMPTS, Receipt, Recorded, Retried, Step, rest_of_destination, step,
};
use domain::fault::Fault;
use domain::order::Order;

use crate::database::{Database, Operation, Tx, TxError, engine_now, lease};
use crate::stored::millis;

/// Messages that are given up in the transaction that disables their destination: a long one would make every purchase
/// wait. The rest is left to the purge.
const GIVEN_UP_AT_ONCE: u32 = 500;
/// Why.
const DISABLED: &str = "the destination is disabled";

pub struct SqlDeliveryBook {
    database: Database,
}

impl SqlDeliveryBook {
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl DeliveryBook for SqlDeliveryBook {
    fn claim(&self, ctx: &RequestContext, channel: Channel, claimed: Claimed) -> PortFuture<Option<Claim>, Fault> {
        let op = Operation::write("delivery.claim");
        self.database.run(ctx, op, move |tx| claim(tx, channel, claimed))
    }

    fn record(
        &self,
        ctx: &RequestContext,
        delivery: &Delivery,
        outcome: DeliveryOutcome,
        now: Timestamp,
    ) -> PortFuture<Recorded, Fault> {
        let delivery = delivery.clone();
        self.database.run(ctx, Operation::write("delivery.record"), move |tx| record(tx, &delivery, &outcome, now))
    }

    fn list(
        &self,
        ctx: &RequestContext,
        filter: DeliveryFilter,
        limit: u32,
    ) -> PortFuture<Vec<DeliverySummary>, Fault> {
        self.database.run(ctx, Operation::read("delivery.list"), move |tx| Ok(queries::list(tx, &filter, limit)?))
    }

    fn retry(&self, ctx: &RequestContext, which: Retried, now: Timestamp, limit: u32) -> PortFuture<u32, Fault> {
        let op = Operation::write("delivery.retry");
        self.database.run(ctx, op, move |tx| Ok(queries::retry(tx, &which, now, limit)?))
    }

    fn forget(
        &self,
        ctx: &RequestContext,
        before: Timestamp,
        dead_before: Timestamp,
        limit: u32,
    ) -> PortFuture<u32, Fault> {
        let op = Operation::write("delivery.forget");
        self.database.run(ctx, op, move |tx| Ok(clear_up(tx, before, dead_before, limit)?))
    }
}

/// Writes down what is to be told of the order's last event, in the transaction of the event.
pub(crate) fn enqueue(
    tx: &mut Tx<'_>,
    announcer: &dyn Announcer,
    order: &Order,
    buyer: Option<&Buyer>,
    now: Timestamp,
) -> diesel::QueryResult<()> {
    let Some(event) = order.events.last() else { return Ok(()) };
    let sequence = order.events.len() - 1;
    for announcement in announcer.announce(order, event, buyer) {
        let destination = announcement.content.destination();
        let disabled = queries::destination_disabled(tx, &destination, announcement.content.channel())?;
        // Nothing overtakes an older message of the same order that waits to be tried again.
        let older = if sequence == 0 { None } else { queries::latest_due(tx, &order.id, &destination)? };
        let row = rows::new(order, sequence, event.occurred_at, &announcement)?;
        queries::insert(tx, row.due(now, older).given_up_if(disabled, now))?;
    }
    Ok(())
}

fn clear_up(tx: &mut Tx<'_>, before: Timestamp, dead_before: Timestamp, limit: u32) -> diesel::QueryResult<u32> {
    let mut done = 0;
    while done < limit {
        let Some((destination, disabled_at)) = queries::disabled_with_pending(tx)? else { break };
        done += queries::give_up(tx, &destination, DISABLED, disabled_at, limit - done)?;
    }
    Ok(done + queries::forget(tx, before, dead_before, limit - done)?)
}

fn claim(tx: &mut Tx<'_>, channel: Channel, terms: Claimed) -> Result<Option<Claim>, TxError<Fault>> {
    /// A choice that others were faster with is made again; more than a few are left for the next pass.
    const MOST_CHOICES: usize = 10;
    for _ in 0..MOST_CHOICES {
        let at = engine_now(tx)?;
        let Some(destination) = queries::next_destination(tx, channel, &terms, at)? else { return Ok(None) };
        // Counted again under the lock: the choice was made on what was visible before it.
        if queries::leases(tx, &destination, at)? >= i64::from(terms.per_destination) {
            continue;
        }
        let Some(found) = queries::next_delivery(tx, &destination, terms.now, at)? else { continue };
        if found.tries() < MAX_ATTEMPTS {
            let until = lease(tx, terms.lease)?;
            queries::lease(tx, &found, until)?;
            queries::served(tx, &destination, terms.now)?;
            return Ok(Some(Claim::Try(found.claimed()?)));
        }
        // It killed the process on each of its tries.
        let reason = found.last_error.clone().unwrap_or_else(|| "no try came to an end".to_owned());
        queries::end(tx, &found.id, DeliveryState::Dead, Some(&reason), terms.now)?;
        let tried = found.tries();
        return Ok(Some(Claim::GivenUp { delivery: Delivery { attempts: tried, ..found.claimed()? }, reason }));
    }
    Ok(None)
}

fn record(
    tx: &mut Tx<'_>,
    delivery: &Delivery,
    outcome: &DeliveryOutcome,
    now: Timestamp,
) -> Result<Recorded, TxError<Fault>> {
    let destination = queries::lock_destination(tx, &delivery.content.destination())?;
    if !queries::holds_lease(tx, delivery)? {
        return Ok(Recorded::LeaseLost);
    }
    let error = match outcome {
        DeliveryOutcome::Failed(failure) => Some(failure.reason.as_str()),
        DeliveryOutcome::Received(_) | DeliveryOutcome::Interrupted => None,
    };
    let recorded = match step(delivery, outcome, destination.failing_since()?, now) {
        Step::End(state) => {
            queries::end(tx, delivery.id.as_str(), state, error, now)?;
            queries::release_newer(tx, delivery, now)?;
            Recorded::Ended(state)
        }
        Step::Again(at) => {
            match error {
                Some(error) => queries::again(tx, delivery, at, error)?,
                None => queries::give_back(tx, delivery, at)?,
            }
            queries::hold_newer(tx, delivery, at)?;
            Recorded::Again(at)
        }
        Step::Disable => {
            queries::disable(tx, &destination.id, now)?;
            // This one first: it may not be among those that have waited longest.
            queries::end(tx, delivery.id.as_str(), DeliveryState::Dead, error, now)?;
            queries::give_up(tx, &destination.id, error.unwrap_or(DISABLED), millis(now), GIVEN_UP_AT_ONCE)?;
            Recorded::Disabled
        }
    };
    match outcome {
        DeliveryOutcome::Received(Receipt::Accepted) if destination.failures > 0 => {
            queries::set_health(tx, &destination.id, 0, None, now)?;
        }
        DeliveryOutcome::Failed(failure) => {
            if let Finality::Again { after } = failure.finality {
                let failures = destination.failures.saturating_add(1);
                let rest = rest_of_destination(u32::try_from(failures).unwrap_or(1), after);
                let since = destination.failing_since()?.unwrap_or(now);
                queries::set_health(tx, &destination.id, failures, Some(since), now + rest)?;
            }
        }
        DeliveryOutcome::Received(_) | DeliveryOutcome::Interrupted => {}
    }
    Ok(recorded)
}
