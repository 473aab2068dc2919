//! The way down: readiness fails first, listening goes on for a while, work under way ends, and nobody is cut off.

use std::io;
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

/// SIGTERM and SIGINT, in the order in which they come.
pub struct StopSignal {
    term: Signal,
    int: Signal,
}

pub fn stop_signal() -> io::Result<StopSignal> {
    Ok(StopSignal { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
}

impl StopSignal {
    /// Waits for the next one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

/// More than this many latecomers at once are left in the kernel's queue.
const MAX_LATECOMERS: usize = 64;
/// A latecomer that does not finish its head within this long is closed.
const PATIENCE: Duration = Duration::from_secs(1);
/// Enough of a head to know that it ended.
const HEAD: usize = 16 * 1024;
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 67\r\n\r\n\
    {\"code\":\"draining\",\"content\":\"The shop is closing; ask again soon\"}";

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
    let _ = let_nobody_in(&listener);
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
/// off.
#[cfg(target_os = "linux")]
fn let_nobody_in(listener: &std::net::TcpListener) -> io::Result<()> {
    // A classic filter program of one instruction: BPF_RET | BPF_K, 0. No packet passes.
    let nothing_passes = socket2::SockFilter::new(0x06, 0, 0, 0);
    socket2::SockRef::from(listener).attach_filter(&[nothing_passes])
}

#[cfg(not(target_os = "linux"))]
fn let_nobody_in(_: &std::net::TcpListener) -> io::Result<()> {
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
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_latecomers_has_the_length_it_says() {
        let text = std::str::from_utf8(ANSWER).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
