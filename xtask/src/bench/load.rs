//! Load on a shop: `wrk` with the scripts in `xtask/bench/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Create, update and complete a checkout.
    Purchase,
    /// Read one checkout.
    Read,
}

impl Flow {
    pub const ALL: [Flow; 2] = [Flow::Purchase, Flow::Read];

    pub fn name(self) -> &'static str {
        match self {
            Flow::Purchase => "purchase",
            Flow::Read => "read",
        }
    }

    /// The requests of one purchase or read.
    pub fn requests(self) -> f64 {
        match self {
            Flow::Purchase => 3.0,
            Flow::Read => 1.0,
        }
    }
}

/// The result of one measurement of the shop.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// How many purchases or reads succeeded.
    pub done: f64,
    /// How many purchases or reads succeeded per second.
    pub per_second: f64,
    /// The median latency of a request in milliseconds.
    pub p50: f64,
    /// The 99th percentile of the latency in milliseconds.
    pub p99: f64,
    /// The CPU time of the shop in seconds.
    pub cpu: f64,
    /// The CPU time of the Postgres server in seconds.
    pub server_cpu: f64,
    /// The bytes that the Postgres server added to its write-ahead log.
    pub wal: f64,
    pub failed: f64,
}

/// A load generator, and how long each measurement takes.
pub struct Load {
    pub wrk: PathBuf,
    pub seconds: u64,
}

/// What one measurement sends.
#[derive(Clone, Copy)]
pub struct Requests<'a> {
    pub flow: Flow,
    pub connections: usize,
    /// The path that the flow `Read` reads.
    pub path: &'a str,
    /// The most requests per second over all connections. `None`: no limit.
    pub most_per_second: Option<f64>,
}

impl Load {
    /// Sends requests to a shop, and returns what the load generator measured.
    pub fn send(&self, address: &str, requests: Requests<'_>) -> Result<Sample> {
        let (flow, connections) = (requests.flow, requests.connections);
        // Purchases and paced requests need as many threads as connections. Comments in the scripts give the reasons.
        let is_alone = flow == Flow::Purchase || requests.most_per_second.is_some();
        let threads = if is_alone { connections } else { connections.min(2) };
        let argument = if flow == Flow::Purchase { unused_text() } else { requests.path.to_owned() };
        let pace = requests.most_per_second.map_or(0.0, |rate| rate / connections as f64);
        let arguments = [argument, pace.to_string(), threads.to_string()];
        let mut wrk = Command::new(&self.wrk);
        wrk.args(["-t", &threads.to_string(), "-c", &connections.to_string(), "-d", &format!("{}s", self.seconds)]);
        wrk.args(["--timeout", "10s", "-s"]).arg(scripts().join(format!("{}.lua", flow.name())));
        wrk.arg(format!("http://{address}")).arg("--").arg(scripts()).args(arguments);
        let sample = sample(&process::output(&mut wrk)?)?;
        if sample.failed > 0.0 {
            println!("  {} of these failed", sample.failed);
        }
        Ok(sample)
    }
}

/// The directory of the scripts and of the catalogue.
pub fn scripts() -> PathBuf {
    process::root().join("xtask/bench")
}

/// The body of a request of a purchase, with these items.
pub fn body(step: &str, items: &str) -> Result<String> {
    let path = scripts().join(format!("purchase/{step}.json"));
    Ok(text(&path)?.replace("ITEMS", items))
}

pub fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A text that no other measurement uses, for idempotency keys.
fn unused_text() -> String {
    format!("{:?}", Instant::now()).replace(|c: char| !c.is_ascii_digit(), "")
}

/// Parses the line `RESULT done=.. failed=.. seconds=..` that every load generator prints.
pub fn sample(output: &str) -> Result<Sample> {
    let line =
        output.lines().find(|line| line.starts_with("RESULT")).context("the load generator printed no result")?;
    let number = |name: &str| -> f64 {
        let field = line.split_whitespace().find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        field.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    };
    Ok(Sample {
        done: number("done"),
        per_second: number("done") / number("seconds").max(0.001),
        p50: number("p50_us") / 1000.0,
        p99: number("p99_us") / 1000.0,
        failed: number("failed"),
        ..Sample::default()
    })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
