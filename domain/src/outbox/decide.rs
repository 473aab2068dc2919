//! The rules of the outbox: when a message is retried, when it becomes a dead letter, and when its endpoint is
//! disabled.

use std::time::Duration;

use super::model::{Channel, EndpointHealth, MessageState, OutboxMessage, fnv1a};
use super::ports::{Finality, Receipt, SendOutcome};
use crate::clock::{Timestamp, backoff};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The waits between two attempts, in seconds. They sum to about three days. The first wait is short, for a receiver
/// that is restarting. The other waits are the schedule of Standard Webhooks ("Retry schedule").
const RETRY_WAITS: [u64; 10] =
    [2, 5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/// The highest number of attempts of a message: the first attempt, and one after each wait.
pub const MAX_ATTEMPTS: u32 = RETRY_WAITS.len() as u32 + 1;
/// How long an endpoint must fail continuously before it is disabled (Standard Webhooks, "Disabling endpoints":
/// "continuous failure").
const DISABLED_AFTER: Duration = Duration::from_secs(5 * 24 * HOUR);
/// The longest gap between two failures of one streak. After a longer gap, a failure starts a new streak, because
/// nothing was attempted in between. The gap is a little longer than the longest wait between two attempts of one
/// message.
const LONGEST_GAP_IN_STREAK: Duration = Duration::from_secs(30 * HOUR);
/// The longest wait that a receiver can request. It is equal to the longest wait of the schedule.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * HOUR);
/// How long a message waits after a local fault, in seconds.
const LOCAL_FAULT_PAUSE: u64 = 60;
/// How long a message waits after an attempt that got no permit for its server, in seconds.
const NO_PERMIT_PAUSE: u64 = 5;
/// The age of an event up to which attempts with a local fault or without a permit are not counted. It is about as long
/// as the schedule. Later attempts are counted, so that a message that can never be sent becomes a dead letter.
const UNCOUNTED_FOR: Duration = Duration::from_secs(3 * 24 * HOUR);
/// The jitter: how much a wait is shortened or lengthened at most, in percent. Without jitter, a receiver that recovers
/// would get all messages at once.
const JITTER_PERCENT: u64 = 20;
/// The backoff of an endpoint after its second consecutive failure. It doubles with each further failure, up to
/// [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The time after a failure from which a new message may end the backoff of its endpoint.
pub const PROBE_PAUSE: Duration = Duration::from_secs(5);
/// The longest time for the first attempt of a message to an endpoint that is not proven. It is enough to fetch the
/// profile and to call the webhook of a distant server. Later attempts have the whole time of an attempt.
const SHORT_ATTEMPT: Duration = Duration::from_secs(2);
/// The longest backoff that is obeyed. A backoff that ends later than this from now is ignored, because it was set by a
/// clock that was ahead. The limit is one hour longer than the longest wait that a receiver can request, because the
/// clocks of instances differ.
pub const MAX_ENDPOINT_BACKOFF: Duration = Duration::from_secs(25 * HOUR);

/// Consecutive failures of one endpoint, without a success and without a long gap in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureStreak {
    pub failures: u32,
    pub first: Timestamp,
    pub last: Timestamp,
}

impl FailureStreak {
    /// The streak after a failure at `now` of an attempt that was claimed after `before` failures. Attempts that were
    /// claimed together count as one failure, so that the backoff after a short outage does not grow with their number.
    /// The failure starts a new streak if the last failure was more than 30 hours ago.
    #[must_use]
    pub fn with_failure(known: Option<Self>, before: u32, now: Timestamp) -> Self {
        match known.filter(|known| now - known.last <= LONGEST_GAP_IN_STREAK) {
            Some(known) if known.failures > before => Self { last: now, ..known },
            Some(known) => Self { failures: known.failures.saturating_add(1), last: now, ..known },
            None => Self { failures: 1, first: now, last: now },
        }
    }

    /// Whether the streak is long enough to disable its endpoint.
    fn is_too_long(&self) -> bool {
        self.last - self.first >= DISABLED_AFTER
    }
}

