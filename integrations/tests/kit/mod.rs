//! What the tests of several adapters share: a server that does whatever a test says, a log that is kept, a context.

#![allow(dead_code, reason = "each test binary uses its part of the kit")]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::context::{Deadline, Principal, RequestContext, RequestId, TraceContext};
use slog::{Drain, KV, Logger, OwnedKVList, Record, o};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub const AMPLE: Duration = Duration::from_secs(30);
/// Far longer than anything here may take, far shorter than what it would take if a limit did not hold.
pub const SOON: Duration = Duration::from_secs(5);

/// Reads each request whole, keeps it, and leaves the rest to the test.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

/// One request: the connection it came over, and how many came before it.
pub struct Visit {
    pub stream: TcpStream,
    pub number: usize,
}

impl Visit {
    /// Sends `text`, and nothing if the client is gone.
    pub async fn send(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(text.as_ref()).await
    }

    pub async fn answer(mut self, status: &str, headers: &str, body: &str) {
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let _ = self.send(head + body).await;
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }

    pub async fn hang(self) {
        std::future::pending::<()>().await;
    }
}

impl Server {
    pub async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(Visit) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, serve) = (Arc::clone(&requests), Arc::new(serve));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut visits = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, serve) = (Arc::clone(&kept), Arc::clone(&serve));
                visits.spawn(async move {
                    let Some(request) = read_request(&mut stream).await else { return };
                    let number = {
                        let mut kept = kept.lock().expect("sound");
                        kept.push(request);
                        kept.len() - 1
                    };
                    serve(Visit { stream, number }).await;
                });
            }
        });
        Self { address, requests, _serving: serving }
    }

    /// In small letters, so that the case of a header's name does not matter.
    pub fn requests(&self) -> Vec<String> {
        self.as_sent().iter().map(|request| request.to_lowercase()).collect()
    }

    pub fn as_sent(&self) -> Vec<String> {
        self.requests.lock().expect("sound").clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook?token=hidden", self.address)
    }
}

/// The head, and as much of a body as it announces. `None` when the client leaves before.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => text.extend_from_slice(&piece[..length]),
        }
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        if body.len() >= length.map_or(0, |length| length.trim().parse().expect("a length")) {
            return Some(so_far);
        }
    }
}

/// Keeps every log line, with its fields, as text.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub fn all(&self) -> Vec<String> {
        self.0.lock().expect("sound").clone()
    }
    pub fn log(&self) -> Logger {
        Logger::root(self.clone(), o!())
    }
}

impl Drain for Lines {
    type Ok = ();
    type Err = slog::Never;
    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        struct Fields(String);
        impl slog::Serializer for Fields {
            fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
                self.0.push_str(&format!(" {key}={value}"));
                Ok(())
            }
        }
        let mut fields = Fields(format!("{} {}", record.level(), record.msg()));
        record.kv().serialize(record, &mut fields).expect("infallible");
        values.serialize(record, &mut fields).expect("infallible");
        self.0.lock().expect("sound").push(fields.0);
        Ok(())
    }
}

pub fn ctx(budget: Duration) -> RequestContext {
    ctx_with(&Lines::default(), budget)
}

pub fn ctx_with(lines: &Lines, budget: Duration) -> RequestContext {
    let id = RequestId::parse("req-1").expect("valid");
    let deadline = Deadline::after(budget);
    RequestContext::new(
        &lines.log(),
        id,
        TraceContext::start(),
        Principal::Anonymous,
        deadline,
        CancellationToken::new(),
    )
}
