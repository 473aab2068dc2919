//! An endpoint that accepts no message and has a backlog of a hundred thousand does not affect other endpoints.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::context::Stopwatch;
use domain::outbox::{ClaimTerms, Finality, OutboxStore, Recorded};

use super::{ACCEPTED, HOUR, ILL, WELL, at, failed, seed, states};
use crate::kit::data::{noon, task};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

on_both_engines!(
    backlog_of_one_endpoint_slows_no_other,
    endpoint_with_a_backlog_is_disabled_at_once_and_purged_in_portions,
);

const BACKLOG: u32 = 100_000;
const ROUNDS: i64 = 15;
/// How many times slower a call may be than without a backlog. A read of the whole backlog would be a thousand times
/// slower.
const AT_MOST: u32 = 20;

struct Pace {
    claim: Duration,
    enqueue: Duration,
}

/// Measures the median time of some claims for the healthy endpoint, and of some appended events.
async fn pace(shop: &Shop, key: &str) -> Pace {
    let (mut claims, mut enqueues) = (Vec::new(), Vec::new());
    let order = shop.order(key).await;
    for round in 0..ROUNDS {
        let terms = ClaimTerms { per_endpoint: 4, ..at(moment(round)) };
        let watch = Stopwatch::start();
        let claimed = shop.claimed(terms).await;
        claims.push(watch.elapsed());
        assert_ne!(claimed.content.endpoint().0, ILL);
        shop.record(&claimed, ACCEPTED, moment(round)).await;
        let watch = Stopwatch::start();
        shop.news(&order, &[&format!("event-{round}")]).await;
        enqueues.push(watch.elapsed());
    }
    let middle = |mut of: Vec<Duration>| {
        of.sort_unstable();
        of[of.len() / 2]
    };
    Pace { claim: middle(claims), enqueue: middle(enqueues) }
}

fn moment(round: i64) -> Timestamp {
    noon() + time::Duration::milliseconds(round)
}

async fn backlog_of_one_endpoint_slows_no_other(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 100);
    let without = pace(&shop, "k1").await;

    seed(&mut place.raw(), ILL, 2, BACKLOG);
    let an_hour = (noon() + HOUR).unix_timestamp() * 1_000;
    let at_rest = format!("UPDATE destination SET rest_until = {an_hour} WHERE id = '{ILL}'");
    let at_its_cap = format!(
        "UPDATE destination SET rest_until = 0 WHERE id = '{ILL}'; UPDATE delivery SET leased_until = {} WHERE id IN \
         (SELECT id FROM delivery WHERE destination = '{ILL}' ORDER BY due_at LIMIT 4)",
        i64::MAX / 2
    );
    for (how, sql) in [("at-rest", at_rest.as_str()), ("at-its-cap", &at_its_cap), ("analyzed", "ANALYZE")] {
        place.raw().execute(sql);
        let with = pace(&shop, how).await;
        for (what, with, without) in [("claim", with.claim, without.claim), ("enqueue", with.enqueue, without.enqueue)]
        {
            // At least a few milliseconds are allowed, because a pause of the machine can take that long.
            let usual = without.max(Duration::from_millis(2));
            assert!(with < usual * AT_MOST, "{how}: {what} takes {with:?}, without a backlog {without:?}");
        }
    }
    assert_eq!(states(&mut place.raw(), ILL), [format!("pending {BACKLOG}")]);
}

/// The messages become dead letters in portions, because a transaction over the whole backlog would delay every
/// purchase, or not end in time.
async fn endpoint_with_a_backlog_is_disabled_at_once_and_purged_in_portions(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1_201);
    let claimed = shop.claimed(at(noon())).await;
    assert_eq!(shop.record(&claimed, failed(Finality::Gone), noon()).await, Recorded::Disabled { others: 500 });
    assert_eq!(states(&mut place.raw(), ILL), ["dead 501", "pending 700"]);
    assert_eq!(shop.claim(at(noon())).await, None);
    // A message that was added to an endpoint while the endpoint was being disabled becomes a dead letter too.
    seed(&mut place.raw(), WELL, 2, 3);
    place.raw().execute(&format!("UPDATE destination SET disabled_at = 1 WHERE id = '{WELL}'"));
    let (mut cleared, mut given_up) = (Vec::new(), Vec::new());
    while cleared.last() != Some(&0) {
        let now = shop.deliveries.forget(&task(), noon(), noon(), 500).await.expect("cleared up");
        given_up.extend(now.given_up.iter().map(|(destination, count)| (destination.0.clone(), *count)));
        cleared.push(now.total());
    }
    given_up.sort_unstable();
    assert_eq!(given_up.iter().map(|(_, count)| count).sum::<u32>(), 703);
    assert_eq!(given_up.iter().filter(|(to, _)| to == WELL).map(|(_, count)| *count).collect::<Vec<_>>(), [3]);
    // The dead letters of the endpoint that was disabled long ago are purged in the same pass.
    assert_eq!(cleared, [500, 206, 0]);
    assert_eq!((states(&mut place.raw(), ILL), states(&mut place.raw(), WELL)), (vec!["dead 1201".into()], vec![]));
}
