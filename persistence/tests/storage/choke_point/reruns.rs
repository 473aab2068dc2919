//! Conflicts between transactions: the whole transaction that failed runs again, a few times at most.

use std::time::Duration;

use domain::checkout::CheckoutStore;
use domain::fault::FaultKind;

use super::THE_SONG;
use crate::kit::data::{ALICE, PATIENCE, begin, create, new_checkout, recorded, request};
use crate::kit::{Expected, Place, until};
use crate::on_postgres;

on_postgres!(
    a_deadlock_is_run_again,
    a_serialization_failure_is_run_again,
    a_serialization_failure_of_the_commit_is_run_again,
    repeated_serialization_failure_is_contention,
    lock_timeout_is_not_run_again,
);

async fn a_deadlock_is_run_again(place: Place) {
    let shop = place.shop().await;
    let id = shop.opened(&[("song", 1)], "k1").await.id;
    let (mut other, mut observer) = (place.raw(), place.raw());
    other.hold(THE_SONG);
    let (ctx, logs) = recorded(ALICE, PATIENCE);
    let meanwhile = async {
        until("it waits for the song", || observer.waiting() == 1).await;
        // Only the connection of the shop looks for a deadlock in time, so its transaction is the one that fails.
        other.execute("SET deadlock_timeout = '60s'");
        other.execute(&format!("SELECT id FROM checkout WHERE id = '{id}' FOR UPDATE"));
        other.release();
    };
    let (begun, ()) = tokio::join!(shop.checkouts.begin_completion(&ctx, begin(&id, "k2")), meanwhile);
    begun.expect("begun, by the second run");
    assert_eq!(place.raw().level("song"), (10, 1));
    assert_eq!(logs.count("transaction retried attempt=1 reason=deadlock op=checkout.begin_completion"), 1, "{logs:?}");
}

/// Makes the first `failures` inserts of a checkout fail. A sequence counts them, because a sequence is not rolled
/// back.
fn unlucky(place: &Place, failures: u32, when: &str) {
    place.raw().execute(&format!(
        "CREATE SEQUENCE attempts;
         CREATE FUNCTION be_unlucky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('attempts') <= {failures} THEN
                 RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
             END IF;
             RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER unlucky AFTER INSERT ON checkout {when}
         FOR EACH ROW EXECUTE FUNCTION be_unlucky();"
    ));
}

const AT_ONCE: &str = "NOT DEFERRABLE";
const IN_THE_COMMIT: &str = "DEFERRABLE INITIALLY DEFERRED";

async fn a_serialization_failure_is_run_again(place: Place) {
    succeeds_the_third_time(place, AT_ONCE).await;
}

async fn a_serialization_failure_of_the_commit_is_run_again(place: Place) {
    succeeds_the_third_time(place, IN_THE_COMMIT).await;
}

async fn succeeds_the_third_time(place: Place, when: &str) {
    let shop = place.shop().await;
    unlucky(&place, 2, when);
    let (ctx, logs) = recorded(ALICE, PATIENCE);
    let created = shop.checkouts.create(&ctx, create("k1"), new_checkout(request(&[("song", 1)]))).await;
    assert!(!created.expect("created").replayed);
    assert_eq!(place.raw().count("checkout"), 1);
    assert_eq!(logs.count("transaction retried"), 2, "{logs:?}");
    assert_eq!(logs.count("transaction retried attempt=2 reason=serialization op=checkout.create"), 1, "{logs:?}");
}

async fn repeated_serialization_failure_is_contention(place: Place) {
    let shop = place.shop().await;
    unlucky(&place, 1_000, AT_ONCE);
    let before = place.raw().state();
    let (ctx, logs) = recorded(ALICE, PATIENCE);
    let fault = shop.checkouts.create(&ctx, create("k1"), new_checkout(request(&[("song", 1)]))).await.fault();
    assert_eq!(fault.kind(), FaultKind::Contention, "{}", fault.chain());
    assert_eq!(place.raw().number("SELECT last_value FROM attempts"), 4);
    assert_eq!(logs.count("transaction retried"), 3, "{logs:?}");
    assert_eq!(place.raw().state(), before);
}

async fn lock_timeout_is_not_run_again(place: Place) {
    let shop = place.shop_with(|config| config.lock_timeout = Duration::from_millis(100)).await;
    let id = shop.opened(&[("song", 1)], "k1").await.id;
    let mut other = place.raw();
    other.hold(THE_SONG);
    let (ctx, logs) = recorded(ALICE, PATIENCE);
    let fault = shop.checkouts.begin_completion(&ctx, begin(&id, "k2")).await.fault();
    assert_eq!(fault.kind(), FaultKind::Contention, "{}", fault.chain());
    assert_eq!(logs.count("transaction retried"), 0, "{logs:?}");
    other.release();
}
