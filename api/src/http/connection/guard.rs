//! The stream between a socket and the HTTP service: it lets one request at a time through, and it has the clock.
//!
//! actix-http reads ahead: it decodes whatever its buffer holds, queues what it decoded, and has no deadline for a
//! second head, for a body that no handler reads, and for an answer that no peer takes. The guard gives it nothing to
//! read ahead of the answer, and ends a connection that lets one of its deadlines pass.
//!
//! ```text
//! Head ──whole──▶ Request ──answered, request whole──▶ Head
//!   │                │
//!   │ too late,      └──answered early──▶ Over
//!   │ too large                            ▲
//!   └──────────────408, 431────────────────┘
//! ```
//!
//! In `Over` the service reads the end of the stream and gives it back; `closing.rs` closes the socket.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::answer::Exchange;
use super::closing::{Socket, ToCome};
use super::cuts::Cut;
use super::deadlines::{Deadlines, Due, after};
use super::framing::{self, Body, Head};
use super::limits::{BODY_GRACE, HEAD_BYTES, HEAD_PIECE, LOOK_AGAIN, Limits, PIECE, SMALL_BODY, WHOLE_ANSWER};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const LARGE_HEAD: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What the peer may send now.
enum Phase {
    /// A head, or nothing for a while.
    Head,
    /// The rest of a request; then nothing counts until the answer is written.
    Request(Body),
    /// Nothing that the service sees.
    Over,
}

/// What became of an interim answer.
enum Interim {
    /// The request wants none, or it was given.
    None,
    /// The request wants one; the service has not made it.
    Expected,
    /// The service made it; the handler has not asked for the body.
    Withheld,
    /// It is being written; this many bytes were.
    Sending(usize),
}

pub struct Guarded {
    socket: Rc<Socket>,
    limits: Limits,
    exchange: Rc<Exchange>,
    phase: Phase,
    /// Bytes that were read and not let through.
    ahead: Vec<u8>,
    /// How many bytes at the front of `ahead` belong to the request.
    cleared: usize,
    /// The kernel has more, which the gate keeps out.
    waiting: bool,
    /// Bytes of this body, on the wire.
    body: usize,
    /// What this body has of the room for all bodies.
    held: usize,
    /// Whether a piece of the body was let through since the service last had to wait.
    fed: bool,
    interim: Interim,
    /// Whether a byte of the answer was written.
    begun: bool,
    /// Whether the guard has answered in place of the service.
    refused: bool,
    /// Whether a request was answered before.
    served: bool,
    /// When a peer that once took nothing must have taken the whole answer.
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

    /// What the service tells the guard.
    pub fn exchange(&self) -> Rc<Exchange> {
        Rc::clone(&self.exchange)
    }

    fn cut(&mut self, cut: Cut) {
        self.socket.connections.cut(cut, self.socket.peer);
        self.socket.to_come.set(ToCome::Ignored);
        self.phase = Phase::Over;
        self.deadlines.read = None;
    }

    /// Resets the connection: else the kernel would keep what the peer does not take for minutes after the close.
    fn cut_reader(&mut self) -> io::Error {
        self.cut(Cut::SlowReader);
        self.socket.reset_on_close();
        io::ErrorKind::TimedOut.into()
    }

