//! The background task that sends outbox messages. Each pass is one claim, one attempt and one record. Several passes
//! run concurrently, in this process and in other instances.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, info, warn};

use super::decide::time_for_attempt;
use super::model::{Channel, EndpointHealth, MessageState, MessageSummary, OutboxMessage};
use super::permits::{Permit, Permits};
use super::ports::{ClaimTerms, Finality, OutboxStore, Receipt, Recorded, SendError, SendOutcome, Sender, StaleClaim};
use crate::clock::{Clock, Timestamp};
use crate::context::{RequestContext, Stopwatch};
use crate::fault::Fault;
use crate::task::{BackgroundTask, PassFuture, Progress};

/// The time and concurrency limits of the dispatcher.
#[derive(Clone, Copy, Debug)]
pub struct DispatchLimits {
    /// The longest time for one attempt, including the lookup of the receiver's address.
    pub send: Duration,
    /// The highest number of concurrent attempts at one endpoint, over all instances.
    pub per_endpoint: u32,
    /// The highest number of concurrent attempts of this process, which is the number of concurrent passes of the task.
    pub at_once: u32,
}

/// The longest time to record an attempt. The record is made even during graceful shutdown.
const TIME_TO_RECORD: Duration = Duration::from_secs(5);
/// The time by which the lease is longer than an attempt and its record together.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// The background task that sends the messages of one channel.
pub struct OutboxDispatcher {
    channel: Channel,
    store: Arc<dyn OutboxStore>,
    sender: Arc<dyn Sender>,
    clock: Arc<dyn Clock>,
    limits: DispatchLimits,
    permits: Permits,
}

impl OutboxDispatcher {
    pub fn new(
        channel: Channel,
        store: Arc<dyn OutboxStore>,
        sender: Arc<dyn Sender>,
        clock: Arc<dyn Clock>,
        limits: DispatchLimits,
    ) -> Self {
        Self { channel, store, sender, clock, limits, permits: Permits::of(limits.at_once) }
    }

    /// Claims a message, attempts to send it, and records the outcome. Does nothing if no message is due.
    async fn deliver_one(&self, ctx: &RequestContext) -> Result<Progress, Fault> {
        let lease = self.limits.send + TIME_TO_RECORD + LEASE_MARGIN;
        // All email messages go to one endpoint, the operator's relay, so they need no permit.
        let mut permit = (self.channel == Channel::Webhook).then(|| self.permits.take());
        let reach = permit.as_ref().map_or(EndpointHealth::Failing, Permit::reach);
        let per_endpoint = self.limits.per_endpoint;
        let terms = ClaimTerms { now: self.clock.now(), lease, per_endpoint, reach };
        let claim = self.store.claim(ctx, self.channel, terms).await?;
        claim.given_up.iter().for_each(|given_up| log_dead_letter(ctx, given_up));
        let Some(message) = claim.message else { return Ok(Progress::Idle) };
        if let Some(permit) = &mut permit {
            permit.change_to(message.health);
        }
        let watch = Stopwatch::start();
        let attempt_ctx = ctx.at_most(time_for_attempt(&message, self.limits.send));
        let outcome = match self.sender.send(&attempt_ctx, &message).await {
            Ok(receipt) => SendOutcome::Received(receipt),
            Err(_) if ctx.cancellation().is_cancelled() => SendOutcome::Interrupted,
            Err(failure) => SendOutcome::Failed(failure),
        };
        drop(permit);
        let now = self.clock.now();
        let recorded = self.store.record(&ctx.must_finish(TIME_TO_RECORD), &message, outcome.clone(), now).await?;
        let log = message_log(ctx, &message, now).new(slog::o!("elapsed_us" => watch.elapsed_us()));
        log_attempt(&log, &outcome, &recorded);
        // A local fault would also affect the next message, so the task waits for its period. A lack of permits for one
        // server does not affect other endpoints.
        let is_local = matches!(&outcome, SendOutcome::Failed(failure) if failure.finality == Finality::LocalFault);
        Ok(if is_local { Progress::Done(1) } else { Progress::More(1) })
    }
}

impl BackgroundTask for OutboxDispatcher {
    fn name(&self) -> &'static str {
        self.channel.task()
    }

    fn pass<'a>(&'a self, ctx: &'a RequestContext) -> PassFuture<'a> {
        Box::pin(self.deliver_one(ctx))
    }
}

/// Logs a message that a claim made a dead letter, because no attempts are left or the stored message cannot be read.
fn log_dead_letter(ctx: &RequestContext, given_up: &MessageSummary) {
    warn!(ctx.log(), "message given up"; "op" => "outbox.claim", "delivery_id" => given_up.id.to_string(),
        "order_id" => given_up.order.to_string(), "event" => &given_up.event,
        "destination" => %given_up.endpoint, "attempt" => given_up.attempts, "result" => "dead",
        "reason" => given_up.last_error.as_deref());
}

/// The logger of one attempt. The oldest message of an endpoint is always sent first, so the field `age_s` also shows
/// how old the backlog of the endpoint is.
fn message_log(ctx: &RequestContext, message: &OutboxMessage, now: Timestamp) -> Logger {
    ctx.log().new(slog::o!("op" => "outbox.send", "delivery_id" => message.id.to_string(),
        "order_id" => message.order.to_string(), "event" => message.event.clone(),
        "destination" => message.content.endpoint().to_string(), "attempt" => message.attempts,
        "age_s" => (now - message.occurred_at).whole_seconds(),
        "caused_by" => message.caused_by.map(|trace| trace.trace_id_hex())))
}

/// Logs an attempt, and the disabling of its endpoint.
fn log_attempt(log: &Logger, outcome: &SendOutcome, recorded: &Recorded) {
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
            info!(log, "message sent"; "result" => outcome_word(outcome));
        }
        Recorded::Again(at) => {
            let due_at = at.format(&time::format_description::well_known::Rfc3339).unwrap_or_else(|_| at.to_string());
            let result = match outcome {
                SendOutcome::Failed(SendError { finality: Finality::LocalFault | Finality::NoPermit, .. }) => {
                    "own_fault"
                }
                _ => "retry",
            };
            warn!(log, "message not sent"; "result" => result, "due_at" => due_at, "reason" => reason);
        }
        Recorded::Disabled { others } => {
            warn!(log, "message given up"; "result" => "dead", "reason" => reason);
            warn!(log, "destination disabled"; "result" => "disabled", "given_up" => others + 1, "reason" => reason);
        }
        Recorded::Stale(meanwhile) => {
            let log = log.new(slog::o!("attempt_result" => outcome_word(outcome), "reason" => reason.to_owned()));
            match meanwhile {
                StaleClaim::Reclaimed => {
                    warn!(log, "lease lost: another worker has the message"; "result" => "lease_lost")
                }
                StaleClaim::Ended(state) => {
                    warn!(log, "not recorded: the message had ended"; "result" => "too_late",
                        "state" => state.into_str());
                }
                StaleClaim::MadeDue => {
                    warn!(log, "not recorded: the message was made due again"; "result" => "too_late");
                }
                StaleClaim::Forgotten => warn!(log, "not recorded: the message was deleted"; "result" => "too_late"),
            }
        }
    }
}

/// The stable word of an outcome in logs.
fn outcome_word(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Received(Receipt::Accepted) => "delivered",
        SendOutcome::Received(Receipt::Unwanted) => "unwanted",
        SendOutcome::Failed(_) => "failed",
        SendOutcome::Interrupted => "interrupted",
    }
}
