//! Which message is sent next: of the least recently served endpoint, and within an order the older message.

use std::time::Duration;

use domain::outbox::{Finality, MessageState, Recorded};

use super::{ACCEPTED, HOUR, ILL, WELL, again, at, failed, lapsing, seed};
use crate::kit::data::{hours, noon};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

on_both_engines!(
    oldest_message_of_the_least_recently_served_endpoint_is_next,
    newer_message_waits_while_the_older_one_is_leased,
    newer_message_waits_during_the_backoff_of_the_older_one,
    message_added_during_a_backoff_of_its_order_waits_too,
    dead_letter_delays_no_newer_message,
    messages_of_other_orders_do_not_wait,
    endpoint_in_backoff_is_skipped,
    one_failure_causes_no_backoff,
    backoff_set_by_a_clock_that_was_ahead_ends,
    disabled_endpoint_is_skipped,
);

async fn bodies(shop: &Shop, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for later in 0..count {
        let now = noon() + time::Duration::milliseconds(i64::try_from(later).expect("few"));
        let Some(claimed) = shop.claim(at(now)).await else { break };
        bodies.push(format!("{} {}", claimed.content.endpoint().0, &claimed.id.as_str()[24..]));
    }
    bodies
}

async fn oldest_message_of_the_least_recently_served_endpoint_is_next(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 3);
    seed(&mut place.raw(), WELL, 2, 2);
    let expected = [(ILL, 1, 1), (WELL, 2, 1), (ILL, 1, 2), (WELL, 2, 2), (ILL, 1, 3)];
    let expected =
        expected.map(|(to, series, nth)| format!("{to} {:012}", 100_000_000_000_u64 + series * 1_000_000 + nth));
    assert_eq!(bodies(&shop, 9).await, expected);
}

async fn newer_message_waits_while_the_older_one_is_leased(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    shop.news(&order, &["one", "two"]).await;
    let mut messages = Vec::new();
    for _ in 0..3 {
        let claimed = shop.claimed(at(noon())).await;
        assert_eq!(shop.claim(at(noon() + hours(100))).await, None);
        shop.record(&claimed, ACCEPTED, noon()).await;
        messages.push(claimed.id);
    }
    let listed = shop.listed().await;
    assert!(listed.iter().all(|message| message.state == MessageState::Delivered));
    let sequence = place.raw().texts("SELECT id AS value FROM delivery ORDER BY sequence");
    assert_eq!(messages.iter().map(|id| id.to_string()).collect::<Vec<_>>(), sequence);
}

async fn newer_message_waits_during_the_backoff_of_the_older_one(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    shop.news(&order, &["one"]).await;
    let older = shop.claimed(at(noon())).await;
    let Recorded::Again(due) = shop.record(&older, again(), noon()).await else { panic!("not again") };
    // Before `due` no claim reads either message.
    assert!(shop.listed().await.iter().all(|message| message.due_at == due));
    assert_eq!(shop.claim(at(due - time::Duration::milliseconds(1))).await, None);
    let again = shop.claimed(at(due)).await;
    assert_eq!((again.id.clone(), again.occurred_at, again.attempts), (older.id, older.occurred_at, 2));
    shop.record(&again, ACCEPTED, due).await;
    let newer = shop.claimed(at(due)).await;
    assert_eq!(newer.attempts, 1);
    assert_ne!(newer.id, again.id);
}

async fn message_added_during_a_backoff_of_its_order_waits_too(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    let mut older = shop.claimed(at(noon())).await;
    let mut due = noon();
    for _ in 0..3 {
        let Recorded::Again(at_that) = shop.record(&older, again(), due).await else { panic!("not again") };
        due = at_that;
        older = shop.claimed(at(due)).await;
    }
    let Recorded::Again(due) = shop.record(&older, again(), due).await else { panic!("not again") };
    shop.news(&order, &["one"]).await;
    assert!(shop.listed().await.iter().all(|message| message.due_at == due));
    let older = shop.claimed(at(due)).await;
    assert_eq!(older.attempts, 5);
    // After the older message has ended, the newer message does not wait for the backoff of the older one.
    shop.record(&older, ACCEPTED, due).await;
    shop.claimed(at(due)).await;
}

