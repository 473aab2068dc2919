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
        for round in 0..self.runs {
            let rests = || at_rest.measure(&self.load, Flow::Purchase, CONNECTIONS);
            // A run leaves work to the disk, so the two take turns to be first.
            let (rest, sends) = if round % 2 == 0 {
                (rests()?, self.sending(&sending)?)
            } else {
                let sends = self.sending(&sending)?;
                (rests()?, sends)
            };
            let (rate, left) = (sends.sample.per_second, sends.left);
            println!(
                "Postgres purchase {CONNECTIONS}: at rest {:.0}/s, sending {rate:.0}/s, {left} messages left",
                rest.per_second
            );
            webhooks.at_rest.push(rest);
            webhooks.sending.push(sends);
        }
        Ok(webhooks)
    }

    fn sending(&self, shop: &Shop<'_>) -> Result<Sending> {
        let sample = shop.measure(&self.load, Flow::Purchase, CONNECTIONS)?;
        let ended = Instant::now();
        let left = shop.messages_left()?;
        if !shop.sends_all_messages()? {
            println!("  the shop has not sent all messages within a minute");
        }
        Ok(Sending { sample, left, sent_after: ended.elapsed() })
    }
}
