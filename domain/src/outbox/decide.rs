//! The rules of the outbox: when a message is retried, when it becomes a dead letter, and when its endpoint is
//! disabled.

use std::time::Duration;

use super::model::{Channel, EndpointHealth, MessageState, OutboxMessage, fnv};
use super::ports::{Finality, Receipt, SendOutcome};
use crate::clock::{Timestamp, backoff};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The waits between two attempts, in seconds. The first wait is short, for a receiver that was restarting; then
/// follows the schedule of Standard Webhooks ("Retry schedule"). Three days in all.
const WAITS: [u64; 10] =
    [2, 5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/// The first attempt, and one after each wait.
pub const MAX_ATTEMPTS: u32 = WAITS.len() as u32 + 1;
/// How long an endpoint may fail continuously until it is disabled (Standard Webhooks, "Disabling endpoints":
/// "continuous failure").
const DISABLED_AFTER: Duration = Duration::from_secs(5 * 24 * HOUR);
/// Failures further apart than this belong to different streaks, because nothing was attempted in between. A little
/// longer than the longest wait between two attempts of one message.
const LONGEST_GAP: Duration = Duration::from_secs(30 * HOUR);
/// The longest wait that a receiver can request: the longest wait of the schedule.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * HOUR);
/// The wait after a local fault, in seconds.
const LOCAL_FAULT_PAUSE: u64 = 60;
/// The wait after an attempt that got no permit for its server, in seconds.
const NO_PERMIT_PAUSE: u64 = 5;
/// How long after the event such attempts are not counted: as long as the schedule lasts. After that they are counted,
/// so that a message that can never be sent becomes a dead letter.
const UNCOUNTED_FOR: Duration = Duration::from_secs(3 * 24 * HOUR);
/// The spread of the waits, in percent of the wait, in both directions. Without it, a receiver that recovers gets all
/// messages at once.
const SPREAD_PERCENT: u64 = 20;
/// The backoff of an endpoint that fails repeatedly.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The shortest time after a failure at which a new message may end the backoff of its endpoint.
pub const PROBE_PAUSE: Duration = Duration::from_secs(5);
/// The time for the first attempt of a message to an endpoint that is not proven. It is enough to fetch the profile and
/// to call the webhook of a distant server. Later attempts have the whole time.
const SHORT_ATTEMPT: Duration = Duration::from_secs(2);
/// A backoff that ends later than this from now was set by a clock that was ahead, and is ignored. One hour longer than
/// the longest backoff, because the clocks of instances differ.
pub const MAX_ENDPOINT_BACKOFF: Duration = Duration::from_secs(25 * HOUR);

/// Consecutive failures of one endpoint, without a success and without a long gap in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureStreak {
    pub failures: u32,
    pub first: Timestamp,
    pub last: Timestamp,
}

impl FailureStreak {
    /// The streak after a failure at `now`. The failure starts another streak if nothing failed for more than 30 hours.
    #[must_use]
    pub fn with_failure(known: Option<Self>, now: Timestamp) -> Self {
        match known.filter(|known| now - known.last <= LONGEST_GAP) {
            Some(known) => Self { failures: known.failures.saturating_add(1), last: now, ..known },
            None => Self { failures: 1, first: now, last: now },
        }
    }

    fn is_too_long(&self) -> bool {
        self.last - self.first >= DISABLED_AFTER
    }
}

/// What happens to a message after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The message ends in this state.
    End(MessageState),
    /// Due again at this time.
    Again(Timestamp),
    /// Due again at this time, and the attempt is not counted.
    Uncounted(Timestamp),
    /// The endpoint is disabled: this message and all other pending messages to it become dead letters.
    Disable,
}

