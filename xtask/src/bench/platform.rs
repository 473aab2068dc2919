//! The platform that buys: single requests, outside of the load.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::load::body;

/// The profile of the platform. The shop sends its webhooks to a receiver of this process.
pub const URL: &str = "http://localhost/bench-agent.json";

const PATIENCE: Duration = Duration::from_secs(10);

/// A platform that buys at the shop with this address.
pub struct Platform {
    pub address: String,
}

impl Platform {
    /// The items of a checkout: one piece of each product.
    pub fn items(products: &[&str]) -> String {
        let item = |product: &&str| format!(r#"{{"item":{{"id":"{product}"}},"quantity":1}}"#);
        format!("[{}]", products.iter().map(item).collect::<Vec<_>>().join(","))
    }

    /// Creates a checkout, and returns its id.
    pub fn create(&self, items: &str, key: &str) -> Result<String> {
        let answer = self.request("POST", "/checkout-sessions", &body("create", items)?, key)?;
        let id = text_after(&answer, "\"id\":\"chk_").context("the shop made no checkout")?;
        Ok(format!("chk_{id}"))
    }

    /// Makes one purchase as the load does. The idempotency keys begin with `key`.
    pub fn buy(&self, items: &str, key: &str) -> Result<()> {
        let id = self.create(items, &format!("{key}-1"))?;
        let path = format!("/checkout-sessions/{id}");
        self.request("PUT", &path, &body("update", items)?, &format!("{key}-2"))?;
        let answer =
            self.request("POST", &format!("{path}/complete"), &body("complete", items)?, &format!("{key}-3"))?;
        if !answer.contains("\"status\":\"completed\"") {
            bail!("the purchase is not complete: {answer}");
        }
        Ok(())
    }

    /// Sends one request on a new connection, and returns the response.
    pub fn request(&self, method: &str, path: &str, body: &str, key: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(
            self.text(method, path, body, &format!("idempotency-key: {key}\r\nconnection: close")).as_bytes(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 20") {
            bail!("{method} {path}: {answer}");
        }
        Ok(answer)
    }

    /// Opens a connection, reads the resource at `path` once, and returns the connection, which stays open.
    pub fn connect(&self, path: &str) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(self.text("GET", path, "", "connection: keep-alive").as_bytes())?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        if start != *b"HTTP/1.1 200" {
            bail!("GET {path}: {}", String::from_utf8_lossy(&start));
        }
        Ok(stream)
    }

    fn text(&self, method: &str, path: &str, body: &str, headers: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}\r\ncontent-type: application/json\r\n\
             ucp-agent: profile=\"{URL}\"\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
    }
}

/// The text between the first `start` and the next quote.
pub fn text_after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.split(start).nth(1)?.split('"').next()
}
