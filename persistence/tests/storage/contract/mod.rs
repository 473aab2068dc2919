//! The contract of the ports, on both engines.

mod address_book;
mod capture;
mod checkout;
mod completion;
mod completion_races;
mod expiry;
mod idempotency;
mod import;
mod import_limits;
mod order;
pub mod outbox;
mod payment;
mod platform;
mod purge;
mod races;
mod refund;
mod review;
mod settlement;
mod signing;
