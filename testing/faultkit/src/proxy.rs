//! The proxy: a listener that can be closed and opened again, and the connections that it accepted.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fault::Fault;
use crate::port::Port;
use crate::relay::{Counts, Relay, resets_when_dropped};

/// Passes connections on to a server, and breaks them on request.
///
/// The proxy runs on a separate thread, so it also works while the test blocks. Dropping the proxy resets all
/// connections.
pub struct Proxy {
    address: SocketAddr,
    upstream: Arc<Mutex<SocketAddr>>,
    counts: Arc<Counts>,
    commands: UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    /// Applies the fault, and then sends a confirmation through the sender.
    Set(Fault, mpsc::Sender<()>),
    Stop,
}

impl Proxy {
    /// Starts a proxy on a free port of loopback. It passes everything on to `upstream` until a fault is set.
    pub fn start(upstream: SocketAddr) -> Self {
        let port = Port::keep();
        let (address, counts) = (port.address(), Arc::<Counts>::default());
        let upstream = Arc::new(Mutex::new(upstream));
        let (commands, received) = unbounded_channel();
        let serve = {
            let (upstream, counts) = (upstream.clone(), counts.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(serve(port, &upstream, counts, received));
            }
        };
        let thread = std::thread::Builder::new().name("faultkit-proxy".into()).spawn(serve).expect("a thread");
        let proxy = Self { address, upstream, counts, commands, thread: Some(thread) };
        proxy.set(Fault::Pass);
        proxy
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the current fault. Returns when the new fault applies.
    pub fn set(&self, fault: Fault) {
        let (done, is_done) = mpsc::channel();
        self.commands.send(Command::Set(fault, done)).expect("the proxy runs");
        is_done.recv_timeout(Duration::from_secs(10)).expect("the proxy applies the fault");
    }

    /// Connects new connections to another server. Open connections keep their server.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        *self.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// The number of connections that were accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::Acquire)
    }

    /// The number of connections that are open now.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::Acquire)
    }

    /// How often a fault has happened since the last [`Self::set`]. Only faults that wait for a commit or for a number
    /// of bytes are counted.
    pub fn fired(&self) -> u64 {
        self.counts.fired.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    port: Port,
    upstream: &Mutex<SocketAddr>,
    counts: Arc<Counts>,
    mut commands: UnboundedReceiver<Command>,
) {
    let listen = || TcpListener::from_std(port.listen()).expect("a listener");
    let (applied, fault) = watch::channel(Fault::Pass);
    let (dying, mut deaths) = unbounded_channel();
    let mut listener = Some(listen());
    let mut relays = JoinSet::new();
    loop {
        counts.open.store(relays.len(), Ordering::Release);
        tokio::select! {
            biased;
            Some(()) = deaths.recv() => {
                listener = None;
                applied.send_replace(Fault::Refuse);
                relays.shutdown().await;
            }
            command = commands.recv() => {
                let Some(Command::Set(fault, done)) = command else { break };
                if matches!(fault, Fault::Refuse | Fault::Reset) {
                    relays.shutdown().await;
                    counts.open.store(0, Ordering::Release);
                }
                match fault {
                    Fault::Refuse => listener = None,
                    _ if listener.is_none() => listener = Some(listen()),
                    _ => {}
                }
                counts.commits.store(0, Ordering::Release);
                counts.fired.store(0, Ordering::Release);
                counts.age.fetch_add(u64::from(fault == Fault::Forget), Ordering::AcqRel);
                applied.send_replace(fault);
                let _ = done.send(());
            }
            accepted = accept(listener.as_ref()) => {
                let Ok((client, _)) = accepted else { continue };
                counts.accepted.fetch_add(1, Ordering::AcqRel);
                if *fault.borrow() == Fault::Reset {
                    resets_when_dropped(&client, true);
                    continue;
                }
                let upstream = *upstream.lock().unwrap_or_else(PoisonError::into_inner);
                relays.spawn(Relay::new(fault.clone(), counts.clone(), dying.clone()).run(client, upstream));
            }
            Some(_) = relays.join_next() => {}
        }
    }
    relays.shutdown().await;
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}
