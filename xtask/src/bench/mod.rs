//! `cargo xtask bench`: the shop beside its own engine, in one run.
//!
//! A number alone says as much about the machine as about the program. So each measurement of the shop is followed by
//! one of the bare engine with the statements that the shop sends, and the verdict is the ratio: the median of
//! interleaved runs. It gates nothing.

mod engine;
mod report;
mod shop;

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::postgres::{Durability, Postgres};
use crate::{machine, process};
use engine::Engine;
use shop::Shop;

#[derive(clap::Args)]
pub struct Args {
    /// Interleaved runs; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Leave docs/BENCHMARKS.md as it is and print the report.
    #[arg(long)]
    print: bool,
}

const CONNECTIONS: [usize; 3] = [1, 8, 64];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Create, update, complete.
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

/// What one measurement gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// CPU time of the shop's process; zero for an engine.
    pub cpu: Duration,
    pub failed: u64,
}

/// All runs of one flow at one number of connections on one engine.
pub struct Cell {
    pub engine: &'static str,
    pub flow: Flow,
    pub connections: usize,
    pub shop: Vec<Sample>,
    pub bare: Vec<Sample>,
}

pub fn run(args: &Args) -> Result<()> {
    machine::must_be_linux()?;
    let wrk = tool("wrk")?;
    process::run(&mut process::cargo(&["build", "--release", "-p", "api", "--bin", "tuckshop"]))?;
    let postgres = Postgres::provide(Durability::Real)?;
    let mut cells = Vec::new();
    let mut shops = Vec::new();
    for engine in [Engine::sqlite()?, Engine::postgres(&postgres)?] {
        let shop = Shop::open(&engine)?;
        let mut measured = Vec::new();
        for _ in 0..args.runs {
            for flow in Flow::ALL {
                for connections in CONNECTIONS {
                    let ours = shop.measure(&wrk, flow, connections, args.seconds)?;
                    let bare = engine.measure(&shop, flow, connections, args.seconds)?;
                    println!(
                        "{} {} {connections}: {:.0}/s, bare {:.0}/s",
                        engine.name,
                        flow.name(),
                        ours.per_second,
                        bare.per_second
                    );
                    measured.push((flow, connections, ours, bare));
                }
            }
        }
        for flow in Flow::ALL {
            for connections in CONNECTIONS {
                let mine = measured.iter().filter(|(f, c, ..)| *f == flow && *c == connections);
                let (shop, bare) = mine.map(|(_, _, ours, bare)| (*ours, *bare)).unzip();
                cells.push(Cell { engine: engine.name, flow, connections, shop, bare });
            }
        }
        shops.push((engine.name, shop.close()?));
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

/// A program that is on this machine, or that apt can put there.
fn tool(name: &str) -> Result<std::path::PathBuf> {
    if machine::directory_with(&[name]).is_none() {
        machine::apt_install(name)?;
    }
    match machine::directory_with(&[name]) {
        Some(directory) => Ok(directory.join(name)),
        None => bail!("{name} is needed and is not on this machine"),
    }
}

/// Reads the line `RESULT done=.. failed=.. seconds=..` that every load prints.
fn sample(output: &str) -> Result<Sample> {
    let line = output.lines().find(|line| line.starts_with("RESULT")).context("the load printed no result")?;
    let number = |name: &str| -> f64 {
        let field = line.split_whitespace().find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        field.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    };
    let micros = |name: &str| Duration::from_micros(number(name) as u64);
    Ok(Sample {
        per_second: number("done") / number("seconds").max(0.001),
        p50: micros("p50_us"),
        p99: micros("p99_us"),
        cpu: Duration::ZERO,
        failed: number("failed") as u64,
    })
}
