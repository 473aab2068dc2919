//! The surfaces of the shop: HTTP and a command line over the domain.
//!
//! A request takes at most six files from here to the database: route, handler, use case, port, `Database::run`,
//! query. `docs/WALKTHROUGH.md` walks them.
//!
//! **Architecture Invariant:** only [`app`], the composition root, names an adapter. Everything else knows the ports.

pub mod announce;
pub mod app;
pub mod bidi;
pub mod card;
pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod import;
pub mod log;
pub mod operations;
pub mod pages;
pub mod payments;
pub mod runtime;
pub mod server;
pub mod shopping;
pub mod simulation;
