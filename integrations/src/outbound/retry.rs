//! When a call is made again: only if that is harmless, only within its deadline, and after a pause of random length.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::call::{Call, Repeat, Reply};
use super::error::{CallError, Reason};

/// Chooses a duration between zero and the one given. Tests choose the end they want.
pub type Jitter = Arc<dyn Fn(Duration) -> Duration + Send + Sync>;

/// Evenly random: the "full jitter" that keeps callers who failed together from coming back together.
pub fn random_jitter() -> Jitter {
    Arc::new(|most| {
        // The low half of a v4 uuid: two fixed bits, then 62 random ones.
        let random = Uuid::new_v4().as_u64_pair().1 & (u64::MAX >> 2);
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(random % most.saturating_add(1))
    })
}

/// Attempts of one call, whatever the budget allows.
pub(super) const MOST_ATTEMPTS: u32 = 6;

/// An attempt with less time than this is not worth its load.
pub(super) const SHORTEST_ATTEMPT: Duration = Duration::from_millis(100);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whether an attempt that ended like this may be made again, budget and deadline aside.
pub(super) fn may_repeat(call: &Call, outcome: &Result<Reply, CallError>) -> bool {
    let Repeat::After(statuses) = call.repeat else { return false };
    match outcome {
        // The other end has kept this answer for this key: asking again brings the same one.
        Ok(reply) if reply.header("idempotent-replayed") == Some("true") => false,
        Ok(reply) => match reply.header("stripe-should-retry") {
            Some("true") => true,
            Some("false") => false,
            _ => statuses.contains(&reply.status),
        },
        Err(error) => match error.reason {
            Reason::Unreachable | Reason::Deadline | Reason::Broken | Reason::TooLarge | Reason::Unreadable => true,
            // Refusals of our own.
            Reason::Blocked(_) | Reason::BadRequest | Reason::Busy | Reason::Cancelled => false,
        },
    }
}

/// The pause before the next attempt: what the other end asked for, and a random part of a doubling one.
pub(super) fn pause(jitter: &Jitter, attempts: u32, outcome: &Result<Reply, CallError>) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    let asked_for = outcome.as_ref().ok().and_then(Reply::retry_after).unwrap_or_default();
    asked_for + jitter(doubled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::call::{BodyEnd, Limits};
    use crate::outbound::error::Effect;
    use crate::outbound::guard::{Blocked, Destination};

    fn call(repeat: Repeat) -> Call {
        let to = Destination::trusted("https://gateway.internal/").expect("allowed");
        Call::post("test.call", to, Limits::PAYMENT).repeat(repeat)
    }

    fn answer(status: u16, header: Option<(&'static str, &'static str)>) -> Result<Reply, CallError> {
        let headers = header.into_iter().map(|(name, value)| {
            (reqwest::header::HeaderName::from_static(name), reqwest::header::HeaderValue::from_static(value))
        });
        let headers = headers.collect();
        Ok(Reply { status, headers, body: Vec::new(), body_end: BodyEnd::Complete, attempts: 1, in_doubt: false })
    }

    fn no_answer(reason: Reason) -> Result<Reply, CallError> {
        Err(CallError { operation: "test.call", effect: Effect::Unknown, reason, source: None })
    }

    #[test]
    fn what_is_repeated() {
        let (keyed, plain) = (call(Repeat::USUAL), call(Repeat::Never));
        for (outcome, expected) in [
            (answer(200, None), false),
            (answer(302, None), false),
            (answer(402, None), false),
            (answer(409, None), false),
            (answer(429, None), true),
            (answer(500, None), true),
            (answer(503, None), true),
            (answer(500, Some(("stripe-should-retry", "false"))), false),
            (answer(409, Some(("stripe-should-retry", "true"))), true),
            (no_answer(Reason::Unreachable), true),
            (no_answer(Reason::Deadline), true),
            (no_answer(Reason::Broken), true),
            (no_answer(Reason::TooLarge), true),
            (no_answer(Reason::Unreadable), true),
            (answer(500, Some(("idempotent-replayed", "true"))), false),
            (no_answer(Reason::Busy), false),
            (no_answer(Reason::Cancelled), false),
            (no_answer(Reason::BadRequest), false),
            (no_answer(Reason::Blocked(Blocked::Scheme)), false),
        ] {
            assert_eq!(may_repeat(&keyed, &outcome), expected, "{outcome:?}");
            assert!(!may_repeat(&plain, &outcome), "{outcome:?}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_start_after_what_was_asked_for() {
        let most: Jitter = Arc::new(|most| most);
        let milliseconds = |attempts| pause(&most, attempts, &no_answer(Reason::Broken)).as_millis();
        assert_eq!([1, 2, 3, 5, 6, 60].map(milliseconds), [100, 200, 400, 1600, 2000, 2000]);
        let asked = pause(&most, 1, &answer(503, Some(("retry-after", "3"))));
        assert_eq!(asked, Duration::from_millis(3100));
        let nonsense = pause(&most, 1, &answer(503, Some(("retry-after", "soon"))));
        assert_eq!(nonsense, Duration::from_millis(100));
    }

    #[test]
    fn jitter_covers_its_whole_range_and_no_more() {
        let (jitter, most) = (random_jitter(), Duration::from_millis(100));
        let chosen: Vec<_> = (0..1000).map(|_| jitter(most)).collect();
        assert!(chosen.iter().all(|pause| *pause <= most));
        assert!(chosen.iter().any(|pause| *pause < most / 10));
        assert!(chosen.iter().any(|pause| *pause > most / 10 * 9));
        assert_eq!(jitter(Duration::ZERO), Duration::ZERO);
    }
}
