//! Bringing a merchant's data into the shop.
//!
//! A batch replaces what it names and leaves the rest alone, so it can be run again. Reading files is the surface's
//! work; here are the checked values and the port that stores them.

mod model;
mod ports;

pub use model::{
    Batch, Imported, ImportedAddress, ImportedCustomer, ImportedInstrument, ImportedProduct, ImportedStock,
};
pub use ports::{Import, ImportRefusal, Progress, StockBelowHeld};
