//! The connection under a conversation with the relay. What a relay may say is bounded here: the SMTP client of lettre
//! 0.11 reads a line to its end before it looks at the length.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

#[allow(deprecated, reason = "the only way to begin a conversation over TLS on a stream of one's own")]
use lettre::transport::smtp::client::{AsyncNetworkStream, AsyncTokioStream, TlsParameters};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a relay may say before it is spoken to again, TLS included. A line of an answer has at most 512 bytes (RFC 5321,
/// section 4.5.3.1.5), and an answer has a few of them. A chain of certificates is the longest thing that it says.
const MOST_HEARD: usize = 32 * 1024;
/// And in so many lines: lettre reads an answer anew with every line of it. What is encrypted has fewer line feeds.
const MOST_LINES: usize = 512;

/// The relay said more at once than a relay has to say.
#[derive(Debug, thiserror::Error)]
#[error("the relay said more than {MOST_HEARD} bytes or {MOST_LINES} lines at once")]
pub(super) struct HeardTooMuch;

/// What the relay said since it was last spoken to.
#[derive(Debug, Default)]
struct Heard {
    bytes: usize,
    lines: usize,
}

impl Heard {
    fn more(&mut self, piece: &[u8]) -> io::Result<()> {
        self.bytes += piece.len();
        self.lines += piece.iter().filter(|byte| **byte == b'\n').count();
        let is_too_much = self.bytes > MOST_HEARD || self.lines > MOST_LINES;
        if is_too_much { Err(io::Error::other(HeardTooMuch)) } else { Ok(()) }
    }
}

/// Connects to the first address that answers, within `limit` for each.
pub(super) async fn connect(host: &str, port: u16, limit: Duration) -> io::Result<Bounded> {
    let mut last = io::Error::other("the name has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        match tokio::time::timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(Bounded { stream, heard: Heard::default() }),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// A connection that fails once the relay has said too much.
#[derive(Debug)]
pub(super) struct Bounded {
    stream: TcpStream,
    heard: Heard,
}

impl Bounded {
    /// The same connection under TLS, for a relay that speaks it from the first byte on.
    #[allow(deprecated, reason = "see above")]
    pub(super) async fn with_tls(self, tls: TlsParameters) -> Result<Encrypted, lettre::transport::smtp::Error> {
        let mut stream = AsyncNetworkStream::use_existing_tokio1(Box::new(self));
        stream.upgrade_tls(tls).await?;
        Ok(Encrypted { stream, heard: Heard::default() })
    }
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.heard.more(&buf.filled()[before..]))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.heard = Heard::default();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncTokioStream for Bounded {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

/// A connection under TLS, as lettre takes one.
#[derive(Debug)]
#[allow(deprecated, reason = "see above")]
pub(super) struct Encrypted {
    stream: AsyncNetworkStream,
    heard: Heard,
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, inner) = (buf.filled().len(), Pin::new(&mut self.stream));
        let read = ready!(futures_util::io::AsyncRead::poll_read(inner, cx, buf.initialize_unfilled()))?;
        buf.advance(read);
        Poll::Ready(self.heard.more(&buf.filled()[before..]))
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.heard = Heard::default();
        futures_util::io::AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures_util::io::AsyncWrite::poll_flush(Pin::new(&mut self.stream), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures_util::io::AsyncWrite::poll_close(Pin::new(&mut self.stream), cx)
    }
}

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}
