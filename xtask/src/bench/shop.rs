//! The measured shop: the release binary on loopback, with more stock than the benchmark can sell.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::engine::Engine;
use super::{Flow, Sample, sample};
use crate::process;

/// The profile of the platform that buys. Its webhooks go to a receiver in this process.
const PLATFORM: &str = "http://localhost/bench-agent.json";

pub struct Shop {
    process: Child,
    address: String,
    /// The time from the start of the process to its first answer.
    started_in: Duration,
    /// The id of an existing checkout, for the flow `Read`.
    pub checkout: String,
}

/// The resources that a shop used in all measurements.
#[derive(Clone, Copy)]
pub struct Footprint {
    pub started_in: Duration,
    pub peak_memory_kib: u64,
}

impl Shop {
    pub fn open(engine: &Engine) -> Result<Shop> {
        let catalogue = process::root().join("xtask/bench/catalogue");
        process::output(tuckshop(engine).arg("import").arg(catalogue))?;
        process::output(tuckshop(engine).args(["platforms", "add", PLATFORM, "--webhook-url", &receiver()?]))?;

        let started = Instant::now();
        let mut process = tuckshop(engine).arg("serve").stdout(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().context("the shop has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let listening = lines.by_ref().map_while(Result::ok).find(|line| line.contains("\"listening\""));
        let listening = listening.context("the shop did not start")?;
        let address = after(&listening, "\"address\":\"").context("the shop logged no address")?;
        request(&address, "GET", "/livez", "")?;
        let started_in = started.elapsed();
        // The log is not used, but a full pipe would slow the shop down.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));

        let body = r#"{"line_items":[{"item":{"id":"bench_1"},"quantity":1}]}"#;
        let answer = request(&address, "POST", "/checkout-sessions", body)?;
        let checkout = after(&answer, "\"id\":\"chk_").context("the shop made no checkout")?;
        let checkout = format!("chk_{checkout}");
        Ok(Shop { process, address, started_in, checkout })
    }

    pub fn measure(&self, wrk: &Path, flow: Flow, connections: usize, seconds: u64) -> Result<Sample> {
        let argument = match flow {
            Flow::Purchase => format!("{:?}", Instant::now()).replace(|c: char| !c.is_ascii_digit(), ""),
            Flow::Read => format!("/checkout-sessions/{}", self.checkout),
        };
        self.load(wrk, flow, connections, seconds, &argument)
    }

    /// Measures the first and the thousandth page of a list of reviews, which must exist: see `reviews.sql`. Returns
    /// the pages per second of each.
    pub fn measure_pages(&self, wrk: &Path, connections: usize, seconds: u64) -> Result<[f64; 2]> {
        let pages = ["", "&cursor=rev_00000000000000000000000000100021"];
        let rate = |page| -> Result<f64> {
            let path = format!("/store/v1/products/bench_1/reviews?limit=20{page}");
            request(&self.address, "GET", &path, "")?;
            Ok(self.load(wrk, Flow::Read, connections, seconds, &path)?.per_second)
        };
        Ok([rate(pages[0])?, rate(pages[1])?])
    }

    fn load(&self, wrk: &Path, flow: Flow, connections: usize, seconds: u64, argument: &str) -> Result<Sample> {
        let script = process::root().join(format!("xtask/bench/{}.lua", flow.name()));
        // Purchases need as many threads as connections. The comment in purchase.lua gives the reason.
        let threads = if flow == Flow::Purchase { connections } else { connections.min(2) };
        let before = self.cpu()?;
        let output = process::output(
            Command::new(wrk)
                .args(["-t", &threads.to_string(), "-c", &connections.to_string(), "-d", &format!("{seconds}s")])
                .args(["--timeout", "10s", "-s"])
                .arg(script)
                .arg(format!("http://{}", self.address))
                .args(["--", argument]),
        )?;
        let sample = Sample { cpu: self.cpu()? - before, ..sample(&output)? };
        if sample.failed > 0.0 {
            println!("  {} of these failed", sample.failed);
        }
        Ok(sample)
    }

    /// The CPU time (user and system) that the process has used so far, in seconds.
    fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // Linux counts CPU time in units of 10 ms.
        let ticks = fields.get(11..13).into_iter().flatten().filter_map(|ticks| ticks.parse::<f64>().ok());
        Ok(ticks.sum::<f64>() / 100.0)
    }

    pub fn footprint(&self) -> Result<Footprint> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        Ok(Footprint { started_in: self.started_in, peak_memory_kib: peak.unwrap_or(0) })
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a server that accepts webhooks and ignores them, until this process ends. Returns its address.
fn receiver() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || take(stream));
        }
    });
    Ok(format!("http://{address}/"))
}

/// Reads one request and answers it.
fn take(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
}

fn tuckshop(engine: &Engine) -> Command {
    let directory = engine.directory.path();
    let mut command = Command::new(process::root().join("target/release/tuckshop"));
    command.env("TUCKSHOP_DATABASE_URL", &engine.url).env("TUCKSHOP_HTTP_ADDRESS", "127.0.0.1:0");
    command.env("TUCKSHOP_SIMULATION_LEDGER_PATH", directory.join("payments.ledger"));
    command.env("TUCKSHOP_LOG_FORMAT", "json").current_dir(directory);
    command
}

/// The text between the first `start` and the next quote.
fn after(json: &str, start: &str) -> Option<String> {
    json.split(start).nth(1)?.split('"').next().map(str::to_owned)
}

/// Sends one request on a new connection, and returns the response.
fn request(address: &str, method: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         ucp-agent: profile=\"{PLATFORM}\"\r\nidempotency-key: first\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 20") {
        bail!("{method} {path}: {answer}");
    }
    Ok(answer)
}
