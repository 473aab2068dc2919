//! A platform on a plain socket. It can disconnect at any byte and sees exactly the bytes that arrive.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::extent::{Chance, PATIENCE, until};
use crate::kit::client::{PLATFORM, agent, fresh_key};

/// The longest wait for a connection or for the next bytes of an answer.
const SILENCE: Duration = Duration::from_secs(30);

/// A request that can be sent repeatedly.
#[derive(Clone, Debug)]
pub struct Call {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Call {
    pub fn mentions(&self, text: &str) -> bool {
        self.body.contains(text)
    }

    pub fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), headers: Vec::new(), body: String::new() }
    }

    fn write(method: &'static str, path: String, key: &str, body: &Value) -> Self {
        let headers = vec![("idempotency-key", key.to_owned()), ("content-type", "application/json".to_owned())];
        Self { method, path, headers, body: body.to_string() }
    }

    /// Creates a checkout with this quantity of one item.
    pub fn create(key: &str, sku: &str, quantity: u64) -> Self {
        Self::write("POST", "/checkout-sessions".to_owned(), key, &basket(sku, quantity))
    }

    pub fn update(id: &str, key: &str, sku: &str, quantity: u64) -> Self {
        Self::write("PUT", format!("/checkout-sessions/{id}"), key, &basket(sku, quantity))
    }

    /// Completes with a card that the shop simulates.
    pub fn complete(id: &str, key: &str, token: &str) -> Self {
        Self::complete_with("mock_payment_handler", id, key, token)
    }

    /// Completes with a card of the gateway.
    pub fn pay(id: &str, key: &str, card: &str) -> Self {
        Self::complete_with("card", id, key, card)
    }

    fn complete_with(handler: &str, id: &str, key: &str, token: &str) -> Self {
        let card = json!({"id": "card", "handler_id": handler, "type": "card", "selected": true,
            "credential": {"type": "token", "token": token}});
        let body = json!({"payment": {"instruments": [card]}});
        Self::write("POST", format!("/checkout-sessions/{id}/complete"), key, &body)
    }

    #[must_use]
    pub fn within(mut self, millis: u64) -> Self {
        self.headers.push(("request-timeout-ms", millis.to_string()));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut text =
            format!("{} {} HTTP/1.1\r\nhost: shop\r\nucp-agent: {}\r\n", self.method, self.path, agent(PLATFORM));
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{}", self.body.len(), self.body));
        text.into_bytes()
    }
}

fn basket(sku: &str, quantity: u64) -> Value {
    json!({"line_items": [{"item": {"id": sku}, "quantity": quantity}]})
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Whether the server asked for the connection to be closed.
    pub closes: bool,
    pub body: Vec<u8>,
    pub json: Value,
}

impl Reply {
    /// The status of the checkout in the answer; empty if there is none.
    pub fn checkout_status(&self) -> &str {
        self.json["status"].as_str().unwrap_or_default()
    }

    pub fn id(&self) -> String {
        self.json["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}")).to_owned()
    }

    pub fn order(&self) -> Option<String> {
        self.json["order"]["id"].as_str().map(str::to_owned)
    }

    pub fn has_code(&self, code: &str) -> bool {
        let messages = self.json["messages"].as_array().into_iter().flatten();
        self.json["code"] == code || messages.into_iter().any(|message| message["code"] == code)
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

/// Opens a connection.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, SILENCE)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Writes a whole request.
pub fn send(stream: &mut TcpStream, call: &Call) -> io::Result<()> {
    stream.write_all(&call.bytes())
}

/// Reads an answer: the status line, the headers, and the announced length of the body.
pub fn receive(stream: &mut TcpStream) -> io::Result<Reply> {
    let ended = |what: &str| io::Error::new(io::ErrorKind::UnexpectedEof, format!("the connection ended {what}"));
    let strange = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut piece)? {
            0 if bytes.is_empty() => return Err(ended("before the answer")),
            0 => return Err(ended("within the head of the answer")),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    };
    let mut body = bytes.split_off(head + 4);
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| strange("no status line"))?;
    let header = |name: &str| lines.clone().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let length: usize =
        header("content-length").and_then(|text| text.trim().parse().ok()).ok_or_else(|| strange("no length"))?;
    while body.len() < length {
        match stream.read(&mut piece)? {
            0 => return Err(ended("within the body of the answer")),
            count => body.extend_from_slice(&piece[..count]),
        }
    }
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(Reply { status, closes: header("connection") == Some("close"), body, json })
}

