//! The guard: the stream between a socket and the HTTP service. It passes one request at a time and enforces the
//! deadlines.
//!
//! actix-http reads ahead, queues the requests that it decodes, and has no deadline for a second head, for a body that
//! no handler reads, or for a response that no peer reads. The guard withholds further requests until the response is
//! complete, and ends a connection that exceeds a deadline.
//!
//! ```text
//! Head ──whole──▶ Request ──answered, request whole──▶ Head
//!   │                │
//!   │ too late,      └──answered early──▶ Ended
//!   │ too large                            ▲
//!   └──────────────408, 431────────────────┘
//! ```
//!
//! In `Ended` the service reads the end of the stream and finishes; `closing.rs` closes the socket.

mod stream;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::time::Instant;

use crate::http::connection::answer::Exchange;
use crate::http::connection::closing::{Socket, ToCome};
use crate::http::connection::cuts::Cut;
use crate::http::connection::deadlines::{Deadlines, Due, after};
use crate::http::connection::framing::{self, Body, Head};
use crate::http::connection::limits::{
    BODY_GRACE, HEAD_BYTES, HEAD_PIECE, LOOK_AGAIN, Limits, PIECE, SMALL_BODY, WHOLE_ANSWER,
};

const TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const LARGE_HEAD: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What the guard reads from the peer.
enum Phase {
    /// The head of the next request.
    Head,
    /// The rest of a request. Then nothing until the response is complete.
    Request(Body),
    /// Nothing. The service reads the end of the stream.
    Ended,
}

/// The state of the interim response `100 Continue`.
enum Interim {
    /// No interim response is due: the request expects none, or it is already sent, or it is not needed any more.
    None,
    /// The request expects an interim response, and the service has not written it.
    Expected,
    /// The service has written the interim response. The guard withholds it until the handler reads the body.
    Withheld,
    /// The guard has written this many bytes of the interim response to the peer.
    Sending(usize),
}

/// A guarded connection.
pub struct Guarded {
    socket: Rc<Socket>,
    limits: Limits,
    /// The state that the service shares with the guard.
    pub exchange: Rc<Exchange>,
    phase: Phase,
    /// Bytes that were read from the socket and not yet passed to the service.
    ahead: Vec<u8>,
    /// The number of bytes at the front of `ahead` that may be passed to the service.
    cleared: usize,
    /// Whether the kernel has further bytes, which are not read before the response is complete.
    waiting: bool,
    /// The number of bytes that have arrived of the present body. In a chunked body, chunk heads count too.
    body: usize,
    /// The bytes that this connection has taken from the shared budget of all connections.
    held: usize,
    /// Whether a piece of the body was passed to the service since the service last had to wait for bytes.
    fed: bool,
    interim: Interim,
    /// Whether the first byte of the response is written.
    begun: bool,
    /// Whether the guard has answered instead of the service.
    refused: bool,
    /// Whether this connection has already had a complete response.
    served: bool,
    /// The time at which the peer must have read the whole response. It is set when the peer first does not read.
    answer_by: Option<Instant>,
    deadlines: Deadlines,
}

impl Guarded {
    pub fn new(socket: Rc<Socket>) -> Self {
        let limits = socket.connections.limits;
        Self {
            limits,
            exchange: Rc::new(Exchange::new(Arc::clone(&socket.connections))),
            socket,
            phase: Phase::Head,
            ahead: Vec::new(),
            cleared: 0,
            waiting: false,
            body: 0,
            held: 0,
            fed: false,
            interim: Interim::None,
            begun: false,
            refused: false,
            served: false,
            answer_by: None,
            deadlines: Deadlines::read_by(after(limits.head_time)),
        }
    }

    fn cut(&mut self, cut: Cut) {
        self.socket.connections.cut(cut, self.socket.peer);
        self.socket.to_come.set(ToCome::Ignored);
        self.phase = Phase::Ended;
        self.deadlines.read = None;
    }

    /// Cuts and resets the connection of a peer that does not read. Returns the error for the service. Without the
    /// reset, the kernel would keep the unread response for minutes after the close.
    fn cut_reader(&mut self) -> io::Error {
        self.cut(Cut::SlowReader);
        self.socket.reset_on_close();
        io::ErrorKind::TimedOut.into()
    }

    /// Reads the head in `ahead`, as far as it has arrived.
    fn read_head(&mut self) {
        match framing::head(&self.ahead) {
            Head::Partial if self.ahead.len() >= HEAD_BYTES => self.refuse(Cut::LargeHead, LARGE_HEAD),
            Head::Partial => {}
            // The service answers 400 and closes the connection.
            Head::Malformed => self.begin(self.ahead.len(), Body::Doubtful, false),
            Head::TooLarge => self.refuse(Cut::LargeHead, LARGE_HEAD),
            Head::Whole { length, .. } if length > HEAD_BYTES => self.refuse(Cut::LargeHead, LARGE_HEAD),
            Head::Whole { length, mut body, expects_continue } => {
                // The service answers 413 from the head alone, so no byte of the body is read.
                if matches!(body, Body::Length(length) if length > self.limits.body_bytes as u64) {
                    body = Body::Doubtful;
                }
                self.begin(length, body, expects_continue);
            }
        }
    }

