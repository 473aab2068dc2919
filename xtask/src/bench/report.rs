//! Writes the text of `docs/BENCHMARKS.md`.

use std::fmt::Write;
use std::process::Command;

use anyhow::Result;

use super::cells::{Cell, Measured};
use super::half::{self, HalfLoad};
use super::large::Large;
use super::load::Sample;
use super::recording::Recording;
use super::script::operations_of_request;
use super::stats::{for_each, median, median_of, megabytes, rates, ratios};
use super::webhooks::Webhooks;
use super::{goals, idle, profile};
use crate::process;

/// Everything that was measured.
pub struct Report {
    pub cells: Vec<Cell>,
    pub shops: Vec<Measured>,
    pub webhooks: Webhooks,
    pub recording: Recording,
    pub half_load: Vec<HalfLoad>,
    pub large: Vec<Large>,
    pub runs: usize,
    pub seconds: u64,
    /// The version of the Postgres server.
    pub postgres: String,
}

impl Report {
    pub fn markdown(&self) -> Result<String> {
        let mut text = String::from(
            "# Benchmarks\n\nWritten by `cargo xtask bench`; do not edit. No check depends on these figures.\n\n",
        );
        self.introduction(&mut text)?;
        self.rates(&mut text)?;
        self.webhooks(&mut text)?;
        self.half_load(&mut text)?;
        self.statements(&mut text)?;
        self.pages(&mut text)?;
        self.large(&mut text)?;
        goals::write(&self.cells, &self.shops, &self.webhooks, &self.half_load, &mut text)?;
        let failed: f64 = self.samples().map(|sample| sample.failed).sum();
        writeln!(text, "\nRequests that failed in all runs: {failed}.")?;
        Ok(text)
    }

    fn samples(&self) -> impl Iterator<Item = &Sample> {
        let cells = self.cells.iter().flat_map(|cell| &cell.shop);
        let webhooks = self.webhooks.at_rest.iter().chain(self.webhooks.sending.iter().map(|run| &run.sample));
        let large = self.large.iter().flat_map(|cell| cell.empty.iter().chain(&cell.large));
        cells.chain(webhooks).chain(self.half_load.iter().flat_map(|cell| &cell.samples)).chain(large)
    }

    fn introduction(&self, text: &mut String) -> Result<()> {
        let date = process::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
        let (runs, seconds, postgres) = (self.runs, self.seconds, &self.postgres);
        writeln!(text, "Run on {date}: {}.\n", machine())?;
        writeln!(
            text,
            "{runs} interleaved runs of {seconds} s; every figure is the median. *Shop* is the release build over a real \
             socket, driven by `wrk` on the same machine. *Bare* is the engine alone, in the same run: for PostgreSQL \
             {postgres} `pgbench -M prepared` with the statements that the benchmark recorded from a shop, with new rows \
             for each purchase; for SQLite a Python loop over `sqlite3` with the statements in `xtask/bench/*.sql`. The \
             load generator shares the cores with the shop and with the engines.\n"
        )?;
        let transactions = operations_of_request(&self.recording.purchases[0]).count();
        writeln!(
            text,
            "A *purchase* is three requests: create, update and complete. On Postgres they run {transactions} \
             transactions. A *read* is one request with one transaction. Latencies are for one request. *Ratio* is the \
             rate of the shop divided by the rate of the bare engine. In the first table the receiver of the webhooks has \
             asked the shop to wait, so the shop stores messages and sends none, as the bare engine does. CPU time is \
             that of the shop and that of all processes of the Postgres server, for 1,000 purchases or reads.\n"
        )?;
        Ok(())
    }

    fn rates(&self, text: &mut String) -> Result<()> {
        text.push_str(
            "| engine | flow | connections | shop /s | bare /s | ratio | p50 | p99 | shop CPU | Postgres CPU | WAL |\n\
             |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for cell in &self.cells {
            let (shop, bare) = (median_of(&cell.shop, |s| s.per_second), median(cell.bare.iter().copied()));
            writeln!(
                text,
                "| {} | {} | {} | {shop:.0} | {bare:.0} | {:.0} % | {:.1} ms | {:.1} ms | {:.2} s | {} | {} |",
                cell.engine,
                cell.flow.name(),
                cell.connections,
                cell.ratio() * 100.0,
                median_of(&cell.shop, |s| s.p50),
                median_of(&cell.shop, |s| s.p99),
                cell.shop_cpu(),
                cell.on_postgres(format!("{:.2} s", cell.server_cpu())),
                cell.on_postgres(format!("{:.0} bytes", median_of(&cell.shop, |s| for_each(s, s.wal)))),
            )?;
        }
        Ok(())
    }

    fn webhooks(&self, text: &mut String) -> Result<()> {
        let sending: Vec<Sample> = self.webhooks.sending.iter().map(|run| run.sample).collect();
        writeln!(
            text,
            "\n## Webhooks\n\nPurchases on Postgres with {} connections. *At rest*: the receiver has asked the shop to wait, so \
             the messages pile up. *Sending*: the receiver takes every webhook at once. *Left* is the number of messages \
             that are not sent when the load ends.\n\n\
             | sender | purchases /s | ratio | shop CPU | Postgres CPU | WAL | left | all sent after |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|",
            super::webhooks::CONNECTIONS
        )?;
        let costs = |samples: &[Sample]| {
            let [rate, wal] = [median(rates(samples)), median_of(samples, |s| for_each(s, s.wal))];
            let [shop, server] = [thousand(samples, |s| s.cpu), thousand(samples, |s| s.server_cpu)];
            (format!("{rate:.0}"), format!("{shop:.2} s | {server:.2} s | {wal:.0} bytes"))
        };
        let (rate, figures) = costs(&self.webhooks.at_rest);
        writeln!(text, "| at rest | {rate} |  | {figures} |  |  |")?;
        let (rate, figures) = costs(&sending);
        let left = median(self.webhooks.sending.iter().map(|run| run.left as f64));
        let (ratio, after) = (self.webhooks.ratio() * 100.0, self.webhooks.sent_after_ms());
        writeln!(text, "| sending | {rate} | {ratio:.0} % | {figures} | {left:.0} | {after:.0} ms |")?;
        Ok(())
    }

