//! The goals of the project, and whether a run reached them.

use std::fmt::Write;

use anyhow::Result;

use super::cells::{Cell, Measured};
use super::half::HalfLoad;
use super::idle;
use super::load::Flow;
use super::stats::{median_of, megabytes};
use super::webhooks::Webhooks;

/// The lowest ratio of the shop to the bare engine, for each engine, flow and number of connections.
const RATIOS: [(&str, Flow, usize, f64); 5] = [
    ("Postgres", Flow::Purchase, 8, 0.75),
    ("Postgres", Flow::Read, 8, 0.50),
    ("SQLite", Flow::Purchase, 1, 0.90),
    ("SQLite", Flow::Purchase, 8, 1.00),
    ("SQLite", Flow::Purchase, 64, 1.00),
];
/// The most CPU seconds for 1,000 purchases on Postgres with 8 connections: of the shop, and of the server.
const CPU: [f64; 2] = [1.5, 3.0];

/// The rows of the table.
struct Goals<'a>(&'a mut String);

impl Goals<'_> {
    fn add(&mut self, goal: &str, run: &str, is_reached: bool) -> Result<()> {
        Ok(writeln!(self.0, "| {goal} | {run} | {} |", if is_reached { "yes" } else { "no" })?)
    }

    fn at_least(&mut self, goal: &str, run: f64, least: f64) -> Result<()> {
        let share = format!("{goal}: at least {:.0} %", least * 100.0);
        self.add(&share, &format!("{:.1} %", run * 100.0), run >= least)
    }

    fn below(&mut self, goal: &str, run: f64, limit: f64, unit: &str) -> Result<()> {
        let digits = if limit < 10.0 { 2 } else { 0 };
        self.add(&format!("{goal}: under {limit} {unit}"), &format!("{run:.digits$} {unit}"), run < limit)
    }
}

/// Compares what was measured with the goals.
pub fn write(
    cells: &[Cell],
    shops: &[Measured],
    webhooks: &Webhooks,
    half_load: &[HalfLoad],
    text: &mut String,
) -> Result<()> {
    let cell = |engine, flow, connections| {
        cells.iter().find(|cell| (cell.engine, cell.flow, cell.connections) == (engine, flow, connections))
    };
    text.push_str("\n## Goals\n\n| goal | this run | reached |\n|---|--:|---|\n");
    let mut goals = Goals(text);
    for (engine, flow, connections, least) in RATIOS {
        let ratio = cell(engine, flow, connections).map_or(0.0, Cell::ratio);
        let plural = if connections == 1 { "" } else { "s" };
        let goal = format!("{} of bare {engine}, {connections} connection{plural}", flow.name());
        goals.at_least(&goal, ratio, least)?;
    }
    goals.at_least("purchase while webhooks are sent, of the rate at rest", webhooks.ratio(), 0.85)?;
    goals.below("all webhooks sent after the load", webhooks.sent_after_ms(), 1_000.0, "ms")?;
    if let Some(cell) = cell("Postgres", Flow::Purchase, 8) {
        goals.below("CPU of the shop for 1,000 purchases on Postgres", cell.shop_cpu(), CPU[0], "s")?;
        goals.below("CPU of Postgres for 1,000 purchases", cell.server_cpu(), CPU[1], "s")?;
    }
    for engine in ["SQLite", "Postgres"] {
        let cells = half_load.iter().filter(|cell| cell.engine == engine);
        let p99 = cells.map(|cell| median_of(&cell.samples, |sample| sample.p99)).fold(0.0, f64::max);
        goals.below(&format!("p99 at half load on {engine}"), p99, 10.0, "ms")?;
    }
    let memory = shops.iter().map(|shop| megabytes(shop.memory.idle_kib)).fold(0.0, f64::max);
    goals.below(&format!("memory with {} idle connections", idle::CONNECTIONS), memory, 80.0, "MB")?;
    let pages = shops.iter().map(|shop| shop.page_ratio()).fold(f64::INFINITY, f64::min);
    goals.at_least("page 1,000 of a list, of page 1", pages, 0.90)?;
    for shop in shops.iter().filter(|shop| shop.engine == "SQLite") {
        goals.below("start to first answer on SQLite", shop.started_in.as_millis() as f64, 50.0, "ms")?;
    }
    Ok(())
}
