//! The business rules of the shop, without any technology.
//!
//! A module holds its data types in `model.rs`, its rules as pure functions in `decide.rs`, and the traits that
//! adapters implement in `ports.rs`. The only use case is [`checkout::CompleteCheckout`], in `complete.rs`. Each
//! background task has one file. A small module is one file. Start with [`context`], [`fault`] and [`task`], which all
//! other modules use; then read [`review`], which is the pattern for new modules. Do not use [`checkout`] and
//! [`payment`] as patterns: they are larger, because they coordinate storage with the payment gateway.
//!
//! **Architecture Invariant:** this crate names no web framework, no database, no network client and no adapter crate,
//! reads no wall clock and no environment variable, and does no I/O. `cargo xtask boundaries` checks it.

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
pub mod page;
pub mod payment;
pub mod platform;
pub mod promotion;
pub mod quantity;
pub mod review;
pub mod secret;
pub mod signing;
pub mod stock;
pub mod task;
mod text;

use std::future::Future;
use std::pin::Pin;

/// The return type of a port method: an owned, `Send` future without lifetimes, so that ports can be `dyn` objects.
pub type PortFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
