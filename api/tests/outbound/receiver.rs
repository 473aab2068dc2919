//! A platform of the tests: it serves its profile, is told of its orders, and answers as the test says.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use faultkit::{Port, Received, Server, Visit};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::kit::until;

/// One webhook as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival(Received);

impl Arrival {
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.0.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn order(&self) -> Value {
        serde_json::from_str(self.body()).expect("an order")
    }
}

impl Deref for Arrival {
    type Target = Received;
    fn deref(&self) -> &Received {
        &self.0
    }
}

/// What is answered to a webhook.
#[derive(Clone, Copy, Debug)]
pub enum Say {
    Status(u16),
    /// Nothing, until the test lets go; then 200.
    Hold,
    /// This, and a body without end.
    Endless(u16),
}

/// Decides by the number of the webhook, the first being 0.
type Decide = Arc<dyn Fn(usize) -> Say + Send + Sync>;

/// What it says of itself.
enum Profile {
    Usual,
    /// The usual one; the first to ask waits for it until the test lets go.
    HeldOnce,
    Other(Value),
}

struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    profiles_served: Mutex<usize>,
    decide: Decide,
    let_go: watch::Sender<bool>,
    /// How much was taken of each body without end, once nobody took any more.
    poured: Mutex<Vec<usize>>,
    profile: Profile,
}

/// Ends, with all its connections, when it is dropped.
pub struct Receiver {
    shared: Arc<Shared>,
    server: Server,
}

impl Receiver {
    /// Says 200 to everything.
    pub async fn start() -> Self {
        Self::saying(|_| Say::Status(200)).await
    }

    /// Keeps whoever asks for its profile first waiting until the test lets go.
    pub async fn holding_its_profile() -> Self {
        Self::at(any(), Arc::new(|_| Say::Status(200)), Profile::HeldOnce).await
    }

    pub async fn saying(decide: impl Fn(usize) -> Say + Send + Sync + 'static) -> Self {
        Self::at(any(), Arc::new(decide), Profile::Usual).await
    }

    /// Never answers a webhook. At an address of its own, as a server of its own would be.
    pub async fn hanging_at(last: u8) -> Self {
        Self::at(SocketAddr::from(([127, 0, 9, last], 0)), Arc::new(|_| Say::Hold), Profile::Usual).await
    }

    /// One that names no address for webhooks.
    pub async fn without_webhooks() -> Self {
        let order = json!([{"version": "2026-04-08"}]);
        let profile = json!({"ucp": {"version": "2026-04-08", "capabilities": {"dev.ucp.shopping.order": order}}});
        Self::at(any(), Arc::new(|_| Say::Status(200)), Profile::Other(profile)).await
    }

    /// On a port that is kept, so that another can follow it there.
    pub async fn on(port: &Port) -> Self {
        Self::at(port.address(), Arc::new(|_| Say::Status(200)), Profile::Usual).await
    }

    async fn at(address: SocketAddr, decide: Decide, profile: Profile) -> Self {
        let shared = Arc::new(Shared {
            arrivals: Mutex::default(),
            profiles_served: Mutex::default(),
            decide,
            let_go: watch::Sender::new(false),
            poured: Mutex::default(),
            profile,
        });
        let serve = shared.clone();
        let server = Server::start(address, move |visit| serve.clone().visit(visit)).await.expect("a port");
        Self { shared, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Where its profile is, as it names it in `UCP-Agent`.
    pub fn profile(&self) -> String {
        format!("http://{}/profiles/agent.json", self.server.address)
    }

    /// Where it is told of its orders.
    pub fn hook(&self) -> String {
        format!("http://{}{HOOK}", self.server.address)
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().expect("sound").clone()
    }

    /// How often its profile was asked for, in vain or not.
    pub fn profiles_served(&self) -> usize {
        *self.shared.profiles_served.lock().expect("sound")
    }

    /// How many bytes were taken of each body without end, once nobody took any more.
    pub fn poured(&self) -> Vec<usize> {
        self.shared.poured.lock().expect("sound").clone()
    }

    /// Answers what is held, and what comes from now on.
    pub fn let_go(&self) {
        self.shared.let_go.send_replace(true);
    }

    /// The webhooks so far, as soon as there are so many.
    pub async fn told(&self, count: usize) -> Vec<Arrival> {
        until(&format!("{count} webhooks have arrived"), || async {
            let arrivals = self.arrivals();
            (arrivals.len() >= count).then_some(arrivals)
        })
        .await
    }
}

const HOOK: &str = "/hook?tenant=7&x=%2F";

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Shared {
    async fn visit(self: Arc<Self>, visit: Visit) {
        if !visit.request.target().starts_with("/hook") {
            return self.present(visit).await;
        }
        let number = {
            let mut arrivals = self.arrivals.lock().expect("sound");
            arrivals.push(Arrival(visit.request.clone()));
            arrivals.len() - 1
        };
        match (self.decide)(number) {
            Say::Status(status) => visit.answer(&format!("{status} As told"), "", "").await,
            Say::Hold => {
                if self.held().await.is_some() {
                    visit.answer("200 At last", "", "").await;
                }
            }
            Say::Endless(status) => {
                let taken = visit.pour(&format!("{status} As told")).await;
                self.poured.lock().expect("sound").push(taken);
            }
        }
    }

    /// Answers with its profile.
    async fn present(&self, visit: Visit) {
        let before = {
            let mut served = self.profiles_served.lock().expect("sound");
            *served += 1;
            *served - 1
        };
        let hook = json!({"webhook_url": format!("http://{}{HOOK}", visit.request.header("host").expect("a host"))});
        let order = json!([{"version": "2026-04-08", "config": hook}]);
        let usual = json!({"ucp": {"version": "2026-04-08", "capabilities": {"dev.ucp.shopping.order": order}}});
        let profile = match &self.profile {
            Profile::HeldOnce if before == 0 => self.held().await.map(|()| usual),
            Profile::Usual | Profile::HeldOnce => Some(usual),
            Profile::Other(profile) => Some(profile.clone()),
        };
        if let Some(profile) = profile {
            visit.answer("200 OK", "", &profile.to_string()).await;
        }
    }

    /// Until the test lets go; `None` when it never will.
    async fn held(&self) -> Option<()> {
        self.let_go.subscribe().wait_for(|may| *may).await.ok().map(drop)
    }
}
