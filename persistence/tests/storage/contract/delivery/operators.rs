//! What operators see of deliveries, and what they can do about them.

use domain::clock::Timestamp;
use domain::delivery::{
    Cleared, DeliveryBook, DeliveryFilter, DeliveryId, DeliveryState, Destination, Finality, Receipt, Recorded, Retried,
};

use super::{ACCEPTED, ILL, WELL, again, at, failed, health, lapsing, seed, states};
use crate::kit::data::{hours, noon, task};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

on_both_engines!(
    deliveries_are_listed_newest_first_by_state_and_destination,
    one_that_is_dead_can_be_tried_again,
    all_that_are_dead_at_a_destination_can_be_tried_again,
    all_that_are_dead_can_be_tried_again_some_at_a_time,
    what_is_tried_again_has_all_its_tries,
    only_what_is_dead_is_tried_again,
    a_destination_with_nothing_dead_can_be_enabled,
    what_ended_long_ago_is_forgotten_and_the_dead_later,
    no_more_is_forgotten_than_was_asked_for,
);

mod racing {
    use super::*;
    use crate::kit::until;

    crate::on_postgres!(what_is_tried_again_is_not_forgotten, what_was_tried_again_meanwhile_is_left_alone);

    /// Someone else makes a dead message pending while this waits for its row.
    async fn meanwhile<T>(place: &Place, sql: &str, work: impl Future<Output = T>) -> T {
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.execute(&format!("BEGIN; {sql}"));
        let commit = async {
            until("it waits for the row", || observer.waiting() == 1).await;
            other.execute("COMMIT");
        };
        tokio::join!(work, commit).0
    }

    async fn what_is_tried_again_is_not_forgotten(place: Place) {
        let shop = place.shop().await;
        seed(&mut place.raw(), ILL, 1, 1);
        dead(&shop, 1).await;
        let revive = "UPDATE delivery SET state = 'pending', ended_at = NULL, attempts = 0";
        let (ctx, later) = (task(), noon() + hours(1));
        let forgotten = meanwhile(&place, revive, shop.deliveries.forget(&ctx, later, later, 10)).await;
        assert_eq!(forgotten.expect("asked"), Cleared::default());
        assert_eq!(states(&mut place.raw(), ILL), ["pending 1"]);
    }

    async fn what_was_tried_again_meanwhile_is_left_alone(place: Place) {
        let shop = place.shop().await;
        seed(&mut place.raw(), ILL, 1, 1);
        dead(&shop, 1).await;
        let claimed = "UPDATE delivery SET state = 'pending', ended_at = NULL, attempts = 1, leased_until = 1";
        let ctx = task();
        let revived = meanwhile(&place, claimed, shop.deliveries.retry(&ctx, Retried::All, noon(), 10)).await;
        assert_eq!(revived.expect("asked"), 0);
        assert_eq!(place.raw().number("SELECT attempts FROM delivery"), 1);
    }
}

/// Refuses as many messages as that.
async fn dead(shop: &Shop, count: u32) -> Vec<DeliveryId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let claimed = shop.claimed(at(noon())).await;
        shop.record(&claimed, failed(Finality::Refused), noon()).await;
        ids.push(claimed.id);
    }
    ids
}

async fn retry(shop: &Shop, which: Retried, limit: u32) -> u32 {
    shop.deliveries.retry(&task(), which, noon(), limit).await.expect("asked")
}

async fn forget(shop: &Shop, before: Timestamp, dead_before: Timestamp, limit: u32) -> u32 {
    shop.deliveries.forget(&task(), before, dead_before, limit).await.expect("asked").total()
}

async fn deliveries_are_listed_newest_first_by_state_and_destination(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 3);
    dead(&shop, 1).await;
    seed(&mut place.raw(), WELL, 2, 2);
    let list = |state, destination: Option<&str>, limit| {
        let filter = DeliveryFilter { state, destination: destination.map(|to| Destination(to.to_owned())) };
        let (shop, ctx) = (&shop, task());
        async move {
            let listed = shop.deliveries.list(&ctx, filter, limit).await.expect("listed");
            listed.iter().map(|told| told.id.as_str()[28..].to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(None, None, 9).await, ["02000002", "02000001", "01000003", "01000002", "01000001"]);
    assert_eq!(list(None, None, 2).await, ["02000002", "02000001"]);
    assert_eq!(list(Some(DeliveryState::Dead), None, 9).await, ["01000001"]);
    assert_eq!(list(Some(DeliveryState::Pending), Some(ILL), 9).await, ["01000003", "01000002"]);
    assert_eq!(list(None, Some(WELL), 1).await, ["02000002"]);
    assert!(list(Some(DeliveryState::Delivered), None, 9).await.is_empty());
    assert!(list(None, Some("webhook:https://nobody.example/"), 9).await.is_empty());
}

async fn one_that_is_dead_can_be_tried_again(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 2);
    let ids = dead(&shop, 2).await;
    assert_eq!(retry(&shop, Retried::One(ids[1].clone()), 10).await, 1);
    assert_eq!(shop.claimed(at(noon())).await.id, ids[1]);
    assert_eq!(shop.claim(at(noon())).await, None);
    assert_eq!(retry(&shop, Retried::One(DeliveryId::generate(noon())), 10).await, 0);
}

