//! A key does its work once, whatever is sent with it and however often.

use std::sync::Arc;

use domain::checkout::{Answer, CheckoutBook, CheckoutError, CheckoutRefusal};
use domain::clock::Timestamp;
use domain::idempotency::{ClaimRefusal, Fingerprint, IdempotencyRecords, RETENTION};
use tokio::task::JoinSet;

use crate::kit::data::{about, alice, cancel, create, create_at, hours, new_checkout, noon, request, task, update};
use crate::kit::{Place, Shop, refusal};
use crate::on_both_engines;

on_both_engines!(
    a_repeated_request_gets_the_same_answer_to_the_byte,
    a_repetition_is_answered_as_things_were_then,
    an_answer_that_sold_nothing_is_repeated_too,
    a_key_used_for_another_request_is_refused,
    a_key_counts_within_its_scope_only,
    a_refused_write_leaves_its_key_free,
    a_key_is_claimed_anew_once_its_answer_is_too_old_to_repeat,
    many_at_once_with_one_key_do_it_once,
    many_at_once_with_one_outlived_key_do_it_once,
);

fn bytes(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(&answer.outcome).expect("a document")
}

async fn a_repeated_request_gets_the_same_answer_to_the_byte(place: Place) {
    let shop = place.shop().await;
    let book = &shop.checkouts;
    let first = book.create(&alice(), create("k1"), new_checkout(request(&[("song", 2)]))).await.expect("created");
    let again = book.create(&alice(), create("k1"), new_checkout(request(&[("song", 2)]))).await.expect("replayed");
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!(bytes(&first), bytes(&again));
    assert_eq!(place.raw().count("checkout"), 1);

    let id = about(&first.outcome).id.clone();
    let first = book.update(&alice(), update(&id, "k2"), id.clone(), request(&[("book", 1)])).await.expect("updated");
    let again = book.update(&alice(), update(&id, "k2"), id.clone(), request(&[("book", 1)])).await.expect("replayed");
    assert!(again.replayed);
    assert_eq!(bytes(&first), bytes(&again));
    assert_eq!(book.read(&alice(), id).await.expect("read").version, 2);
}

async fn a_repetition_is_answered_as_things_were_then(place: Place) {
    let shop = place.shop().await;
    let book = &shop.checkouts;
    let first = book.create(&alice(), create("k1"), new_checkout(request(&[("song", 2)]))).await.expect("created");
    let id = about(&first.outcome).id.clone();
    book.cancel(&alice(), cancel(&id, "k2"), id.clone()).await.expect("canceled");
    let again = book.create(&alice(), create("k1"), new_checkout(request(&[("song", 2)]))).await.expect("replayed");
    assert_eq!(bytes(&first), bytes(&again));
}

async fn an_answer_that_sold_nothing_is_repeated_too(place: Place) {
    let shop = place.shop().await;
    let book = &shop.checkouts;
    let first = book.create(&alice(), create("k1"), new_checkout(request(&[("gone", 1)]))).await.expect("answered");
    shop.stock(domain::import::Batch {
        stock: vec![crate::kit::data::stock("gone", 5)],
        ..domain::import::Batch::empty(crate::kit::data::usd())
    })
    .await;
    let again = book.create(&alice(), create("k1"), new_checkout(request(&[("gone", 1)]))).await.expect("replayed");
    assert!(again.replayed);
    assert_eq!(bytes(&first), bytes(&again));
}

async fn a_key_used_for_another_request_is_refused(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("song", 1)], "k1").await;
    let mut other = create("k1");
    other.claim.fingerprint = Fingerprint("another body".into());
    let refused = shop.checkouts.create(&alice(), other, new_checkout(request(&[("book", 1)]))).await;
    assert_eq!(refusal(refused), CheckoutRefusal::Key(ClaimRefusal::Reused));
    assert_eq!(place.raw().count("checkout"), 1);
    assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), checkout);
}

async fn a_key_counts_within_its_scope_only(place: Place) {
    let shop = place.shop().await;
    let first = shop.opened(&[("song", 1)], "k1").await;
    // Another operation, another resource, another principal.
    shop.checkouts.cancel(&alice(), cancel(&first.id, "k1"), first.id.clone()).await.expect("canceled");
    let second = shop.opened(&[("song", 1)], "k2").await;
    shop.checkouts.cancel(&alice(), cancel(&second.id, "k1"), second.id.clone()).await.expect("canceled");
    let mut bobs = create("k1");
    bobs.claim.principal = domain::context::PlatformId(crate::kit::data::BOB.into());
    let new = new_checkout(request(&[("song", 1)]));
    let answer = shop.checkouts.create(&crate::kit::data::bob(), bobs, new).await.expect("created");
    assert!(!answer.replayed);
    assert_eq!(place.raw().count("checkout"), 3);
}

