//! How messages end, and what each end means for the endpoint.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::outbox::{
    Channel, Finality, MAX_ATTEMPTS, MessageState, OutboxMessageId, OutboxStore, Receipt, Recorded, SendOutcome,
    StaleClaim,
};

use super::{ACCEPTED, ILL, WELL, again, at, failed, health, lapsing, seed, states};
use crate::kit::data::{hours, noon, task};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

const DAY: i64 = 24;

on_both_engines!(
    accepted_message_is_delivered,
    refused_message_is_a_dead_letter_and_its_endpoint_healthy,
    gone_endpoint_is_disabled_with_its_pending_messages,
    five_days_of_failure_disable_an_endpoint,
    time_without_attempts_is_no_failure,
    mail_relay_is_never_disabled,
    success_ends_the_failure_streak,
    interrupted_attempt_is_not_counted,
    internal_fault_costs_neither_an_attempt_nor_endpoint_health,
    retry_after_is_respected,
    retry_after_is_bounded,
);

async fn accepted_message_is_delivered(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 2);
    for (receipt, state) in [(Receipt::Accepted, MessageState::Delivered), (Receipt::Unwanted, MessageState::Unwanted)]
    {
        let claimed = shop.claimed(at(noon())).await;
        let recorded = shop.record(&claimed, SendOutcome::Received(receipt), noon()).await;
        assert_eq!(recorded, Recorded::Ended(state));
    }
    assert_eq!(states(&mut place.raw(), WELL), ["delivered 1", "unwanted 1"]);
    assert_eq!(place.raw().number("SELECT count(*) FROM delivery WHERE leased_until IS NOT NULL"), 0);
    assert_eq!(shop.claim(at(noon() + hours(1_000))).await, None);
}

async fn refused_message_is_a_dead_letter_and_its_endpoint_healthy(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 2);
    let claimed = shop.claimed(at(noon())).await;
    let recorded = shop.record(&claimed, failed(Finality::Refused), noon()).await;
    assert_eq!(recorded, Recorded::Ended(MessageState::Dead));
    assert_eq!(states(&mut place.raw(), WELL), ["dead 1", "pending 1"]);
    assert_eq!(health(&mut place.raw(), WELL), "0 - -");
}

async fn gone_endpoint_is_disabled_with_its_pending_messages(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 3);
    seed(&mut place.raw(), WELL, 2, 1);
    place.raw().execute(&format!("UPDATE destination SET served_at = 1 WHERE id = '{WELL}'"));
    let (claimed, under_way) = (shop.claimed(at(noon())).await, {
        place.raw().execute("UPDATE destination SET served_at = 0");
        shop.claimed(at(noon())).await
    });
    assert_eq!(under_way.content.endpoint().0, ILL);
    assert_eq!(shop.record(&claimed, failed(Finality::Gone), noon()).await, Recorded::Disabled { others: 2 });
    assert_eq!(states(&mut place.raw(), ILL), ["dead 3"]);
    let mut errors: Vec<_> = shop.listed().await.into_iter().filter_map(|message| message.last_error).collect();
    errors.sort_unstable();
    let with_it = "the destination is disabled: status 4xx";
    assert_eq!(errors, ["status 4xx", with_it, with_it]);
    assert_eq!(states(&mut place.raw(), WELL), ["pending 1"]);
    // The message has ended, so the result of the attempt under way changes nothing.
    assert_eq!(shop.record(&under_way, again(), noon()).await, Recorded::Stale(StaleClaim::Ended(MessageState::Dead)));
    assert_eq!(shop.claimed(at(noon())).await.content.endpoint().0, WELL);
}

async fn five_days_of_failure_disable_an_endpoint(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 7);
    for day in 0..=5 {
        assert_eq!(is_disabled(&fails(&shop, noon() + hours(day * DAY)).await), day == 5, "{day}");
    }
    assert_eq!(states(&mut place.raw(), ILL), ["dead 7"]);
}

/// Claims any due message and records a failed attempt.
async fn fails(shop: &Shop, now: Timestamp) -> Recorded {
    let claimed = shop.claimed(lapsing(now)).await;
    shop.record(&claimed, again(), now).await
}

async fn time_without_attempts_is_no_failure(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 9);
    for day in [0, 7, 8, 9, 10, 11] {
        assert!(!is_disabled(&fails(&shop, noon() + hours(day * DAY)).await), "{day}");
    }
    let since = (noon() + hours(7 * DAY)).unix_timestamp() * 1_000;
    assert_eq!(health(&mut place.raw(), ILL), format!("5 {since} -"));
    assert!(is_disabled(&fails(&shop, noon() + hours(12 * DAY)).await));
}

fn is_disabled(recorded: &Recorded) -> bool {
    matches!(recorded, Recorded::Disabled { .. })
}

