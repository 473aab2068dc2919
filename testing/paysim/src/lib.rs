//! A payment gateway for tests, with Stripe's API, a ledger of every movement of money, and faults on demand.
//!
//! The simulator listens on loopback, keeps everything in memory and ends when it is dropped. No real money moves. The
//! [`Ledger`] shows the effect of every call, even if the response is lost.
//!
//! ```no_run
//! let gateway = paysim::Paysim::start(paysim::Options::default()).expect("a free port");
//! gateway.fail_next(paysim::Operation::IntentConfirm, 1, paysim::Fault::ErrorAfterEffect);
//! // ... buy something from a shop whose gateway is at gateway.url() ...
//! assert_eq!(gateway.ledger().totals().captures, 1);
//! ```

mod account;
mod call;
mod cards;
mod error;
mod faults;
mod gateway;
mod idempotency;
mod intent;
mod ledger;
mod server;
mod webhooks;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use serde_json::Value;

pub use faults::{Fault, Mix, Operation, Share};
pub use intent::Outcome;
pub use ledger::{Entry, Ledger, Movement, Totals};
pub use webhooks::{Deliveries, Webhooks, signature};

use gateway::Gateway;

/// How the simulator starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on. Port 0 selects a free port.
    pub listen: SocketAddr,
    pub api_key: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), api_key: "sk_test_paysim".to_owned() }
    }
}

/// A running simulator with a thread and a runtime. Dropping it closes every connection, and ends the thread and the
/// runtime.
pub struct Paysim {
    address: SocketAddr,
    gateway: Arc<Gateway>,
    server: ServerHandle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Paysim {
    /// Starts a simulator. Returns when it accepts connections.
    ///
    /// # Errors
    /// The address is not available, or no thread could be started.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen)?;
        let address = listener.local_addr()?;
        let (started, starting) = mpsc::channel();
        let thread = std::thread::Builder::new().name("paysim".to_owned()).spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let gateway = Arc::new(Gateway::new(options.api_key)?);
                let server = server::serve(listener, Arc::clone(&gateway))?;
                // Fails only if the thread that called `start` is gone.
                let _ = started.send((server.handle(), gateway));
                server.await
            })
        })?;
        match starting.recv() {
            Ok((server, gateway)) => Ok(Self { address, gateway, server, thread: Some(thread) }),
            Err(_) => Err(joined(thread).err().unwrap_or_else(|| io::Error::other("the simulator ended at once"))),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of the API. A shop uses it in place of `https://api.stripe.com`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn api_key(&self) -> &str {
        &self.gateway.api_key
    }

    /// Returns a copy of the ledger, with every movement of money so far.
    pub fn ledger(&self) -> Ledger {
        self.gateway.state().account.journal.ledger.clone()
    }

    /// Makes the next `calls` calls of an operation fail. If several faults are set for an operation, they happen in
    /// the order in which they were set.
    pub fn fail_next(&self, operation: Operation, calls: u64, fault: Fault) {
        self.gateway.state().faults.fail_next(operation, calls, fault);
    }

    /// Makes a share of the calls of one operation fail from now on. Replaces an earlier mix.
    pub fn mix(&self, mix: Mix) {
        self.gateway.state().faults.set_mix(mix);
    }

    /// Removes the faults of `fail_next` and `mix`. Faults that a card causes remain.
    pub fn clear_faults(&self) {
        self.gateway.state().faults.clear();
    }

    /// How often each fault has happened, by its name.
    pub fn faults_dealt(&self) -> BTreeMap<&'static str, u64> {
        self.gateway.state().faults.dealt.clone()
    }

    /// Seconds since 1970 by the simulator's clock.
    pub fn now(&self) -> i64 {
        self.gateway.state().account.journal.now()
    }

    /// Advances the simulator's clock. Idempotency keys expire after 24 hours, and authorisations after seven days.
    pub fn advance(&self, by: Duration) {
        self.gateway.change(|account| account.advance(by));
    }

    /// Ends a payment that is `requires_action` or `processing`, as its buyer or its bank would. Returns the intent
    /// after the change.
    ///
    /// # Errors
    /// Stripe's error, if there is no such intent or the intent has another status.
    pub fn settle(&self, intent: &str, outcome: Outcome) -> Result<Value, Value> {
        self.gateway.change(|account| account.settle(intent, outcome)).map_err(|error| error.body())
    }

    /// Sends all events from now on as `webhooks` says. `None` means that no events are sent.
    pub fn send_webhooks(&self, webhooks: Option<Webhooks>) {
        self.gateway.state().send_webhooks(webhooks);
    }

    pub fn deliveries(&self) -> Deliveries {
        self.gateway.state().deliveries
    }

    /// Waits until the server ends.
    ///
    /// # Errors
    /// The error that ended the server.
    pub fn wait(mut self) -> io::Result<()> {
        self.thread.take().map_or(Ok(()), joined)
    }
}

impl Drop for Paysim {
    fn drop(&mut self) {
        // `stop` sends its command before it returns a future, so the future is not awaited. The end of the thread is
        // awaited instead.
        drop(self.server.stop(false));
        if let Some(thread) = self.thread.take() {
            // The error is ignored, because the server is no longer needed.
            let _ = joined(thread);
        }
    }
}

fn joined(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the simulator panicked")))
}