    fn statements(&self, text: &mut String) -> Result<()> {
        text.push_str(
            "\n## Statements\n\nWhat one purchase of two products sends to Postgres on warm connections, with its webhook. A \
             *round trip* is a message that the shop waits for: a statement, the start or the end of a transaction, or the \
             preparation of a statement. The time in Postgres includes the wait for the disk.\n\n",
        );
        profile::write(&self.recording, text)
    }

    fn pages(&self, text: &mut String) -> Result<()> {
        text.push_str("\n## Lists, start and memory\n\n");
        text.push_str("| engine | first page /s | page 1,000 /s | ratio |\n|---|--:|--:|--:|\n");
        for shop in &self.shops {
            let rate = |page: usize| median(shop.pages.iter().map(|rates| rates[page]));
            let (engine, ratio) = (shop.engine, shop.page_ratio() * 100.0);
            writeln!(text, "| {engine} | {:.0} | {:.0} | {ratio:.0} % |", rate(0), rate(1))?;
        }
        text.push_str(
            "\nMemory is that of a new shop after one run of each flow at each number of connections. The simulated gateway keeps its payments in memory, \
             about 1 KB each.\n",
        );
        writeln!(
            text,
            "\n| engine | start to first answer | memory with {} idle connections | peak memory |\n|---|--:|--:|--:|",
            idle::CONNECTIONS
        )?;
        for shop in &self.shops {
            let [idle, peak] = [shop.memory.idle_kib, shop.memory.peak_kib].map(megabytes);
            writeln!(text, "| {} | {} ms | {idle:.0} MB | {peak:.0} MB |", shop.engine, shop.started_in.as_millis())?;
        }
        Ok(())
    }

    fn half_load(&self, text: &mut String) -> Result<()> {
        writeln!(
            text,
            "\n## Latency at half load\n\nEach flow with {} connections at half of its highest rate in the first table. `wrk` \
             waits before a request until it is due (`xtask/bench/pace.lua`), and the wait is not part of the latency.\n\n\
             | engine | flow | rate /s | p50 | p99 |\n|---|---|--:|--:|--:|",
            half::CONNECTIONS
        )?;
        for HalfLoad { engine, flow, samples } in &self.half_load {
            let rate = median_of(samples, |s| s.per_second);
            let [p50, p99] = [median_of(samples, |s| s.p50), median_of(samples, |s| s.p99)];
            writeln!(text, "| {engine} | {} | {rate:.0} | {p50:.1} ms | {p99:.1} ms |", flow.name())?;
        }
        Ok(())
    }

    /// Nothing, if there was no large database.
    fn large(&self, text: &mut String) -> Result<()> {
        if self.large.is_empty() {
            return Ok(());
        }
        text.push_str(
            "\n## Large database\n\nA database with the rows of many past orders (`xtask/bench/large.sql`) beside an empty \
             one, with 8 connections.\n\n| engine | flow | empty /s | large /s | ratio |\n|---|---|--:|--:|--:|\n",
        );
        for cell in &self.large {
            let [empty, large] = [&cell.empty, &cell.large].map(|side| median(rates(side)));
            let (engine, flow, ratio) = (cell.engine, cell.flow.name(), cell.ratio() * 100.0);
            writeln!(text, "| {engine} | {flow} | {empty:.0} | {large:.0} | {ratio:.0} % |")?;
        }
        Ok(())
    }
}

impl Cell {
    /// The median ratio of the shop to the bare engine.
    pub fn ratio(&self) -> f64 {
        median(ratios(&rates(&self.shop), &self.bare))
    }

    /// The CPU time in seconds of the shop for 1,000 purchases or reads.
    pub fn shop_cpu(&self) -> f64 {
        thousand(&self.shop, |sample| sample.cpu)
    }

    /// The CPU time in seconds of the Postgres server for 1,000 purchases or reads.
    pub fn server_cpu(&self) -> f64 {
        thousand(&self.shop, |sample| sample.server_cpu)
    }

    fn on_postgres(&self, figure: String) -> String {
        if self.engine == "Postgres" { figure } else { String::new() }
    }
}

impl Measured {
    /// The median ratio of the rate of page 1,000 to the rate of the first page.
    pub fn page_ratio(&self) -> f64 {
        median(self.pages.iter().map(|[first, thousandth]| thousandth / first.max(0.001)))
    }
}

impl Webhooks {
    /// The median ratio of the shop that sends to the shop at rest.
    pub fn ratio(&self) -> f64 {
        let sending: Vec<f64> = self.sending.iter().map(|run| run.sample.per_second).collect();
        median(ratios(&sending, &rates(&self.at_rest)))
    }

    /// The longest time in milliseconds from the last purchase until all messages were sent.
    pub fn sent_after_ms(&self) -> f64 {
        self.sending.iter().map(|run| run.sent_after.as_millis() as f64).fold(0.0, f64::max)
    }
}

/// The median of a figure for 1,000 purchases or reads.
fn thousand(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    median_of(samples, |sample| for_each(sample, of(sample)) * 1000.0)
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = process::output(Command::new("uname").arg("-sr")).unwrap_or_default();
    format!("{cores} cores ({}), {kernel}", model.map_or("unknown processor", str::trim))
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