async fn a_refused_write_leaves_its_key_free(place: Place) {
    let shop = place.shop().await;
    let new = new_checkout(request(&[("song", 1)]));
    let id = new.id.clone();
    let refused = shop.checkouts.cancel(&alice(), cancel(&id, "k1"), id.clone()).await;
    assert_eq!(refusal(refused), CheckoutRefusal::NotFound);
    assert_eq!(place.raw().count("idempotency_key"), 0);
    // The very same key and request work once there is something to cancel.
    shop.checkouts.create(&alice(), create("k2"), new).await.expect("created");
    let answer = shop.checkouts.cancel(&alice(), cancel(&id, "k1"), id.clone()).await.expect("canceled");
    assert!(!answer.replayed);
}

async fn a_key_is_claimed_anew_once_its_answer_is_too_old_to_repeat(place: Place) {
    let shop = place.shop().await;
    let first = shop.opened(&[("song", 1)], "k1").await;
    let create_later = |later| {
        let mut write = create_at(later, "k1");
        write.claim.fingerprint = Fingerprint("another body".into());
        shop.checkouts.create(&alice(), write, new_checkout(request(&[("book", 1)])))
    };
    let a_moment_early = noon() + RETENTION - time::Duration::milliseconds(1);
    assert_eq!(refusal(create_later(a_moment_early).await), CheckoutRefusal::Key(ClaimRefusal::Reused));
    let answer = create_later(noon() + RETENTION).await.expect("created");
    assert!(!answer.replayed);
    assert_ne!(about(&answer.outcome).id, first.id);
    // From here on the new answer is the one that is repeated.
    let again = create_later(noon() + RETENTION + hours(1)).await.expect("replayed");
    assert!(again.replayed);
    assert_eq!(bytes(&answer), bytes(&again));
}

async fn many_at_once_with_one_key_do_it_once(place: Place) {
    let shop = Arc::new(place.shop().await);
    let answers = at_once(&shop, "k1", noon()).await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| bytes(answer) == bytes(&answers[0])));
    assert_eq!(place.raw().count("checkout"), 1);
}

async fn many_at_once_with_one_outlived_key_do_it_once(place: Place) {
    let shop = Arc::new(place.shop().await);
    shop.opened(&[("song", 1)], "k1").await;
    assert_eq!(shop.keys.age(&task(), "k1".into(), 48).await.expect("aged"), 1);
    let answers = at_once(&shop, "k1", noon()).await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| bytes(answer) == bytes(&answers[0])));
    assert_eq!(place.raw().count("checkout"), 2);
}

/// Eight callers with the same key and request. Whoever is told that another is at work asks again.
async fn at_once(shop: &Arc<Shop>, key: &'static str, now: Timestamp) -> Vec<Answer> {
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let shop = shop.clone();
        callers.spawn(async move {
            loop {
                let new = new_checkout(request(&[("song", 1)]));
                match shop.checkouts.create(&alice(), create_at(now, key), new).await {
                    Ok(answer) => return answer,
                    Err(CheckoutError::Refused(CheckoutRefusal::Key(ClaimRefusal::InProgress))) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    callers.join_all().await
}

mod locked {
    use super::{Arc, IdempotencyRecords, Place, alice, at_once, bytes, noon, task};
    use crate::kit::{data, until};

    crate::on_postgres!(all_who_saw_that_a_key_is_outlived_do_not_all_take_it);

    /// Everyone has read the old answer before anyone may replace it.
    async fn all_who_saw_that_a_key_is_outlived_do_not_all_take_it(place: Place) {
        let shop = Arc::new(place.shop_with(|config| config.pool_size = 8).await);
        shop.opened(&[("song", 1)], "k1").await;
        assert_eq!(shop.keys.age(&task(), "k1".into(), 48).await.expect("aged"), 1);
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.hold("SELECT 1 FROM idempotency_key");
        let callers = at_once(&shop, "k1", noon());
        let release = async {
            until("all eight wait for the key", || observer.waiting() == 8).await;
            other.release();
        };
        let (answers, ()) = tokio::join!(callers, release);
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        assert!(answers.iter().all(|answer| bytes(answer) == bytes(&answers[0])));
        assert_eq!(place.raw().count("checkout"), 2);
        let read = data::about(&answers[0].outcome).id.clone();
        domain::checkout::CheckoutBook::read(&shop.checkouts, &alice(), read).await.expect("the one that was made");
    }
}
