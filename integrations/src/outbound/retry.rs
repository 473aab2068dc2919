//! When a call is repeated: only if that is harmless, only before its deadline, and after a random backoff.

use std::sync::Arc;
use std::time::Duration;

use super::call::{Call, Repeat, Reply};
use super::error::{CallError, Reason};

/// Chooses a duration from zero to the given one. Tests choose either end.
pub type Jitter = Arc<dyn Fn(Duration) -> Duration + Send + Sync>;

/// Uniformly random ("full jitter"), so that callers that failed together do not repeat together.
pub fn random_jitter() -> Jitter {
    Arc::new(|most| {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(fastrand::u64(..=most))
    })
}

/// Attempts of one call, at most.
pub(super) const MAX_ATTEMPTS: u32 = 6;

/// An attempt with less time than this is not begun.
pub(super) const MIN_ATTEMPT: Duration = Duration::from_millis(100);

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Whether a call may be repeated after this outcome, as far as budget and deadline allow.
pub(super) fn may_repeat(call: &Call, outcome: &Result<Reply, CallError>) -> bool {
    let Repeat::After(statuses) = call.repeat else { return false };
    match outcome {
        // The other side has stored this response for the key, and would replay it.
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

/// The backoff before the next attempt: the `Retry-After` of the response, and a random part of a doubling time.
pub(super) fn backoff(jitter: &Jitter, attempts: u32, outcome: &Result<Reply, CallError>) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(MAX_BACKOFF);
    let retry_after = outcome.as_ref().ok().and_then(Reply::retry_after).unwrap_or_default();
    retry_after + jitter(doubled)
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
