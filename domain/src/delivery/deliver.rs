//! Hands messages over: one claim, one try, one record in each pass. Many passes may run at once, here and elsewhere.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, info, o, warn};

use super::model::{Channel, Delivery, DeliveryState};
use super::ports::{Claim, Claimed, Courier, DeliveryBook, DeliveryOutcome, Receipt, Recorded};
use crate::PortFuture;
use crate::clock::Clock;
use crate::context::{RequestContext, Stopwatch};
use crate::fault::Fault;
use crate::task::{BackgroundTask, Progress};

#[derive(Clone, Copy, Debug)]
pub struct DeliveryLimits {
    /// For one try, everything included.
    pub send: Duration,
    /// Tries at one destination at one time, over all instances.
    pub per_destination: u32,
}

/// For the record of a try, which must be made even when the process is told to stop.
const RECORD: Duration = Duration::from_secs(5);
/// How much longer than a try and its record may take a claim lasts.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// The task of one channel.
#[derive(Clone)]
pub struct Deliver {
    channel: Channel,
    book: Arc<dyn DeliveryBook>,
    courier: Arc<dyn Courier>,
    clock: Arc<dyn Clock>,
    limits: DeliveryLimits,
}

impl Deliver {
    pub fn new(
        channel: Channel,
        book: Arc<dyn DeliveryBook>,
        courier: Arc<dyn Courier>,
        clock: Arc<dyn Clock>,
        limits: DeliveryLimits,
    ) -> Self {
        Self { channel, book, courier, clock, limits }
    }

    async fn deliver_one(&self, ctx: &RequestContext) -> Result<Progress, Fault> {
        let lease = self.limits.send + RECORD + LEASE_MARGIN;
        let claimed = Claimed { now: self.clock.now(), lease, per_destination: self.limits.per_destination };
        let delivery = match self.book.claim(ctx, self.channel, claimed).await? {
            None => return Ok(Progress::Idle),
            Some(Claim::GivenUp { delivery, reason }) => {
                warn!(self.about(ctx, &delivery), "message given up"; "result" => "dead", "reason" => reason);
                return Ok(Progress::More(1));
            }
            Some(Claim::Try(delivery)) => delivery,
        };
        let watch = Stopwatch::start();
        let outcome = match self.courier.hand_over(&ctx.at_most(self.limits.send), &delivery).await {
            Ok(receipt) => DeliveryOutcome::Received(receipt),
            Err(_) if ctx.cancellation().is_cancelled() => DeliveryOutcome::Interrupted,
            Err(failure) => DeliveryOutcome::Failed(failure),
        };
        let recorded = self.book.record(&ctx.must_finish(RECORD), &delivery, outcome.clone(), self.clock.now()).await?;
        let log = self.about(ctx, &delivery).new(o!("elapsed_us" => watch.elapsed_us()));
        report(&log, &outcome, &recorded);
        Ok(Progress::More(1))
    }

    /// At a destination the oldest is always tried first, so `age_s` also says how far behind it is.
    fn about(&self, ctx: &RequestContext, delivery: &Delivery) -> Logger {
        ctx.log().new(o!("op" => "delivery.hand_over", "delivery_id" => delivery.id.to_string(),
            "order_id" => delivery.order.to_string(), "event" => delivery.event.clone(),
            "destination" => delivery.content.destination().to_string(), "attempt" => delivery.attempts,
            "age_s" => (self.clock.now() - delivery.occurred_at).whole_seconds()))
    }
}

impl BackgroundTask for Deliver {
    fn name(&self) -> &'static str {
        self.channel.task()
    }

    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move { this.deliver_one(&ctx).await })
    }
}

/// One line for each try.
fn report(log: &Logger, outcome: &DeliveryOutcome, recorded: &Recorded) {
    let reason = match outcome {
        DeliveryOutcome::Failed(failure) => failure.reason.as_str(),
        DeliveryOutcome::Received(_) | DeliveryOutcome::Interrupted => "",
    };
    match recorded {
        Recorded::Ended(DeliveryState::Dead) => {
            warn!(log, "message given up"; "result" => "dead", "reason" => reason);
        }
        Recorded::Ended(_) => {
            let result = match outcome {
                DeliveryOutcome::Received(Receipt::Unwanted) => "unwanted",
                _ => "delivered",
            };
            info!(log, "message handed over"; "result" => result);
        }
        Recorded::Again(at) => {
            let due_at = at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
            warn!(log, "message not handed over"; "result" => "retry", "due_at" => due_at, "reason" => reason);
        }
        Recorded::Disabled => {
            warn!(log, "destination disabled"; "result" => "disabled", "reason" => reason);
        }
        Recorded::LeaseLost => {
            warn!(log, "lease lost: someone else delivers it"; "result" => "lease_lost", "reason" => reason);
        }
    }
}
