//! `cargo xtask bench`: compares the shop with its bare database engine, in one run.
//!
//! A rate depends on the machine as much as on the program. Therefore each measurement of the shop is followed by one
//! of the bare engine with the same statements. The result is the ratio of the two rates, as the median over several
//! runs. No check depends on the ratio.

mod bare;
mod cells;
mod cluster;
mod compare;
mod engine;
mod flame;
mod goals;
mod half;
mod idle;
mod large;
mod load;
mod log;
mod platform;
mod profile;
mod receiver;
mod recording;
mod report;
mod script;
mod shape;
mod shop;
mod stats;
mod usage;
mod webhooks;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::install::{Install, Installer, program};
use crate::postgres::Programs;
use crate::process;
use crate::provision::must_be_linux;
use bare::Bare;
use cells::{Cell, Measured};
use cluster::Cluster;
use engine::Engine;
use load::Load;
use receiver::Receiver;
use recording::Recording;
use report::Report;
use shop::{Setup, Shop};

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
    /// Print only how many statements each operation of a purchase sends to Postgres.
    #[arg(long)]
    profile: bool,
    /// Compare this source tree with a commit, and print the ratios. Writes no report.
    #[arg(long, value_name = "REV", conflicts_with_all = ["profile", "flame", "large"])]
    compare: Option<String>,
    /// Also measure a database with this many past orders. Storing 1,000,000 takes a minute or more, and some GiB.
    #[arg(long, value_name = "ORDERS", num_args = 0..=1, default_missing_value = "1000000")]
    large: Option<u64>,
    /// Record the stacks of the shop during purchases, and draw a flame graph. Writes no report.
    #[arg(long, conflicts_with = "profile")]
    flame: bool,
}

/// What every measurement needs.
struct Bench {
    load: Load,
    cluster: Cluster,
    /// The release binary of the shop.
    binary: PathBuf,
    runs: usize,
}

pub fn run(args: &Args) -> Result<()> {
    must_be_linux(std::env::consts::OS)?;
    let bench = Bench::new(args)?;
    match (&args.compare, args.profile, args.flame) {
        (Some(revision), ..) => return bench.compare(revision),
        (None, true, _) => return bench.profile(),
        (None, false, true) => return bench.flame(),
        (None, false, false) => {}
    }
    let text = bench.measure(args.large)?.markdown()?;
    if args.print {
        println!("{text}");
        return Ok(());
    }
    let path = process::root().join("docs/BENCHMARKS.md");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written: docs/BENCHMARKS.md");
    Ok(())
}

impl Bench {
    fn new(args: &Args) -> Result<Bench> {
        let installer = args.install.permission();
        let wrk = tool("wrk", installer.as_ref())?;
        tool("python3", installer.as_ref())?;
        let programs = Programs::provide(installer.as_ref())?;
        let programs = programs.context("Postgres is not installed. `cargo xtask bench --install` installs it")?;
        process::run(&mut release_build())?;
        let binary = process::root().join("target/release/tuckshop");
        let load = Load { wrk, seconds: args.seconds };
        Ok(Bench { load, cluster: Cluster::start(programs)?, binary, runs: args.runs })
    }

    /// Measures everything. `large` is the number of past orders in the large database, if there is one.
    fn measure(&self, large: Option<u64>) -> Result<Report> {
        let (mut cells, mut shops): (Vec<Cell>, Vec<Measured>) = (Vec::new(), Vec::new());
        let (recorded, recording) = self.recording()?;
        recording.warn_of_differences()?;
        let mut half_load = Vec::new();
        for engine in [Engine::sqlite()?, Engine::postgres(&self.cluster, "shop")?] {
            let shop = Shop::open(&engine, &self.setup(Receiver::AsksToWait))?;
            let bare = match engine.cluster() {
                Some(_) => Bare::postgres(&recorded, &recording)?,
                None => Bare::sqlite(&engine, &shop.checkout),
            };
            let measured = self.cells(&shop, &bare)?;
            half_load.extend(self.half_load(&shop, &measured)?);
            cells.extend(measured);
            shops.push(self.shop(&shop, &engine)?);
        }
        let webhooks = self.webhooks()?;
        let large = large.map(|orders| self.large(orders)).transpose()?.unwrap_or_default();
        let (runs, seconds) = (self.runs, self.load.seconds);
        Ok(Report {
            cells,
            shops,
            webhooks,
            recording,
            half_load,
            large,
            runs,
            seconds,
            postgres: self.cluster.version.clone(),
        })
    }

    /// Records a shop on a new database, which is returned.
    fn recording(&self) -> Result<(Engine<'_>, Recording)> {
        const DATABASE: &str = "recorded";
        let engine = Engine::postgres(&self.cluster, DATABASE)?;
        let recording = self.record(&engine, DATABASE)?;
        Ok((engine, recording))
    }

    fn setup(&self, receiver: Receiver) -> Setup<'_> {
        Setup { binary: &self.binary, receiver, settings: &[] }
    }
}

/// A build of the shop. It is not incremental, because an incremental one is less optimized.
fn release_build() -> Command {
    let mut cargo = process::cargo(&["build", "--release", "-p", "api", "--bin", "tuckshop"]);
    cargo.env("CARGO_INCREMENTAL", "0");
    cargo
}

/// Returns the path of a program. Installs the program if PATH does not have it and there is an installer.
fn tool(name: &str, installer: Option<&Installer>) -> Result<PathBuf> {
    if let (None, Some(installer)) = (program(name), installer) {
        installer.apt(name)?;
    }
    program(name).with_context(|| format!("{name} is not installed. `cargo xtask bench --install` installs it as root"))
}
