//! What the shop does, in plain commerce words.
//!
//! Nothing here knows how a request arrived, where a row is kept or which runtime runs it. Rules are pure functions
//! (`decide.rs`), collaborators are narrow traits (`ports.rs`), and a use case is one file named after its verb.
//!
//! **Architecture Invariant:** this crate names no web framework, no database, no HTTP client and no adapter crate,
//! reads no clock and no environment, and does no I/O. `cargo xtask boundaries` checks it.

pub mod catalog;
pub mod checkout;
pub mod clock;
pub mod context;
pub mod customer;
pub mod fault;
pub mod fulfillment;
pub mod id;
pub mod idempotency;
pub mod import;
pub mod money;
pub mod order;
pub mod outbox;
pub mod payment;
pub mod platform;
pub mod promotion;
pub mod quantity;
pub mod secret;
pub mod signing;
pub mod stock;
pub mod task;

use std::future::Future;
use std::pin::Pin;

/// What a port method returns: an owned, `Send` future, so that ports stay usable as `dyn` objects without lifetimes.
pub type PortFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