/// Decides what happens to `message` after an attempt with this `outcome`. `known` are the failures of the endpoint
/// before this attempt.
pub fn step(message: &OutboxMessage, outcome: &SendOutcome, known: Option<FailureStreak>, now: Timestamp) -> Step {
    // The mail relay belongs to the shop. If it refuses a message, only that message is dead.
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
        Finality::Again { after } => by_schedule(message, retry_after(after), now),
        Finality::LocalFault | Finality::NoPermit if now - message.occurred_at >= UNCOUNTED_FOR => {
            by_schedule(message, Duration::ZERO, now)
        }
        Finality::LocalFault => Step::Uncounted(now + spread(LOCAL_FAULT_PAUSE, message)),
        Finality::NoPermit => Step::Uncounted(now + spread(NO_PERMIT_PAUSE, message)),
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

/// The time for an attempt, of the `whole` time. A proven endpoint gets the whole time. The first attempt at another
/// endpoint is short, so that many endpoints that hang do not delay the others.
#[must_use]
pub fn time_for(message: &OutboxMessage, whole: Duration) -> Duration {
    let is_short = message.content.channel() == Channel::Webhook
        && message.health != EndpointHealth::Proven
        && message.attempts <= 1;
    if is_short { whole.min(SHORT_ATTEMPT) } else { whole }
}

/// The backoff of an endpoint after this many consecutive failures. `asked` is the wait that the receiver requested. A
/// single failure causes no backoff, because the message may be the cause.
pub fn endpoint_backoff(failures: u32, asked: Option<Duration>) -> Duration {
    let wait = match failures {
        0 | 1 => Duration::ZERO,
        more => backoff(FIRST_BACKOFF, LONGEST_BACKOFF, more - 2),
    };
    wait.max(retry_after(asked))
}

fn retry_after(asked: Option<Duration>) -> Duration {
    asked.unwrap_or_default().min(LONGEST_RETRY_AFTER)
}

/// The wait in milliseconds, with a spread derived from the message id and the attempt: different for each message, and
/// the same for each call.
fn spread(seconds: u64, message: &OutboxMessage) -> Duration {
    let mixed = fnv(message.id.as_str().bytes().chain(message.attempts.to_le_bytes()));
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
            health: EndpointHealth::Proven,
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
    fn waits_and_limits_are_as_documented() {
        assert_eq!(WAITS, [2, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        let bounds = [DISABLED_AFTER, LONGEST_GAP, LONGEST_RETRY_AFTER, UNCOUNTED_FOR];
        assert_eq!(bounds.map(|bound| bound.as_secs()), [432_000, 108_000, 86_400, 259_200]);
    }

    #[test]
    fn first_retry_comes_within_three_seconds_and_others_follow_the_schedule() {
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
    fn waits_of_different_messages_differ() {
        let waits: std::collections::BTreeSet<_> =
            (0..100).map(|_| wait(step(&message(4), &again(), None, NOW))).collect();
        assert!(waits.len() > 20, "{waits:?}");
    }

    #[test]
    fn message_without_attempts_left_is_dead() {
        assert_eq!(step(&message(MAX_ATTEMPTS), &again(), None, NOW), Step::End(MessageState::Dead));
    }

    fn ago(days: u64) -> Timestamp {
        NOW - Duration::from_secs(days * 24 * HOUR)
    }

    #[test]
    fn each_outcome_has_its_step() {
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
    fn endpoint_health_follows_from_its_history() {
        for (has_answered, failures, health) in [
            (false, 0, EndpointHealth::New),
            (false, 1, EndpointHealth::Failing),
            (false, 9, EndpointHealth::Failing),
            (true, 0, EndpointHealth::Proven),
            (true, 1, EndpointHealth::Proven),
            (true, 2, EndpointHealth::Failing),
            (true, u32::MAX, EndpointHealth::Failing),
        ] {
            assert_eq!(EndpointHealth::of(has_answered, failures), health, "{has_answered} {failures}");
        }
    }

    #[test]
    fn first_attempt_at_an_unproven_endpoint_is_short() {
        let whole = Duration::from_secs(15);
        for (health, attempts, seconds) in [
            (EndpointHealth::Proven, 1, 15),
            (EndpointHealth::New, 1, 2),
            (EndpointHealth::Failing, 1, 2),
            (EndpointHealth::New, 2, 15),
            (EndpointHealth::Failing, 2, 15),
        ] {
            let message = OutboxMessage { health, ..message(attempts) };
            assert_eq!(time_for(&message, whole).as_secs(), seconds, "{health:?} {attempts}");
            assert_eq!(time_for(&message, Duration::from_secs(1)).as_secs(), 1, "{health:?} {attempts}");
            let mail = OutboxMessage { content: Content::Mail(email()), ..message };
            assert_eq!(time_for(&mail, whole), whole, "mail {health:?} {attempts}");
        }
    }

    fn email() -> EmailMessage {
        EmailMessage { to: String::new(), subject: String::new(), text: String::new(), html: String::new() }
    }

    #[test]
    fn message_without_a_permit_loses_no_attempt_and_is_due_in_seconds() {
        let no_permit = failed(Finality::NoPermit);
        for attempts in [1, MAX_ATTEMPTS] {
            let Step::Uncounted(at) = step(&message(attempts), &no_permit, None, NOW) else { panic!("counted") };
            assert!((4..=6).contains(&(at - NOW).whole_seconds()), "{at}");
        }
        let old = OutboxMessage { occurred_at: ago(3), ..message(MAX_ATTEMPTS) };
        assert_eq!(step(&old, &no_permit, None, NOW), Step::End(MessageState::Dead));
    }

    #[test]
    fn local_fault_is_not_counted_for_three_days_and_counted_after_that() {
        let known = Some(FailureStreak { failures: 99, first: ago(30), last: ago(0) });
        let local = failed(Finality::LocalFault);
        for attempts in [1, MAX_ATTEMPTS] {
            let young = OutboxMessage { occurred_at: ago(2), ..message(attempts) };
            let Step::Uncounted(at) = step(&young, &local, known, NOW) else { panic!("counted") };
            assert!((48..=72).contains(&(at - NOW).whole_seconds()), "{at}");
        }
        let old = |attempts| OutboxMessage { occurred_at: ago(3), ..message(attempts) };
        assert!(matches!(step(&old(1), &local, known, NOW), Step::Again(_)));
        assert_eq!(step(&old(MAX_ATTEMPTS), &local, known, NOW), Step::End(MessageState::Dead));
    }

    /// The days on which an attempt failed, the last one today. Two failures a week apart are not continuous failure.
    #[test]
    fn only_continuous_failure_disables_an_endpoint() {
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

    /// Otherwise a message that uses all its attempts would interrupt its endpoint's streak.
    #[test]
    fn longest_wait_does_not_end_a_failure_streak() {
        let longest = WAITS[WAITS.len() - 1] * (100 + SPREAD_PERCENT) / 100;
        assert!(LONGEST_GAP > Duration::from_secs(longest) + LONGEST_BACKOFF);
        assert!(LONGEST_GAP > LONGEST_RETRY_AFTER);
    }

    #[test]
    fn mail_relay_is_never_disabled() {
        let email = OutboxMessage { content: Content::Mail(email()), ..message(1) };
        let known = Some(FailureStreak { failures: 99, first: ago(30), last: ago(0) });
        assert!(matches!(step(&email, &again(), known, NOW), Step::Again(_)));
        assert_eq!(step(&email, &failed(Finality::Gone), known, NOW), Step::End(MessageState::Dead));
        assert_eq!(step(&message(1), &again(), known, NOW), Step::Disable);
    }

    #[test]
    fn retry_after_of_a_receiver_is_honoured_up_to_a_day() {
        let asked = |seconds| failed(Finality::Again { after: Some(Duration::from_secs(seconds)) });
        assert_eq!(wait(step(&message(1), &asked(120), None, NOW)), Duration::from_secs(120));
        assert_eq!(wait(step(&message(1), &asked(u64::MAX), None, NOW)), LONGEST_RETRY_AFTER);
        assert!(wait(step(&message(3), &asked(1), None, NOW)) > Duration::from_secs(200));
    }

    #[test]
    fn endpoint_backoff_doubles_with_each_failure_up_to_a_minute() {
        let waits = [0, 1, 2, 3, 4, u32::MAX].map(|failures| endpoint_backoff(failures, None).as_secs());
        assert_eq!(waits, [0, 0, 1, 2, 4, 60]);
        let asked = [0, 30, 600, u64::MAX].map(|asked| endpoint_backoff(4, Some(Duration::from_secs(asked))));
        assert_eq!(asked, [4, 30, 600, LONGEST_RETRY_AFTER.as_secs()].map(Duration::from_secs));
        assert!(endpoint_backoff(u32::MAX, Some(Duration::MAX)) + Duration::from_secs(HOUR) <= MAX_ENDPOINT_BACKOFF);
    }
}
