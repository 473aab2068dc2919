//! Who buys, and where things are sent.
//!
//! A known customer is found by e-mail address, and only for a registered platform: otherwise anyone could read an
//! address book by guessing addresses.

mod model;

pub use model::{Address, Buyer, Consent, Destination, DestinationId, Email, known_by};
