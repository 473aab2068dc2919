//! The connection of an SMTP session, with a limit on how much the relay may send. The SMTP client of lettre 0.11 needs
//! this limit, because it reads a whole line before it checks the length of the line.
//!
//! The connection also refuses to begin TLS if the relay has sent more than one response to a command. lettre keeps what
//! it has read ahead, and would later take this plaintext for responses that arrived over TLS. An attacker on the way
//! could append such responses, so that a message counts as accepted that the relay has never seen (RFC 3207, section
//! 4.2, and CVE-2011-0411).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

#[allow(deprecated, reason = "lettre has no other way to begin a session over TLS on a given stream")]
use lettre::transport::smtp::client::{AsyncNetworkStream, AsyncTokioStream, TlsParameters};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

/// The most bytes that a relay may send between two writes of the shop, TLS included. A line has at most 512 bytes (RFC
/// 5321, section 4.5.3.1.5), and a response has a few lines. A chain of certificates is the longest message.
const MAX_BYTES: usize = 32 * 1024;
/// The most line feeds that a relay may send between two writes of the shop. More lines would take long, because lettre
/// parses the whole response again after each line. Encrypted data has fewer line feeds.
const MAX_LINES: usize = 512;

#[derive(Debug, thiserror::Error)]
#[error("the relay sent more than {MAX_BYTES} bytes or {MAX_LINES} lines at once")]
pub(super) struct ResponseTooLong;

#[derive(Debug, thiserror::Error)]
#[error("the relay sent data after a response and before TLS")]
pub(super) struct DataBeforeTls;

/// Connects to the first address of the host that accepts. Waits at most `limit` for each address.
pub(super) async fn connect(host: &str, port: u16, limit: Duration) -> io::Result<Bounded<TcpStream>> {
    let mut last = io::Error::other("the name has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        match tokio::time::timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(Bounded::new(stream, address)),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// The first byte of a TLS handshake message (RFC 8446, section 5.1). No SMTP command begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// A connection that fails when the relay has sent too much.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    peer: SocketAddr,
    /// The bytes that were received since the last write. `lines` counts the line feeds among them.
    bytes: usize,
    lines: usize,
    /// The response to the last write.
    response: Response,
    /// Whether the relay has sent a byte after a complete response and before the next write.
    is_ahead: bool,
    is_tls: bool,
}

impl<S> Bounded<S> {
    fn new(stream: S, peer: SocketAddr) -> Self {
        let response = Response::default();
        Self { stream, peer, bytes: 0, lines: 0, response, is_ahead: false, is_tls: false }
    }
}

/// How much of a response has arrived (RFC 5321, section 4.2.1). The fourth byte of each line but the last is a hyphen.
#[derive(Debug, Default)]
struct Response {
    column: usize,
    continues: bool,
    is_complete: bool,
}

impl Response {
    fn step(&mut self, byte: u8) {
        if byte == b'\n' {
            self.is_complete = !self.continues;
            (self.column, self.continues) = (0, false);
            return;
        }
        if self.column == 3 {
            self.continues = byte == b'-';
        }
        self.column += 1;
    }
}

impl Bounded<TcpStream> {
    /// Puts the connection under TLS, for a relay with TLS from the first byte on.
    #[allow(deprecated, reason = "see above")]
    pub(super) async fn with_tls(
        self,
        tls: TlsParameters,
    ) -> Result<Bounded<Compat<AsyncNetworkStream>>, lettre::transport::smtp::Error> {
        let peer = self.peer;
        let mut stream = AsyncNetworkStream::use_existing_tokio1(Box::new(self));
        stream.upgrade_tls(tls).await?;
        Ok(Bounded::new(stream.compat(), peer))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let received = &buf.filled()[before..];
        self.bytes += received.len();
        self.lines += received.iter().filter(|byte| **byte == b'\n').count();
        if !self.is_tls {
            for byte in received {
                self.is_ahead |= self.response.is_complete;
                self.response.step(*byte);
            }
        }
        let is_too_long = self.bytes > MAX_BYTES || self.lines > MAX_LINES;
        Poll::Ready(if is_too_long { Err(io::Error::other(ResponseTooLong)) } else { Ok(()) })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        (self.bytes, self.lines, self.response) = (0, 0, Response::default());
        if !self.is_tls && buf.first() == Some(&TLS_HANDSHAKE) {
            if self.is_ahead {
                return Poll::Ready(Err(io::Error::other(DataBeforeTls)));
            }
            self.is_tls = true;
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug> AsyncTokioStream for Bounded<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
