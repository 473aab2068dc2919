//! The latency at half of the highest rate.

use anyhow::Result;

use super::Bench;
use super::cells::Cell;
use super::load::{Flow, Sample};
use super::shop::Shop;
use super::stats::median_of;

pub const CONNECTIONS: usize = 8;

/// The runs of one flow at half of its highest rate.
pub struct HalfLoad {
    pub engine: &'static str,
    pub flow: Flow,
    pub samples: Vec<Sample>,
}

impl Bench {
    /// Measures each flow at half of its highest rate in `cells`.
    pub fn half_load(&self, shop: &Shop<'_>, cells: &[Cell]) -> Result<Vec<HalfLoad>> {
        let engine = shop.engine_name();
        let of_flow = |flow| {
            let cells = cells.iter().filter(|cell| cell.engine == engine && cell.flow == flow);
            let highest = cells.map(|cell| median_of(&cell.shop, |sample| sample.per_second)).fold(1.0, f64::max);
            let most = Some(highest * flow.requests() / 2.0);
            let run = |_| shop.measure_at(&self.load, flow, CONNECTIONS, most);
            Ok(HalfLoad { engine, flow, samples: (0..self.runs).map(run).collect::<Result<_>>()? })
        };
        Flow::ALL.into_iter().map(of_flow).collect()
    }
}
