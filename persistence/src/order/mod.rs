//! Orders, their lines, and their append-only events.

mod queries;
mod rows;

use std::sync::Arc;

use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::{RequestContext, TraceContext};
use domain::fault::{Failure, Fault};
use domain::id::PageToken;
use domain::order::{Order, OrderChange, OrderEvent, OrderId, OrderRefusal, OrderStore, apply};
use domain::outbox::NotificationComposer;

use crate::database::{Database, Decided, Operation, Tx, TxError, refuse};
use crate::{outbox, payment};

pub(crate) use queries::insert;

/// The [`OrderStore`] in the database.
pub struct SqlOrderStore {
    database: Database,
    composer: Arc<dyn NotificationComposer>,
}

impl SqlOrderStore {
    pub fn new(database: Database, composer: Arc<dyn NotificationComposer>) -> Self {
        Self { database, composer }
    }
}

impl OrderStore for SqlOrderStore {
    fn read(&self, ctx: &RequestContext, id: OrderId) -> PortFuture<Option<Order>, Fault> {
        self.database.run(ctx, Operation::read("order.read"), move |tx| Ok(queries::find(tx, &id)?))
    }

    fn read_page(&self, ctx: &RequestContext, page: PageToken) -> PortFuture<Option<Order>, Fault> {
        self.database.run(ctx, Operation::read("order.read_page"), move |tx| Ok(queries::find_by_page(tx, &page)?))
    }

    fn append(
        &self,
        ctx: &RequestContext,
        id: OrderId,
        changes: Vec<OrderChange>,
        now: Timestamp,
    ) -> PortFuture<Order, Failure<OrderRefusal>> {
        let composer = self.composer.clone();
        let (trace, op) = (
            *ctx.trace(),
            Operation::repeatable_write("order.append", "it locks the order, and skips changes that the order has"),
        );
        self.database.run(ctx, op, move |tx| append(tx, &*composer, &id, &changes, trace, now))
    }
}

fn append(
    tx: &mut Tx<'_>,
    composer: &dyn NotificationComposer,
    id: &OrderId,
    changes: &[OrderChange],
    trace: TraceContext,
    now: Timestamp,
) -> Decided<Order, OrderRefusal> {
    let mut order = queries::lock(tx, id)?.ok_or_else(|| refuse(OrderRefusal::NotFound))?;
    let known = order.events.len();
    let mut appended = known;
    for change in changes {
        if order.events.iter().any(|event| event.id == change.id) {
            continue;
        }
        if order.events.len() >= Order::MAX_EVENTS {
            return Err(refuse(OrderRefusal::TooManyEvents));
        }
        let so_far = appended;
        order = apply(order, change.clone()).map_err(|refused| TxError::Refused(refused.into()))?;
        appended = order.events.len();
        if appended > so_far {
            outbox::enqueue(tx, composer, &order, trace, now)?;
        }
    }
    if order.events.len() > known {
        queries::update_lines(tx, &order)?;
        queries::append_events(tx, &order, known)?;
        if order.events[known..].iter().any(OrderEvent::is_shipping) {
            payment::capture_now(tx, &order.checkout, now)?;
        }
    }
    Ok(order)
}
