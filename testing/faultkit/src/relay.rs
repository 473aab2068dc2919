//! One connection through the proxy: two directions, each of which looks at the fault before it passes anything on.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::postgres::{Answer, Asked, Questions};
use crate::proxy::Counts;
use crate::{Commit, Fault};

#[derive(Clone)]
pub(crate) struct Relay {
    fault: watch::Receiver<Fault>,
    counts: Arc<Counts>,
    dying: UnboundedSender<()>,
    /// Which connections it was accepted among.
    age: u64,
}

/// Makes the close of this socket a reset.
pub(crate) fn reset(socket: &TcpStream) {
    // One that is gone already needs none.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// Both sockets. Unless both sides have ended in order, to drop them is to reset them.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    in_order: bool,
}

impl Drop for Pair {
    fn drop(&mut self) {
        if !self.in_order {
            reset(&self.client);
            reset(&self.server);
        }
    }
}

/// A reset that was asked for.
fn broken() -> Error {
    Error::other("broken on purpose")
}

impl Relay {
    pub(crate) fn new(fault: watch::Receiver<Fault>, counts: Arc<Counts>, dying: UnboundedSender<()>) -> Self {
        let age = counts.age.load(Ordering::Acquire);
        Self { fault, counts, dying, age }
    }

    pub(crate) async fn run(mut self, client: TcpStream, upstream: SocketAddr) {
        self.passable().await;
        let Ok(server) = TcpStream::connect(upstream).await else {
            reset(&client);
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let mut pair = Pair { client, server, in_order: false };
        let ended = {
            let Pair { client, server, .. } = &mut pair;
            let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
            // Set when the client must not hear that its commit was done.
            let committing = AtomicBool::new(false);
            let up = self.clone();
            tokio::try_join!(up.up(from_client, to_server, &committing), self.down(from_server, to_client, &committing))
        };
        pair.in_order = ended.is_ok();
    }

    /// The fault as it is, as soon as it lets anything pass.
    async fn passable(&mut self) -> Fault {
        let (age, counts) = (self.age, self.counts.clone());
        let passes = |fault: &Fault| *fault != Fault::Blackhole && counts.age.load(Ordering::Acquire) == age;
        let fault = self.fault.wait_for(passes).await.map(|fault| fault.clone());
        // It fails when the proxy ends, and this with it.
        fault.unwrap_or(Fault::Pass)
    }

    async fn up(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, committing: &AtomicBool) -> Result<()> {
        let (mut buffer, mut questions) = (vec![0; 16 * 1024], Questions::default());
        loop {
            let read = from.read(&mut buffer).await?;
            let fault = self.passable().await;
            if read == 0 {
                return to.shutdown().await;
            }
            let asked = questions.read(&buffer[..read]);
            match &fault {
                Fault::ResetBeforeCommit(commit) if self.is_due(commit, &asked) => {
                    return self.fire(commit).await;
                }
                Fault::ResetAfterCommit(commit) if self.is_due(commit, &asked) => {
                    committing.store(true, Ordering::Release)
                }
                Fault::Latency(pause) => tokio::time::sleep(*pause).await,
                _ => {}
            }
            let (piece, pause) = match fault {
                Fault::Bandwidth(rate) => pace(rate),
                _ => (read, Duration::ZERO),
            };
            write(&mut to, &buffer[..read], piece, pause).await?;
        }
    }

    async fn down(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, committing: &AtomicBool) -> Result<()> {
        let (mut buffer, mut passed, mut answer) = (vec![0; 16 * 1024], 0, Answer::default());
        loop {
            let mut read = from.read(&mut buffer).await?;
            let fault = self.passable().await;
            if read == 0 {
                return to.shutdown().await;
            }
            if committing.load(Ordering::Acquire) {
                match &fault {
                    Fault::ResetAfterCommit(commit) if answer.is_complete_with(&buffer[..read]) => {
                        return self.fire(commit).await;
                    }
                    _ => continue,
                }
            }
            let (mut piece, mut pause, mut last) = (read, Duration::ZERO, false);
            match fault {
                Fault::Latency(latency) => tokio::time::sleep(latency).await,
                Fault::Bandwidth(rate) => (piece, pause) = pace(rate),
                Fault::Drip { bytes, every } => (piece, pause) = (bytes.max(1), every),
                Fault::CutAfter(most) => {
                    let left = usize::try_from(most.saturating_sub(passed)).unwrap_or(usize::MAX);
                    (read, last) = (read.min(left), read >= left);
                }
                _ => {}
            }
            write(&mut to, &buffer[..read], piece, pause).await?;
            passed += read as u64;
            if last {
                self.counts.fired.fetch_add(1, Ordering::AcqRel);
                return to.shutdown().await;
            }
        }
    }

    /// The moment has come: both sides are reset.
    async fn fire(&self, commit: &Commit) -> Result<()> {
        self.counts.fired.fetch_add(1, Ordering::AcqRel);
        if commit.last && self.dying.send(()).is_ok() {
            // The proxy resets this one with all others.
            std::future::pending::<()>().await;
        }
        Err(broken())
    }

    /// Whether one of these commits is the one that the fault waits for.
    fn is_due(&self, commit: &Commit, asked: &[Asked]) -> bool {
        let fits = asked.iter().filter(|asked| asked.names(&commit.naming)).count() as u64;
        let before = self.counts.commits.fetch_add(fits, Ordering::AcqRel);
        (before + 1..=before + fits).contains(&commit.nth)
    }
}

/// How large a piece may be and how long to pause after it, for so many bytes a second.
fn pace(rate: u64) -> (usize, Duration) {
    let piece = (rate / 20).max(1);
    (usize::try_from(piece).unwrap_or(usize::MAX), Duration::from_secs_f64(piece as f64 / rate.max(1) as f64))
}

async fn write(to: &mut WriteHalf<'_>, bytes: &[u8], piece: usize, pause: Duration) -> Result<()> {
    for piece in bytes.chunks(piece.max(1)) {
        to.write_all(piece).await?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}
