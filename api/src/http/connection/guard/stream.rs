//! The guarded connection as the stream that the HTTP service reads and writes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Guarded, Interim, Phase};
use crate::http::connection::closing::ToCome;
use crate::http::connection::deadlines::after;
use crate::http::connection::framing::Body;
use crate::http::connection::limits::HEAD_BYTES;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Guarded {
    /// Sends the interim response when the handler begins to read the body, if nothing of the body has arrived yet.
    fn send_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.interim, Interim::Withheld) && self.exchange.wants_body.get() {
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

    /// Passes bytes to the service, as many as the phase permits. If it is ready without a byte, the stream has ended.
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
                Phase::Ended => return Poll::Ready(Ok(())),
                Phase::Request(Body::Whole | Body::Doubtful) => return self.detect_disconnect(cx),
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
                    // The head is parsed when its first bytes arrive, at the end of a line, and at the size limit. A
                    // head cannot end between these points.
                    let is_due =
                        self.ahead.is_empty() || piece.contains(&b'\n') || self.ahead.len() + got >= HEAD_BYTES;
                    self.ahead.extend_from_slice(piece);
                    out.set_filled(start);
                    if is_due {
                        self.read_head();
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
                        self.exchange.whole.set(true);
                    }
                    self.ahead.extend_from_slice(&out.filled()[start + taken..]);
                    out.set_filled(start + taken);
                    return Poll::Ready(Ok(()));
                }
                Phase::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Only notices whether the peer has disconnected, between the end of a request and its response. Reads no bytes.
    fn detect_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
            // The guard has already answered.
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if matches!(this.interim, Interim::Expected) && bytes.starts_with(CONTINUE) {
            this.interim = Interim::Withheld;
            return Poll::Ready(Ok(CONTINUE.len()));
        }
        match this.interim {
            Interim::Sending(sent) if sent > 0 => ready!(this.send_interim(cx))?,
            // The service responds before the handler reads the body, so the interim response is not needed.
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
                    Phase::Ended => {}
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
        if this.exchange.answered.take() {
            this.answered(cx)?;
        } else if matches!(this.phase, Phase::Request(_)) && this.deadlines.read.is_some() {
            // A service whose buffer is full does not read, so the read deadline is also checked when the service
            // flushes.
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
