//! The shop of the table of steps: its gateway, the network to its database, and its one process, which may be dead.

use std::net::{TcpStream, ToSocketAddrs};

use faultkit::{Fault as Net, Proxy};
use paysim::{Operation, Paysim};

use crate::database::{Database, Item, stock};
use crate::deadlines::is_idle;
use crate::extent::{Chance, PATIENCE, until};
use crate::gateway;
use crate::invariants::{State, violations};
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform, Reply, connect, send};

const ITEMS: &[Item] = &[("bun", 250, 1_000)];
/// Timeouts long enough that a slow machine loses no answer by itself.
const SETTINGS: &[(&str, &str)] = &[
    ("TUCKSHOP_HTTP_PUBLIC_URL", "http://shop.example"),
    ("TUCKSHOP_DATABASE_POOL_WAIT_MS", "2000"),
    ("TUCKSHOP_DATABASE_LOCK_TIMEOUT_MS", "500"),
    ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "1500"),
    ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "4500"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "100"),
];

/// A checkout that is ready, and the call that completes it.
pub struct Purchase {
    pub checkout: String,
    pub key: String,
    pub call: Call,
}

pub struct Shop<'a> {
    place: &'a Place,
    pub gateway: Paysim,
    /// The proxy between the shop and Postgres.
    pub proxy: Option<Proxy>,
    server: Option<Server>,
    pub database: Database,
    /// Whether the test holds a lock.
    holds: bool,
    /// The number of faults that the gateway was given.
    scripted: u64,
}

impl<'a> Shop<'a> {
    pub fn open(place: &'a Place) -> Self {
        stock(place, ITEMS);
        let proxy = place.is_postgres().then(|| {
            let url = url::Url::parse(&place.database_url()).expect("a url");
            let upstream = (url.host_str().expect("a host"), url.port().unwrap_or(5432));
            Proxy::start(upstream.to_socket_addrs().expect("resolves").next().expect("an address"))
        });
        let (gateway, database) = (gateway::start(), Database::open(place));
        let mut shop = Self { place, gateway, proxy, server: None, database, holds: false, scripted: 0 };
        shop.server = Some(shop.launch());
        shop
    }

    /// Starts a process of the shop on its database and its gateway.
    pub fn launch(&self) -> Server {
        let mut url = url::Url::parse(&self.place.database_url()).expect("a url");
        if let Some(proxy) = &self.proxy {
            url.set_host(Some("127.0.0.1")).expect("a host");
            url.set_port(Some(proxy.address().port())).expect("a port");
        }
        let own = gateway::settings(&self.gateway);
        let mut settings = gateway::beside(&own, SETTINGS);
        settings.push(("TUCKSHOP_DATABASE_URL", url.as_str()));
        Server::launch(self.place, &settings)
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }

    pub fn kill(&mut self) {
        self.server.take().expect("the server runs").kill_and_wait();
    }

    pub fn platform(&self) -> Platform {
        Platform::at(self.server().address())
    }

    pub fn begin(&mut self, card: &str) -> Purchase {
        let mut platform = self.platform();
        until("the shop is ready", PATIENCE, || (platform.reply_to(&Call::get("/readyz")).status == 200).then_some(()));
        let (checkout, key) = (platform.checkout("bun", 2), fresh_key());
        let call = Call::pay(&checkout, &key, card);
        Purchase { checkout, key, call }
    }

    /// Sends the completion without waiting for the answer.
    pub fn ask(&self, purchase: &Purchase) -> TcpStream {
        let mut caller = connect(self.server().address()).expect("a connection");
        send(&mut caller, &purchase.call).expect("sent");
        caller
    }

    /// Makes the next call of this operation fail with this fault. Runs `meanwhile`, which makes the call, and waits
    /// until the gateway has dealt every fault it was given.
    pub fn with_fault<T>(
        &mut self,
        operation: Operation,
        fault: paysim::Fault,
        meanwhile: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.scripted += 1;
        self.gateway.fail_next(operation, 1, fault);
        let done = meanwhile(self);
        let dealt = || self.gateway.faults_dealt().values().sum::<u64>();
        until("the gateway has dealt its faults", PATIENCE, || (dealt() == self.scripted).then_some(()));
        done
    }

    /// The number of log lines with this message.
    pub fn count_logged(&self, message: &str) -> usize {
        self.server().log().iter().filter(|line| line["msg"] == message).count()
    }

    /// Takes the lock that every write of this checkout needs.
    pub fn lock_checkout(&mut self, purchase: &Purchase) {
        self.database.lock_checkout(&purchase.checkout);
        self.holds = true;
    }

    pub fn release(&mut self) {
        if std::mem::take(&mut self.holds) {
            self.database.unlock();
        }
    }

    /// The state of the latest payment attempt of the checkout; empty if there is none.
    pub fn attempt(&mut self, purchase: &Purchase) -> String {
        let latest = format!(
            "SELECT coalesce((SELECT state FROM payment_attempt WHERE checkout_id = '{}' \
             ORDER BY created_at DESC LIMIT 1), '') AS value",
            purchase.checkout
        );
        self.database.text(&latest)
    }

    /// Removes every fault and starts the process again if it was killed. Then the buyer repeats the call until the
    /// answer is definite, and once more to see the same answer.
    pub fn heal_and_retry(&mut self, purchase: &Purchase) -> Reply {
        self.release();
        if let Some(proxy) = &self.proxy {
            proxy.set(Net::Pass);
        }
        self.gateway.clear_faults();
        if self.server.is_none() {
            self.server = Some(self.launch());
        }
        let mut platform = self.platform();
        until("the shop is ready", PATIENCE, || (platform.reply_to(&Call::get("/readyz")).status == 200).then_some(()));
        until("the shop is idle", PATIENCE, || is_idle(&mut platform).then_some(()));
        // The holder of the lease is dead or has given up, so the test ends the lease.
        self.database.end_leases();
        let mut chance = Chance::of(1);
        let reply = platform.retry_until_definite(&purchase.call, &mut chance, PATIENCE).expect("an answer");
        let again = platform.reply_to(&purchase.call);
        assert_eq!((reply.status, &reply.body), (again.status, &again.body), "a repeated call has another answer");
        until("every payment is settled", PATIENCE, || (self.database.undecided() == 0).then_some(()));
        reply
    }

    pub fn violations(&mut self) -> Vec<String> {
        let state = State { charges: gateway::charges(&self.gateway), ..self.database.state(self.place, ITEMS) };
        let held = self.gateway.ledger().totals().held;
        let mut broken = violations(&state);
        broken.extend((held != 0).then(|| format!("the gateway still holds {held}")));
        broken
    }

    pub fn close(mut self) {
        let stopped = self.server.take().expect("the server runs").stop();
        assert!(stopped.status.success());
    }
}
