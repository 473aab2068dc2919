//! The outbox: which messages are sent about orders, to which endpoints, in which order, and until when.

mod backlog;
mod batches;
mod claims;
mod ends;
mod enqueue;
mod health;
mod operator_races;
mod operators;
mod schedule;
mod selection;
mod unreadable;

use std::time::Duration;

use domain::clock::Timestamp;
use domain::order::{OrderChange, OrderChangeKind, OrderId, OrderStore, Shipment};
use domain::outbox::{
    Channel, ClaimTerms, EndpointHealth, Finality, MessageFilter, MessageSummary, OutboxMessage, OutboxStore, Receipt,
    Recorded, SendError, SendOutcome,
};
use domain::page::Limit;

use crate::kit::Shop;
use crate::kit::data::{ALICE, hours, noon, task};
use crate::kit::raw::Raw;

const HOUR: Duration = Duration::from_secs(60 * 60);
const WELL: &str = "webhook:https://well.example/profile";
const ILL: &str = "webhook:https://ill.example/profile";

/// Terms of a claim with a long lease, for as many leases as wanted.
fn at(now: Timestamp) -> ClaimTerms {
    ClaimTerms { now, lease: HOUR, per_endpoint: 1_000, reach: EndpointHealth::Failing }
}

/// Terms of a claim whose lease ends at once.
fn lapsing(now: Timestamp) -> ClaimTerms {
    ClaimTerms { lease: Duration::ZERO, ..at(now) }
}

fn again() -> SendOutcome {
    SendOutcome::Failed(SendError::again("status 500"))
}

fn failed(finality: Finality) -> SendOutcome {
    SendOutcome::Failed(SendError { reason: "status 4xx".into(), finality })
}

const ACCEPTED: SendOutcome = SendOutcome::Received(Receipt::Accepted);

fn alice() -> String {
    format!("webhook:{ALICE}")
}

/// An event that changes no quantity of the order.
fn on_its_way(id: &str) -> OrderChange {
    let shipment = Shipment {
        kind: "in_transit".into(),
        lines: Vec::new(),
        tracking_number: None,
        tracking_url: None,
        carrier: None,
        description: None,
    };
    OrderChange { id: id.to_owned(), occurred_at: noon() + hours(1), kind: OrderChangeKind::Shipped(shipment) }
}

/// Stores messages to an endpoint, each about a separate order. They become due one after the other before noon.
/// Different `series` have different ids.
pub fn seed(raw: &mut Raw, destination: &str, series: u32, count: u32) {
    let first = 100_000_000_000_u64 + u64::from(series) * 1_000_000;
    let name = format!("'00000000000000000000' || CAST({first} + i AS TEXT)");
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    raw.execute(&format!(
        "INSERT INTO orders (id, checkout_id, owner, page, currency, expectations, totals, attribution, placed_at) \
         {numbers} SELECT 'ord_' || {name}, 'chk_' || {name}, 'x', 'page_' || {name}, 'USD', '[]', '[]', '{{}}', 0 FROM n"
    ));
    raw.execute(&format!(
        "INSERT INTO destination (id, channel, served_at, rest_until, failures) \
         VALUES ('{destination}', 'webhook', 0, 0, 0) ON CONFLICT (id) DO NOTHING"
    ));
    let due = noon().unix_timestamp() * 1_000 - i64::from(count);
    raw.execute(&format!(
        "INSERT INTO delivery (id, channel, destination, order_id, sequence, event, body, state, occurred_at, due_at, \
         attempts) {numbers} SELECT 'msg_' || {name}, 'webhook', '{destination}', 'ord_' || {name}, 0, 'order_changed', \
         'body', 'pending', {due} + i, {due} + i, 0 FROM n"
    ));
}

impl Shop {
    /// Places an order for Alice, whose buyer gets no message.
    async fn order(&self, key: &str) -> OrderId {
        self.bought(&[("song", 1)], key).await.order.expect("an order").id
    }

    async fn news(&self, order: &OrderId, ids: &[&str]) {
        let changes = ids.iter().map(|id| on_its_way(id)).collect();
        self.orders.append(&task(), order.clone(), changes, noon()).await.expect("appended");
    }

    async fn claim(&self, terms: ClaimTerms) -> Option<OutboxMessage> {
        self.deliveries.claim(&task(), Channel::Webhook, terms).await.expect("asked").message
    }

    async fn claimed(&self, terms: ClaimTerms) -> OutboxMessage {
        self.claim(terms).await.expect("something was due")
    }

    async fn record(&self, delivery: &OutboxMessage, outcome: SendOutcome, now: Timestamp) -> Recorded {
        self.deliveries.record(&task(), delivery, outcome, now).await.expect("recorded")
    }

    /// Returns all messages, the newest first.
    async fn listed(&self) -> Vec<MessageSummary> {
        self.deliveries.list(&task(), MessageFilter::default(), None, Limit::new(1_000)).await.expect("listed").items
    }
}

/// Returns the health columns of an endpoint.
fn health(raw: &mut Raw, destination: &str) -> String {
    let columns = ["failures", "failing_since", "disabled_at"].map(|of| format!("coalesce(CAST({of} AS TEXT), '-')"));
    let select = format!("SELECT {} AS value FROM destination WHERE id = '{destination}'", columns.join(" || ' ' || "));
    raw.texts(&select).remove(0)
}

/// Returns the number of messages in each state, as `state count`.
fn states(raw: &mut Raw, destination: &str) -> Vec<String> {
    raw.texts(&format!(
        "SELECT state || ' ' || CAST(count(*) AS TEXT) AS value FROM delivery WHERE destination = '{destination}' \
         GROUP BY state ORDER BY state"
    ))
}
