//! Handwritten HTTP for requests that a client library cannot send: half a body, a slow body, a body that is too long.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Answer, PLATFORM, agent, fresh_key};
use super::{PATIENCE, until};

pub struct Raw {
    stream: TcpStream,
}

/// The head of a POST with the headers of the protocol and additional headers, each of which ends with
/// `\r\n`.
pub fn post(path: &str, more: &str) -> String {
    let (agent, key) = (agent(PLATFORM), fresh_key());
    format!(
        "POST {path} HTTP/1.1\r\nhost: shop\r\nucp-agent: {agent}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\n{more}\r\n"
    )
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("a connection") }
    }

    /// Ignores a write error: the caller reads the answer of a peer that has closed.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads exactly this many bytes.
    pub async fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = tokio::time::timeout(PATIENCE, self.stream.read_exact(&mut bytes)).await.expect("bytes in time");
        read.expect("bytes");
        bytes
    }

    /// Reads until the other side closes.
    pub async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut bytes)).await.expect("an end in time");
        // A reset ends the stream too.
        drop(read);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Closes the sending direction. The answer can still be read.
    pub async fn finish(&mut self) {
        // Shutting down a reset connection fails; see `was_reset`.
        let _ = self.stream.shutdown().await;
    }

    /// Whether the other side has reset the connection. The kernel reports a reset once.
    pub fn was_reset(&self) -> bool {
        self.stream.take_error().expect("a socket").is_some()
    }

    /// Waits until the other side has read everything that was sent, according to the kernel's table of sockets.
    pub async fn until_read_by_peer(&self) {
        let hex = |address: SocketAddr| format!(":{:04X}", address.port());
        let here = hex(self.stream.local_addr().expect("an address"));
        let there = hex(self.stream.peer_addr().expect("an address"));
        until("the peer has read what was sent", async || {
            let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
            let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            // Each row has a local address, a remote address, a state, and `unsent bytes:unread bytes`.
            let empty = rows.filter(|row| row.len() > 4).filter_map(|row| match row[4].split_once(':')? {
                (unsent, _) if row[1].ends_with(&here) && row[2].ends_with(&there) => Some(unsent == "00000000"),
                (_, unread) if row[1].ends_with(&there) && row[2].ends_with(&here) => Some(unread == "00000000"),
                _ => None,
            });
            let empty: Vec<bool> = empty.collect();
            (empty == [true, true]).then_some(())
        })
        .await;
    }

    /// Reads one answer that has a `content-length`.
    pub async fn receive(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.until_whole(Vec::new())).await.expect("an answer in time")
    }

    /// Sends a byte every 20 milliseconds until an answer arrives.
    pub async fn trickle(&mut self) -> Answer {
        let (mut read, mut write) = self.stream.split();
        let mut bytes = Vec::new();
        let dripping = async {
            let mut beat = tokio::time::interval(Duration::from_millis(20));
            while write.write_all(b" ").await.is_ok() {
                beat.tick().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = dripping => {}
            read = tokio::time::timeout(PATIENCE, read.read_buf(&mut bytes)) => {
                assert!(read.expect("an answer in time").is_ok_and(|read| read > 0), "closed without an answer");
            }
        }
        self.until_whole(bytes).await
    }

    async fn until_whole(&mut self, mut bytes: Vec<u8>) -> Answer {
        loop {
            if let Some(answer) = parse(&bytes) {
                return answer;
            }
            let read = self.stream.read_buf(&mut bytes).await.expect("bytes");
            assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// `None` until the answer is complete.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head of text");
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value.trim()).expect("a value"));
    }
    let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Answer { status, headers, bytes: body, json })
}
