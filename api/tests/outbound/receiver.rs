//! A platform of the tests. It serves its profile, receives webhooks, and answers them as the test decides.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use faultkit::{Port, Received, Server, Visit};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::kit::until;

/// A webhook that has arrived.
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

/// The answer to a webhook.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    Status(u16),
    /// Nothing until [`Receiver::release`]; then 200.
    Hold,
    /// This status and a body without an end.
    Endless(u16),
}

/// Chooses the answer by the number of the webhook, which starts at 0.
type Decide = Arc<dyn Fn(usize) -> Reply + Send + Sync>;

/// The profile that a receiver serves.
enum Profile {
    Usual,
    /// The usual profile. The first request for it waits for [`Receiver::release`].
    HeldOnce,
    Other(Value),
}

struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    profiles_served: Mutex<usize>,
    decide: Decide,
    released: watch::Sender<bool>,
    /// The bytes sent of each endless body until its connection closed.
    endless_bytes_sent: Mutex<Vec<usize>>,
    profile: Profile,
}

/// A running receiver. Dropping it closes all its connections.
pub struct Receiver {
    shared: Arc<Shared>,
    server: Server,
}

impl Receiver {
    /// Answers 200 to every webhook.
    pub async fn start() -> Self {
        Self::answering(|_| Reply::Status(200)).await
    }

    /// Answers the first request for its profile only after [`Receiver::release`].
    pub async fn holding_its_profile() -> Self {
        Self::at(any(), Arc::new(|_| Reply::Status(200)), Profile::HeldOnce).await
    }

    pub async fn answering(decide: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(any(), Arc::new(decide), Profile::Usual).await
    }

    /// Never answers a webhook. Has its own address, as a separate server would.
    pub async fn hanging_at(last: u8) -> Self {
        Self::at(SocketAddr::from(([127, 0, 9, last], 0)), Arc::new(|_| Reply::Hold), Profile::Usual).await
    }

    /// Serves a profile without an address for webhooks.
    pub async fn without_webhooks() -> Self {
        let order = json!([{"version": "2026-04-08"}]);
        let profile = json!({"ucp": {"version": "2026-04-08", "capabilities": {"dev.ucp.shopping.order": order}}});
        Self::at(any(), Arc::new(|_| Reply::Status(200)), Profile::Other(profile)).await
    }

    /// Listens on a reserved port, so that a later receiver can listen there too.
    pub async fn on(port: &Port) -> Self {
        Self::at(port.address(), Arc::new(|_| Reply::Status(200)), Profile::Usual).await
    }

    async fn at(address: SocketAddr, decide: Decide, profile: Profile) -> Self {
        let shared = Arc::new(Shared {
            arrivals: Mutex::default(),
            profiles_served: Mutex::default(),
            decide,
            released: watch::Sender::new(false),
            endless_bytes_sent: Mutex::default(),
            profile,
        });
        let serve = shared.clone();
        let server = Server::start(address, move |visit| serve.clone().visit(visit)).await.expect("a port");
        Self { shared, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// The address of its profile, for `UCP-Agent`.
    pub fn profile(&self) -> String {
        format!("http://{}/profiles/agent.json", self.server.address)
    }

    /// The address to which its webhooks are sent.
    pub fn hook(&self) -> String {
        format!("http://{}{HOOK}", self.server.address)
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().expect("sound").clone()
    }

    /// The number of requests for its profile, answered or not.
    pub fn profiles_served(&self) -> usize {
        *self.shared.profiles_served.lock().expect("sound")
    }

    /// The bytes sent of each endless body until its connection closed.
    pub fn endless_bytes_sent(&self) -> Vec<usize> {
        self.shared.endless_bytes_sent.lock().expect("sound").clone()
    }

    /// Answers held requests and every later one.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Waits until this many webhooks have arrived. Returns all webhooks so far.
    pub async fn wait_for(&self, count: usize) -> Vec<Arrival> {
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
            return self.serve_profile(visit).await;
        }
        let number = {
            let mut arrivals = self.arrivals.lock().expect("sound");
            arrivals.push(Arrival(visit.request.clone()));
            arrivals.len() - 1
        };
        match (self.decide)(number) {
            Reply::Status(status) => visit.answer(&format!("{status} As Chosen"), "", "").await,
            Reply::Hold => {
                if self.held().await.is_some() {
                    visit.answer("200 Released", "", "").await;
                }
            }
            Reply::Endless(status) => {
                let taken = visit.pour(&format!("{status} As Chosen")).await;
                self.endless_bytes_sent.lock().expect("sound").push(taken);
            }
        }
    }

    /// Answers with the profile.
    async fn serve_profile(&self, visit: Visit) {
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

    /// Waits for [`Receiver::release`]. `None` if the receiver is dropped first.
    async fn held(&self) -> Option<()> {
        self.released.subscribe().wait_for(|may| *may).await.ok().map(drop)
    }
}
