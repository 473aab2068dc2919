//! The end of a connection: before the socket is closed, bytes that the peer still sends are read and discarded, within
//! limits. A socket that is closed with unread bytes resets its connection, and the peer may lose the response.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::cuts::{Connections, Cut};
use super::limits::{LINGER, PIECE};

/// What the peer may still send after the service has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToCome {
    /// Anything. It is not read, because there is no response to protect.
    Ignored,
    /// Further requests. The answered request arrived whole.
    Requests,
    /// The rest of a request that was answered early.
    Rest,
    /// The rest of a request that was answered early, on a connection that is already counted as cut.
    RestOfCut,
}

/// The socket of a connection. The guard uses it first, then [`close`], on the same thread.
pub struct Socket {
    stream: RefCell<TcpStream>,
    pub peer: Option<SocketAddr>,
    pub to_come: Cell<ToCome>,
    pub connections: Arc<Connections>,
}

impl Socket {
    /// Wraps an accepted connection. The connection counts as open until the socket is dropped.
    pub fn new(stream: TcpStream, connections: Arc<Connections>) -> Rc<Self> {
        connections.open.fetch_add(1, Ordering::Relaxed);
        let (peer, to_come) = (stream.peer_addr().ok(), Cell::new(ToCome::Ignored));
        Rc::new(Self { stream: RefCell::new(stream), peer, to_come, connections })
    }

    pub fn poll_read(&self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, out)
    }

    pub fn poll_peek(&self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        self.stream.borrow().poll_peek(cx, out)
    }

    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes)
    }

    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.borrow().try_write(bytes)
    }

    /// Makes the kernel reset the connection when the socket is closed.
    pub fn reset_on_close(&self) {
        self.to_come.set(ToCome::Ignored);
        // If this fails, the close is an ordinary one.
        let _ = self.stream.borrow().set_zero_linger();
    }

    /// Ends the stream to the peer. The stream from the peer stays open.
    pub fn end_writing(&self) {
        // An error means that the peer has disconnected.
        let _ = SockRef::from(&*self.stream.borrow()).shutdown(Shutdown::Write);
    }

    /// Whether the kernel has unread bytes. The kernel is asked, because the runtime learns of new bytes later.
    fn has_input(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        SockRef::from(&*self.stream.borrow()).peek(&mut byte).is_ok_and(|seen| seen > 0)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes a connection whose service has ended. Before that, reads and discards what the peer still sends, for at most
/// [`LINGER`] and at most as many bytes as a body may have. Does not wait if the peer has sent its whole request and
/// nothing after it.
pub async fn close(socket: Rc<Socket>) {
    let waits = match socket.to_come.get() {
        ToCome::Ignored => false,
        ToCome::Requests => socket.has_input(),
        ToCome::Rest | ToCome::RestOfCut => true,
    };
    if !waits {
        return;
    }
    socket.end_writing();
    let (mut left, mut piece) = (socket.connections.limits.body_bytes, vec![0; PIECE]);
    let mut has_sent = false;
    let all_read = poll_fn(|cx| {
        loop {
            let mut out = ReadBuf::new(&mut piece);
            let read = ready!(socket.poll_read(cx, &mut out));
            let got = out.filled().len();
            if read.is_err() || got == 0 {
                return Poll::Ready(true);
            }
            has_sent = true;
            match left.checked_sub(got) {
                Some(less) => left = less,
                None => return Poll::Ready(false),
            }
        }
    });
    let all_read = tokio::time::timeout(LINGER, all_read).await.unwrap_or(false);
    if !all_read && has_sent && socket.to_come.get() != ToCome::RestOfCut {
        socket.connections.cut(Cut::UnreadBody, socket.peer);
    }
}
