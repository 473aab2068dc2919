//! The HTTP surfaces and the command line of the shop.
//!
//! A request passes through at most four files: the handler, the port, the adapter with its transaction body, and the
//! queries. The completion of a checkout passes through six: it also has a use case, and its transaction bodies have a
//! separate file. `docs/WALKTHROUGH.md` follows both paths.
//!
//! **Architecture Invariant:** only [`app`], the composition root, names adapters. All other modules use the ports.

pub mod app;
pub mod bidi;
pub mod buyer_pages;
pub mod card;
pub mod cli;
pub mod clock;
pub mod config;
pub mod csv;
pub mod file;
pub mod gateway_events;
pub mod health;
pub mod http;
pub mod instant;
pub mod log;
pub mod notifications;
pub mod runtime;
pub mod server;
pub mod shopping;
pub mod simulation;
pub mod storefront;
