//! When a delivery is tried again, and when it is given up. Pure.

use std::time::Duration;

use super::model::{Channel, EndpointHealth, MessageState, OutboxMessage, fnv};
use super::ports::{Finality, Receipt, SendOutcome};
use crate::clock::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Waits between two tries, in seconds: one soon, for a receiver that was just restarting, and then the schedule of
/// Standard Webhooks ("Retry schedule"). Three days in all.
const WAITS: [u64; 10] =
    [2, 5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/// The first try and one after each wait.
pub const MAX_ATTEMPTS: u32 = WAITS.len() as u32 + 1;
/// A platform that has failed for this long, whatever was sent to it, is disabled (Standard Webhooks, "Disabling
/// endpoints": "continuous failure").
const DISABLED_AFTER: Duration = Duration::from_secs(5 * 24 * HOUR);
/// Failures further apart than this do not belong together: nobody knows how the destination was in between. A little
/// more than the longest wait between two tries of one message.
const LONGEST_QUIET: Duration = Duration::from_secs(30 * HOUR);
/// A receiver may ask for patience, but not for more than the longest wait of the schedule.
const LONGEST_PATIENCE: Duration = Duration::from_secs(24 * HOUR);
/// The wait after a try that failed through the shop's own fault, in seconds.
const OUR_PAUSE: u64 = 60;
/// The wait after a try that got no place beside others to the same server, in seconds.
const NO_PLACE_PAUSE: u64 = 5;
/// Such tries are free for as long as the schedule lasts. After that they count, so that a message which can never be
/// sent ends like any other.
const OUR_FAULT_IS_FREE: Duration = Duration::from_secs(3 * 24 * HOUR);
/// How much waits are spread, so that a receiver that comes back is not met by everything at once: a fifth either way.
const SPREAD_PERCENT: u64 = 20;
/// A destination that fails again and again is left alone a little: twice as long each time.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How soon after a failure a new event may end the rest of its destination.
pub const PROBE_PAUSE: Duration = Duration::from_secs(5);
/// The first try of a message to a destination that is not proven. It is enough for the profile and the webhook of a
/// server on the other side of the world. A slower one has the whole time on the second try.
const SHORT_TRY: Duration = Duration::from_secs(2);
/// Who rests for longer was put to rest by a clock that was ahead. An hour more than anyone rests, since the clocks of
/// instances differ.
pub const MAX_ENDPOINT_BACKOFF: Duration = Duration::from_secs(25 * HOUR);

/// Failures of one destination, without a success in between and without a long quiet spell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureStreak {
    pub failures: u32,
    pub first: Timestamp,
    pub last: Timestamp,
}

impl FailureStreak {
    /// With the failure of `now`, which begins a streak of its own when the last one is long ago: then nothing was sent
    /// in between, and what was not tried did not fail.
    #[must_use]
    pub fn with_failure(known: Option<Self>, now: Timestamp) -> Self {
        match known.filter(|known| now - known.last <= LONGEST_QUIET) {
            Some(known) => Self { failures: known.failures.saturating_add(1), last: now, ..known },
            None => Self { failures: 1, first: now, last: now },
        }
    }

    fn is_too_long(&self) -> bool {
        self.last - self.first >= DISABLED_AFTER
    }
}

/// What to do with a delivery after a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    End(MessageState),
    Again(Timestamp),
    /// Due again, and the try does not count.
    Uncounted(Timestamp),
    /// Give it up, and everything else that is pending for its destination.
    Disable,
}

