//! An HTTP server that receives the calls of the shop. It records every request, and a test decides how to answer.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Records each request and passes it to a function of the test, which answers. Dropping the server closes all
/// connections.
pub struct Server {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    _serving: JoinSet<()>,
}

/// A request as text, and the time of its arrival.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Instant,
    pub text: String,
}

/// A request that the test answers on `stream`. `number` is the number of requests that the server received before.
pub struct Visit {
    pub stream: TcpStream,
    pub number: usize,
    pub request: Received,
}

impl Received {
    /// The path and the query of the request.
    pub fn target(&self) -> &str {
        self.text.split(' ').nth(1).unwrap_or_default()
    }

    pub fn headers(&self) -> Vec<(&str, &str)> {
        let (head, _) = self.text.split_once("\r\n\r\n").unwrap_or((&self.text, ""));
        head.split("\r\n").filter_map(|line| line.split_once(": ")).collect()
    }

    /// The value of the first header with this name. Upper and lower case make no difference.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers().into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value)
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// Returns a copy of the request in which `to` replaces each `from`, as if the request had been changed on the way.
    #[must_use]
    pub fn changed(&self, from: &str, to: &str) -> Self {
        Self { text: self.text.replace(from, to), ..self.clone() }
    }
}

impl Visit {
    /// Sends `text`. Fails if the client has disconnected.
    pub async fn send(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(text.as_ref()).await
    }

    /// Sends a response and closes the connection. Each line of `headers` ends with `\r\n`. Errors are ignored, because
    /// the client may have disconnected.
    pub async fn answer(mut self, status: &str, headers: &str, body: &str) {
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let _ = self.send(head + body).await;
        let _ = self.stream.shutdown().await;
    }

    /// Answers with an endless body. Returns the number of bytes that were sent until the client disconnected.
    pub async fn pour(mut self, status: &str) -> usize {
        let (mut taken, piece) = (0, vec![b'x'; 16 * 1024]);
        if self.send(format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n")).await.is_ok() {
            while let Ok(more) = self.stream.write(&piece).await {
                taken += more;
            }
        }
        taken
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        // The call fails if the connection has already ended.
        let _ = self.stream.set_zero_linger();
    }

    pub async fn hang(self) {
        std::future::pending::<()>().await;
    }
}

impl Server {
    /// Starts a server that calls `serve` for each request. If the port of `address` is 0, the system chooses a port.
    pub async fn start<F, Fut>(address: SocketAddr, serve: F) -> io::Result<Self>
    where
        F: Fn(Visit) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let received = Arc::new(Mutex::new(Vec::new()));
        let (kept, serve) = (received.clone(), Arc::new(serve));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut visits = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => drop(visits.spawn(visit(stream, kept.clone(), serve.clone()))),
                    Some(_) = visits.join_next() => {}
                }
            }
        });
        Ok(Self { address, received, _serving: serving })
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn visit<F, Fut>(mut stream: TcpStream, kept: Arc<Mutex<Vec<Received>>>, serve: Arc<F>)
where
    F: Fn(Visit) -> Fut,
    Fut: Future<Output = ()>,
{
    let Some(text) = read(&mut stream).await else { return };
    let request = Received { at: Instant::now(), text };
    let number = {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(request.clone());
        kept.len() - 1
    };
    serve(Visit { stream, number, request }).await;
}

/// Reads one request: the head, and a body of the length that the head states. Returns `None` if the client disconnects
/// before the end, or if the length is not a number.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
        if bytes.len() >= end + 4 + length {
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
