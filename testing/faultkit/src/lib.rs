//! What breaks on purpose, for tests: a TCP proxy that refuses, resets, hangs and drips, and that knows when Postgres is
//! asked to commit; an HTTP server that answers as a test says, or not; a disk that is soon full; and Postgres
//! servers that fail over.
//! Beside them, [`provided`] tells a test what it may use, and records what it has used.
//!
//! ```no_run
//! # use faultkit::{Commit, Fault, Proxy};
//! let proxy = Proxy::start("127.0.0.1:5432".parse().expect("an address"));
//! // ... let the program under test connect to proxy.address(), then:
//! proxy.set(Fault::ResetAfterCommit(Commit::naming("key-1")));
//! // ... and after the request that commits under this key:
//! assert_eq!(proxy.fired(), 1);
//! ```
//!
//! A proxy runs on a thread of its own, so a test that blocks does not stop it. When it is dropped, everything that goes
//! through it is reset.

#![allow(
    clippy::disallowed_methods,
    reason = "test code: the proxy owns its thread, and what is provided is read from the environment"
)]

mod account;
mod cluster;
mod disk;
mod port;
mod postgres;
pub mod provided;
mod proxy;
mod receiver;
mod relay;

use std::time::Duration;

pub use cluster::PostgresServer;
pub use disk::SmallDisk;
pub use port::Port;
pub use proxy::Proxy;
pub use receiver::{Received, Server, Visit};

/// What the network does. It counts at once, also for connections that are open already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: every byte is passed on as it comes.
    Pass,
    /// The server has died: what is open is reset, and who connects is refused.
    Refuse,
    /// What is open is reset, and who connects is accepted and then reset.
    Reset,
    /// Everything is accepted and acknowledged, and nothing is passed on. It is held back, not lost: when the network
    /// heals, it arrives.
    Blackhole,
    /// What is open is acknowledged and passed on no more, whatever comes later but a reset, as by a firewall that lost
    /// its state. What is new passes.
    Forget,
    /// Everything arrives this much later, in each direction.
    Latency(Duration),
    /// So many bytes a second, in each direction.
    Bandwidth(u64),
    /// What the server says arrives in pieces of so many bytes, with this pause after each.
    Drip { bytes: usize, every: Duration },
    /// Of what the server says, on each connection, so many bytes arrive; then it ends, in order.
    CutAfter(u64),
    /// Resets both sides when Postgres is asked for this commit, before it hears of it.
    ResetBeforeCommit(Commit),
    /// Lets Postgres commit, and resets both sides when it says that it has, before the client hears of it.
    ResetAfterCommit(Commit),
}

/// One commit among all, of a transaction that may write (`BEGIN` without `READ ONLY`), asked for as a simple query.
/// Counted over all connections, from when the fault was set. The fault happens once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    nth: u64,
    naming: String,
    last: bool,
}

impl Commit {
    /// The first of transactions whose statements or parameters contain this text; all do if it is empty.
    pub fn naming(text: &str) -> Self {
        Self { nth: 1, naming: text.to_owned(), last: false }
    }

    /// The `nth` instead of the first.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self { nth, ..self }
    }

    /// After it the server is dead: it goes on with [`Fault::Refuse`].
    #[must_use]
    pub fn and_die(self) -> Self {
        Self { last: true, ..self }
    }
}
