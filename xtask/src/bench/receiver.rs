//! A receiver of webhooks on loopback: it answers each webhook at once, or asks the shop to wait for an hour.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;

/// The most connections at the same time. A shop uses at most 64 for one platform.
const MOST_CONNECTIONS: usize = 128;
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(60);
/// The longest head of a request.
const LONGEST_HEAD: u64 = 64 * 1024;

/// What the receiver does with webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// Takes each webhook, after this time.
    Takes { after: Duration },
    /// Answers `Retry-After: 3600`. After the first webhook the shop waits for an hour, and its messages pile up.
    AsksToWait,
}

impl Receiver {
    /// Starts the receiver, which runs until this process ends. Returns its URL.
    pub fn start(self) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address: SocketAddr = listener.local_addr()?;
        let open = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
                    open.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let open = Arc::clone(&open);
                std::thread::spawn(move || {
                    let _ = self.serve(&stream);
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Ok(format!("http://{address}/"))
    }

    /// Answers the requests of a connection until the client closes it.
    fn serve(self, mut stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some(length) = body_length(&mut reader)? {
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
            let response: &[u8] = match self {
                Receiver::Takes { after } => {
                    std::thread::sleep(after);
                    b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
                }
                Receiver::AsksToWait => {
                    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n"
                }
            };
            stream.write_all(response)?;
        }
        Ok(())
    }
}

/// Reads the head of a request, and returns the length of its body. `None` if the connection has ended.
fn body_length(reader: &mut impl BufRead) -> std::io::Result<Option<u64>> {
    let (mut length, mut line) = (0, String::new());
    let mut head = reader.take(LONGEST_HEAD);
    while head.read_line(&mut line)? > 0 {
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            return Ok(Some(length));
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    Ok(None)
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
