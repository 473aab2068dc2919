//! The storage port of orders. Orders are placed by [`crate::checkout::CheckoutStore::settle`].

use super::decide::OrderChangeRefusal;
use super::model::{Adjustment, Order, Shipment};
use crate::PortFuture;
use crate::checkout::LineId;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::{Failure, Fault, Refusal};
use crate::id::{OrderId, PageToken};

/// The store of orders. Each method is one transaction.
pub trait OrderStore: Send + Sync {
    /// The order with this id, for any caller; `None` if there is none. The handler decides which caller may see it.
    fn read(&self, ctx: &RequestContext, id: OrderId) -> PortFuture<Option<Order>, Fault>;

    /// The order with this page token, for any caller; `None` if there is none.
    fn read_page(&self, ctx: &RequestContext, page: PageToken) -> PortFuture<Option<Order>, Fault>;

    /// Appends the changes whose ids the order does not have yet, all or none, and returns the order. Idempotent by the
    /// ids of the changes. The notifications of the changes are stored in the same transaction.
    fn append(
        &self,
        ctx: &RequestContext,
        id: OrderId,
        changes: Vec<OrderChange>,
        now: Timestamp,
    ) -> PortFuture<Order, Failure<OrderRefusal>>;
}

/// A change of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderChange {
    Shipped {
        id: String,
        occurred_at: Timestamp,
        shipment: Shipment,
    },
    Adjusted {
        id: String,
        occurred_at: Timestamp,
        adjustment: Adjustment,
    },
    /// All units that are not shipped yet, as a shipment. The lines of `shipment` are replaced. No change if there are
    /// none.
    ShippedRest {
        id: String,
        occurred_at: Timestamp,
        shipment: Shipment,
    },
    /// Units of a line are taken back, and the amount paid for them is refunded.
    TakenBack {
        id: String,
        occurred_at: Timestamp,
        kind: String,
        line: LineId,
        units: i64,
    },
}

impl OrderChange {
    pub fn id(&self) -> &str {
        match self {
            Self::Shipped { id, .. }
            | Self::Adjusted { id, .. }
            | Self::ShippedRest { id, .. }
            | Self::TakenBack { id, .. } => id,
        }
    }
}

/// Why a change is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRefusal {
    NotFound,
    /// The order has [`Order::MAX_EVENTS`] events.
    TooManyEvents,
    Change(OrderChangeRefusal),
}

impl Refusal for OrderRefusal {}

impl From<OrderChangeRefusal> for Failure<OrderRefusal> {
    fn from(refusal: OrderChangeRefusal) -> Self {
        Self::Refused(OrderRefusal::Change(refusal))
    }
}
