//! The way down: readiness fails first, listening goes on for a while, work under way ends, and nobody is cut off.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Whether the process is on its way down. Shared by everything that behaves differently then.
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

/// The signals that ask for a shutdown, in the order in which they come: SIGTERM, SIGINT, and SIGHUP when the process
/// has a terminal, because then it means that the terminal was closed.
pub struct StopSignal {
    term: Signal,
    int: Signal,
    hup: Option<Signal>,
}

pub fn stop_signal() -> io::Result<StopSignal> {
    let hup = if has_terminal() { Some(signal(SignalKind::hangup())?) } else { None };
    Ok(StopSignal { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())?, hup })
}

fn has_terminal() -> bool {
    io::stderr().is_terminal()
}

impl StopSignal {
    /// Waits for the next one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
            _ = received(&mut self.hup) => "SIGHUP",
        }
    }
}

/// Signals that would end the process by default and that are ignored: SIGUSR1, SIGUSR2, and SIGHUP without a terminal.
/// There is nothing to reload: settings and the files that they name are read once, at start. SIGXFSZ is ignored without
/// a word: the write beyond the limit of file sizes that it comes with fails, and what wanted to write says so.
pub struct IgnoredSignals {
    hup: Option<Signal>,
    usr1: Signal,
    usr2: Signal,
}

pub fn ignored_signals() -> io::Result<IgnoredSignals> {
    let hup = if has_terminal() { None } else { Some(signal(SignalKind::hangup())?) };
    // A signal that was listened for once never has its default effect again.
    drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
    Ok(IgnoredSignals { hup, usr1: signal(SignalKind::user_defined1())?, usr2: signal(SignalKind::user_defined2())? })
}

impl IgnoredSignals {
    /// Waits for the next one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = received(&mut self.hup) => "SIGHUP",
            _ = self.usr1.recv() => "SIGUSR1",
            _ = self.usr2.recv() => "SIGUSR2",
        }
    }
}

async fn received(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

/// More than this many latecomers at once are left in the kernel's queue.
const MAX_LATECOMERS: usize = 64;
/// A latecomer that does not finish its head within this long is closed.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pauses of [`settle`], and how long each of them is.
const SETTLE_TURNS: u32 = 20;
const SETTLE_TURN: Duration = Duration::from_millis(10);
/// Enough of a head to know that it ended.
const HEAD: usize = 16 * 1024;
/// What a latecomer may send after its answer.
const REST: u64 = 256 * 1024;
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 67\r\n\r\n\
    {\"code\":\"draining\",\"content\":\"The shop is closing; ask again soon\"}";

/// Lets other threads and the kernel finish what they do without saying so: the acceptor ceases to accept some time after
/// it was asked to, a worker looks at a connection some time after the acceptor took it, and the last packet of a
/// handshake is under way. Many short pauses: when the whole process or machine stands still, only one of them passes
/// meanwhile.
pub async fn settle() {
    for _ in 0..SETTLE_TURNS {
        tokio::time::sleep(SETTLE_TURN).await;
    }
}

/// Answers whoever connects while the server finishes what it has.
///
/// The server's own acceptor simply closes: connections that the kernel had already accepted for it, with requests in
/// them, would be reset. This one shares the listening socket, answers each with a whole 503, and when `done` is
/// cancelled closes only once none is waiting.
pub async fn refuse_latecomers(listener: std::net::TcpListener, done: CancellationToken) -> io::Result<u64> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let mut answering = JoinSet::new();
    let mut refused = 0;
    loop {
        tokio::select! {
            biased;
            Some(_) = answering.join_next() => {}
            accepted = listener.accept(), if answering.len() < MAX_LATECOMERS => {
                if let Ok((stream, _)) = accepted {
                    refused += 1;
                    answering.spawn(tokio::time::timeout(PATIENCE, refuse(stream)));
                }
            }
            () = done.cancelled() => break,
        }
    }
    // What the runtime knows of the queue lags behind; the queue itself has the last word.
    let listener = listener.into_std()?;
    // Where the kernel does not allow that, as elsewhere than on Linux, a moment remains in which someone is cut off.
    let _ = let_nobody_knock(&listener);
    settle().await;
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        refused += 1;
        answering.spawn(tokio::time::timeout(PATIENCE, refuse(stream)));
    }
    drop(listener);
    while answering.join_next().await.is_some() {}
    Ok(refused)
}

/// Whoever asks for a connection from now on is not heard, and asks again after a second; then nobody listens. So the
/// queue can be emptied and the socket closed with no moment between the two in which someone would be let in and cut
/// off. Whoever was heard already comes in: the last packet of a handshake passes, and for its sender the connection
/// stands.
#[cfg(target_os = "linux")]
fn let_nobody_knock(listener: &std::net::TcpListener) -> io::Result<()> {
    /// Where a segment has its flags (RFC 9293, section 3.1), and the one that asks for a connection.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    // A classic filter program: load the byte of the flags; with SYN go on, else leave one out; keep nothing; keep all.
    let no_knock = [(0x30, 0, 0, FLAGS), (0x45, 0, 1, SYN), (0x06, 0, 0, 0), (0x06, 0, 0, u32::MAX)];
    let no_knock = no_knock.map(|(code, if_so, if_not, value)| socket2::SockFilter::new(code, if_so, if_not, value));
    socket2::SockRef::from(listener).attach_filter(&no_knock)
}

#[cfg(not(target_os = "linux"))]
fn let_nobody_knock(_: &std::net::TcpListener) -> io::Result<()> {
    Ok(())
}

async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    stream.write_all(ANSWER).await?;
    stream.shutdown().await?;
    // Closing with unread input would reset the connection and take the answer with it.
    tokio::io::copy(&mut stream.take(REST), &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::io::{Read, Write};

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn nobody_new_is_heard_and_whoever_is_in_the_queue_is_served() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut early = std::net::TcpStream::connect(address).expect("a connection");
        let_nobody_knock(&listener).expect("a filter");
        let late = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100));
        assert_eq!(late.expect_err("not heard").kind(), io::ErrorKind::TimedOut);

        let (mut accepted, _) = listener.accept().expect("the early one");
        early.write_all(b"?").expect("sent");
        let mut heard = [0];
        accepted.read_exact(&mut heard).expect("heard");
        assert_eq!(&heard, b"?");
    }

    #[tokio::test]
    async fn latecomer_that_goes_on_sending_is_closed_after_a_bounded_number_of_bytes() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let done = CancellationToken::new();
        let flood = async {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(b"POST / HTTP/1.1\r\n\r\n").await.expect("sent");
            let (mut answer, mut sent) = (vec![0; ANSWER.len()], 0);
            stream.read_exact(&mut answer).await.expect("an answer");
            while let Ok(more) = stream.write(&[0; 64 * 1024]).await {
                sent += more;
            }
            done.cancel();
            (answer, sent)
        };
        let (refused, (answer, sent)) = tokio::join!(refuse_latecomers(listener, done.clone()), flood);
        assert_eq!((refused.expect("refused"), answer.as_slice()), (1, ANSWER));
        // The buffers of both kernels are in it.
        assert!(sent < 16 << 20, "{sent} bytes");
    }

    #[test]
    fn the_answer_to_latecomers_has_the_length_it_says() {
        let text = std::str::from_utf8(ANSWER).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
