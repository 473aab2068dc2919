//! Customers: buyers, their addresses, and countries.
//!
//! A stored customer is looked up by email address, and only for a registered platform. Otherwise any platform could
//! read an address book by guessing email addresses. This module has data types only; the addresses are used by
//! [`crate::fulfillment`].

mod country;
mod model;

pub use country::{Country, CountryCode};
pub use model::{Address, Buyer, Consent, Destination, DestinationId, Email, find_same_place};
