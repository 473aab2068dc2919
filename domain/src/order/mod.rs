//! Orders: what was bought, and what happened to it since.
//!
//! An order is a snapshot of its checkout, plus quantities that say how much was shipped and returned. Lines are never
//! removed. Shipments and adjustments are appended and never changed; each one is an event of the order.
//!
//! The rules are pure functions in `decide.rs`: [`place`] and [`apply`]. The port is [`OrderStore`]. This module has no
//! use case, because a handler reads through the port, and the storage adapter applies the rules in its transaction.

mod decide;
mod model;
mod ports;

pub use crate::id::OrderId;
pub use decide::{OrderChangeRefusal, apply, place};
pub use model::{
    Adjustment, AdjustmentStatus, Expectation, ExpectedLine, LineStatus, Order, OrderChange, OrderChangeKind,
    OrderEvent, OrderEventKind, OrderLine, Shipment,
};
pub use ports::{OrderRefusal, OrderStore};