    /// Looks at what was read of a head.
    fn judge(&mut self) {
        match framing::head(&self.ahead) {
            Head::Partial if self.ahead.len() >= HEAD_BYTES => self.refuse(Cut::LargeHead, LARGE_HEAD),
            Head::Partial => {}
            // The service answers 400, and closes.
            Head::Malformed => self.begin(self.ahead.len(), Body::Doubtful, false),
            Head::TooLarge => self.refuse(Cut::LargeHead, LARGE_HEAD),
            Head::Whole { length, .. } if length > HEAD_BYTES => self.refuse(Cut::LargeHead, LARGE_HEAD),
            Head::Whole { length, mut body, expects_continue } => {
                // The service answers 413 from the head; a byte of it would be read for nothing.
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
        self.exchange.begin(body.is_whole());
        self.phase = Phase::Request(body);
    }

    /// Answers in place of the service, which has seen nothing of this request or is cut off from it.
    fn refuse(&mut self, cut: Cut, answer: &[u8]) {
        self.cut(cut);
        self.refused = true;
        // Nothing else is being written, so that it fits. A peer that cannot be written to is not owed an answer.
        if self.socket.try_write(answer).is_ok() {
            self.end(ToCome::RestOfCut);
        }
    }

    /// Nothing more is read for the service, and nothing more is written.
    fn end(&mut self, to_come: ToCome) {
        self.ahead = Vec::new();
        self.cleared = 0;
        self.socket.to_come.set(to_come);
        self.socket.end_writing();
        self.deadlines.read = None;
        self.phase = Phase::Over;
    }

    /// The answer is with the kernel.
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
                    self.judge();
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

    /// Waits until the handler has seen the last piece and there is room for another.
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

    /// Whether the body may have another piece. Small bodies always may; what large ones hold together is bounded.
    fn room(&mut self) -> bool {
        self.body < SMALL_BODY + self.held || self.hold(PIECE)
    }

    /// Reads from the socket, no more at once than the phase permits.
    fn fill(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = match self.phase {
            Phase::Request(_) => PIECE.min((SMALL_BODY + self.held).saturating_sub(self.body)).max(1),
            // Most heads are smaller. What of a body comes with the head has no room of its own.
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

    /// Takes this much of what all connections may hold together, if it is there.
    fn hold(&mut self, bytes: usize) -> bool {
        let held = &self.socket.connections.held;
        let fits = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.limits.held_bytes);
        let is_there = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        self.held += if is_there { bytes } else { 0 };
        is_there
    }

    /// The peer does not take its answer. It may take its time, while there is memory for that.
    fn blocked(&mut self) -> io::Result<()> {
        if self.answer_by.is_none() {
            self.answer_by = Some(after(self.limits.write_time * WHOLE_ANSWER));
            let size = self.exchange.size();
            if size > SMALL_BODY && !self.hold(size) {
                return Err(self.cut_reader());
            }
        }
        let some = after(self.limits.write_time);
        let next = self.answer_by.map_or(some, |all| all.min(some));
        self.deadlines.write = self.deadlines.write.or(Some(next));
        Ok(())
    }

    /// Ends what is overdue; otherwise sees to it that the task is woken when something will be.
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

    /// The deadline of the phase has passed.
    fn overdue(&mut self) {
        match self.phase {
            Phase::Head if !self.ahead.is_empty() => self.refuse(Cut::SlowHead, TIMEOUT),
            Phase::Head if self.served => self.phase = Phase::Over,
            Phase::Head => self.cut(Cut::Silent),
            Phase::Request(_) if self.begun => self.cut(Cut::SlowBody),
            Phase::Request(_) => self.refuse(Cut::SlowBody, TIMEOUT),
            Phase::Over => {}
        }
    }

    /// Sends the interim answer, once the handler asks for a body of which nothing has come.
    fn send_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.interim, Interim::Withheld) && self.exchange.wants_body() {
            let to_come = self.body == 0 && !matches!(self.phase, Phase::Request(Body::Whole | Body::Doubtful));
            self.interim = if to_come { Interim::Sending(0) } else { Interim::None };
        }
        while let Interim::Sending(sent) = self.interim {
            let more = ready!(self.socket.poll_write(cx, &CONTINUE[sent..]))?;
            let whole = sent + more == CONTINUE.len();
            self.interim = if whole || more == 0 { Interim::None } else { Interim::Sending(sent + more) };
        }
        Poll::Ready(Ok(()))
    }

    /// Reads as far as the phase permits. Ready without a byte means the end.
    fn read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let start = out.filled().len();
        loop {
            if self.cleared > 0 {
                let length = self.cleared.min(out.remaining());
                out.put_slice(&self.ahead[..length]);
                self.cleared -= length;
                self.ahead.drain(..length);
                if self.ahead.is_empty() && self.ahead.capacity() > 4 * 1024 {
                    self.ahead = Vec::new();
                }
                return Poll::Ready(Ok(()));
            }
            match self.phase {
                Phase::Over => return Poll::Ready(Ok(())),
                Phase::Request(Body::Whole | Body::Doubtful) => return self.look_for_the_end(cx),
                Phase::Request(_) => ready!(self.next_piece(cx)),
                Phase::Head => {}
            }
            ready!(self.fill(cx, out))?;
            let got = out.filled().len() - start;
            if got == 0 {
                return Poll::Ready(Ok(()));
            }
            match &mut self.phase {
                Phase::Head => {
                    if self.ahead.is_empty() && self.served {
                        self.deadlines.read = Some(after(self.limits.head_time));
                    }
                    let piece = &out.filled()[start..];
                    // Only the end of a line can end a head or make it malformed past its first line.
                    let judge = self.ahead.is_empty() || piece.contains(&b'\n') || self.ahead.len() + got >= HEAD_BYTES;
                    self.ahead.extend_from_slice(piece);
                    out.set_filled(start);
                    if judge {
                        self.judge();
                    }
                }
                Phase::Request(body) => {
                    let taken = body.pass(&mut out.filled_mut()[start..]);
                    self.body += taken;
                    self.fed = true;
                    if self.body > self.limits.wire_bytes() {
                        *body = Body::Doubtful;
                    }
                    if body.is_whole() {
                        self.deadlines.read = None;
                        self.exchange.whole();
                    }
                    self.ahead.extend_from_slice(&out.filled()[start + taken..]);
                    out.set_filled(start + taken);
                    return Poll::Ready(Ok(()));
                }
                Phase::Over => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Between the end of a request and its answer only one thing counts: whether the peer is gone.
    fn look_for_the_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0; 1];
        let seen = ready!(self.socket.poll_peek(cx, &mut ReadBuf::new(&mut byte)))?;
        if seen == 0 {
            return Poll::Ready(Ok(()));
        }
        self.waiting = true;
        Poll::Pending
    }
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = this.read(cx, out);
        if read.is_pending() {
            this.fed = false;
            this.watch(cx)?;
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refused {
            // The answer of the service comes too late.
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if matches!(this.interim, Interim::Expected) && bytes.starts_with(CONTINUE) {
            this.interim = Interim::Withheld;
            return Poll::Ready(Ok(CONTINUE.len()));
        }
        match this.interim {
            Interim::Sending(sent) if sent > 0 => ready!(this.send_interim(cx))?,
            // The answer is there before the body was asked for.
            _ => this.interim = Interim::None,
        }
        match this.socket.poll_write(cx, bytes) {
            Poll::Pending => {
                this.blocked()?;
                this.watch(cx)?;
                Poll::Pending
            }
            written => {
                this.begun = true;
                match this.phase {
                    Phase::Request(Body::Whole) => this.socket.to_come.set(ToCome::Requests),
                    Phase::Over => {}
                    _ => this.socket.to_come.set(ToCome::Rest),
                }
                this.deadlines.write = None;
                written
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.send_interim(cx))?;
        if this.exchange.take_answered() {
            this.answered(cx)?;
        } else if matches!(this.phase, Phase::Request(_)) && this.deadlines.read.is_some() {
            // A service whose own buffer is full does not read, and would not learn that the time is up.
            this.watch(cx)?;
            if !matches!(this.phase, Phase::Request(_)) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.end_writing();
        Poll::Ready(Ok(()))
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
