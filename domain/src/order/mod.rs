//! What was bought, and what became of it.
//!
//! An order is a snapshot of its checkout with quantities that tell how far it got. Lines never disappear; shipments
//! and adjustments are appended and never changed. Each change is one entry of the order's event log.

mod decide;
mod model;
mod ports;

pub use decide::{OrderChangeRefused, adjust, place, ship, ship_rest, take_back};
pub use model::{
    Adjustment, AdjustmentStatus, Expectation, ExpectedLine, LineStatus, Order, OrderEvent, OrderEventKind, OrderId,
    OrderLine, Shipment,
};
pub use ports::{OrderChange, OrderRefusal, OrderStore};
