//! What a connection may hold and for how long.

use std::time::Duration;

/// The bounds of every connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first byte of a head to its last; for a new connection, from its acceptance.
    pub head_time: Duration,
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
    /// From the end of a head to the end of its body.
    pub body_time: Duration,
    /// How long a peer may take nothing of its answer.
    pub write_time: Duration,
    /// The largest body that is let through.
    pub body_bytes: usize,
    /// What large bodies and large answers that are not taken may hold together, over all connections.
    pub held_bytes: usize,
    /// Connections at once, over all workers.
    pub connections: usize,
}

/// The largest head (431).
pub const HEAD_BYTES: usize = 16 * 1024;
/// Every request may have a body, and an answer, of this size, whatever the others hold.
pub const SMALL_BODY: usize = 8 * 1024;
/// As much of a head is read at once.
pub const HEAD_PIECE: usize = 4 * 1024;
/// The parser gets at most this much of a body, then the handler runs: so the parser's buffer does not grow.
pub const PIECE: usize = 8 * 1024;
/// The handler has its own limit for a body and answers 408; the connection waits this much longer before it ends.
pub const BODY_GRACE: Duration = Duration::from_secs(1);
/// How long a peer may go on sending after its last answer.
pub const LINGER: Duration = Duration::from_secs(1);
/// How many times [`Limits::write_time`] a whole answer may take.
pub const WHOLE_ANSWER: u32 = 6;
/// How often a body that found no room looks again.
pub const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Limits {
    /// What a peer may send after its answer. What would have been read as a body is also swallowed.
    pub fn linger_bytes(&self) -> usize {
        self.body_bytes
    }

    /// What a chunked body may take on the wire: its data and as much again in chunk heads and trailers.
    pub fn wire_bytes(&self) -> usize {
        self.body_bytes.saturating_mul(2).max(SMALL_BODY)
    }
}