async fn mail_relay_is_never_disabled(place: Place) {
    let shop = place.shop().await;
    let bought = shop.bought(&[("song", 1)], "k1").await;
    let email = format!(
        "INSERT INTO delivery (id, channel, destination, order_id, sequence, event, body, state, occurred_at, due_at, \
         attempts) SELECT '{}', 'mail', 'mail', id, 9, 'order_placed', '{}', 'pending', 0, 0, 0 FROM orders",
        OutboxMessageId::generate(noon()),
        r#"{"to":"ada@example.com","subject":"s","text":"t","html":"h"}"#
    );
    place.raw().execute(
        "INSERT INTO destination (id, channel, served_at, rest_until, failures) VALUES ('mail', 'mail', 0, 0, 0)",
    );
    place.raw().execute(&email);
    assert!(bought.order.is_some());
    for day in 0..=8 {
        let now = noon() + hours(day * DAY);
        let claim = shop.deliveries.claim(&task(), Channel::Mail, at(now)).await.expect("asked");
        let recorded = shop.record(&claim.message.expect("an email message"), again(), now).await;
        assert!(matches!(recorded, Recorded::Again(_)), "{day}: {recorded:?}");
    }
    assert_eq!(states(&mut place.raw(), "mail"), ["pending 1"]);
}

async fn success_ends_the_failure_streak(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 4);
    for (day, outcome) in [(0, again()), (4, ACCEPTED), (5, again()), (6, again())] {
        let now = noon() + hours(day * DAY);
        let claimed = shop.claimed(lapsing(now)).await;
        assert!(!is_disabled(&shop.record(&claimed, outcome, now).await), "{day}");
    }
    let since = (noon() + hours(5 * DAY)).unix_timestamp() * 1_000;
    assert_eq!(health(&mut place.raw(), ILL), format!("2 {since} -"));
}

/// Even if the process is stopped many times during an attempt, the attempt does not count.
async fn interrupted_attempt_is_not_counted(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 1);
    let first = shop.claimed(at(noon())).await;
    let Recorded::Again(due) = shop.record(&first, again(), noon()).await else { panic!("not again") };
    let before = health(&mut place.raw(), WELL);
    for _ in 0..=MAX_ATTEMPTS {
        let claimed = shop.claimed(at(due)).await;
        assert_eq!(claimed.attempts, 2);
        assert_eq!(shop.record(&claimed, SendOutcome::Interrupted, due).await, Recorded::Again(due));
    }
    assert_eq!(health(&mut place.raw(), WELL), before);
    assert_eq!(shop.listed().await[0].last_error.as_deref(), Some("status 500"));
}

/// An internal fault is no failure of the endpoint. The message does not end, and is sent again after a backoff.
async fn internal_fault_costs_neither_an_attempt_nor_endpoint_health(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 1);
    let (mut now, ours) = (noon(), failed(Finality::LocalFault));
    for _ in 0..=MAX_ATTEMPTS {
        let claimed = shop.claimed(at(now)).await;
        assert_eq!(claimed.attempts, 1);
        let Recorded::Again(due) = shop.record(&claimed, ours.clone(), now).await else { panic!("not again") };
        assert!((45..=75).contains(&(due - now).whole_seconds()), "{due}");
        now = due;
    }
    let listed = shop.listed().await.remove(0);
    assert_eq!((listed.attempts, listed.last_error.as_deref()), (0, Some("status 4xx")));
    assert_eq!(health(&mut place.raw(), WELL), "0 - -");
    // After some days the attempt counts in spite of the internal fault.
    let later = noon() + hours(4 * DAY);
    let claimed = shop.claimed(at(later)).await;
    shop.record(&claimed, ours, later).await;
    assert_eq!(shop.listed().await[0].attempts, 1);
    assert_eq!(health(&mut place.raw(), WELL), "0 - -");
}

async fn retry_after_is_respected(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 2);
    let claimed = shop.claimed(at(noon())).await;
    let patience = failed(Finality::Again { after: Some(Duration::from_secs(3_600)) });
    assert_eq!(shop.record(&claimed, patience, noon()).await, Recorded::Again(noon() + hours(1)));
    let early = noon() + hours(1) - Duration::from_millis(1);
    assert_eq!(shop.claim(at(early)).await, None);
    one_lease_until_a_success(&shop, noon() + hours(1)).await;
}

/// Checks that the endpoint has only one lease before a success, although the terms permit many: hanging endpoints must
/// not use up every pass.
async fn one_lease_until_a_success(shop: &Shop, now: Timestamp) {
    let trial = shop.claimed(at(now)).await;
    assert_eq!(shop.claim(at(now)).await, None);
    shop.record(&trial, ACCEPTED, now).await;
    shop.claimed(at(now)).await;
}

async fn retry_after_is_bounded(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 2);
    let claimed = shop.claimed(at(noon())).await;
    let for_ever = failed(Finality::Again { after: Some(Duration::from_secs(u64::MAX)) });
    assert_eq!(shop.record(&claimed, for_ever, noon()).await, Recorded::Again(noon() + hours(DAY)));
    one_lease_until_a_success(&shop, noon() + hours(DAY)).await;
}
