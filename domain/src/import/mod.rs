//! The import of a merchant's data.
//!
//! A batch replaces the rows that it contains and keeps all other rows, so an import can be repeated. Files are parsed
//! by the caller; this module has the checked values and the port [`Import`] that stores them.

mod model;
mod ports;

pub use model::{Batch, ImportedAddress, ImportedCustomer, ImportedInstrument, ImportedProduct, ImportedStock};
pub use ports::{Import, ImportRefusal, Progress};
