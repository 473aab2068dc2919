//! The shop beside its bare engine: purchases and reads, pages of a list, start and memory.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use super::bare::Bare;
use super::engine::Engine;
use super::idle::Memory;
use super::load::{Flow, Sample, scripts, text};
use super::shop::Shop;

/// The numbers of connections with which each flow is measured.
pub const CONNECTIONS: [usize; 3] = [1, 8, 64];
/// The number of connections with which the pages of a list are measured.
const PAGE_CONNECTIONS: usize = 8;

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
    pub started_in: Duration,
    pub memory: Memory,
    /// The first and the thousandth page of a list per second, in each run.
    pub pages: Vec<[f64; 2]>,
}

impl Bench {
    /// Measures all flows at all numbers of connections, several times. Each measurement of the shop is followed by one
    /// of the bare engine.
    pub fn cells(&self, shop: &Shop<'_>, bare: &Bare<'_>) -> Result<Vec<Cell>> {
        let name = bare.name();
        let cell = |flow, connections| Cell { engine: name, flow, connections, shop: Vec::new(), bare: Vec::new() };
        let mut table: Vec<Cell> = Flow::ALL.into_iter().flat_map(|flow| CONNECTIONS.map(|n| cell(flow, n))).collect();
        for _ in 0..self.runs {
            for cell in &mut table {
                let ours = shop.measure(&self.load, cell.flow, cell.connections)?;
                let bare = bare.measure(cell.flow, cell.connections, self.load.seconds)?;
                let (flow, rate) = (cell.flow.name(), ours.per_second);
                println!("{name} {flow} {}: {rate:.0}/s, bare {bare:.0}/s", cell.connections);
                cell.shop.push(ours);
                cell.bare.push(bare);
            }
        }
        Ok(table)
    }

    /// Measures what the flows do not show. `reviews.sql` adds reviews of one product first.
    pub fn shop(&self, shop: &Shop<'_>, engine: &Engine<'_>) -> Result<Measured> {
        engine.query(&text(&scripts().join("reviews.sql"))?)?;
        let pages = (0..self.runs).map(|_| shop.measure_pages(&self.load, PAGE_CONNECTIONS)).collect::<Result<_>>()?;
        Ok(Measured { engine: engine.name, started_in: shop.started_in, memory: self.memory(engine)?, pages })
    }
}
