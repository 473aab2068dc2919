//! A platform of the tests: it serves its profile, is told of its orders, and answers as the test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::kit::until;
use crate::python::Script;

/// What is covered by the signature of a webhook whose address has a query.
const COVERED: [&str; 11] = [
    "@method",
    "@authority",
    "@path",
    "@query",
    "ucp-agent",
    "idempotency-key",
    "webhook-id",
    "webhook-timestamp",
    "x-event-type",
    "content-digest",
    "content-type",
];

/// One webhook as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Instant,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Arrival {
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn order(&self) -> Value {
        serde_json::from_str(&self.body).expect("an order")
    }

    /// What the judge says against its signature: nothing, if all is well.
    pub fn verdict(&self, judge: &mut Script, keys: &Value) -> Value {
        let url = format!("http://{}{}", self.header("host"), self.target);
        judge.ask(&json!({
            "method": "POST", "url": url, "headers": self.headers, "body": self.body, "keys": keys, "covers": COVERED,
        }))
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
    address: SocketAddr,
}

/// Ends, with all its connections, when it is dropped.
pub struct Receiver {
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
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

    /// One that names no address for webhooks.
    pub async fn without_webhooks() -> Self {
        let order = json!([{"version": "2026-04-08"}]);
        let profile = json!({"ucp": {"version": "2026-04-08", "capabilities": {"dev.ucp.shopping.order": order}}});
        Self::at(any(), Arc::new(|_| Say::Status(200)), Profile::Other(profile)).await
    }

    /// Where one stood before that is gone.
    pub async fn again_at(address: SocketAddr) -> Self {
        Self::at(address, Arc::new(|_| Say::Status(200)), Profile::Usual).await
    }

    async fn at(address: SocketAddr, decide: Decide, profile: Profile) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Shared {
            arrivals: Mutex::default(),
            profiles_served: Mutex::default(),
            decide,
            let_go: watch::Sender::new(false),
            poured: Mutex::default(),
            profile,
            address,
        };
        let shared = Arc::new(shared);
        let mut serving = JoinSet::new();
        let serve = shared.clone();
        serving.spawn(async move {
            let mut visits = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => drop(visits.spawn(serve.clone().visit(stream))),
                    Some(_) = visits.join_next() => {}
                }
            }
        });
        Self { shared, _serving: serving }
    }

    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Where its profile is, as it names it in `UCP-Agent`.
    pub fn profile(&self) -> String {
        format!("http://{}/profiles/agent.json", self.shared.address)
    }

    /// Where it is told of its orders.
    pub fn hook(&self) -> String {
        format!("http://{}{HOOK}", self.shared.address)
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
    async fn visit(self: Arc<Self>, mut stream: TcpStream) {
        let Some(arrival) = read(&mut stream).await else { return };
        if !arrival.target.starts_with("/hook") {
            let before = {
                let mut served = self.profiles_served.lock().expect("sound");
                *served += 1;
                *served - 1
            };
            let hook = json!({"webhook_url": format!("http://{}{HOOK}", self.address)});
            let order = json!([{"version": "2026-04-08", "config": hook}]);
            let usual = json!({"ucp": {"version": "2026-04-08", "capabilities": {"dev.ucp.shopping.order": order}}});
            let profile = match &self.profile {
                Profile::HeldOnce if before == 0 => self.held().await.map(|()| usual),
                Profile::Usual | Profile::HeldOnce => Some(usual),
                Profile::Other(profile) => Some(profile.clone()),
            };
            let Some(profile) = profile else { return };
            return answer(stream, 200, &profile.to_string()).await;
        }
        let number = {
            let mut arrivals = self.arrivals.lock().expect("sound");
            arrivals.push(arrival);
            arrivals.len() - 1
        };
        match (self.decide)(number) {
            Say::Status(status) => answer(stream, status, "").await,
            Say::Hold => {
                if self.held().await.is_some() {
                    answer(stream, 200, "").await;
                }
            }
            Say::Endless(status) => {
                let taken = pour(stream, status).await;
                self.poured.lock().expect("sound").push(taken);
            }
        }
    }

    /// Until the test lets go; `None` when it never will.
    async fn held(&self) -> Option<()> {
        self.let_go.subscribe().wait_for(|may| *may).await.ok().map(drop)
    }
}

async fn answer(mut stream: TcpStream, status: u16, body: &str) {
    let text =
        format!("HTTP/1.1 {status} As told\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    // The other side may be gone.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Sends a body that does not end, until nobody takes it any more.
async fn pour(mut stream: TcpStream, status: u16) -> usize {
    let head = format!("HTTP/1.1 {status} As told\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n");
    let (mut taken, piece) = (0, vec![b'x'; 16 * 1024]);
    if stream.write_all(head.as_bytes()).await.is_ok() {
        while let Ok(more) = stream.write(&piece).await {
            taken += more;
        }
    }
    taken
}

/// `None` when the client leaves before its request is whole.
async fn read(stream: &mut TcpStream) -> Option<Arrival> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let mut lines = head.split("\r\n");
        let target = lines.next()?.split(' ').nth(1)?.to_owned();
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers: Vec<_> = lines.filter_map(header).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.map_or(Some(0), |(_, value)| value.parse().ok())?;
        if let Some(body) = bytes.get(end + 4..end + 4 + length) {
            let body = String::from_utf8(body.to_vec()).ok()?;
            return Some(Arrival { at: Instant::now(), target, headers, body });
        }
    }
}
