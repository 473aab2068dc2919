//! Whose turn it is: between destinations the one served longest ago, within an order the older message.

use std::time::Duration;

use domain::outbox::{Finality, MessageState, Recorded};

use super::{ACCEPTED, HOUR, ILL, WELL, again, at, failed, lapsing, seed};
use crate::kit::data::{hours, noon};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

on_both_engines!(
    the_oldest_message_of_the_destination_served_longest_ago_is_next,
    a_newer_message_waits_while_the_older_one_is_under_way,
    a_newer_message_waits_while_the_older_one_waits_to_be_tried_again,
    news_of_an_order_that_waits_to_be_tried_again_waits_too,
    a_dead_message_holds_up_nobody,
    other_orders_do_not_wait,
    a_destination_that_rests_is_passed_over,
    one_failure_is_no_reason_to_rest,
    no_rest_outlives_a_clock_that_was_ahead,
    a_disabled_destination_is_passed_over,
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

async fn the_oldest_message_of_the_destination_served_longest_ago_is_next(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 3);
    seed(&mut place.raw(), WELL, 2, 2);
    let expected = [(ILL, 1, 1), (WELL, 2, 1), (ILL, 1, 2), (WELL, 2, 2), (ILL, 1, 3)];
    let expected =
        expected.map(|(to, series, nth)| format!("{to} {:012}", 100_000_000_000_u64 + series * 1_000_000 + nth));
    assert_eq!(bodies(&shop, 9).await, expected);
}

async fn a_newer_message_waits_while_the_older_one_is_under_way(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    shop.news(&order, &["one", "two"]).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let claimed = shop.claimed(at(noon())).await;
        assert_eq!(shop.claim(at(noon() + hours(100))).await, None);
        shop.record(&claimed, ACCEPTED, noon()).await;
        told.push(claimed.id);
    }
    let listed = shop.listed().await;
    assert!(listed.iter().all(|told| told.state == MessageState::Delivered));
    let sequence = place.raw().texts("SELECT id AS value FROM delivery ORDER BY sequence");
    assert_eq!(told.iter().map(|id| id.to_string()).collect::<Vec<_>>(), sequence);
}

async fn a_newer_message_waits_while_the_older_one_waits_to_be_tried_again(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    shop.news(&order, &["one"]).await;
    let older = shop.claimed(at(noon())).await;
    let Recorded::Again(due) = shop.record(&older, again(), noon()).await else { panic!("not again") };
    // Nobody looks at it in vain meanwhile.
    assert!(shop.listed().await.iter().all(|told| told.due_at == due));
    assert_eq!(shop.claim(at(due - time::Duration::milliseconds(1))).await, None);
    let again = shop.claimed(at(due)).await;
    assert_eq!((again.id.clone(), again.occurred_at, again.attempts), (older.id, older.occurred_at, 2));
    shop.record(&again, ACCEPTED, due).await;
    let newer = shop.claimed(at(due)).await;
    assert_eq!(newer.attempts, 1);
    assert_ne!(newer.id, again.id);
}

async fn news_of_an_order_that_waits_to_be_tried_again_waits_too(place: Place) {
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
    assert!(shop.listed().await.iter().all(|told| told.due_at == due));
    let older = shop.claimed(at(due)).await;
    assert_eq!(older.attempts, 5);
    // Once the older one is through, the newer one need not wait as long as that would have.
    shop.record(&older, ACCEPTED, due).await;
    shop.claimed(at(due)).await;
}

async fn a_dead_message_holds_up_nobody(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    shop.news(&order, &["one"]).await;
    let older = shop.claimed(at(noon())).await;
    let dead = shop.record(&older, failed(Finality::Refused), noon()).await;
    assert_eq!(dead, Recorded::Ended(MessageState::Dead));
    assert_ne!(shop.claimed(at(noon())).await.id, older.id);
}

async fn other_orders_do_not_wait(place: Place) {
    let shop = place.shop().await;
    let (one, other) = (shop.order("k1").await, shop.order("k2").await);
    shop.news(&one, &["one"]).await;
    let (first, second) = (shop.claimed(at(noon())).await, shop.claimed(at(noon())).await);
    assert_eq!(std::collections::BTreeSet::from([first.order.to_string(), second.order.to_string()]).len(), 2);
    assert!([&first.order, &second.order].contains(&&other));
    assert_eq!(shop.claim(at(noon())).await, None);
}

async fn a_destination_that_rests_is_passed_over(place: Place) {
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

async fn one_failure_is_no_reason_to_rest(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 2);
    let claimed = shop.claimed(at(noon())).await;
    shop.record(&claimed, again(), noon()).await;
    assert_ne!(shop.claimed(at(noon())).await.id, claimed.id);
}

/// The clock is ahead for a while. Only what failed meanwhile waits for that time to come, and a rest of a few hours.
async fn no_rest_outlives_a_clock_that_was_ahead(place: Place) {
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

async fn a_disabled_destination_is_passed_over(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 2);
    seed(&mut place.raw(), WELL, 2, 1);
    place.raw().execute(&format!("UPDATE destination SET disabled_at = 1 WHERE id = '{ILL}'"));
    assert_eq!(shop.claimed(lapsing(noon())).await.content.endpoint().0, WELL);
    assert_eq!(shop.claimed(at(noon())).await.content.endpoint().0, WELL);
    assert_eq!(shop.claim(at(noon())).await, None);
}
