//! `cargo xtask bench`: compares the shop with its bare database engine, in one run.
//!
//! A rate depends on the machine as much as on the program. Therefore each measurement of the shop is followed by one
//! of the bare engine with the same statements. The result is the ratio of the two rates, as the median over several
//! runs. No check depends on the ratio.

mod engine;
mod report;
mod shop;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::install::{Install, Installer, program};
use crate::postgres::{self, Postgres, Programs};
use crate::process;
use crate::provision::must_be_linux;
use engine::Engine;
use shop::{Footprint, Shop};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    install: Install,
    /// How many times each measurement is made. The report shows the median.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How many seconds each measurement takes.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Print the report instead of writing docs/BENCHMARKS.md.
    #[arg(long)]
    print: bool,
}

/// The numbers of connections with which each flow is measured.
const CONNECTIONS: [usize; 3] = [1, 8, 64];

/// The number of connections with which the pages of a list are measured.
const PAGE_CONNECTIONS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Create, update and complete a checkout.
    Purchase,
    /// Read one checkout.
    Read,
}

impl Flow {
    const ALL: [Flow; 2] = [Flow::Purchase, Flow::Read];

    fn name(self) -> &'static str {
        match self {
            Flow::Purchase => "purchase",
            Flow::Read => "read",
        }
    }
}

/// The result of one measurement of the shop.
pub struct Sample {
    /// How many purchases or reads succeeded per second.
    pub per_second: f64,
    /// The median latency of a request in milliseconds.
    pub p50: f64,
    /// The 99th percentile of the latency in milliseconds.
    pub p99: f64,
    /// The CPU time of the shop in seconds.
    pub cpu: f64,
    pub failed: f64,
}

/// All runs of one flow at one number of connections on one engine.
pub struct Cell {
    pub engine: &'static str,
    pub flow: Flow,
    pub connections: usize,
    pub shop: Vec<Sample>,
    /// The rate of the bare engine in each run.
    pub bare: Vec<f64>,
}

/// What was measured of one shop besides its flows.
pub struct Measured {
    pub engine: &'static str,
    pub footprint: Footprint,
    /// The first and the thousandth page of a list per second, in each run.
    pub pages: Vec<[f64; 2]>,
}

pub fn run(args: &Args) -> Result<()> {
    must_be_linux(std::env::consts::OS)?;
    let installer = args.install.permission();
    let wrk = tool("wrk", installer.as_ref())?;
    tool("python3", installer.as_ref())?;
    let programs = Programs::provide(installer.as_ref())?;
    let postgres = Postgres::provide(programs.as_ref(), postgres::DURABLE)?;
    let (Some(postgres), Some(programs)) = (postgres, programs) else {
        bail!("Postgres is not installed. `cargo xtask bench --install` installs it")
    };
    process::run(&mut process::cargo(&["build", "--release", "-p", "api", "--bin", "tuckshop"]))?;
    let mut cells = Vec::new();
    let mut shops = Vec::new();
    for engine in [Engine::new(None)?, Engine::new(Some((postgres.url.clone(), programs.pgbench())))?] {
        let (shop, name) = (Shop::open(&engine)?, engine.name);
        let cell = |flow, connections| Cell { engine: name, flow, connections, shop: Vec::new(), bare: Vec::new() };
        let mut table: Vec<Cell> = Flow::ALL.into_iter().flat_map(|flow| CONNECTIONS.map(|n| cell(flow, n))).collect();
        for _ in 0..args.runs {
            for cell in &mut table {
                let ours = shop.measure(&wrk, cell.flow, cell.connections, args.seconds)?;
                let bare = engine.measure(&shop.checkout, cell.flow, cell.connections, args.seconds)?;
                let (flow, rate) = (cell.flow.name(), ours.per_second);
                println!("{name} {flow} {}: {rate:.0}/s, bare {bare:.0}/s", cell.connections);
                cell.shop.push(ours);
                cell.bare.push(bare);
            }
        }
        cells.append(&mut table);
        engine.execute("reviews.sql")?;
        let mut pages = Vec::new();
        for _ in 0..args.runs {
            pages.push(shop.measure_pages(&wrk, PAGE_CONNECTIONS, args.seconds)?);
        }
        shops.push(Measured { engine: name, footprint: shop.footprint()?, pages });
    }
    let text = report::markdown(&cells, &shops, args, &postgres.version)?;
    if args.print {
        println!("{text}");
        return Ok(());
    }
    let path = process::root().join("docs/BENCHMARKS.md");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written: docs/BENCHMARKS.md");
    Ok(())
}

/// Returns the path of a program. Installs the program if PATH does not have it and there is an installer.
fn tool(name: &str, installer: Option<&Installer>) -> Result<PathBuf> {
    if let (None, Some(installer)) = (program(name), installer) {
        installer.apt(name)?;
    }
    program(name).with_context(|| format!("{name} is not installed. `cargo xtask bench --install` installs it as root"))
}

/// Parses the line `RESULT done=.. failed=.. seconds=..` that every load generator prints.
fn sample(output: &str) -> Result<Sample> {
    let line =
        output.lines().find(|line| line.starts_with("RESULT")).context("the load generator printed no result")?;
    let number = |name: &str| -> f64 {
        let field = line.split_whitespace().find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        field.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    };
    Ok(Sample {
        per_second: number("done") / number("seconds").max(0.001),
        p50: number("p50_us") / 1000.0,
        p99: number("p99_us") / 1000.0,
        cpu: 0.0,
        failed: number("failed"),
    })
}
