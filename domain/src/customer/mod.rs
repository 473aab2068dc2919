//! Who buys, and where things are sent.
//!
//! A known customer is found by e-mail address, and only for a registered platform: otherwise anyone could read an
//! address book by guessing addresses.

mod country;
mod model;

pub use country::{Country, CountryCode};
pub use model::{Address, Buyer, Consent, Destination, DestinationId, Email, known_by};
