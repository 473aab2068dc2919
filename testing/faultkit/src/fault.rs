//! The faults that a proxy can cause.

use std::time::Duration;

/// What a proxy does to connections and bytes. A new fault applies at once, also to connections that are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No fault: every byte is passed on at once.
    Pass,
    /// Open connections are reset and new ones are refused, as if the server had died.
    Refuse,
    /// Open connections are reset, and new ones are accepted and then reset.
    Reset,
    /// Connections and bytes are accepted, but no byte is passed on until another fault is set.
    Blackhole,
    /// Bytes on the connections that are open now are accepted but never passed on, as if a firewall had lost its
    /// state. Later faults do not change this, except `Reset` and `Refuse`, which reset these connections. New
    /// connections pass.
    Forget,
    /// All bytes arrive with this delay, in each direction.
    Latency(Duration),
    /// Bytes from the server are passed on in pieces of size `bytes`. After each piece, the proxy waits for the time
    /// `every`.
    Drip { bytes: usize, every: Duration },
    /// On each connection, the client receives this many bytes from the server. Then the proxy ends the stream without a
    /// reset.
    CutAfter(u64),
    /// When the client sends this `COMMIT`, both sides of the connection are reset. Postgres does not receive the
    /// `COMMIT`.
    ResetBeforeCommit(Commit),
    /// Postgres receives this `COMMIT` and commits. Both sides of the connection are reset before the client receives
    /// the answer.
    ResetAfterCommit(Commit),
}

/// Selects one `COMMIT` that a client sends as a simple query. Only transactions that may write count, which are those
/// that begin with `BEGIN` but without `READ ONLY`.
///
/// The matching commits of all connections are counted from the time at which the fault is set. The fault happens once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub(crate) nth: u64,
    pub(crate) naming: String,
    pub(crate) dies: bool,
}

impl Commit {
    /// Selects the first commit of a transaction whose statements or parameters contain this text. Every transaction
    /// contains the empty text.
    pub fn naming(text: &str) -> Self {
        Self { nth: 1, naming: text.to_owned(), dies: false }
    }

    /// Selects the `nth` matching commit instead of the first. The first has the number 1.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self { nth, ..self }
    }

    /// After the commit, the proxy applies [`Fault::Refuse`], as if the server had died.
    #[must_use]
    pub fn and_die(self) -> Self {
        Self { dies: true, ..self }
    }
}
