//! The proxy: a listener that comes and goes, and the connections it has accepted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc as commands, watch};
use tokio::task::JoinSet;

use crate::Fault;
use crate::port::Port;
use crate::relay::{Relay, reset};

/// Sits between a client and `upstream`, on a port of its own.
pub struct Proxy {
    address: SocketAddr,
    counts: Arc<Counts>,
    commands: Option<commands::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    /// And tell when it is so.
    Set(Fault, mpsc::Sender<()>),
    /// And tell when it is so.
    Upstream(SocketAddr, mpsc::Sender<()>),
    Stop,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    open: AtomicUsize,
    /// Commits that fit the fault, and faults that happened, since it was set.
    pub(crate) commits: AtomicU64,
    pub(crate) fired: AtomicU64,
    /// Grows each time that open connections are forgotten.
    pub(crate) age: AtomicU64,
}

impl Proxy {
    /// Listens on loopback and passes everything on.
    pub fn start(upstream: SocketAddr) -> Self {
        let port = Port::keep();
        let (address, counts) = (port.address(), Arc::<Counts>::default());
        let (sender, receiver) = commands::unbounded_channel();
        let serve = {
            let counts = counts.clone();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(serve(port, upstream, counts, receiver));
            }
        };
        let thread = std::thread::Builder::new().name("faultkit-proxy".into()).spawn(serve).expect("a thread");
        let proxy = Self { address, counts, commands: Some(sender), thread: Some(thread) };
        proxy.set(Fault::Pass);
        proxy
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When this returns, it is so.
    pub fn set(&self, fault: Fault) {
        self.command(|done| Command::Set(fault, done));
    }

    /// New connections go to another server from now on. Those that are open stay where they are.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        self.command(|done| Command::Upstream(upstream, done));
    }

    fn command(&self, command: impl FnOnce(mpsc::Sender<()>) -> Command) {
        let (done, is_done) = mpsc::channel();
        let commands = self.commands.as_ref().expect("until it is dropped");
        commands.send(command(done)).expect("the proxy lives");
        is_done.recv_timeout(Duration::from_secs(10)).expect("the proxy does as it is told");
    }

    /// Connections that were accepted, ever.
    pub fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::Acquire)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::Acquire)
    }

    /// How often a fault that waits for its moment (a commit, a length) has happened since it was set.
    pub fn fired(&self) -> u64 {
        self.counts.fired.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(commands) = self.commands.take() {
            let _ = commands.send(Command::Stop);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(port: &Port) -> TcpListener {
    TcpListener::from_std(port.listen()).expect("a listener")
}

async fn serve(
    port: Port,
    mut upstream: SocketAddr,
    counts: Arc<Counts>,
    mut commands: commands::UnboundedReceiver<Command>,
) {
    let (tell, fault) = watch::channel(Fault::Pass);
    let (dying, mut deaths) = commands::unbounded_channel();
    let mut listener = Some(listen(&port));
    let mut relays = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = deaths.recv() => {
                listener = None;
                tell.send_replace(Fault::Refuse);
                relays.shutdown().await;
            }
            command = commands.recv() => {
                let (fault, done) = match command {
                    Some(Command::Set(fault, done)) => (fault, done),
                    Some(Command::Upstream(address, done)) => {
                        upstream = address;
                        let _ = done.send(());
                        continue;
                    }
                    Some(Command::Stop) | None => break,
                };
                if matches!(fault, Fault::Refuse | Fault::Reset) {
                    relays.shutdown().await;
                }
                match fault {
                    Fault::Refuse => listener = None,
                    _ if listener.is_none() => listener = Some(listen(&port)),
                    _ => {}
                }
                counts.commits.store(0, Ordering::Release);
                counts.fired.store(0, Ordering::Release);
                counts.age.fetch_add(u64::from(fault == Fault::Forget), Ordering::AcqRel);
                tell.send_replace(fault);
                let _ = done.send(());
            }
            accepted = accept(listener.as_ref()) => {
                let Ok((client, _)) = accepted else { continue };
                counts.accepted.fetch_add(1, Ordering::AcqRel);
                if *fault.borrow() == Fault::Reset {
                    reset(&client);
                    continue;
                }
                let relay = Relay::new(fault.clone(), counts.clone(), dying.clone());
                let open = Open::new(counts.clone());
                relays.spawn(async move {
                    relay.run(client, upstream).await;
                    drop(open);
                });
            }
            Some(_) = relays.join_next() => {}
        }
    }
    relays.shutdown().await;
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(tokio::net::TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Counts a connection for as long as it lives, however it ends.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Ordering::AcqRel);
        Self(counts)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}