    fn begin(&mut self, head: usize, mut body: Body, expects_continue: bool) {
        let more = body.pass(&mut self.ahead[head..]);
        self.cleared = head + more;
        self.body = more;
        self.deadlines.read = (!body.is_whole()).then(|| after(self.limits.body_time + BODY_GRACE));
        self.interim = if expects_continue { Interim::Expected } else { Interim::None };
        self.begun = false;
        self.exchange.begin(body);
        self.phase = Phase::Request(body);
    }

    /// Cuts the connection and writes `answer` instead of the service. The service has seen nothing of this request, or
    /// cannot write its response any more.
    fn refuse(&mut self, cut: Cut, answer: &[u8]) {
        self.cut(cut);
        self.refused = true;
        // Nothing else is being written, so the response fits into the kernel's buffer.
        if self.socket.try_write(answer).is_ok() {
            self.end(ToCome::RestOfCut);
        }
    }

    /// Ends the stream to the peer and the stream to the service. Drops the bytes that were read ahead.
    fn end(&mut self, to_come: ToCome) {
        self.ahead = Vec::new();
        self.cleared = 0;
        self.socket.to_come.set(to_come);
        self.socket.end_writing();
        self.deadlines.read = None;
        self.phase = Phase::Ended;
    }

    /// Continues after a complete response: with the next head, or with the end of the connection.
    fn answered(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let early = !matches!(self.phase, Phase::Request(Body::Whole));
        self.release();
        (self.deadlines.write, self.answer_by) = (None, None);
        self.interim = Interim::None;
        self.served = true;
        if matches!(self.phase, Phase::Request(_)) {
            if early {
                self.end(ToCome::Rest);
            } else {
                self.phase = Phase::Head;
                let begun = !self.ahead.is_empty();
                let time = if begun { self.limits.head_time } else { self.limits.keep_alive };
                self.deadlines.read = Some(after(time));
                if begun {
                    self.read_head();
                }
            }
        }
        if early || self.waiting || !self.ahead.is_empty() {
            self.waiting = false;
            cx.waker().wake_by_ref();
        }
        self.watch(cx)
    }

    fn release(&mut self) {
        self.socket.connections.held.fetch_sub(std::mem::take(&mut self.held), Ordering::Relaxed);
    }

    /// Ready if the handler has read the last piece of the body and there is room for the next piece. Otherwise wakes
    /// the task to try again.
    fn next_piece(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.fed {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !self.room() {
            self.deadlines.again = Some(after(LOOK_AGAIN));
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Whether there is room for another piece of the body. Small bodies always have room; large ones share a budget.
    fn room(&mut self) -> bool {
        self.body < SMALL_BODY + self.held || self.hold(PIECE)
    }

    /// Reads from the socket, at most as many bytes as the phase permits at once.
    fn fill(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = match self.phase {
            Phase::Request(_) => PIECE.min((SMALL_BODY + self.held).saturating_sub(self.body)).max(1),
            // Most heads are smaller than this. The piece of a body that arrives with the head is so small that it
            // needs no room.
            Phase::Head => HEAD_PIECE,
            _ => HEAD_BYTES,
        };
        if out.remaining() <= most {
            return self.socket.poll_read(cx, out);
        }
        let mut piece = ReadBuf::new(out.initialize_unfilled_to(most));
        ready!(self.socket.poll_read(cx, &mut piece))?;
        let got = piece.filled().len();
        out.advance(got);
        Poll::Ready(Ok(()))
    }

    /// Takes this many bytes from the shared budget of all connections if they are left. Returns whether they were.
    fn hold(&mut self, bytes: usize) -> bool {
        let held = &self.socket.connections.held;
        let fits = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.limits.held_bytes);
        let is_there = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        self.held += if is_there { bytes } else { 0 };
        is_there
    }

    /// Sets the write deadlines of a peer that does not read its response. A large response needs room in the shared
    /// budget; without room the connection is cut.
    fn blocked(&mut self) -> io::Result<()> {
        if self.answer_by.is_none() {
            self.answer_by = Some(after(self.limits.write_time * WHOLE_ANSWER));
            let size = self.exchange.size.get();
            if size > SMALL_BODY && !self.hold(size) {
                return Err(self.cut_reader());
            }
        }
        let some = after(self.limits.write_time);
        let next = self.answer_by.map_or(some, |all| all.min(some));
        self.deadlines.write = self.deadlines.write.or(Some(next));
        Ok(())
    }

    /// Handles a deadline that has passed. If none has passed, the task is woken at the next one.
    fn watch(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Poll::Ready(due) = self.deadlines.poll(cx) else { return Ok(()) };
        match due {
            Due::Write => return Err(self.cut_reader()),
            Due::Read => self.overdue(),
            Due::Again => {}
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Ends the phase whose deadline has passed.
    fn overdue(&mut self) {
        match self.phase {
            Phase::Head if !self.ahead.is_empty() => self.refuse(Cut::SlowHead, TIMEOUT),
            Phase::Head if self.served => self.phase = Phase::Ended,
            Phase::Head => self.cut(Cut::Silent),
            Phase::Request(_) if self.begun => self.cut(Cut::SlowBody),
            Phase::Request(_) => self.refuse(Cut::SlowBody, TIMEOUT),
            Phase::Ended => {}
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.release();
        if self.socket.to_come.get() == ToCome::Requests && !self.ahead.is_empty() {
            self.socket.to_come.set(ToCome::Rest);
        }
    }
}
