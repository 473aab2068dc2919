//! One connection through the proxy: two directions, each of which reads the fault before it passes anything on.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::fault::{Commit, Fault};
use crate::postgres::{Messages, Requests, names};

/// What happened so far.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicUsize,
    /// Commits that fit the fault since it was set.
    pub(crate) commits: AtomicU64,
    /// Faults that happened since the fault was set.
    pub(crate) fired: AtomicU64,
    /// Grows each time that open connections are forgotten.
    pub(crate) age: AtomicU64,
}

#[derive(Clone)]
pub(crate) struct Relay {
    fault: watch::Receiver<Fault>,
    counts: Arc<Counts>,
    dying: UnboundedSender<()>,
    /// The age at which the connection was accepted.
    age: u64,
}

/// Chooses whether dropping this socket resets the connection, or ends it in order.
pub(crate) fn resets_when_dropped(socket: &TcpStream, resets: bool) {
    // It fails on a connection that has ended already.
    let _ = SockRef::from(socket).set_linger(resets.then_some(Duration::ZERO));
}

impl Relay {
    pub(crate) fn new(fault: watch::Receiver<Fault>, counts: Arc<Counts>, dying: UnboundedSender<()>) -> Self {
        let age = counts.age.load(Ordering::Acquire);
        Self { fault, counts, dying, age }
    }

    /// Passes everything on between a client and a server. Unless both end in order, both are reset.
    pub(crate) async fn run(mut self, mut client: TcpStream, upstream: SocketAddr) {
        resets_when_dropped(&client, true);
        self.passable().await;
        let Ok(mut server) = TcpStream::connect(upstream).await else { return };
        resets_when_dropped(&server, true);
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ended = {
            let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
            // Set when the client must not receive the answer to its commit.
            let committing = AtomicBool::new(false);
            let up = self.clone();
            tokio::try_join!(up.up(from_client, to_server, &committing), self.down(from_server, to_client, &committing))
        };
        if ended.is_ok() {
            resets_when_dropped(&client, false);
            resets_when_dropped(&server, false);
        }
    }

    /// Waits while a fault holds back the bytes of the connection. Returns the fault that is set when the wait ends.
    async fn passable(&mut self) -> Fault {
        let (age, counts) = (self.age, self.counts.clone());
        let passes = |fault: &Fault| *fault != Fault::Blackhole && counts.age.load(Ordering::Acquire) == age;
        let fault = self.fault.wait_for(passes).await.map(|fault| fault.clone());
        // It fails only when the proxy ends, which also ends this task.
        fault.unwrap_or(Fault::Pass)
    }

    async fn up(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, committing: &AtomicBool) -> Result<()> {
        let (mut buffer, mut requests) = (vec![0; 16 * 1024], Requests::default());
        loop {
            let read = from.read(&mut buffer).await?;
            let fault = self.passable().await;
            if read == 0 {
                return to.shutdown().await;
            }
            let commits = requests.read(&buffer[..read]);
            match &fault {
                Fault::ResetBeforeCommit(commit) if self.reaches(commit, &commits) => {
                    return self.fire(commit).await;
                }
                Fault::ResetAfterCommit(commit) if self.reaches(commit, &commits) => {
                    committing.store(true, Ordering::Release)
                }
                Fault::Latency(pause) => tokio::time::sleep(*pause).await,
                _ => {}
            }
            to.write_all(&buffer[..read]).await?;
        }
    }

    async fn down(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, committing: &AtomicBool) -> Result<()> {
        let (mut buffer, mut passed, mut answer) = (vec![0; 16 * 1024], 0, Messages::default());
        loop {
            let mut read = from.read(&mut buffer).await?;
            let fault = self.passable().await;
            if read == 0 {
                return to.shutdown().await;
            }
            if committing.load(Ordering::Acquire) {
                match &fault {
                    Fault::ResetAfterCommit(commit) if answer.end_with(&buffer[..read]) => {
                        return self.fire(commit).await;
                    }
                    _ => continue,
                }
            }
            let (mut piece, mut pause, mut is_cut) = (read, Duration::ZERO, false);
            match fault {
                Fault::Latency(latency) => tokio::time::sleep(latency).await,
                Fault::Drip { bytes, every } => (piece, pause) = (bytes.max(1), every),
                Fault::CutAfter(most) => {
                    let left = usize::try_from(most.saturating_sub(passed)).unwrap_or(usize::MAX);
                    (read, is_cut) = (read.min(left), read >= left);
                }
                _ => {}
            }
            for piece in buffer[..read].chunks(piece.max(1)) {
                to.write_all(piece).await?;
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
            passed += read as u64;
            if is_cut {
                self.counts.fired.fetch_add(1, Ordering::AcqRel);
                return to.shutdown().await;
            }
        }
    }

    /// Resets both sides, by an error.
    async fn fire(&self, commit: &Commit) -> Result<()> {
        self.counts.fired.fetch_add(1, Ordering::AcqRel);
        if commit.dies && self.dying.send(()).is_ok() {
            // The proxy resets this connection together with all others.
            std::future::pending::<()>().await;
        }
        Err(Error::other("broken on purpose"))
    }

    /// Whether the commit that the fault waits for is one of these, given by what their transactions sent.
    fn reaches(&self, commit: &Commit, commits: &[Vec<u8>]) -> bool {
        let fits = commits.iter().filter(|sent| names(sent, &commit.naming)).count() as u64;
        let before = self.counts.commits.fetch_add(fits, Ordering::AcqRel);
        (before + 1..=before + fits).contains(&commit.nth)
    }
}
