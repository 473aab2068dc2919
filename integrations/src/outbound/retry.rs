//! The rules for retries: a call is repeated only if that does no harm, only before its deadline, and after a random
//! backoff.

use std::sync::Arc;
use std::time::Duration;

use super::call::{Call, Repeat, Reply};
use super::error::{CallError, Reason};

/// Chooses a duration between zero and the given duration. Tests choose one of the two ends.
pub type Jitter = Arc<dyn Fn(Duration) -> Duration + Send + Sync>;

/// Chooses uniformly ("full jitter"), so that callers that failed at the same time do not retry at the same time.
pub fn random_jitter() -> Jitter {
    Arc::new(|most| {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(fastrand::u64(..=most))
    })
}

/// The most attempts of one call.
pub(super) const MAX_ATTEMPTS: u32 = 6;

/// The shortest time for a retry. If less time is left before the deadline, there is no retry.
pub(super) const MIN_ATTEMPT: Duration = Duration::from_millis(100);

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Whether a repetition of the call after this outcome is useful and does no harm. Does not check the retry budget and
/// the deadline.
pub(super) fn may_repeat(call: &Call, outcome: &Result<Reply, CallError>) -> bool {
    let Repeat::After(statuses) = call.repeat else { return false };
    match outcome {
        // This response was stored for the key. The other side would send it again.
        Ok(reply) if reply.header("idempotent-replayed") == Some("true") => false,
        Ok(reply) => match reply.header("stripe-should-retry") {
            Some("true") => true,
            Some("false") => false,
            _ => statuses.contains(&reply.status),
        },
        Err(error) => match error.reason {
            Reason::Unreachable | Reason::Deadline | Reason::Broken | Reason::TooLarge | Reason::Unreadable => true,
            // The shop itself refused the call.
            Reason::Blocked(_) | Reason::BadRequest | Reason::Busy | Reason::Cancelled => false,
        },
    }
}

/// Returns the backoff before the next attempt: the `Retry-After` of the response, plus a random part of a time that
/// doubles with each attempt.
pub(super) fn backoff(jitter: &Jitter, attempts: u32, outcome: &Result<Reply, CallError>) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(MAX_BACKOFF);
    let retry_after = outcome.as_ref().ok().and_then(Reply::retry_after).unwrap_or_default();
    retry_after + jitter(doubled)
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