/// Settings under which no background task has a second pass during a test, for tests that count connections or lines.
pub const STILL: &[(&str, &str)] = &[
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "600000"),
    ("TUCKSHOP_TASKS_PAYMENT_CAPTURE_MS", "600000"),
    ("TUCKSHOP_TASKS_PAYMENT_REFUND_MS", "600000"),
    ("TUCKSHOP_TASKS_CHECKOUT_EXPIRE_MS", "600000"),
    ("TUCKSHOP_TASKS_IDEMPOTENCY_PURGE_MS", "600000"),
    ("TUCKSHOP_TASKS_WEBHOOK_DELIVERY_MS", "600000"),
    ("TUCKSHOP_TASKS_DELIVERY_PURGE_MS", "600000"),
    ("TUCKSHOP_WEBHOOK_AT_ONCE", "1"),
];

/// Whether the other side has closed the connection, as far as the local socket shows.
pub fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let mut stream = stream;
    let open = matches!(stream.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).expect("a socket");
    !open
}

pub struct Platform {
    address: SocketAddr,
    kept: Option<TcpStream>,
}

impl Platform {
    pub fn at(address: SocketAddr) -> Self {
        Self { address, kept: None }
    }

    /// Sends one request and reads its answer.
    pub fn ask(&mut self, call: &Call) -> io::Result<Reply> {
        // The server closes idle connections.
        let mut stream = match self.kept.take().filter(|stream| !is_closed(stream)) {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        send(&mut stream, call)?;
        let reply = receive(&mut stream)?;
        if !reply.closes {
            self.kept = Some(stream);
        }
        Ok(reply)
    }

    #[track_caller]
    pub fn reply_to(&mut self, call: &Call) -> Reply {
        self.ask(call).unwrap_or_else(|error| panic!("{call:?}: {error}"))
    }

    /// Repeats the request with growing pauses while the answer is not definite: 503, 504, a key in progress, or a
    /// checkout in progress. The pauses are those of a client, not waits for a condition.
    pub fn retry_until_definite(&mut self, call: &Call, chance: &mut Chance, patience: Duration) -> io::Result<Reply> {
        let (began, mut pause) = (Instant::now(), 20);
        loop {
            let reply = self.ask(call)?;
            let undecided = matches!(reply.status, 503 | 504)
                || reply.status == 409 && reply.has_code("idempotency_in_progress")
                || reply.status == 200 && reply.checkout_status() == "complete_in_progress";
            if !undecided {
                return Ok(reply);
            }
            assert!(began.elapsed() < patience, "still undecided after {patience:?}: {call:?} {reply:?}");
            std::thread::sleep(Duration::from_millis(chance.between(pause / 2, pause)));
            pause = (pause * 2).min(1_000);
        }
    }

    /// Creates a checkout, which may not be ready to be completed. Returns its id.
    #[track_caller]
    pub fn checkout(&mut self, sku: &str, quantity: u64) -> String {
        self.reply_to(&Call::create(&fresh_key(), sku, quantity)).expect(201).id()
    }

    pub fn read(&mut self, id: &str) -> Reply {
        self.reply_to(&Call::get(&format!("/checkout-sessions/{id}"))).expect(200)
    }

    /// Waits until every background task has had its first pass, which is its last under [`STILL`].
    pub fn wait_for_first_passes(&mut self) {
        until("every task has had a pass", PATIENCE, || {
            let reply = self.reply_to(&Call::get("/statusz")).expect(200);
            let tasks = reply.json["tasks"].as_object().expect("tasks");
            let rests = |task: &Value| task["passes"].as_u64() >= Some(1) && task["running"] == 0;
            tasks.values().all(rests).then_some(())
        });
    }

    /// A number of `/statusz`.
    pub fn status_number(&mut self, name: &str) -> u64 {
        let reply = self.reply_to(&Call::get("/statusz")).expect(200);
        reply.json[name].as_u64().unwrap_or_else(|| panic!("no {name} in {reply:?}"))
    }
}
