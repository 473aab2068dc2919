//! What is on the shelf, and what of it is promised.
//!
//! A unit is held when a checkout begins to complete, taken when its order is placed, and released when the payment
//! is refused. `0 <= held <= on_hand` always; the database checks it too, as the net under the rule.

mod decide;
mod model;

pub use decide::{HoldRefused, hold, release, take};
pub use model::{Demand, StockLevel};
