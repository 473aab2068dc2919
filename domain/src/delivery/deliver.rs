//! Hands messages over: one claim, one try, one record in each pass. Many passes may run at once, here and elsewhere.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, info, warn};

use super::decide::time_for;
use super::model::{Channel, Delivery, DeliveryState, DeliverySummary, Standing};
use super::places::{Place, Places};
use super::ports::{Claimed, Courier, DeliveryBook, DeliveryOutcome, Finality, Meanwhile, Receipt, Recorded};
use crate::PortFuture;
use crate::clock::{Clock, Timestamp};
use crate::context::{RequestContext, Stopwatch};
use crate::fault::Fault;
use crate::task::{BackgroundTask, Progress};

#[derive(Clone, Copy, Debug)]
pub struct DeliveryLimits {
    /// For one try, everything included.
    pub send: Duration,
    /// Tries at one destination at one time, over all instances.
    pub per_destination: u32,
    /// Tries at one time, by this process: the passes that the task has at once.
    pub at_once: u32,
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
    places: Places,
}

impl Deliver {
    pub fn new(
        channel: Channel,
        book: Arc<dyn DeliveryBook>,
        courier: Arc<dyn Courier>,
        clock: Arc<dyn Clock>,
        limits: DeliveryLimits,
    ) -> Self {
        Self { channel, book, courier, clock, limits, places: Places::of(limits.at_once) }
    }

    async fn deliver_one(&self, ctx: &RequestContext) -> Result<Progress, Fault> {
        let lease = self.limits.send + RECORD + LEASE_MARGIN;
        // The relay of the shop's mail is the operator's: there is nothing to share.
        let mut place = (self.channel == Channel::Webhook).then(|| self.places.take());
        let reach = place.as_ref().map_or(Standing::Failing, Place::reach);
        let per_destination = self.limits.per_destination;
        let claimed = Claimed { now: self.clock.now(), lease, per_destination, reach };
        let claim = self.book.claim(ctx, self.channel, claimed).await?;
        claim.given_up.iter().for_each(|given_up| report_given_up(ctx, given_up));
        let Some(delivery) = claim.delivery else { return Ok(Progress::Idle) };
        if let Some(place) = &mut place {
            place.is_for(delivery.standing);
        }
        let watch = Stopwatch::start();
        let in_time = ctx.at_most(time_for(&delivery, self.limits.send));
        let outcome = match self.courier.hand_over(&in_time, &delivery).await {
            Ok(receipt) => DeliveryOutcome::Received(receipt),
            Err(_) if ctx.cancellation().is_cancelled() => DeliveryOutcome::Interrupted,
            Err(failure) => DeliveryOutcome::Failed(failure),
        };
        drop(place);
        let now = self.clock.now();
        let recorded = self.book.record(&ctx.must_finish(RECORD), &delivery, outcome.clone(), now).await?;
        let log = about(ctx, &delivery, now).new(slog::o!("elapsed_us" => watch.elapsed_us()));
        report(&log, &outcome, &recorded);
        // What is wrong here will be wrong with the next message too, so that one waits for its period. A lack of places
        // towards one server says nothing of the next destination.
        Ok(if finality(&outcome) == Some(Finality::OurFault) { Progress::Done(1) } else { Progress::More(1) })
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

fn finality(outcome: &DeliveryOutcome) -> Option<Finality> {
    match outcome {
        DeliveryOutcome::Failed(failure) => Some(failure.finality),
        DeliveryOutcome::Received(_) | DeliveryOutcome::Interrupted => None,
    }
}

/// One line for what the death of its processes has used up.
fn report_given_up(ctx: &RequestContext, given_up: &DeliverySummary) {
    warn!(ctx.log(), "message given up"; "op" => "delivery.claim", "delivery_id" => given_up.id.to_string(),
        "order_id" => given_up.order.to_string(), "event" => &given_up.event,
        "destination" => %given_up.destination, "attempt" => given_up.attempts, "result" => "dead",
        "reason" => given_up.last_error.as_deref());
}

/// What every line of a try tells. At a destination the oldest is always tried first, so `age_s` also says how far behind
/// it is.
fn about(ctx: &RequestContext, delivery: &Delivery, now: Timestamp) -> Logger {
    ctx.log().new(slog::o!("op" => "delivery.hand_over", "delivery_id" => delivery.id.to_string(),
        "order_id" => delivery.order.to_string(), "event" => delivery.event.clone(),
        "destination" => delivery.content.destination().to_string(), "attempt" => delivery.attempts,
        "age_s" => (now - delivery.occurred_at).whole_seconds(),
        "caused_by" => delivery.caused_by.map(|trace| trace.trace_id_hex())))
}

/// One line for each try, and one more for a destination that takes nothing any more.
fn report(log: &Logger, outcome: &DeliveryOutcome, recorded: &Recorded) {
    let reason = match outcome {
        DeliveryOutcome::Failed(failure) => failure.reason.as_str(),
        DeliveryOutcome::Interrupted => "the process stops",
        DeliveryOutcome::Received(_) => "",
    };
    match recorded {
        Recorded::Ended(DeliveryState::Dead) => {
            warn!(log, "message given up"; "result" => "dead", "reason" => reason);
        }
        Recorded::Ended(_) => {
            info!(log, "message handed over"; "result" => word(outcome));
        }
        Recorded::Again(at) => {
            let due_at = at.format(&time::format_description::well_known::Rfc3339).unwrap_or_else(|_| at.to_string());
            let is_our_fault = matches!(finality(outcome), Some(Finality::OurFault | Finality::NoPlace));
            let result = if is_our_fault { "own_fault" } else { "retry" };
            warn!(log, "message not handed over"; "result" => result, "due_at" => due_at, "reason" => reason);
        }
        Recorded::Disabled { others } => {
            warn!(log, "message given up"; "result" => "dead", "reason" => reason);
            warn!(log, "destination disabled"; "result" => "disabled", "given_up" => others + 1, "reason" => reason);
        }
        Recorded::TooLate(meanwhile) => {
            let log = log.new(slog::o!("came_of_it" => word(outcome), "reason" => reason.to_owned()));
            match meanwhile {
                Meanwhile::Claimed => warn!(log, "lease lost: someone else delivers it"; "result" => "lease_lost"),
                Meanwhile::Ended(state) => {
                    warn!(log, "not recorded: the message had ended"; "result" => "too_late", "state" => state.as_str());
                }
                Meanwhile::MadeDue => {
                    warn!(log, "not recorded: the message was made due again"; "result" => "too_late");
                }
                Meanwhile::Forgotten => warn!(log, "not recorded: the message is forgotten"; "result" => "too_late"),
            }
        }
    }
}

fn word(outcome: &DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::Received(Receipt::Accepted) => "delivered",
        DeliveryOutcome::Received(Receipt::Unwanted) => "unwanted",
        DeliveryOutcome::Failed(_) => "failed",
        DeliveryOutcome::Interrupted => "interrupted",
    }
}
