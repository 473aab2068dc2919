//! The rules of the outbox: when a message is retried, and when its endpoint is disabled.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::outbox::{
    Channel, Endpoint, EndpointHealth, FailureStreak, Finality, MAX_ATTEMPTS, MAX_ENDPOINT_BACKOFF, MessageState,
    NextStep, OutboxMessage, Receipt, SendError, SendOutcome, endpoint_backoff, next_step, without_secrets,
};

use crate::kit::{self, NOW};

const HOUR: u64 = 60 * 60;
const DAY: Duration = Duration::from_secs(24 * HOUR);
const MILLISECOND: Duration = Duration::from_millis(1);
/// The documented waits between two attempts, in seconds.
const WAITS: [u64; 10] = [2, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

fn message(attempts: u32) -> OutboxMessage {
    kit::message(Channel::Webhook, attempts)
}

fn failed(finality: Finality) -> SendOutcome {
    SendOutcome::Failed(SendError { reason: "500".to_owned(), finality })
}

fn again() -> SendOutcome {
    failed(Finality::Again { after: None })
}

fn wait(step: NextStep) -> Duration {
    match step {
        NextStep::Again(at) => (at - NOW).try_into().expect("later"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn first_retry_comes_within_three_seconds_and_others_follow_the_schedule() {
    for (attempt, seconds) in (1..).zip(WAITS) {
        for _ in 0..50 {
            let wait = wait(next_step(&message(attempt), &again(), None, NOW)).as_secs_f64();
            let share = wait / seconds as f64;
            assert!((0.8..=1.2).contains(&share), "{attempt}: {wait}");
            assert!(attempt > 1 || wait <= 3.0);
        }
    }
}

#[test]
fn waits_of_different_messages_differ() {
    let waits: std::collections::BTreeSet<_> =
        (0..100).map(|_| wait(next_step(&message(4), &again(), None, NOW))).collect();
    assert!(waits.len() > 20, "{waits:?}");
}

#[test]
fn message_without_attempts_left_is_dead() {
    assert_eq!(next_step(&message(MAX_ATTEMPTS), &again(), None, NOW), NextStep::End(MessageState::Dead));
}

fn ago(days: u64) -> Timestamp {
    NOW - Duration::from_secs(days * 24 * HOUR)
}

#[test]
fn next_step_follows_from_the_outcome_and_the_failure_streak() {
    let days = |days| Some(FailureStreak { failures: 9, first: ago(days), last: ago(1) });
    let received = |receipt| SendOutcome::Received(receipt);
    for (outcome, known, expected) in [
        (received(Receipt::Accepted), days(9), NextStep::End(MessageState::Delivered)),
        (received(Receipt::Unwanted), None, NextStep::End(MessageState::Unwanted)),
        (failed(Finality::Refused), None, NextStep::End(MessageState::Dead)),
        (failed(Finality::Gone), None, NextStep::Disable),
        (again(), days(5), NextStep::Disable),
        (SendOutcome::Interrupted, days(5), NextStep::Uncounted(NOW)),
    ] {
        assert_eq!(next_step(&message(1), &outcome, known, NOW), expected, "{outcome:?} {known:?}");
    }
    assert!(matches!(next_step(&message(1), &again(), days(4), NOW), NextStep::Again(_)));
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
fn message_without_a_permit_loses_no_attempt_and_is_due_in_seconds() {
    let no_permit = failed(Finality::NoPermit);
    for attempts in [1, MAX_ATTEMPTS] {
        let NextStep::Uncounted(at) = next_step(&message(attempts), &no_permit, None, NOW) else { panic!("counted") };
        assert!((4..=6).contains(&(at - NOW).whole_seconds()), "{at}");
    }
    let old = OutboxMessage { occurred_at: ago(3), ..message(MAX_ATTEMPTS) };
    assert_eq!(next_step(&old, &no_permit, None, NOW), NextStep::End(MessageState::Dead));
}

#[test]
fn local_fault_is_not_counted_for_three_days_and_counted_after_that() {
    let known = Some(FailureStreak { failures: 99, first: ago(30), last: ago(0) });
    let local = failed(Finality::LocalFault);
    for attempts in [1, MAX_ATTEMPTS] {
        let young = OutboxMessage { occurred_at: ago(2), ..message(attempts) };
        let NextStep::Uncounted(at) = next_step(&young, &local, known, NOW) else { panic!("counted") };
        assert!((48..=72).contains(&(at - NOW).whole_seconds()), "{at}");
    }
    let old = |attempts| OutboxMessage { occurred_at: ago(3), ..message(attempts) };
    assert!(matches!(next_step(&old(1), &local, known, NOW), NextStep::Again(_)));
    assert_eq!(next_step(&old(MAX_ATTEMPTS), &local, known, NOW), NextStep::End(MessageState::Dead));
}

/// Each case lists the days on which an attempt failed; the last day is today. Failures a week apart are not
/// continuous.
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
        let known = earlier.iter().fold(None, |known, day| Some(failure(known, ago(today - day))));
        let step = next_step(&message(1), &again(), known, ago(today - last[0]));
        assert_eq!(step == NextStep::Disable, is_disabled, "{failed_on:?}: {step:?}");
    }
}

#[test]
fn retry_limits_take_effect_exactly_at_their_documented_values() {
    let streak = |first, last| Some(FailureStreak { failures: 9, first: NOW - first, last: NOW - last });
    // Five days of continuous failure disable an endpoint.
    assert_eq!(next_step(&message(1), &again(), streak(DAY * 5, DAY), NOW), NextStep::Disable);
    assert!(matches!(next_step(&message(1), &again(), streak(DAY * 5 - MILLISECOND, DAY), NOW), NextStep::Again(_)));
    // Failures more than 30 hours apart are two streaks.
    let gap = Duration::from_secs(30 * HOUR);
    let failures = |gap| failure(streak(DAY * 4, gap), NOW).failures;
    assert_eq!((failures(gap), failures(gap + MILLISECOND)), (10, 1));
    // Local faults are not counted for three days.
    for finality in [Finality::LocalFault, Finality::NoPermit] {
        let at_age = |age| OutboxMessage { occurred_at: NOW - age, ..message(1) };
        assert!(matches!(
            next_step(&at_age(DAY * 3 - MILLISECOND), &failed(finality), None, NOW),
            NextStep::Uncounted(_)
        ));
        assert!(matches!(next_step(&at_age(DAY * 3), &failed(finality), None, NOW), NextStep::Again(_)));
    }
}

/// If the longest wait ended a streak, a message that uses all its attempts could not disable its endpoint.
#[test]
fn longest_wait_does_not_end_a_failure_streak() {
    for wait in [DAY.mul_f64(1.2) + endpoint_backoff(u32::MAX, None), endpoint_backoff(2, Some(Duration::MAX))] {
        let known = FailureStreak { failures: 1, first: NOW, last: NOW };
        assert_eq!(failure(Some(known), NOW + wait + MILLISECOND).failures, 2, "{wait:?}");
    }
}

#[test]
fn failure_streak_counts_attempts_that_were_claimed_together_once() {
    let streak = |failures| Some(FailureStreak { failures, first: NOW - DAY, last: NOW - DAY });
    for (known, before, after) in
        [(None, 0, 1), (streak(1), 0, 1), (streak(1), 1, 2), (streak(3), 2, 3), (streak(0), 5, 1)]
    {
        let counted = FailureStreak::with_failure(known, before, NOW);
        assert_eq!((counted.failures, counted.last), (after, NOW), "{known:?} {before}");
    }
}

/// The streak after a failure that was claimed after all known ones.
fn failure(known: Option<FailureStreak>, now: Timestamp) -> FailureStreak {
    FailureStreak::with_failure(known, u32::MAX, now)
}

#[test]
fn wait_is_spread_by_a_fifth_in_both_directions() {
    let percent = |_| match next_step(&message(7), &again(), None, NOW) {
        // The seventh wait is ten hours, so 360 seconds are one percent.
        NextStep::Again(at) => (at - NOW).whole_seconds() / 360,
        other => panic!("{other:?}"),
    };
    let all: Vec<_> = (0..3_000).map(percent).collect();
    assert_eq!((all.iter().min(), all.iter().max()), (Some(&80), Some(&120)));
}

#[test]
fn mail_relay_is_never_disabled() {
    let email = kit::message(Channel::Mail, 1);
    let known = Some(FailureStreak { failures: 99, first: ago(30), last: ago(0) });
    assert!(matches!(next_step(&email, &again(), known, NOW), NextStep::Again(_)));
    assert_eq!(next_step(&email, &failed(Finality::Gone), known, NOW), NextStep::End(MessageState::Dead));
    assert_eq!(next_step(&message(1), &again(), known, NOW), NextStep::Disable);
}

#[test]
fn retry_after_of_a_receiver_is_honoured_up_to_a_day() {
    let asked = |seconds| failed(Finality::Again { after: Some(Duration::from_secs(seconds)) });
    assert_eq!(wait(next_step(&message(1), &asked(120), None, NOW)), Duration::from_secs(120));
    assert_eq!(wait(next_step(&message(1), &asked(u64::MAX), None, NOW)), DAY);
    assert!(wait(next_step(&message(3), &asked(1), None, NOW)) > Duration::from_secs(200));
}

#[test]
fn endpoint_backoff_doubles_with_each_failure_up_to_a_minute() {
    let waits = [0, 1, 2, 3, 4, u32::MAX].map(|failures| endpoint_backoff(failures, None).as_secs());
    assert_eq!(waits, [0, 0, 1, 2, 4, 60]);
    let asked = [0, 30, 600, u64::MAX].map(|asked| endpoint_backoff(4, Some(Duration::from_secs(asked))));
    assert_eq!(asked, [4, 30, 600, DAY.as_secs()].map(Duration::from_secs));
    assert!(endpoint_backoff(u32::MAX, Some(Duration::MAX)) + Duration::from_secs(HOUR) <= MAX_ENDPOINT_BACKOFF);
}
#[test]
fn shown_address_has_no_user_name_and_no_query() {
    for (address, expected) in [
        ("mail", "mail"),
        ("webhook:https://p.example/profile.json", "webhook:https://p.example/profile.json"),
        ("https://p.example", "https://p.example"),
        ("https://ann:word@p.example:8443/a@b", "https://p.example:8443/a@b"),
        ("https://ann@p.example", "https://p.example"),
        ("https://p.example?token=abc", "https://p.example?~"),
        ("webhook:https://p.example/x?token=abc/def@ghi", "webhook:https://p.example/x?~"),
    ] {
        let shown = Endpoint(address.to_owned()).to_string();
        let (plain, mark) =
            shown.split_once('~').map_or((shown.clone(), None), |(plain, mark)| (format!("{plain}~"), Some(mark)));
        assert_eq!(plain, expected, "{address}");
        assert!(mark.is_none_or(|mark| mark.len() == 8 && mark.bytes().all(|it| it.is_ascii_hexdigit())), "{shown}");
    }
    // The first half of the 64-bit FNV-1a hash of "a". Operators compare marks of different releases.
    assert_eq!(without_secrets("https://p.example/?a"), "https://p.example/?~af63dc4c");
    assert_ne!(without_secrets("https://p.example/?a"), without_secrets("https://p.example/?b"));
}