async fn all_that_are_dead_at_a_destination_can_be_tried_again(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 3);
    let claimed = shop.claimed(at(noon())).await;
    assert_eq!(shop.record(&claimed, failed(Finality::Gone), noon()).await, Recorded::Disabled { others: 2 });
    seed(&mut place.raw(), WELL, 2, 1);
    dead(&shop, 1).await;
    assert_eq!(retry(&shop, Retried::Of(Destination(ILL.to_owned())), 10).await, 3);
    assert_eq!(health(&mut place.raw(), ILL), "0 - -");
    assert_eq!(
        (states(&mut place.raw(), ILL), states(&mut place.raw(), WELL)),
        (vec!["pending 3".into()], vec!["dead 1".into()])
    );
    for _ in 0..3 {
        assert_eq!(shop.claimed(at(noon())).await.content.destination().0, ILL);
    }
}

async fn all_that_are_dead_can_be_tried_again_some_at_a_time(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 2);
    seed(&mut place.raw(), WELL, 2, 3);
    dead(&shop, 5).await;
    let mut revived = Vec::new();
    while revived.last() != Some(&0) {
        revived.push(retry(&shop, Retried::All, 2).await);
    }
    assert_eq!(revived, [2, 2, 1, 0]);
    assert_eq!(
        (states(&mut place.raw(), ILL), states(&mut place.raw(), WELL)),
        (vec!["pending 2".into()], vec!["pending 3".into()])
    );
}

async fn what_is_tried_again_has_all_its_tries(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1);
    let mut now = noon();
    loop {
        let claimed = shop.claimed(at(now)).await;
        match shop.record(&claimed, again(), now).await {
            Recorded::Again(due) => now = due,
            recorded => break assert_eq!(recorded, Recorded::Ended(DeliveryState::Dead)),
        }
    }
    assert_eq!(retry(&shop, Retried::All, 10).await, 1);
    let claimed = shop.claimed(at(noon())).await;
    assert_eq!(claimed.attempts, 1);
    assert!(matches!(shop.record(&claimed, again(), noon()).await, Recorded::Again(_)));
}

async fn only_what_is_dead_is_tried_again(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 3);
    let claimed = shop.claimed(at(noon())).await;
    shop.record(&claimed, ACCEPTED, noon()).await;
    let under_way = shop.claimed(at(noon())).await;
    let before = place.raw().state();
    for which in [Retried::One(claimed.id), Retried::One(under_way.id), Retried::All] {
        assert_eq!(retry(&shop, which, 10).await, 0);
    }
    assert_eq!(place.raw().state(), before);
}

async fn a_destination_with_nothing_dead_can_be_enabled(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1);
    place.raw().execute("UPDATE destination SET disabled_at = 1");
    assert_eq!(shop.claim(lapsing(noon())).await, None);
    assert_eq!(retry(&shop, Retried::Of(Destination(ILL.to_owned())), 10).await, 0);
    shop.claimed(at(noon())).await;
}

async fn what_ended_long_ago_is_forgotten_and_the_dead_later(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 4);
    for outcome in [ACCEPTED, domain::delivery::DeliveryOutcome::Received(Receipt::Unwanted), failed(Finality::Refused)]
    {
        let claimed = shop.claimed(at(noon())).await;
        shop.record(&claimed, outcome, noon()).await;
    }
    let later = noon() + hours(1);
    assert_eq!(forget(&shop, noon(), noon(), 10).await, 0);
    assert_eq!(forget(&shop, later, noon(), 10).await, 2);
    assert_eq!(states(&mut place.raw(), WELL), ["dead 1", "pending 1"]);
    assert_eq!(forget(&shop, later, later, 10).await, 1);
    assert_eq!(states(&mut place.raw(), WELL), ["pending 1"]);
}

async fn no_more_is_forgotten_than_was_asked_for(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 5);
    dead(&shop, 5).await;
    let later = noon() + hours(1);
    assert_eq!(forget(&shop, later, later, 3).await, 3);
    assert_eq!(forget(&shop, later, later, 3).await, 2);
}
