//! The orders of the shop. They are placed by settling a payment, see [`crate::checkout::CheckoutStore::settle`].

use super::decide::OrderChangeRefused;
use super::model::{Adjustment, Order, OrderId, Shipment};
use crate::PortFuture;
use crate::checkout::LineId;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::{Failure, Fault, Refusal};
use crate::id::PageToken;

/// Each method is one transaction.
pub trait OrderStore: Send + Sync {
    /// The order, whoever asks; `None` when there is none. Who may see it is the reader's decision.
    fn read(&self, ctx: &RequestContext, id: OrderId) -> PortFuture<Option<Order>, Fault>;

    /// The order whose page this is. Holding the token is the permission.
    fn read_page(&self, ctx: &RequestContext, page: PageToken) -> PortFuture<Option<Order>, Fault>;

    /// Appends the changes that the order does not have yet, by their ids, all or none of them. Doing it again
    /// changes nothing. What is to be told of them is written down with them.
    fn append(
        &self,
        ctx: &RequestContext,
        id: OrderId,
        changes: Vec<OrderChange>,
        now: Timestamp,
    ) -> PortFuture<Order, Failure<OrderRefusal>>;
}

/// Something that happened to an order.
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
    /// All units that are still to be sent, as a shipment whose lines are filled in. Nothing if there are none.
    ShippedRest {
        id: String,
        occurred_at: Timestamp,
        shipment: Shipment,
    },
    /// Units of a line are taken back, and what was paid for them is returned.
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRefusal {
    NotFound,
    /// Its history is as long as it may be: see [`Order::MAX_EVENTS`].
    TooManyEvents,
    Change(OrderChangeRefused),
}

impl Refusal for OrderRefusal {}

impl From<OrderChangeRefused> for Failure<OrderRefusal> {
    fn from(refused: OrderChangeRefused) -> Self {
        Self::Refused(OrderRefusal::Change(refused))
    }
}
