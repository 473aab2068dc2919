//! The shop on a database with the rows of some years, beside the shop on an empty one.

use anyhow::{Result, bail};

use super::Bench;
use super::engine::Engine;
use super::load::{Flow, Sample, scripts, text};
use super::receiver::Receiver;
use super::shop::{Shop, fill};
use super::stats::{median, rates, ratios};

const CONNECTIONS: usize = 8;

/// The runs of one flow on both databases.
pub struct Large {
    pub engine: &'static str,
    pub flow: Flow,
    pub empty: Vec<Sample>,
    pub large: Vec<Sample>,
}

impl Large {
    pub fn ratio(&self) -> f64 {
        median(ratios(&rates(&self.large), &rates(&self.empty)))
    }
}

impl Bench {
    /// Measures a database with this many past orders, and the endpoints and products that belong to them: see
    /// `large.sql`.
    pub fn large(&self, orders: u64) -> Result<Vec<Large>> {
        let mut all = Vec::new();
        for (empty, large) in [
            (Engine::sqlite()?, Engine::sqlite()?),
            (Engine::postgres(&self.cluster, "empty")?, Engine::postgres(&self.cluster, "large")?),
        ] {
            println!("{}: storing {orders} orders", large.name);
            fill(&large, &self.binary)?;
            let script = text(&scripts().join("large.sql"))?;
            let script = script.replace("ORDERS", &orders.to_string()).replace("TENTH", &(orders / 10).to_string());
            large.query(&script.replace("TWENTIETH", &(orders / 20).to_string()))?;
            if large.cluster().is_some() {
                // Otherwise the server would do both during the measurement, because the rows are new.
                large.query("VACUUM (FREEZE, ANALYZE)")?;
                large.query("CHECKPOINT")?;
            }
            let stored = large.query("SELECT count(*) FROM order_event")?;
            if stored != orders.to_string() {
                bail!("xtask/bench/large.sql stored {stored} orders instead of {orders}");
            }
            let open = |engine| Shop::open(engine, &self.setup(Receiver::AsksToWait));
            let (first, second) = (open(&empty)?, open(&large)?);
            for flow in Flow::ALL {
                let mut cell = Large { engine: large.name, flow, empty: Vec::new(), large: Vec::new() };
                for round in 0..self.runs {
                    // A run leaves work to the disk, so the two take turns to be first.
                    let mut sides = [(&first, &mut cell.empty), (&second, &mut cell.large)];
                    sides.rotate_left(round % 2);
                    for (shop, samples) in sides {
                        samples.push(shop.measure(&self.load, flow, CONNECTIONS)?);
                    }
                }
                println!("{} {}: {:.0} % of the empty database", cell.engine, flow.name(), cell.ratio() * 100.0);
                all.push(cell);
            }
        }
        Ok(all)
    }
}
