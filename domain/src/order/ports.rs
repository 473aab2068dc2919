//! The storage port of orders. Orders are placed by [`crate::checkout::CheckoutStore::settle`].

use super::decide::OrderChangeRefusal;
use super::model::{Order, OrderChange};
use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::{Failure, Fault, Refusal};
use crate::id::{OrderId, PageToken};

/// The store of orders. Each method is one transaction.
pub trait OrderStore: Send + Sync {
    /// The order with this id, or `None` if there is none. The store does not check the caller: the handler decides
    /// which caller may see the order.
    fn read(&self, ctx: &RequestContext, id: OrderId) -> PortFuture<Option<Order>, Fault>;

    /// The order with this page token, or `None` if there is none. The store does not check the caller.
    fn read_page(&self, ctx: &RequestContext, page: PageToken) -> PortFuture<Option<Order>, Fault>;

    /// Applies the changes whose ids the order does not have yet, either all of them or none, and returns the order.
    /// Idempotent, because changes with known ids are skipped. The notifications of the changes are stored in the same
    /// transaction.
    fn append(
        &self,
        ctx: &RequestContext,
        id: OrderId,
        changes: Vec<OrderChange>,
        now: Timestamp,
    ) -> PortFuture<Order, Failure<OrderRefusal>>;
}

/// Why a change is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRefusal {
    NotFound,
    /// The order already has [`Order::MAX_EVENTS`] events.
    TooManyEvents,
    Change(OrderChangeRefusal),
}

impl Refusal for OrderRefusal {}

impl From<OrderChangeRefusal> for Failure<OrderRefusal> {
    fn from(refusal: OrderChangeRefusal) -> Self {
        Self::Refused(OrderRefusal::Change(refusal))
    }
}