async fn dead_letter_delays_no_newer_message(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    shop.news(&order, &["one"]).await;
    let older = shop.claimed(at(noon())).await;
    let dead = shop.record(&older, failed(Finality::Refused), noon()).await;
    assert_eq!(dead, Recorded::Ended(MessageState::Dead));
    assert_ne!(shop.claimed(at(noon())).await.id, older.id);
}

async fn messages_of_other_orders_do_not_wait(place: Place) {
    let shop = place.shop().await;
    let (one, other) = (shop.order("k1").await, shop.order("k2").await);
    shop.news(&one, &["one"]).await;
    let (first, second) = (shop.claimed(at(noon())).await, shop.claimed(at(noon())).await);
    assert_eq!(std::collections::BTreeSet::from([first.order.to_string(), second.order.to_string()]).len(), 2);
    assert!([&first.order, &second.order].contains(&&other));
    assert_eq!(shop.claim(at(noon())).await, None);
}

async fn endpoint_in_backoff_is_skipped(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 5);
    for _ in 0..2 {
        let claimed = shop.claimed(at(noon())).await;
        shop.record(&claimed, again(), noon()).await;
    }
    seed(&mut place.raw(), WELL, 2, 2);
    for _ in 0..2 {
        assert_eq!(shop.claimed(at(noon())).await.content.endpoint().0, WELL);
    }
    let rest = Duration::from_secs(1);
    assert_eq!(shop.claim(at(noon() + rest - Duration::from_millis(1))).await, None);
    assert_eq!(shop.claimed(at(noon() + rest)).await.content.endpoint().0, ILL);
}

async fn one_failure_causes_no_backoff(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 2);
    let claimed = shop.claimed(at(noon())).await;
    shop.record(&claimed, again(), noon()).await;
    assert_ne!(shop.claimed(at(noon())).await.id, claimed.id);
}

/// The clock is ahead for a while. After it is set back, only messages that failed meanwhile wait for a time that is
/// far ahead, and the backoff of an endpoint lasts a few hours at most.
async fn backoff_set_by_a_clock_that_was_ahead_ends(place: Place) {
    let shop = place.shop().await;
    let a_month = hours(30 * 24);
    let patient = failed(Finality::Again { after: Some(24 * HOUR) });
    let meanwhile = [
        (hours(1), vec![again()]),
        (hours(1), vec![again(), ACCEPTED]),
        (a_month, vec![again()]),
        (a_month, vec![again(), ACCEPTED]),
        (a_month, vec![again(), again(), again()]),
        (a_month, vec![patient]),
    ];
    for (series, (ahead, outcomes)) in (1..).zip(meanwhile) {
        let to = format!("webhook:https://p{series}.example/");
        seed(&mut place.raw(), &to, series, 5);
        for (minute, outcome) in (0..).zip(&outcomes) {
            let now = noon() + ahead + time::Duration::minutes(minute);
            let claimed = shop.claimed(at(now)).await;
            shop.record(&claimed, outcome.clone(), now).await;
        }
        let claimed = shop.claimed(at(noon())).await;
        assert_eq!(claimed.content.endpoint().0, to, "{ahead} {outcomes:?}");
        place.raw().execute(&format!("UPDATE destination SET disabled_at = 1 WHERE id = '{to}'"));
    }
}

async fn disabled_endpoint_is_skipped(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 2);
    seed(&mut place.raw(), WELL, 2, 1);
    place.raw().execute(&format!("UPDATE destination SET disabled_at = 1 WHERE id = '{ILL}'"));
    assert_eq!(shop.claimed(lapsing(noon())).await.content.endpoint().0, WELL);
    assert_eq!(shop.claimed(at(noon())).await.content.endpoint().0, WELL);
    assert_eq!(shop.claim(at(noon())).await, None);
}
