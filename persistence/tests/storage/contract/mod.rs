//! What the ports promise, once for both engines.

mod capture;
mod checkout;
mod completion;
mod delivery;
mod expiry;
mod idempotency;
mod import;
mod order;
mod payment;
mod platform;
mod races;
mod refund;
mod settlement;
mod signing;
mod upkeep;