/// What happens to a message after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// The message ends in this state.
    End(MessageState),
    /// The message is due again at this time.
    Again(Timestamp),
    /// The message is due again at this time, and the attempt is not counted.
    Uncounted(Timestamp),
    /// The endpoint is disabled: this message and all other pending messages to it become dead letters.
    Disable,
}

/// Decides what happens to `message` after an attempt with this `outcome`. `known` is the failure streak of the
/// endpoint before this attempt.
pub fn next_step(
    message: &OutboxMessage,
    outcome: &SendOutcome,
    known: Option<FailureStreak>,
    now: Timestamp,
) -> NextStep {
    // The mail relay belongs to the shop, so it is never disabled. If it refuses a message, only that message becomes a
    // dead letter.
    let can_be_disabled = message.content.channel() == Channel::Webhook;
    let failure = match outcome {
        SendOutcome::Received(Receipt::Accepted) => return NextStep::End(MessageState::Delivered),
        SendOutcome::Received(Receipt::Unwanted) => return NextStep::End(MessageState::Unwanted),
        SendOutcome::Interrupted => return NextStep::Uncounted(now),
        SendOutcome::Failed(failure) => failure,
    };
    match failure.finality {
        Finality::Again { .. }
            if can_be_disabled && FailureStreak::with_failure(known, message.failures_before, now).is_too_long() =>
        {
            NextStep::Disable
        }
        Finality::Again { after } => retry_by_schedule(message, bounded_retry_after(after), now),
        Finality::LocalFault | Finality::NoPermit if now - message.occurred_at >= UNCOUNTED_FOR => {
            retry_by_schedule(message, Duration::ZERO, now)
        }
        Finality::LocalFault => NextStep::Uncounted(now + with_jitter(LOCAL_FAULT_PAUSE, message)),
        Finality::NoPermit => NextStep::Uncounted(now + with_jitter(NO_PERMIT_PAUSE, message)),
        Finality::Gone if can_be_disabled => NextStep::Disable,
        Finality::Gone | Finality::Refused => NextStep::End(MessageState::Dead),
    }
}

/// Plans the next attempt by the schedule, but not earlier than `after` from now. If no attempt is left, the message
/// becomes a dead letter.
fn retry_by_schedule(message: &OutboxMessage, after: Duration, now: Timestamp) -> NextStep {
    match RETRY_WAITS.get(message.attempts.saturating_sub(1) as usize) {
        Some(wait) => NextStep::Again(now + with_jitter(*wait, message).max(after)),
        None => NextStep::End(MessageState::Dead),
    }
}

/// The longest time for an attempt. The first attempt of a webhook is short if its endpoint is not proven, so that many
/// endpoints that hang do not delay the others. All other attempts get the time `whole`.
#[must_use]
pub fn time_for_attempt(message: &OutboxMessage, whole: Duration) -> Duration {
    let is_short = message.content.channel() == Channel::Webhook
        && message.health != EndpointHealth::Proven
        && message.attempts <= 1;
    if is_short { whole.min(SHORT_ATTEMPT) } else { whole }
}

/// The backoff of an endpoint after this many consecutive failures. It is at least `asked`, the wait that the receiver
/// requested. If the receiver requested none, a single failure causes no backoff, because the message may be the cause.
pub fn endpoint_backoff(failures: u32, asked: Option<Duration>) -> Duration {
    let wait = match failures {
        0 | 1 => Duration::ZERO,
        more => backoff(FIRST_BACKOFF, LONGEST_BACKOFF, more - 2),
    };
    wait.max(bounded_retry_after(asked))
}

/// The wait that the receiver requested, but at most a day. Zero if it requested none.
fn bounded_retry_after(asked: Option<Duration>) -> Duration {
    asked.unwrap_or_default().min(LONGEST_RETRY_AFTER)
}

/// A wait of about this many seconds. The jitter is derived from the message id and the attempt, so it differs between
/// messages and is the same for each call.
fn with_jitter(seconds: u64, message: &OutboxMessage) -> Duration {
    let hash = fnv1a(message.id.as_str().bytes().chain(message.attempts.to_le_bytes()));
    let percent = 100 - JITTER_PERCENT + hash % (2 * JITTER_PERCENT + 1);
    Duration::from_millis(seconds * 1_000 * percent / 100)
}
