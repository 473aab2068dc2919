//! The faults that a proxy can cause.

use std::time::Duration;

/// What the network does. A fault applies at once, also to connections that are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: every byte is passed on at once.
    Pass,
    /// The server has died: open connections are reset, and new ones are refused.
    Refuse,
    /// Open connections are reset, and new ones are accepted and then reset.
    Reset,
    /// Everything is accepted and acknowledged, and held back until another fault is set.
    Blackhole,
    /// Open connections are acknowledged and never passed on again, whatever fault follows except a reset, as by a firewall
    /// that lost its state. New connections pass.
    Forget,
    /// All bytes arrive with this delay, in each direction.
    Latency(Duration),
    /// Bytes from the server arrive in pieces of this size, with this pause after each piece.
    Drip { bytes: usize, every: Duration },
    /// On each connection, the client receives this many bytes from the server. Then the proxy ends the stream without a
    /// reset.
    CutAfter(u64),
    /// Resets both sides when Postgres is asked for this commit, before Postgres receives it.
    ResetBeforeCommit(Commit),
    /// Lets Postgres commit, and resets both sides before the client receives the answer.
    ResetAfterCommit(Commit),
}

/// One commit of a transaction that may write (`BEGIN` without `READ ONLY`), sent as a simple query.
///
/// The commits of all connections are counted, beginning when the fault is set. The fault happens once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub(crate) nth: u64,
    pub(crate) naming: String,
    pub(crate) dies: bool,
}

impl Commit {
    /// The first of the transactions whose statements or parameters contain this text. An empty text fits all.
    pub fn naming(text: &str) -> Self {
        Self { nth: 1, naming: text.to_owned(), dies: false }
    }

    /// The `nth` instead of the first.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self { nth, ..self }
    }

    /// The server dies with the commit: [`Fault::Refuse`] follows.
    #[must_use]
    pub fn and_die(self) -> Self {
        Self { dies: true, ..self }
    }
}
