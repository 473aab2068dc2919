//! The limits of a connection: memory and time.

use std::time::Duration;

/// The bounds of every connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest time from the first byte of a head to its last byte. On a new connection, the time starts when the
    /// connection is accepted.
    pub head_time: Duration,
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
    /// The longest time from the end of a head to the end of its body.
    pub body_time: Duration,
    /// The longest time in which a peer may read nothing of its response.
    pub write_time: Duration,
    /// The largest body of a request, in bytes.
    pub body_bytes: usize,
    /// The most memory for large bodies and large unread responses, over all connections, in bytes. A body or response
    /// of up to `SMALL_BODY` does not count.
    pub held_bytes: usize,
    /// The most open connections, over all workers.
    pub connections: usize,
}

/// The largest head of a request, in bytes. A larger head is answered with 431.
pub const HEAD_BYTES: usize = 16 * 1024;
/// A body or response of up to this many bytes needs no room in [`Limits::held_bytes`].
pub const SMALL_BODY: usize = 8 * 1024;
/// The most bytes that one read from the socket takes while a head arrives.
pub const HEAD_PIECE: usize = 4 * 1024;
/// The most bytes of a body that the parser gets before the handler reads them, so that the parser's buffer stays
/// small.
pub const PIECE: usize = 8 * 1024;
/// How long after [`Limits::body_time`] the guard cuts a connection whose body is late. The handler answers 408 before.
pub const BODY_GRACE: Duration = Duration::from_secs(1);
/// The longest time in which the server reads what a peer sends after its last response.
pub const LINGER: Duration = Duration::from_secs(1);
/// The longest time in which a peer must read a whole response, as a multiple of [`Limits::write_time`].
pub const WHOLE_ANSWER: u32 = 6;
/// How often the guard checks whether the shared budget has room for the next piece of a body.
pub const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Limits {
    /// The most bytes of a chunked body on the wire: its data, and as much again for chunk heads and trailers.
    pub fn wire_bytes(&self) -> usize {
        self.body_bytes.saturating_mul(2).max(SMALL_BODY)
    }
}
