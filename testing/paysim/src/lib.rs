//! A payment gateway to test against: Stripe's wire shapes, a ledger that is the judge, and faults on demand.
//!
//! It listens on loopback, keeps everything in memory and ends when it is dropped. No money moves. Whatever happens to
//! an answer on its way, the [`Ledger`] says what was done.
//!
//! ```no_run
//! let gateway = paysim::Paysim::start(paysim::Options::default()).expect("a free port");
//! gateway.fail_next(paysim::Operation::IntentConfirm, 1, paysim::Fault::ErrorAfterEffect);
//! // ... buy something from a shop whose gateway is at gateway.url() ...
//! assert_eq!(gateway.ledger().totals().captures, 1);
//! ```

mod books;
mod cards;
mod clock;
mod command;
mod control;
mod dice;
mod faults;
mod form;
mod gateway;
mod idempotency;
mod intent;
mod ledger;
mod refusal;
mod server;
mod webhooks;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc as rendezvous};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

pub use books::Outcome;
pub use faults::{Fault, Mix, Operation, Script, Share};
pub use ledger::{Entry, Ledger, Movement, Totals};
pub use webhooks::{Deliveries, Webhooks, signature};

use gateway::{Gateway, Job, LONGEST_QUEUE};

/// Idle connections of a caller's pool are not closed under it.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const LARGEST_BODY: usize = 64 * 1024;

/// How the simulator starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0: any that is free.
    pub listen: SocketAddr,
    pub api_key: String,
    /// How long a hold lasts that is not captured. Stripe: seven days for most cards.
    pub authorisations_last: Duration,
    /// How long a new intent is missing from searches. Stripe: up to a minute, more in an outage.
    pub search_lags_by: Duration,
    /// `None`: no events are sent.
    pub webhooks: Option<Webhooks>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            api_key: "sk_test_paysim".to_owned(),
            authorisations_last: Duration::from_secs(7 * 24 * 60 * 60),
            search_lags_by: Duration::ZERO,
            webhooks: None,
        }
    }
}

/// A running simulator. It owns its thread and its runtime; dropping it closes every connection and ends both.
pub struct Paysim {
    address: SocketAddr,
    api_key: String,
    gateway: Arc<Gateway>,
    server: ServerHandle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Paysim {
    /// Returns once connections are taken.
    ///
    /// # Errors
    /// The address cannot be listened on, or there is no thread to be had.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen)?;
        let address = listener.local_addr()?;
        let (events, events_to_send) = mpsc::channel(LONGEST_QUEUE);
        let (jobs, jobs_to_do) = mpsc::channel(LONGEST_QUEUE);
        let gateway = Arc::new(Gateway::new(&options, events, jobs));
        let (started, starting) = rendezvous::channel();
        let shared = Arc::clone(&gateway);
        let thread = std::thread::Builder::new().name("paysim".to_owned()).spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let data = web::Data::from(Arc::clone(&shared));
                let server = serve(listener, data)?;
                // Nobody waits for the handle only if the caller's thread is gone.
                let _ = started.send(server.handle());
                tokio::select! {
                    ended = server => ended,
                    () = webhooks::deliver(&shared, events_to_send) => Ok(()),
                    () = do_jobs(jobs_to_do) => Ok(()),
                }
            })
        })?;
        match starting.recv() {
            Ok(server) => Ok(Self { address, api_key: options.api_key, gateway, server, thread: Some(thread) }),
            Err(_) => Err(thread.join().map_or_else(
                |_| io::Error::other("the simulator panicked"),
                |ended| ended.err().unwrap_or_else(|| io::Error::other("the simulator ended at once")),
            )),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What takes the place of `https://api.stripe.com`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// A copy of every movement so far.
    pub fn ledger(&self) -> Ledger {
        self.gateway.ledger()
    }

    /// The next calls of an operation go wrong.
    pub fn fail_next(&self, operation: Operation, calls: u64, fault: Fault) {
        self.script(Script { operation: Some(operation), key: None, next: calls, fault });
    }

    /// Scripts are used up in the order in which they are written.
    pub fn script(&self, script: Script) {
        self.gateway.script(script);
    }

    /// A share of all calls goes wrong from now on, in place of the mix before.
    pub fn mix(&self, mix: Mix) {
        self.gateway.mix(mix);
    }

    /// No scripts and no mix; the cards stay as they are.
    pub fn clear_faults(&self) {
        self.gateway.clear_faults();
    }

    /// How often each fault has happened, by its name; proof that a test met any at all.
    pub fn faults_dealt(&self) -> BTreeMap<&'static str, u64> {
        self.gateway.faults_dealt()
    }

    /// Seconds since 1970 by the simulator's clock.
    pub fn now(&self) -> i64 {
        self.gateway.now()
    }

    /// Keys older than a day are forgotten and holds older than they may be end.
    pub fn advance(&self, by: Duration) {
        self.gateway.advance(by);
    }

    /// Ends a payment that is `requires_action` or `processing`.
    ///
    /// # Errors
    /// Stripe's error, if there is no such intent or it waits for nothing.
    pub fn settle(&self, intent: &str, outcome: Outcome) -> Result<serde_json::Value, serde_json::Value> {
        self.gateway.settle(intent, outcome).map_err(|refusal| refusal.body())
    }

    /// From the next event on; `None` ends them.
    pub fn send_webhooks(&self, webhooks: Option<Webhooks>) {
        self.gateway.send_webhooks(webhooks);
    }

    pub fn deliveries(&self) -> Deliveries {
        self.gateway.deliveries()
    }

    /// Serves until the server ends, which a signal to the process makes it do.
    ///
    /// # Errors
    /// Whatever ended the server.
    pub fn wait(mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the simulator panicked")))
    }
}

impl Drop for Paysim {
    fn drop(&mut self) {
        // The command is sent when the future is made; what would be awaited is joined below.
        drop(self.server.stop(false));
        if let Some(thread) = self.thread.take() {
            // How it ended matters to nobody any more.
            let _ = thread.join();
        }
    }
}

fn serve(listener: TcpListener, gateway: web::Data<Gateway>) -> io::Result<actix_web::dev::Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(gateway.clone())
            .app_data(web::PayloadConfig::new(LARGEST_BODY))
            .configure(control::addresses)
            .default_service(web::to(server::call))
    });
    Ok(server
        .workers(2)
        .disable_signals()
        .shutdown_timeout(0)
        .keep_alive(KEEP_ALIVE)
        .on_connect(wire::remember)
        .listen(listener)?
        .run())
}

/// What is still to come when the simulator ends does not happen.
async fn do_jobs(mut jobs: mpsc::Receiver<Job>) {
    let mut waiting = FuturesUnordered::new();
    loop {
        tokio::select! {
            job = jobs.recv() => {
                let Some(job) = job else { return };
                waiting.push(async move {
                    tokio::time::sleep_until(job.due).await;
                    (job.work)();
                });
            }
            Some(()) = waiting.next() => {}
        }
    }
}
