//! The surfaces of the shop: HTTP and a command line over the domain.
//!
//! A request takes at most six files from here to the database: route, handler, use case, port, `Database::run`,
//! query. `docs/WALKTHROUGH.md` walks them.
//!
//! **Architecture Invariant:** only [`app`], the composition root, names an adapter. Everything else knows the ports.

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
