//! What a shop sends to Postgres: the transactions of single purchases, by operation.
//!
//! A shop at the level `debug` logs the operation of each transaction that ends, and the server logs the statements.
//! Both logs have the same order, because the recorded shop runs one transaction at a time: its background tasks
//! rest, and its receiver takes a webhook only after a pause in which the sender looks for further messages.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::engine::Engine;
use super::log::{Transaction, transactions};
use super::platform::Platform;
use super::receiver::Receiver;
use super::shop::{Setup, Shop};

/// The purchases before the recorded ones. After them the shop has prepared its statements on its connections.
const WARM_UP: usize = 8;
/// The pause of the receiver, and between two looks at the logs.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest wait for the end of what a request causes.
const PATIENCE: Duration = Duration::from_secs(20);
/// After this many looks without a new line, the logs are complete.
const QUIET_LOOKS: usize = 5;

const SETTINGS: [(&str, &str); 10] = [
    ("TUCKSHOP_LOG_LEVEL", "debug"),
    ("TUCKSHOP_DATABASE_POOL_SIZE", "2"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "600000"),
    ("TUCKSHOP_TASKS_CHECKOUT_EXPIRE_MS", "86400000"),
    ("TUCKSHOP_TASKS_IDEMPOTENCY_PURGE_MS", "86400000"),
    ("TUCKSHOP_TASKS_WEBHOOK_DELIVERY_MS", "600000"),
    ("TUCKSHOP_TASKS_MAIL_DELIVERY_MS", "600000"),
    ("TUCKSHOP_TASKS_PAYMENT_CAPTURE_MS", "600000"),
    ("TUCKSHOP_TASKS_PAYMENT_REFUND_MS", "600000"),
    ("TUCKSHOP_TASKS_DELIVERY_PURGE_MS", "86400000"),
];

/// A transaction and the name of its operation.
pub struct Operation {
    pub name: String,
    pub transaction: Transaction,
}

/// What a warm shop sent.
pub struct Recording {
    /// A purchase of two products, with the message that follows from it.
    pub of_two_products: Vec<Operation>,
    /// Two purchases as the load makes them, of the product `bench_1`.
    pub purchases: [Vec<Operation>; 2],
    /// Two reads of one checkout.
    pub reads: [Vec<Operation>; 2],
}

struct Recorder<'a> {
    bench: &'a Bench,
    shop: Shop<'a>,
}

impl Bench {
    /// Records a shop on the new database `database`, and stops the shop.
    pub fn record(&self, engine: &Engine<'_>, database: &str) -> Result<Recording> {
        const SETTING: &str = "log_min_duration_statement";
        self.cluster.query("postgres", &format!("ALTER DATABASE {database} SET {SETTING} = 0"))?;
        let receiver = Receiver::Takes { after: PAUSE };
        let shop = Shop::open(engine, &Setup { binary: &self.binary, receiver, settings: &SETTINGS })?;
        let recorder = Recorder { bench: self, shop };
        let (one, two) = (Platform::items(&["bench_1"]), Platform::items(&["bench_1", "bench_2"]));
        let buy =
            |number: usize, items: &str| recorder.record(database, || recorder.shop.platform.buy(items, &key(number)));
        for number in 0..WARM_UP {
            recorder.shop.platform.buy(&two, &key(number))?;
            recorder.shop.wait_for_messages()?;
        }
        recorder.wait_for_quiet()?;
        let of_two_products = buy(WARM_UP, &two)?;
        let purchases = [buy(WARM_UP + 1, &one)?, buy(WARM_UP + 2, &one)?];
        let path = format!("/checkout-sessions/{}", recorder.shop.checkout);
        let read = || recorder.record(database, || recorder.shop.platform.request("GET", &path, "", "read").map(drop));
        read()?;
        let reads = [read()?, read()?];
        self.cluster.query("postgres", &format!("ALTER DATABASE {database} RESET {SETTING}"))?;
        Ok(Recording { of_two_products, purchases, reads })
    }
}

impl Recorder<'_> {
    /// Waits until both logs have not grown for a while.
    fn wait_for_quiet(&self) -> Result<()> {
        let (log, started) = (self.bench.cluster.log(), Instant::now());
        let (mut length, mut quiet_looks) = (0, 0);
        while quiet_looks < QUIET_LOOKS {
            if started.elapsed() > PATIENCE {
                bail!("the shop is not quiet after {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(PAUSE);
            let now = std::fs::metadata(&log).context("the server wrote no log")?.len();
            let is_quiet = self.shop.take_operations().is_empty() && now == length;
            (length, quiet_looks) = (now, if is_quiet { quiet_looks + 1 } else { 0 });
        }
        Ok(())
    }

    /// Makes requests, and returns the transactions that they caused.
    fn record(&self, database: &str, make: impl FnOnce() -> Result<()>) -> Result<Vec<Operation>> {
        let log = self.bench.cluster.log();
        let start = std::fs::metadata(&log).context("the server wrote no log")?.len();
        self.shop.take_operations();
        make()?;
        self.shop.wait_for_messages()?;
        let (started, mut names) = (Instant::now(), Vec::new());
        // The logs are complete when they agree and have not grown for a while.
        loop {
            std::thread::sleep(PAUSE);
            let (more, logged) = (self.shop.take_operations(), transactions(&log, start, database)?);
            let is_quiet = more.is_empty();
            names.extend(more);
            if is_quiet && !names.is_empty() && names.len() == logged.len() {
                let operation = |(name, transaction)| Operation { name, transaction };
                return Ok(names.into_iter().zip(logged).map(operation).collect());
            }
            if started.elapsed() > PATIENCE {
                bail!("the shop logged {names:?}, and the server logged {} transactions", logged.len());
            }
        }
    }
}

/// The idempotency key of a purchase. As under load, keys grow.
fn key(number: usize) -> String {
    format!("recorded-{}", 1_000_000 + number)
}
