//! What the ports promise, once for both engines.

mod address_book;
mod capture;
mod checkout;
mod completion;
mod expiry;
mod idempotency;
mod import;
mod import_limits;
mod order;
mod outbox;
mod payment;
mod platform;
mod races;
mod refund;
mod settlement;
mod signing;
mod upkeep;
