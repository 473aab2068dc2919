//! The parts of the graceful shutdown: signals, the shutdown flag, and the refusal of late connections. `server.rs`
//! runs the steps in order; `docs/ARCHITECTURE.md` describes them.

use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;

/// Whether the shutdown has begun. All parts that behave differently during the shutdown share this flag.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The signals of one kind, each with its name.
pub struct Signals(Vec<(&'static str, Signal)>);

impl Signals {
    /// Listens for the signals that request a shutdown: SIGTERM, SIGINT, and SIGHUP when the process has a terminal.
    /// SIGHUP then means that the terminal was closed.
    pub fn to_stop() -> io::Result<Self> {
        let hangup = has_terminal().then_some(HANGUP);
        Self::listen(
            [("SIGTERM", SignalKind::terminate()), ("SIGINT", SignalKind::interrupt())].into_iter().chain(hangup),
        )
    }

    /// Listens for the ignored signals, whose default effect would end the process: SIGUSR1, SIGUSR2, and SIGHUP without
    /// a terminal. Nothing can be reloaded: the process reads settings and their files once at start. SIGXFSZ is ignored
    /// without a log line, because the write that exceeds the file size limit fails, and that failure is reported.
    pub fn to_ignore() -> io::Result<Self> {
        // After this registration the signal never has its default effect again.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        let hangup = (!has_terminal()).then_some(HANGUP);
        let user = [("SIGUSR1", SignalKind::user_defined1()), ("SIGUSR2", SignalKind::user_defined2())];
        Self::listen(user.into_iter().chain(hangup))
    }

    fn listen(kinds: impl Iterator<Item = (&'static str, SignalKind)>) -> io::Result<Self> {
        kinds.map(|(name, kind)| Ok((name, signal(kind)?))).collect::<io::Result<_>>().map(Self)
    }

    /// Waits for the next signal and returns its name.
    pub async fn next(&mut self) -> &'static str {
        poll_fn(|cx| {
            let mut signals = self.0.iter_mut();
            let received = signals.find_map(|(name, signal)| signal.poll_recv(cx).is_ready().then_some(*name));
            received.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Runs the start of the process, which blocks, on a thread of its own, so that the caller can wait for a signal too. If
/// the caller stops waiting, the process ends, and the thread ends with it.
pub async fn start_on_thread<T: Send + 'static>(start: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, started) = oneshot::channel();
    std::thread::Builder::new().name("start".to_owned()).spawn(move || {
        // An error means that the caller has stopped waiting.
        let _ = done.send(start());
    })?;
    started.await.map_err(|_| io::Error::other("the start panicked"))
}

const HANGUP: (&str, SignalKind) = ("SIGHUP", SignalKind::hangup());

fn has_terminal() -> bool {
    io::stderr().is_terminal()
}

/// The most late connections that are refused at the same time. Further ones wait in the kernel's queue.
const MAX_REFUSALS: usize = 64;
/// The longest one refusal may take.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// The result of one refusal. Nothing reads it: a client that is gone needs no answer.
type Refusal = Result<io::Result<()>, Elapsed>;
/// The wait after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// The most accepts in a row that may fail while the queue is emptied. The refusals in progress end in this time, and
/// release their file descriptors.
const MAX_ACCEPT_FAILURES: u32 = 150;
/// The number and length of the pauses of [`wait_for_accepted_connections`].
const SETTLE_PAUSES: u32 = 20;
const SETTLE_PAUSE: Duration = Duration::from_millis(10);
/// The longest request head that is read before the refusal, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The most bytes that are read after the refusal.
const MAX_REST: u64 = 256 * 1024;
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 67\r\n\r\n\
    {\"code\":\"draining\",\"content\":\"The shop is closing; ask again soon\"}";

/// Waits 200 ms for actions that end without a notification: the acceptor stops some time after it was asked to, a
/// worker reads a connection some time after the acceptor took it, and the last packet of a handshake may be on its
/// way. The wait is many short pauses, because only one of them elapses while the whole process or machine is
/// suspended.
pub async fn wait_for_accepted_connections() {
    for _ in 0..SETTLE_PAUSES {
        tokio::time::sleep(SETTLE_PAUSE).await;
    }
}

/// Answers new connections with a 503 until `done` is cancelled and none waits. Returns the number of refused
/// connections.
///
/// The web server's acceptor would reset the connections in the kernel's queue when it closes the socket. This function
/// shares the listening socket and empties the queue first.
pub async fn refuse_connections(listener: std::net::TcpListener, done: CancellationToken) -> io::Result<u64> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let mut refusals = JoinSet::new();
    let mut refused = 0;
    loop {
        tokio::select! {
            biased;
            () = done.cancelled() => break,
            Some(_) = refusals.join_next() => {}
            accepted = listener.accept(), if refusals.len() < MAX_REFUSALS => match accepted {
                Ok((stream, _)) => {
                    refused += 1;
                    refusals.spawn(tokio::time::timeout(REFUSAL_TIMEOUT, refuse(stream)));
                }
                // The error may last, as it does while the process has no free file descriptor.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
    // The runtime learns of new connections late, so the queue is read from the socket without the runtime.
    let listener = listener.into_std()?;
    // If this fails, a connection that arrives between the last accept and the close is reset.
    let _ = drop_new_connections(&listener);
    wait_for_accepted_connections().await;
    let emptied = refuse_waiting(|| Ok(listener.accept()?.0), &mut refusals).await;
    drop(listener);
    while refusals.join_next().await.is_some() {}
    Ok(refused + emptied?)
}

/// Refuses every connection that `accept` returns, until it returns `WouldBlock`. Returns the number of these
/// connections. An error ends the function only if it lasts.
async fn refuse_waiting(
    mut accept: impl FnMut() -> io::Result<std::net::TcpStream>,
    refusals: &mut JoinSet<Refusal>,
) -> io::Result<u64> {
    let (mut refused, mut failures) = (0, 0);
    loop {
        let accepted = accept().and_then(|stream| {
            stream.set_nonblocking(true)?;
            TcpStream::from_std(stream)
        });
        match accepted {
            Ok(stream) => {
                (refused, failures) = (refused + 1, 0);
                refusals.spawn(tokio::time::timeout(REFUSAL_TIMEOUT, refuse(stream)));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(refused),
            Err(_) if failures < MAX_ACCEPT_FAILURES => {
                failures += 1;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes the kernel drop new connection attempts. The client retries after 1 s and is then refused, because the socket
/// is closed by then. So no connection is accepted and then reset while the queue is emptied and the socket is closed.
/// A handshake that has begun still completes, because its last packet passes the filter.
#[cfg(target_os = "linux")]
fn drop_new_connections(listener: &std::net::TcpListener) -> io::Result<()> {
    /// The offset of the flags in a segment (RFC 9293, section 3.1), and the flag of a connection attempt.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    // A classic BPF program: load the flags; if SYN is set continue, else skip one instruction; drop; keep.
    let program = [(0x30, 0, 0, FLAGS), (0x45, 0, 1, SYN), (0x06, 0, 0, 0), (0x06, 0, 0, u32::MAX)];
    let program = program.map(|(code, if_so, if_not, value)| socket2::SockFilter::new(code, if_so, if_not, value));
    socket2::SockRef::from(listener).attach_filter(&program)
}

#[cfg(not(target_os = "linux"))]
fn drop_new_connections(_: &std::net::TcpListener) -> io::Result<()> {
    Ok(())
}

/// Reads the head of a request, answers with a 503, and discards what the client still sends, up to [`MAX_REST`].
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    stream.write_all(REFUSAL).await?;
    stream.shutdown().await?;
    // Closing a connection with unread input would reset it and lose the response.
    tokio::io::copy(&mut stream.take(MAX_REST), &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
#[path = "shutdown_tests.rs"]
mod tests;
