//! The limits of a connection: memory and time.

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
    /// How long a peer may read nothing of its response.
    pub write_time: Duration,
    /// The largest body.
    pub body_bytes: usize,
    /// The memory of large bodies and large unread responses, over all connections.
    pub held_bytes: usize,
    /// Connections at once, over all workers.
    pub connections: usize,
}

/// The largest head (431).
pub const HEAD_BYTES: usize = 16 * 1024;
/// A body or response up to this size needs no room in [`Limits::held_bytes`].
pub const SMALL_BODY: usize = 8 * 1024;
/// The most bytes that one read of a head takes.
pub const HEAD_PIECE: usize = 4 * 1024;
/// The most bytes of a body that the parser gets before the handler runs, so that the parser's buffer stays small.
pub const PIECE: usize = 8 * 1024;
/// The handler answers 408 at its own limit. The connection ends this much later.
pub const BODY_GRACE: Duration = Duration::from_secs(1);
/// How long a peer may send after its last response.
pub const LINGER: Duration = Duration::from_secs(1);
/// A whole response may take this many times [`Limits::write_time`].
pub const WHOLE_ANSWER: u32 = 6;
/// How often the guard checks whether the shared budget has room for the next piece of a body.
pub const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Limits {
    /// The most bytes that a peer may send after its response: as many as a body may have.
    pub fn linger_bytes(&self) -> usize {
        self.body_bytes
    }

    /// The most bytes of a chunked body on the wire: its data, and as much again for chunk heads and trailers.
    pub fn wire_bytes(&self) -> usize {
        self.body_bytes.saturating_mul(2).max(SMALL_BODY)
    }
}
