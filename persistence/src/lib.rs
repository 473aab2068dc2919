//! The storage adapters of the shop, on SQLite (embedded default) and PostgreSQL.
//!
//! Both engines run the same query text. A small module is one file; [`review`] is the pattern for new modules. A
//! larger module has `mod.rs` (the adapter: one short function for each method of the port, then the transaction
//! bodies), `queries.rs` (each function runs one statement or an obvious pair of statements) and, if rows differ from
//! the domain's types, `rows.rs`.
//!
//! **Architecture Invariant:** only `database` opens a connection or a transaction. A transaction body is a
//! synchronous function, so nothing can be awaited, and no network called, during a transaction.

mod catalog;
mod checkout;
mod customer;
mod database;
mod fulfillment;
mod idempotency;
mod import;
mod order;
mod outbox;
mod payment;
mod platform;
mod pricing;
mod promotion;
pub mod review;
mod schema;
mod signing;
mod stock;
mod stored;

pub use checkout::SqlCheckoutStore;
pub use database::{Database, DatabaseConfig, DatabaseUrl, Degraded, Engine, OpenError, UrlError};
pub use idempotency::SqlIdempotencyStore;
pub use import::SqlImport;
pub use order::SqlOrderStore;
pub use outbox::SqlOutboxStore;
pub use payment::{SqlAttemptStore, SqlRefundStore, SqlStoredInstruments};
pub use platform::SqlPlatformStore;
pub use signing::SqlKeyStore;
