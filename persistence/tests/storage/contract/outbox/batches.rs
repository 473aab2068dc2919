//! Claims and records that wait at the same time are one transaction, with the results of separate ones.

use domain::outbox::{Finality, MessageState, Recorded, StaleClaim};

use super::{ACCEPTED, ILL, WELL, again, at, failed, health, seed, states};
use crate::kit::data::noon;
use crate::kit::{Place, until};
use crate::on_both_engines;

on_both_engines!(claims_at_the_same_time_get_different_messages);
mod on_postgres {
    use super::{
        endpoint_that_is_disabled_ends_the_later_attempts, failures_of_an_endpoint_are_one_streak,
        failures_of_attempts_that_were_claimed_together_count_once, record_that_waits_sees_the_later_claim,
    };
    crate::on_postgres!(
        endpoint_that_is_disabled_ends_the_later_attempts,
        failures_of_an_endpoint_are_one_streak,
        failures_of_attempts_that_were_claimed_together_count_once,
        record_that_waits_sees_the_later_claim
    );
}

async fn claims_at_the_same_time_get_different_messages(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 2);
    seed(&mut place.raw(), WELL, 2, 3);
    let claim = || shop.claim(at(noon()));
    let (one, two, three, four, five, none) = tokio::join!(claim(), claim(), claim(), claim(), claim(), claim());
    let claimed = [one, two, three, four, five].map(|claimed| claimed.expect("a message"));
    let mut ids: Vec<_> = claimed.iter().map(|message| message.id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), none), (5, None));
    assert_eq!(place.raw().number("SELECT sum(attempts) FROM delivery"), 5);
}

/// Claims a message to [`ILL`] and four to [`WELL`], and records them. The record of the first waits for a row, so the
/// others wait for it, and are one transaction.
async fn recorded_together(place: &Place, outcomes: [domain::outbox::SendOutcome; 4]) -> [Recorded; 4] {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1);
    let blocked = shop.claimed(at(noon())).await;
    seed(&mut place.raw(), WELL, 2, 4);
    let mut claimed = Vec::new();
    for _ in 0..4 {
        claimed.push(shop.claimed(at(noon())).await);
    }
    let (mut other, mut observer) = (place.raw(), place.raw());
    other.hold(&format!("SELECT id FROM destination WHERE id = '{ILL}'"));
    let releasing = async {
        until("the first record waits", || observer.waiting() == 1).await;
        other.release();
    };
    let [a, b, c, d] = outcomes;
    let record = |of: usize, outcome| shop.record(&claimed[of], outcome, noon());
    let first = shop.record(&blocked, ACCEPTED, noon());
    let (first, a, b, c, d, ()) =
        tokio::join!(first, record(0, a), record(1, b), record(2, c), record(3, d), releasing);
    assert_eq!(first, Recorded::Ended(MessageState::Delivered));
    [a, b, c, d]
}

async fn endpoint_that_is_disabled_ends_the_later_attempts(place: Place) {
    let outcomes = [ACCEPTED, again(), failed(Finality::Gone), ACCEPTED];
    let [delivered, retried, disabled, late] = recorded_together(&place, outcomes).await;
    assert_eq!(delivered, Recorded::Ended(MessageState::Delivered));
    assert!(matches!(retried, Recorded::Again(_)), "{retried:?}");
    assert_eq!(disabled, Recorded::Disabled { others: 2 });
    assert_eq!(late, Recorded::Stale(StaleClaim::Ended(MessageState::Dead)));
    assert_eq!(states(&mut place.raw(), WELL), ["dead 3", "delivered 1"]);
}

async fn failures_of_an_endpoint_are_one_streak(place: Place) {
    recorded_together(&place, [again(), again(), ACCEPTED, again()]).await;
    let since = noon().unix_timestamp() * 1_000;
    assert_eq!(health(&mut place.raw(), WELL), format!("1 {since} -"));
}

async fn failures_of_attempts_that_were_claimed_together_count_once(place: Place) {
    recorded_together(&place, [again(), again(), again(), again()]).await;
    let since = noon().unix_timestamp() * 1_000;
    assert_eq!(health(&mut place.raw(), WELL), format!("1 {since} -"));
}

async fn record_that_waits_sees_the_later_claim(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 1);
    let claimed = shop.claimed(at(noon())).await;
    let (mut other, mut observer) = (place.raw(), place.raw());
    other.hold(&format!("SELECT id FROM destination WHERE id = '{WELL}'"));
    other.execute("UPDATE delivery SET claims = claims + 1");
    let releasing = async {
        until("the record waits", || observer.waiting() == 1).await;
        other.execute("COMMIT");
    };
    let (recorded, ()) = tokio::join!(shop.record(&claimed, ACCEPTED, noon()), releasing);
    assert_eq!(recorded, Recorded::Stale(StaleClaim::Reclaimed));
}
