//! The measured shop: a release binary on loopback, with more stock than the benchmark can sell.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::engine::Engine;
use super::load::{Flow, Load, Requests, Sample, scripts};
use super::platform::{Platform, URL, text_after};
use super::receiver::Receiver;
use super::usage;
use crate::process;

/// The longest wait for the shop to do something, such as to send its messages.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks at the database.
const PAUSE: Duration = Duration::from_millis(20);
const MESSAGES_LEFT: &str = "SELECT count(*) FROM delivery WHERE state = 'pending'";
/// The most operations that a log keeps.
const MOST_OPERATIONS: usize = 100_000;

/// How a shop is started.
pub struct Setup<'a> {
    pub binary: &'a Path,
    pub receiver: Receiver,
    pub settings: &'a [(&'a str, &'a str)],
}

pub struct Shop<'a> {
    process: Running,
    engine: &'a Engine<'a>,
    pub platform: Platform,
    /// The time from the start of the process to its first answer.
    pub started_in: Duration,
    /// The id of an existing checkout, for the flow `Read`.
    pub checkout: String,
    operations: Arc<Mutex<Vec<String>>>,
}

impl<'a> Shop<'a> {
    /// Fills the database, unless it is filled, and starts a shop on it.
    pub fn open(engine: &'a Engine<'a>, setup: &Setup<'_>) -> Result<Shop<'a>> {
        fill(engine, setup.binary)?;
        let url = setup.receiver.start()?;
        process::output(command(engine, setup.binary).args(["platforms", "add", URL, "--webhook-url", &url]))?;

        let started = Instant::now();
        let mut serve = command(engine, setup.binary);
        serve.envs(setup.settings.iter().copied()).arg("serve").stdout(Stdio::piped());
        let mut process = Running(serve.spawn()?);
        let stdout = process.0.stdout.take().context("the shop has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let listening = lines.by_ref().map_while(Result::ok).find(|line| line.contains("\"listening\""));
        let listening = listening.context("the shop did not start")?;
        let address = text_after(&listening, "\"address\":\"").context("the shop logged no address")?;
        let platform = Platform { address: address.to_owned() };
        platform.request("GET", "/livez", "", "start")?;
        let started_in = started.elapsed();
        let operations = Arc::new(Mutex::new(Vec::new()));
        let (to, items) = (Arc::clone(&operations), Platform::items(&["bench_1"]));
        // A full pipe would slow the shop down.
        std::thread::spawn(move || collect_operations(lines, &to));
        let checkout = platform.create(&items, "first")?;
        let shop = Shop { process, engine, platform, started_in, checkout, operations };
        if setup.receiver == Receiver::AsksToWait {
            shop.platform.buy(&items, "waits")?;
            shop.wait_for("SELECT count(*) FROM destination WHERE failures > 0", |endpoints| endpoints > 0)?;
        }
        Ok(shop)
    }

    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    pub fn engine_name(&self) -> &'static str {
        self.engine.name
    }

    pub fn measure(&self, load: &Load, flow: Flow, connections: usize) -> Result<Sample> {
        self.measure_at(load, flow, connections, None)
    }

    /// Measures with at most this many requests per second.
    pub fn measure_at(&self, load: &Load, flow: Flow, connections: usize, most: Option<f64>) -> Result<Sample> {
        let path = format!("/checkout-sessions/{}", self.checkout);
        self.send(load, Requests { flow, connections, path: &path, most_per_second: most })
    }

    /// Measures the first and the thousandth page of a list of reviews, which must exist: see `reviews.sql`. Returns
    /// the pages per second of each.
    pub fn measure_pages(&self, load: &Load, connections: usize) -> Result<[f64; 2]> {
        let pages = ["", "&cursor=rev_00000000000000000000000000100021"];
        let rate = |page| -> Result<f64> {
            let path = format!("/store/v1/products/bench_1/reviews?limit=20{page}");
            self.platform.request("GET", &path, "", "page")?;
            let requests = Requests { flow: Flow::Read, connections, path: &path, most_per_second: None };
            Ok(self.send(load, requests)?.per_second)
        };
        Ok([rate(pages[0])?, rate(pages[1])?])
    }

    fn send(&self, load: &Load, requests: Requests<'_>) -> Result<Sample> {
        let before = self.usage()?;
        let sample = load.send(&self.platform.address, requests)?;
        let after = self.usage()?;
        let used = |of: usize| after[of] - before[of];
        Ok(Sample { cpu: used(0), server_cpu: used(1), wal: used(2), ..sample })
    }

    /// The CPU time of the shop and of its Postgres server, and the size of the write-ahead log so far.
    fn usage(&self) -> Result<[f64; 3]> {
        let shop = usage::cpu(self.id())?;
        Ok(match self.engine.cluster() {
            Some(cluster) => [shop, cluster.cpu()?, cluster.wal()?],
            None => [shop, 0.0, 0.0],
        })
    }

    /// How many messages are not sent yet.
    pub fn messages_left(&self) -> Result<u64> {
        self.count(MESSAGES_LEFT)
    }

    /// Waits until every message is sent.
    pub fn wait_for_messages(&self) -> Result<()> {
        self.wait_for(MESSAGES_LEFT, |messages| messages == 0)
    }

    /// Waits until every message is sent, for at most a minute. Returns whether that is so.
    pub fn sends_all_messages(&self) -> Result<bool> {
        self.reaches(MESSAGES_LEFT, |messages| messages == 0)
    }

    fn wait_for(&self, count: &str, is_reached: impl Fn(u64) -> bool) -> Result<()> {
        if !self.reaches(count, is_reached)? {
            bail!("after {} s the shop has not reached: {count}", PATIENCE.as_secs());
        }
        Ok(())
    }

    fn reaches(&self, count: &str, is_reached: impl Fn(u64) -> bool) -> Result<bool> {
        let started = Instant::now();
        while !is_reached(self.count(count)?) {
            if started.elapsed() > PATIENCE {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(true)
    }

    fn count(&self, count: &str) -> Result<u64> {
        let text = self.engine.query(count)?;
        text.parse().with_context(|| format!("`{text}` is not a number: {count}"))
    }

    /// Takes the names of the operations whose transactions ended since the last call, in the order of their ends. A
    /// shop logs them at the level `debug`.
    pub fn take_operations(&self) -> Vec<String> {
        std::mem::take(&mut *self.operations.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// A process that is killed when this value is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Brings the schema up to date and imports the catalogue.
pub fn fill(engine: &Engine<'_>, binary: &Path) -> Result<()> {
    process::output(command(engine, binary).arg("import").arg(scripts().join("catalogue"))).map(drop)
}

fn command(engine: &Engine<'_>, binary: &Path) -> Command {
    let directory = engine.directory.path();
    let mut command = Command::new(binary);
    command.env("TUCKSHOP_DATABASE_URL", &engine.url).env("TUCKSHOP_HTTP_ADDRESS", "127.0.0.1:0");
    command.env("TUCKSHOP_SIMULATION_LEDGER_PATH", directory.join("payments.ledger"));
    command.env("TUCKSHOP_LOG_FORMAT", "json").current_dir(directory);
    command
}

fn collect_operations(lines: Lines<BufReader<ChildStdout>>, to: &Mutex<Vec<String>>) {
    for line in lines.map_while(Result::ok).filter(|line| line.contains("\"transaction ended\"")) {
        let mut operations = to.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let (Some(name), true) = (text_after(&line, "\"op\":\""), operations.len() < MOST_OPERATIONS) {
            operations.push(name.to_owned());
        }
    }
}
