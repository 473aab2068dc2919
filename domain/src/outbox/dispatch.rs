//! Hands messages over: one claim, one try, one record in each pass. Many passes may run at once, here and elsewhere.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, info, warn};

use super::decide::time_for;
use super::model::{Channel, EndpointHealth, MessageState, MessageSummary, OutboxMessage};
use super::permits::{Permit, Permits};
use super::ports::{ClaimTerms, Finality, OutboxStore, Receipt, Recorded, SendOutcome, Sender, StaleClaim};
use crate::PortFuture;
use crate::clock::{Clock, Timestamp};
use crate::context::{RequestContext, Stopwatch};
use crate::fault::Fault;
use crate::task::{BackgroundTask, Progress};

#[derive(Clone, Copy, Debug)]
pub struct DispatchLimits {
    /// For one try, everything included.
    pub send: Duration,
    /// Tries at one destination at one time, over all instances.
    pub per_endpoint: u32,
    /// Tries at one time, by this process: the passes that the task has at once.
    pub at_once: u32,
}

/// For the record of a try, which must be made even when the process is told to stop.
const RECORD: Duration = Duration::from_secs(5);
/// How much longer than a try and its record may take a claim lasts.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// The task of one channel.
#[derive(Clone)]
pub struct OutboxDispatcher {
    channel: Channel,
    book: Arc<dyn OutboxStore>,
    sender: Arc<dyn Sender>,
    clock: Arc<dyn Clock>,
    limits: DispatchLimits,
    permits: Permits,
}

impl OutboxDispatcher {
    pub fn new(
        channel: Channel,
        book: Arc<dyn OutboxStore>,
        sender: Arc<dyn Sender>,
        clock: Arc<dyn Clock>,
        limits: DispatchLimits,
    ) -> Self {
        Self { channel, book, sender, clock, limits, permits: Permits::of(limits.at_once) }
    }

    async fn deliver_one(&self, ctx: &RequestContext) -> Result<Progress, Fault> {
        let lease = self.limits.send + RECORD + LEASE_MARGIN;
        // The relay of the shop's mail is the operator's: there is nothing to share.
        let mut permit = (self.channel == Channel::Webhook).then(|| self.permits.take());
        let reach = permit.as_ref().map_or(EndpointHealth::Failing, Permit::reach);
        let per_endpoint = self.limits.per_endpoint;
        let claimed = ClaimTerms { now: self.clock.now(), lease, per_endpoint, reach };
        let claim = self.book.claim(ctx, self.channel, claimed).await?;
        claim.given_up.iter().for_each(|given_up| report_given_up(ctx, given_up));
        let Some(message) = claim.message else { return Ok(Progress::Idle) };
        if let Some(permit) = &mut permit {
            permit.is_for(message.standing);
        }
        let watch = Stopwatch::start();
        let in_time = ctx.at_most(time_for(&message, self.limits.send));
        let outcome = match self.sender.send(&in_time, &message).await {
            Ok(receipt) => SendOutcome::Received(receipt),
            Err(_) if ctx.cancellation().is_cancelled() => SendOutcome::Interrupted,
            Err(failure) => SendOutcome::Failed(failure),
        };
        drop(permit);
        let now = self.clock.now();
        let recorded = self.book.record(&ctx.must_finish(RECORD), &message, outcome.clone(), now).await?;
        let log = about(ctx, &message, now).new(slog::o!("elapsed_us" => watch.elapsed_us()));
        report(&log, &outcome, &recorded);
        // What is wrong here will be wrong with the next message too, so that one waits for its period. A lack of permits
        // towards one server says nothing of the next destination.
        Ok(if finality(&outcome) == Some(Finality::OurFault) { Progress::Done(1) } else { Progress::More(1) })
    }
}

impl BackgroundTask for OutboxDispatcher {
    fn name(&self) -> &'static str {
        self.channel.task()
    }

    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move { this.deliver_one(&ctx).await })
    }
}

fn finality(outcome: &SendOutcome) -> Option<Finality> {
    match outcome {
        SendOutcome::Failed(failure) => Some(failure.finality),
        SendOutcome::Received(_) | SendOutcome::Interrupted => None,
    }
}

/// One line for what the death of its processes has used up.
fn report_given_up(ctx: &RequestContext, given_up: &MessageSummary) {
    warn!(ctx.log(), "message given up"; "op" => "delivery.claim", "delivery_id" => given_up.id.to_string(),
        "order_id" => given_up.order.to_string(), "event" => &given_up.event,
        "destination" => %given_up.endpoint, "attempt" => given_up.attempts, "result" => "dead",
        "reason" => given_up.last_error.as_deref());
}

/// What every line of a try tells. At a destination the oldest is always tried first, so `age_s` also says how far behind
/// it is.
fn about(ctx: &RequestContext, message: &OutboxMessage, now: Timestamp) -> Logger {
    ctx.log().new(slog::o!("op" => "delivery.hand_over", "delivery_id" => message.id.to_string(),
        "order_id" => message.order.to_string(), "event" => message.event.clone(),
        "destination" => message.content.endpoint().to_string(), "attempt" => message.attempts,
        "age_s" => (now - message.occurred_at).whole_seconds(),
        "caused_by" => message.caused_by.map(|trace| trace.trace_id_hex())))
}

/// One line for each try, and one more for a destination that takes nothing any more.
fn report(log: &Logger, outcome: &SendOutcome, recorded: &Recorded) {
    let reason = match outcome {
        SendOutcome::Failed(failure) => failure.reason.as_str(),
        SendOutcome::Interrupted => "the process stops",
        SendOutcome::Received(_) => "",
    };
    match recorded {
        Recorded::Ended(MessageState::Dead) => {
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
        Recorded::Stale(meanwhile) => {
            let log = log.new(slog::o!("came_of_it" => word(outcome), "reason" => reason.to_owned()));
            match meanwhile {
                StaleClaim::Reclaimed => warn!(log, "lease lost: someone else delivers it"; "result" => "lease_lost"),
                StaleClaim::Ended(state) => {
                    warn!(log, "not recorded: the message had ended"; "result" => "too_late", "state" => state.into_str());
                }
                StaleClaim::MadeDue => {
                    warn!(log, "not recorded: the message was made due again"; "result" => "too_late");
                }
                StaleClaim::Forgotten => warn!(log, "not recorded: the message is forgotten"; "result" => "too_late"),
            }
        }
    }
}

fn word(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Received(Receipt::Accepted) => "delivered",
        SendOutcome::Received(Receipt::Unwanted) => "unwanted",
        SendOutcome::Failed(_) => "failed",
        SendOutcome::Interrupted => "interrupted",
    }
}
