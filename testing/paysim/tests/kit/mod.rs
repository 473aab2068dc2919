//! A simulator, a client that sends forms, and a server that receives webhooks.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use paysim::{Options, Paysim};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// The longest wait for a response or an event.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Shop {
    pub gateway: Paysim,
    client: reqwest::Client,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub replayed: bool,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    #[track_caller]
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Returns the object in the body, if the status is 200. Panics otherwise.
    #[track_caller]
    pub fn object(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.body()
    }

    /// Returns the error in the body, if the response has this status. Panics otherwise.
    #[track_caller]
    pub fn error(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body()["error"].clone()
    }

    #[track_caller]
    pub fn id(&self) -> String {
        text(&self.object()["id"])
    }
}

#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

impl Shop {
    pub fn open() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        let gateway = Paysim::start(options).expect("a free port");
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        Self { gateway, client }
    }

    pub async fn post(&self, path: &str, key: Option<&str>, form: &[(&str, &str)]) -> Answer {
        self.try_post(path, key, form, PATIENCE).await.expect("an answer")
    }

    pub async fn try_post(
        &self,
        path: &str,
        key: Option<&str>,
        form: &[(&str, &str)],
        patience: Duration,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.request(Method::POST, path).form(form).timeout(patience);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        answer(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await.expect("an answer")
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.gateway.url());
        self.client.request(method, url).bearer_auth(self.gateway.api_key())
    }

    /// Creates an intent of 12.00 GBP with this card, and returns its id. The intent is not confirmed.
    pub async fn create(&self, card: &str, more: &[(&str, &str)]) -> String {
        let mut form = vec![
            ("amount", "1200"),
            ("currency", "gbp"),
            ("payment_method_types[]", "card"),
            ("metadata[attempt_id]", "attempt-1"),
            ("payment_method", card),
        ];
        form.extend(more);
        self.post("/v1/payment_intents", None, &form).await.id()
    }

    pub async fn confirm(&self, id: &str, key: Option<&str>) -> Answer {
        self.post(&format!("/v1/payment_intents/{id}/confirm"), key, &[]).await
    }

    pub async fn status(&self, id: &str) -> String {
        text(&self.get(&format!("/v1/payment_intents/{id}")).await.object()["status"])
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let replayed = headers.get("idempotent-replayed").is_some_and(|value| value == "true");
    Ok(Answer { status, replayed, headers, text: response.text().await? })
}

/// The bytes that a plain TCP connection received in response to a call, and how the connection ended.
pub struct Raw {
    pub head: String,
    pub body: Vec<u8>,
    pub ended: std::io::Result<()>,
    pub took: Duration,
}

pub fn raw_confirm(gateway: &Paysim, id: &str, patience: Duration) -> Raw {
    let mut stream = TcpStream::connect(gateway.address()).expect("connected");
    stream.set_read_timeout(Some(patience)).expect("a timeout");
    let request = format!(
        "POST /v1/payment_intents/{id}/confirm HTTP/1.1\r\nHost: sim\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        gateway.api_key()
    );
    stream.write_all(request.as_bytes()).expect("written");
    let begun = now();
    let mut read = Vec::new();
    let ended = stream.read_to_end(&mut read).map(|_| ());
    let head_ends = read.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(read.len(), |place| place + 4);
    let head = String::from_utf8_lossy(&read[..head_ends]).into_owned();
    Raw { head, body: read.split_off(head_ends), ended, took: begun.elapsed() }
}

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// A server that receives webhooks. Keeps the signature and the payload of each webhook.
pub struct Receiving {
    pub url: String,
    pub received: Receiver<(String, String)>,
}

impl Receiving {
    /// Starts a server that answers the first webhook with the status `first`, and all others with 200.
    pub fn answering(first: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/webhooks", listener.local_addr().expect("bound"));
        let (sender, received) = channel();
        // The thread ends with the process. Nothing waits for the thread, and it holds nothing that must be released.
        std::thread::Builder::new()
            .name("webhooks".to_owned())
            .spawn(move || {
                let statuses = std::iter::once(first).chain(std::iter::repeat(200));
                for (stream, status) in listener.incoming().flatten().zip(statuses) {
                    if take(stream, status, &sender).is_none() {
                        return;
                    }
                }
            })
            .expect("a thread");
        Self { url, received }
    }

    pub fn next(&self) -> (String, String) {
        self.received.recv_timeout(PATIENCE).expect("a webhook")
    }
}

fn take(mut stream: TcpStream, status: u16, to: &Sender<(String, String)>) -> Option<()> {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece).unwrap_or_default();
        read.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let header = |name: &str| {
                let mut lines = head.lines().filter_map(|line| line.split_once(": "));
                lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
            };
            let wanted = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= wanted {
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                // An error is ignored, because the sender may have closed the connection.
                let _ = stream.write_all(answer.as_bytes());
                return to.send((header("stripe-signature").unwrap_or_default(), body.to_owned())).ok();
            }
        }
        if length == 0 {
            return Some(());
        }
    }
}