/// `known` are the failures of its destination before this try.
pub fn step(message: &OutboxMessage, outcome: &SendOutcome, known: Option<FailureStreak>, now: Timestamp) -> Step {
    // The relay is the shop's own: a letter that it will not take dies alone, and the relay goes on being asked.
    let can_be_disabled = message.content.channel() == Channel::Webhook;
    let failure = match outcome {
        SendOutcome::Received(Receipt::Accepted) => return Step::End(MessageState::Delivered),
        SendOutcome::Received(Receipt::Unwanted) => return Step::End(MessageState::Unwanted),
        SendOutcome::Interrupted => return Step::Uncounted(now),
        SendOutcome::Failed(failure) => failure,
    };
    match failure.finality {
        Finality::Again { .. } if can_be_disabled && FailureStreak::with_failure(known, now).is_too_long() => {
            Step::Disable
        }
        Finality::Again { after } => by_schedule(message, patience(after), now),
        Finality::OurFault | Finality::NoPlace if now - message.occurred_at >= OUR_FAULT_IS_FREE => {
            by_schedule(message, Duration::ZERO, now)
        }
        Finality::OurFault => Step::Uncounted(now + spread(OUR_PAUSE, message)),
        Finality::NoPlace => Step::Uncounted(now + spread(NO_PLACE_PAUSE, message)),
        Finality::Gone if can_be_disabled => Step::Disable,
        Finality::Gone | Finality::Refused => Step::End(MessageState::Dead),
    }
}

fn by_schedule(message: &OutboxMessage, after: Duration, now: Timestamp) -> Step {
    match WAITS.get(message.attempts.saturating_sub(1) as usize) {
        Some(wait) => Step::Again(now + spread(*wait, message).max(after)),
        None => Step::End(MessageState::Dead),
    }
}

/// How long a try may take, of the time that a whole one has. A destination that proved itself has all of it; any other
/// is first asked briefly, so that many that hang do not keep the others waiting.
#[must_use]
pub fn time_for(message: &OutboxMessage, whole: Duration) -> Duration {
    let is_brief = message.content.channel() == Channel::Webhook
        && message.standing != EndpointHealth::Proven
        && message.attempts <= 1;
    if is_brief { whole.min(SHORT_TRY) } else { whole }
}

/// How long a destination rests after this many failures in a row, or because it asked for patience. One failure may be
/// the message's own fault.
pub fn endpoint_backoff(failures: u32, asked: Option<Duration>) -> Duration {
    let rest = match failures {
        0 | 1 => Duration::ZERO,
        more => FIRST_REST.saturating_mul(1 << (more - 2).min(16)).min(LONGEST_REST),
    };
    rest.max(patience(asked))
}

fn patience(asked: Option<Duration>) -> Duration {
    asked.unwrap_or_default().min(LONGEST_PATIENCE)
}

