//! The stock: units on hand, and units held for checkouts in progress.
//!
//! A unit is held when the completion of a checkout begins, taken when the order is placed, and released when the
//! payment ends without an order. `0 <= held <= on_hand` always holds; the database checks it as well. The rules are
//! in `decide.rs`; the storage adapter applies them inside the transactions of [`crate::checkout`].

mod decide;
mod model;

pub use decide::{StockChange, available, is_covered};
pub use model::{Demand, StockLevel};
