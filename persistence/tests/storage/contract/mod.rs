//! What the ports promise, once for both engines.

mod checkout;
mod completion;
mod expiry;
mod idempotency;
mod import;
mod order;
mod payment;
mod settlement;
mod upkeep;
