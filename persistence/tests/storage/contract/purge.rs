//! Keys whose outcome can no longer be replayed are purged. A key without an outcome is never purged.

use domain::idempotency::{IdempotencyStore, RETENTION};
use domain::payment::PaymentOutcome;

use crate::kit::Place;
use crate::kit::data::{hours, noon, task};
use crate::on_both_engines;

on_both_engines!(
    only_old_keys_with_an_outcome_are_purged,
    purge_of_more_keys_than_its_limit_deletes_the_limit,
    binding_is_purged_with_its_key,
    ageing_changes_every_claim_of_a_key,
);

async fn only_old_keys_with_an_outcome_are_purged(place: Place) {
    let shop = place.shop().await;
    // Two old keys: the key of the creation has an outcome, and the key of the payment, which is under way, has none.
    let (_, attempt) = shop.begun(&[("song", 1)], "old").await;
    shop.opened_at(noon() + hours(1), &[("song", 1)], "young").await;
    let keys =
        || place.raw().texts("SELECT operation || ' ' || idempotency_key AS value FROM idempotency_key ORDER BY 1");
    assert_eq!(shop.keys.purge(&task(), noon(), 10).await.expect("purged"), 0);
    assert_eq!(shop.keys.purge(&task(), noon() + hours(1), 10).await.expect("purged"), 1);
    assert_eq!(keys(), ["checkout.complete old", "checkout.create young"]);

    shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    assert_eq!(shop.keys.purge(&task(), noon() + hours(1), 10).await.expect("purged"), 1);
    assert_eq!(keys(), ["checkout.create young"]);
}

async fn purge_of_more_keys_than_its_limit_deletes_the_limit(place: Place) {
    let shop = place.shop().await;
    for round in 0..3 {
        shop.opened(&[("song", 1)], &format!("k{round}")).await;
    }
    let purge = || shop.keys.purge(&task(), noon() + RETENTION, 2);
    assert_eq!(purge().await.expect("purged"), 2);
    assert_eq!(purge().await.expect("purged"), 1);
    assert_eq!(purge().await.expect("purged"), 0);
}

async fn binding_is_purged_with_its_key(place: Place) {
    let shop = place.shop().await;
    let bindings =
        || place.raw().texts("SELECT operation || ' ' || idempotency_key AS value FROM idempotency_binding ORDER BY 1");
    for key in ["k1", "k2"] {
        shop.bought(&[("song", 1)], key).await;
    }
    shop.begun(&[("song", 1)], "open").await;
    let bound = ["k1", "k2", "open"].map(|key| format!("checkout.complete {key}"));
    assert_eq!(bindings(), bound, "what makes something new is bound to nothing");
    assert_eq!(shop.keys.purge(&task(), noon(), 10).await.expect("purged"), 0);
    assert_eq!(bindings(), bound);
    assert_eq!(shop.keys.purge(&task(), noon() + hours(1), 1).await.expect("purged"), 1, "a bounded purge");
    while shop.keys.purge(&task(), noon() + hours(1), 1).await.expect("purged") > 0 {}
    assert_eq!(bindings(), bound[2..]);
    assert_eq!(place.raw().count("idempotency_key"), 1, "whose outcome is not known");
}

async fn ageing_changes_every_claim_of_a_key(place: Place) {
    let shop = place.shop().await;
    shop.begun(&[("song", 1)], "k1").await;
    shop.opened(&[("song", 1)], "k2").await;
    assert_eq!(shop.keys.age(&task(), "k1".into(), 3).await.expect("aged"), 2);
    assert_eq!(shop.keys.age(&task(), "k9".into(), 3).await.expect("aged"), 0);
    let aged = format!(
        "SELECT count(*) FROM idempotency_key WHERE idempotency_key = 'k1' AND created_at = {}",
        (noon() - hours(3)).unix_timestamp() * 1_000
    );
    assert_eq!(place.raw().number(&aged), 2);
}
