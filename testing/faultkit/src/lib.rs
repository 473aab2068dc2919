//! Tools for tests that break things on purpose.
//!
//! - [`Proxy`] is a TCP proxy that refuses, resets, delays or cuts connections. It also recognises a `COMMIT` of
//!   Postgres.
//! - [`Server`] is an HTTP server that answers as the test decides.
//! - [`SmallDisk`] is a small file system that a test can fill.
//! - [`PostgresServer`] is a Postgres server that can have a standby and be promoted.
//! - [`provided`] names what `cargo xtask test` provides to the tests, and records what they used.
//!
//! ```no_run
//! # use faultkit::{Commit, Fault, Proxy};
//! let proxy = Proxy::start("127.0.0.1:5432".parse().expect("an address"));
//! // ... let the program under test connect to proxy.address(), then:
//! proxy.set(Fault::ResetAfterCommit(Commit::naming("key-1")));
//! // ... let the program commit a transaction that contains "key-1", then:
//! assert_eq!(proxy.fired(), 1);
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "test code: the proxy owns its thread, and what is provided is read from the environment"
)]

mod account;
mod cluster;
mod disk;
mod fault;
mod port;
mod postgres;
pub mod provided;
mod proxy;
mod receiver;
mod relay;

pub use cluster::PostgresServer;
pub use disk::SmallDisk;
pub use fault::{Commit, Fault};
pub use port::Port;
pub use proxy::Proxy;
pub use receiver::{Received, Server, Visit};
