//! Writes the text of `docs/BENCHMARKS.md`.

use std::fmt::Write;
use std::process::Command;

use anyhow::Result;

use super::shop::Footprint;
use super::{Args, Cell, Flow, Measured, Sample};
use crate::process;

/// The goals of the project: for each flow, the lowest ratio of the rate of the shop to the rate of bare Postgres.
const GOAL: [(Flow, f64); 2] = [(Flow::Purchase, 0.50), (Flow::Read, 0.25)];
/// The number of connections for which the goals are set.
const GOAL_CONNECTIONS: usize = 8;

pub fn markdown(cells: &[Cell], shops: &[Measured], args: &Args, postgres: &str) -> Result<String> {
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `cargo xtask bench`; do not edit. No check depends on these figures.\n\n",
    );
    let date = process::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    writeln!(text, "Run on {date}: {}.\n", machine())?;
    writeln!(
        text,
        "{} interleaved runs of {} s; every figure is the median. *Shop* is the release build over a real socket, driven by \
         `wrk` on the same machine. *Bare* is the engine alone, in the same run, with the statements that the shop sends \
         (`xtask/bench/*.sql`): `pgbench -M prepared` for {postgres}, and a Python loop over `sqlite3` for SQLite. The load \
         generator shares the cores with the shop and with the engines.\n",
        args.runs, args.seconds
    )?;
    text.push_str(
        "A *purchase* is three requests: create, update and complete. Together they run five transactions. A *read* is one \
         request with one transaction. Latencies are for one request. *Ratio* is the rate of the shop divided by the rate of \
         the bare engine.\n\n",
    );
    text.push_str("| engine | flow | connections | shop /s | bare /s | ratio | p50 | p99 | CPU s per 1000 |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for cell in cells {
        let (shop, bare) = (median(&cell.shop, |s| s.per_second), middle(cell.bare.clone()));
        let cpu = median(&cell.shop, |s| s.cpu / (s.per_second * args.seconds as f64).max(1.0) * 1000.0);
        writeln!(
            text,
            "| {} | {} | {} | {shop:.0} | {bare:.0} | {:.0} % | {:.1} ms | {:.1} ms | {cpu:.2} |",
            cell.engine,
            cell.flow.name(),
            cell.connections,
            ratio(cell) * 100.0,
            median(&cell.shop, |s| s.p50),
            median(&cell.shop, |s| s.p99),
        )?;
    }
    text.push_str("\n| engine | first page /s | page 1,000 /s | ratio |\n|---|--:|--:|--:|\n");
    for Measured { engine, pages, .. } in shops {
        let rate = |page: usize| middle(pages.iter().map(|rates| rates[page]).collect());
        writeln!(text, "| {engine} | {:.0} | {:.0} | {:.0} % |", rate(0), rate(1), page_ratio(pages) * 100.0)?;
    }
    text.push_str("\n| engine | start to first answer | peak memory |\n|---|--:|--:|\n");
    for Measured { engine, footprint, .. } in shops {
        let (start, memory) = (footprint.started_in.as_millis(), footprint.peak_memory_kib / 1024);
        writeln!(text, "| {engine} | {start} ms | {memory} MiB |")?;
    }
    text.push_str("\n## Goals\n\n| goal | this run | reached |\n|---|--:|---|\n");
    let mut goal = |goal: String, run: String, is_reached: bool| {
        writeln!(text, "| {goal} | {run} | {} |", if is_reached { "yes" } else { "no" })
    };
    for (flow, share) in GOAL {
        let judged =
            |cell: &&Cell| cell.engine == "Postgres" && cell.flow == flow && cell.connections == GOAL_CONNECTIONS;
        let run = cells.iter().find(judged).map_or(0.0, ratio);
        let (name, percent) = (flow.name(), share * 100.0);
        let text = format!("{name} at {percent:.0} % of bare Postgres, {GOAL_CONNECTIONS} connections");
        goal(text, format!("{:.1} %", run * 100.0), run >= share)?;
    }
    let pages = shops.iter().map(|shop| page_ratio(&shop.pages)).fold(f64::INFINITY, f64::min);
    goal("page 1,000 of a list at 90 % of page 1".to_owned(), format!("{:.0} %", pages * 100.0), pages >= 0.90)?;
    let most = |of: fn(&Footprint) -> u64| shops.iter().map(|shop| of(&shop.footprint)).max().unwrap_or(0);
    let memory = most(|footprint| footprint.peak_memory_kib / 1024);
    goal("under 100 MiB resident".to_owned(), format!("{memory} MiB"), memory < 100)?;
    let start = most(|footprint| footprint.started_in.as_millis() as u64);
    goal("start to first answer under 300 ms".to_owned(), format!("{start} ms"), start < 300)?;
    let failed: f64 = cells.iter().flat_map(|cell| &cell.shop).map(|sample| sample.failed).sum();
    writeln!(text, "\nRequests that failed in all runs: {failed}.")?;
    Ok(text)
}

/// The median ratio of the shop to the bare engine. Each run of the shop is compared with the run of the engine that
/// followed it.
fn ratio(cell: &Cell) -> f64 {
    let pairs = cell.shop.iter().zip(&cell.bare);
    middle(pairs.map(|(shop, bare)| shop.per_second / bare.max(0.001)).collect())
}

/// The median ratio of the rate of page 1,000 to the rate of the first page.
fn page_ratio(pages: &[[f64; 2]]) -> f64 {
    middle(pages.iter().map(|[first, thousandth]| thousandth / first.max(0.001)).collect())
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    middle(samples.iter().map(of).collect())
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = process::output(Command::new("uname").arg("-sr")).unwrap_or_default();
    format!("{cores} cores ({}), {kernel}", model.map_or("unknown processor", str::trim))
}
