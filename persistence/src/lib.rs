//! The storage ports of the shop, on SQLite (embedded default) and PostgreSQL.
//!
//! Both engines run the same query text. A module has `mod.rs` (the port: one line a method, then the transaction
//! bodies), `queries.rs` (one function, one statement or one obvious pair) and, where rows differ from the domain's
//! types, `rows.rs`.
//!
//! **Architecture Invariant:** only [`database`] opens a connection or a transaction. A transaction body is a
//! synchronous function, so nothing can be awaited, and no network called, while it is open.

mod catalog;
mod checkout;
mod customer;
mod database;
mod delivery;
mod fulfillment;
mod idempotency;
mod import;
mod order;
mod payment;
mod platform;
mod promotion;
mod schema;
mod signing;
mod stock;
mod stored;

pub use checkout::SqlCheckoutBook;
pub use database::{Database, DatabaseConfig, DatabaseUrl, Degraded, Engine, OpenError, UrlError};
pub use delivery::SqlDeliveryBook;
pub use idempotency::SqlIdempotencyRecords;
pub use import::SqlImport;
pub use order::SqlOrderBook;
pub use payment::{SqlPaymentAttempts, SqlPaymentRefunds, SqlStoredInstruments};
pub use platform::SqlPlatformRegistry;
pub use signing::SqlKeyStore;
