//! What sending webhooks costs a purchase: a shop whose receiver asked it to wait, beside a shop whose receiver takes
//! every webhook at once.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Bench;
use super::engine::Engine;
use super::load::{Flow, Sample};
use super::receiver::Receiver;
use super::shop::Shop;

pub const CONNECTIONS: usize = 8;

/// The runs of both shops, one after the other.
#[derive(Default)]
pub struct Webhooks {
    pub at_rest: Vec<Sample>,
    pub sending: Vec<Sending>,
}

/// One run of the shop that sends.
pub struct Sending {
    pub sample: Sample,
    /// How many messages were not sent when the last purchase had ended.
    pub left: u64,
    /// How long after the last purchase all messages were sent, or how long the benchmark waited for that.
    pub sent_after: Duration,
}

impl Bench {
    pub fn webhooks(&self) -> Result<Webhooks> {
        let (first, second) =
            (Engine::postgres(&self.cluster, "at_rest")?, Engine::postgres(&self.cluster, "sending")?);
        let at_rest = Shop::open(&first, &self.setup(Receiver::AsksToWait))?;
        let sending = Shop::open(&second, &self.setup(Receiver::Takes { after: Duration::ZERO }))?;
        let mut webhooks = Webhooks::default();
        for _ in 0..self.runs {
            webhooks.at_rest.push(at_rest.measure(&self.load, Flow::Purchase, CONNECTIONS)?);
            let sample = sending.measure(&self.load, Flow::Purchase, CONNECTIONS)?;
            let ended = Instant::now();
            let left = sending.messages_left()?;
            if !sending.sends_all_messages()? {
                println!("  the shop has not sent all messages within a minute");
            }
            let sent_after = ended.elapsed();
            let (rest, rate) = (webhooks.at_rest.last().map_or(0.0, |sample| sample.per_second), sample.per_second);
            println!("Postgres purchase {CONNECTIONS}: at rest {rest:.0}/s, sending {rate:.0}/s, {left} messages left");
            webhooks.sending.push(Sending { sample, left, sent_after });
        }
        Ok(webhooks)
    }
}