/// The wait, moved by the delivery's own share of the spread: by chance between deliveries, the same whenever asked.
fn spread(seconds: u64, message: &OutboxMessage) -> Duration {
    let seed = message.id.as_str().bytes().chain(message.attempts.to_le_bytes());
    let mixed = fnv(seed);
    let percent = 100 - SPREAD_PERCENT + (mixed >> 16) % (2 * SPREAD_PERCENT + 1);
    Duration::from_millis(seconds * 1_000 * percent / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::PlatformId;
    use crate::order::OrderId;
    use crate::outbox::{Content, EmailMessage, OutboxMessageId, SendError};
    use time::macros::datetime;

    const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

    fn message(attempts: u32) -> OutboxMessage {
        OutboxMessage {
            id: OutboxMessageId::generate(NOW),
            order: OrderId::generate(NOW),
            event: "order_placed".to_owned(),
            occurred_at: NOW,
            content: Content::Webhook { platform: PlatformId("https://p.example/".into()), document: "{}".into() },
            attempts,
            standing: EndpointHealth::Proven,
            claims: attempts,
            caused_by: None,
        }
    }

    fn failed(finality: Finality) -> SendOutcome {
        SendOutcome::Failed(SendError { reason: "500".to_owned(), finality })
    }

    fn again() -> SendOutcome {
        failed(Finality::Again { after: None })
    }

    fn wait(step: Step) -> Duration {
        match step {
            Step::Again(at) => (at - NOW).try_into().expect("later"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn waits_and_bounds_are_as_documented() {
        assert_eq!(WAITS, [2, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        let bounds = [DISABLED_AFTER, LONGEST_QUIET, LONGEST_PATIENCE, OUR_FAULT_IS_FREE];
        assert_eq!(bounds.map(|bound| bound.as_secs()), [432_000, 108_000, 86_400, 259_200]);
    }

    #[test]
    fn the_first_retry_comes_within_three_seconds_and_the_rest_follow_the_schedule() {
        for (attempt, seconds) in (1..).zip(WAITS) {
            for _ in 0..50 {
                let wait = wait(step(&message(attempt), &again(), None, NOW)).as_secs_f64();
                let share = wait / seconds as f64;
                assert!((0.8..=1.2).contains(&share), "{attempt}: {wait}");
                assert!(attempt > 1 || wait <= 3.0);
            }
        }
    }

    #[test]
    fn waits_of_different_deliveries_differ() {
        let waits: std::collections::BTreeSet<_> =
            (0..100).map(|_| wait(step(&message(4), &again(), None, NOW))).collect();
        assert!(waits.len() > 20, "{waits:?}");
    }

    #[test]
    fn what_has_no_tries_left_is_dead() {
        assert_eq!(step(&message(MAX_ATTEMPTS), &again(), None, NOW), Step::End(MessageState::Dead));
    }

    fn ago(days: u64) -> Timestamp {
        NOW - Duration::from_secs(days * 24 * HOUR)
    }

    #[test]
    fn outcomes_lead_where_they_should() {
        let days = |days| Some(FailureStreak { failures: 9, first: ago(days), last: ago(1) });
        let received = |receipt| SendOutcome::Received(receipt);
        for (outcome, known, expected) in [
            (received(Receipt::Accepted), days(9), Step::End(MessageState::Delivered)),
            (received(Receipt::Unwanted), None, Step::End(MessageState::Unwanted)),
            (failed(Finality::Refused), None, Step::End(MessageState::Dead)),
            (failed(Finality::Gone), None, Step::Disable),
            (again(), days(5), Step::Disable),
            (SendOutcome::Interrupted, days(5), Step::Uncounted(NOW)),
        ] {
            assert_eq!(step(&message(1), &outcome, known, NOW), expected, "{outcome:?} {known:?}");
        }
        assert!(matches!(step(&message(1), &again(), days(4), NOW), Step::Again(_)));
    }

    #[test]
    fn a_destination_is_trusted_by_what_it_did() {
        for (has_answered, failures, standing) in [
            (false, 0, EndpointHealth::New),
            (false, 1, EndpointHealth::Failing),
            (false, 9, EndpointHealth::Failing),
            (true, 0, EndpointHealth::Proven),
            (true, 1, EndpointHealth::Proven),
            (true, 2, EndpointHealth::Failing),
            (true, u32::MAX, EndpointHealth::Failing),
        ] {
            assert_eq!(EndpointHealth::of(has_answered, failures), standing, "{has_answered} {failures}");
        }
    }

    #[test]
    fn first_try_at_an_unproven_destination_is_short() {
        let whole = Duration::from_secs(15);
        for (standing, attempts, seconds) in [
            (EndpointHealth::Proven, 1, 15),
            (EndpointHealth::New, 1, 2),
            (EndpointHealth::Failing, 1, 2),
            (EndpointHealth::New, 2, 15),
            (EndpointHealth::Failing, 2, 15),
        ] {
            let message = OutboxMessage { standing, ..message(attempts) };
            assert_eq!(time_for(&message, whole).as_secs(), seconds, "{standing:?} {attempts}");
            assert_eq!(time_for(&message, Duration::from_secs(1)).as_secs(), 1, "{standing:?} {attempts}");
            let mail = OutboxMessage { content: Content::Mail(letter()), ..message };
            assert_eq!(time_for(&mail, whole), whole, "mail {standing:?} {attempts}");
        }
    }

    fn letter() -> EmailMessage {
        EmailMessage { to: String::new(), subject: String::new(), text: String::new(), html: String::new() }
    }

    #[test]
    fn message_without_a_place_loses_no_attempt_and_is_due_in_seconds() {
        let no_place = failed(Finality::NoPlace);
        for attempts in [1, MAX_ATTEMPTS] {
            let Step::Uncounted(at) = step(&message(attempts), &no_place, None, NOW) else { panic!("counted") };
            assert!((4..=6).contains(&(at - NOW).whole_seconds()), "{at}");
        }
        let old = OutboxMessage { occurred_at: ago(3), ..message(MAX_ATTEMPTS) };
        assert_eq!(step(&old, &no_place, None, NOW), Step::End(MessageState::Dead));
    }

    #[test]
    fn our_own_faults_cost_nothing_for_three_days_and_a_try_after_that() {
        let known = Some(FailureStreak { failures: 99, first: ago(30), last: ago(0) });
        let ours = failed(Finality::OurFault);
        for attempts in [1, MAX_ATTEMPTS] {
            let young = OutboxMessage { occurred_at: ago(2), ..message(attempts) };
            let Step::Uncounted(at) = step(&young, &ours, known, NOW) else { panic!("counted") };
            assert!((48..=72).contains(&(at - NOW).whole_seconds()), "{at}");
        }
        let old = |attempts| OutboxMessage { occurred_at: ago(3), ..message(attempts) };
        assert!(matches!(step(&old(1), &ours, known, NOW), Step::Again(_)));
        assert_eq!(step(&old(MAX_ATTEMPTS), &ours, known, NOW), Step::End(MessageState::Dead));
    }

    /// Days on which something failed, the last of them today. Who fails twice in a week has not failed for a week.
    #[test]
    fn only_failures_all_along_disable_a_destination() {
        for (failed_on, is_disabled) in [
            (&[0][..], false),
            (&[0, 7], false),
            (&[0, 1, 2, 3, 4], false),
            (&[0, 1, 2, 3, 4, 5], true),
            (&[0, 1, 2, 4, 5], false),
            (&[0, 2, 3, 4, 5, 6], false),
            (&[0, 2, 3, 4, 5, 6, 7], true),
            (&[0, 1, 2, 3, 4, 9], false),
        ] {
            let today = *failed_on.last().expect("a day");
            let (earlier, last) = failed_on.split_at(failed_on.len() - 1);
            let known =
                earlier.iter().fold(None, |known, day| Some(FailureStreak::with_failure(known, ago(today - day))));
            let step = step(&message(1), &again(), known, ago(today - last[0]));
            assert_eq!(step == Step::Disable, is_disabled, "{failed_on:?}: {step:?}");
        }
    }

    /// Else a message that is tried to its end would interrupt the very streak that it belongs to.
    #[test]
    fn the_longest_wait_is_no_quiet_spell() {
        let longest = WAITS[WAITS.len() - 1] * (100 + SPREAD_PERCENT) / 100;
        assert!(LONGEST_QUIET > Duration::from_secs(longest) + LONGEST_REST);
        assert!(LONGEST_QUIET > LONGEST_PATIENCE);
    }

    #[test]
    fn the_relay_is_never_disabled() {
        let letter = OutboxMessage { content: Content::Mail(letter()), ..message(1) };
        let known = Some(FailureStreak { failures: 99, first: ago(30), last: ago(0) });
        assert!(matches!(step(&letter, &again(), known, NOW), Step::Again(_)));
        assert_eq!(step(&letter, &failed(Finality::Gone), known, NOW), Step::End(MessageState::Dead));
        assert_eq!(step(&message(1), &again(), known, NOW), Step::Disable);
    }

    #[test]
    fn a_receiver_may_ask_for_patience_within_reason() {
        let asked = |seconds| failed(Finality::Again { after: Some(Duration::from_secs(seconds)) });
        assert_eq!(wait(step(&message(1), &asked(120), None, NOW)), Duration::from_secs(120));
        assert_eq!(wait(step(&message(1), &asked(u64::MAX), None, NOW)), LONGEST_PATIENCE);
        assert!(wait(step(&message(3), &asked(1), None, NOW)) > Duration::from_secs(200));
    }

    #[test]
    fn a_destination_rests_longer_the_longer_it_fails() {
        let rests = [0, 1, 2, 3, 4, u32::MAX].map(|failures| endpoint_backoff(failures, None).as_secs());
        assert_eq!(rests, [0, 0, 1, 2, 4, 60]);
        let asked = [0, 30, 600, u64::MAX].map(|asked| endpoint_backoff(4, Some(Duration::from_secs(asked))));
        assert_eq!(asked, [4, 30, 600, LONGEST_PATIENCE.as_secs()].map(Duration::from_secs));
        assert!(endpoint_backoff(u32::MAX, Some(Duration::MAX)) + Duration::from_secs(HOUR) <= MAX_ENDPOINT_BACKOFF);
    }
}
