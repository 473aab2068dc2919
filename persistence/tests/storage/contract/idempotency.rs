//! The write of an idempotency key runs once, for any request and any number of repetitions.

use std::sync::Arc;

use domain::checkout::{Answer, CheckoutId, CheckoutRefusal, CheckoutStore, CompletionState};
use domain::clock::Timestamp;
use domain::fault::Failure;
use domain::idempotency::{Fingerprint, IdempotencyStore, KeyRefusal, RETENTION};
use domain::payment::PaymentOutcome;
use tokio::task::JoinSet;

use crate::kit::data::{
    BOB, about, alice, begin, bob, cancel, create, create_at, hours, new_checkout, noon, request, task, update,
};
use crate::kit::{Place, Shop, refusal};
use crate::on_both_engines;

on_both_engines!(
    replay_returns_identical_bytes,
    replay_returns_the_first_outcome,
    outcome_without_a_sale_is_replayed,
    a_key_used_for_another_request_is_refused,
    a_key_belongs_to_one_resource_of_an_operation,
    keys_are_separate_for_operations_and_platforms,
    a_key_without_an_outcome_is_free_for_another_resource,
    expired_key_is_free_for_another_resource,
    binding_without_its_key_does_not_count,
    a_refused_write_leaves_its_key_free,
    expired_key_is_claimed_again,
    concurrent_writes_with_one_key_run_once,
    concurrent_writes_with_one_expired_key_run_once,
);

fn bytes(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(&answer.outcome).expect("a document")
}

async fn replay_returns_identical_bytes(place: Place) {
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

async fn replay_returns_the_first_outcome(place: Place) {
    let shop = place.shop().await;
    let book = &shop.checkouts;
    let first = book.create(&alice(), create("k1"), new_checkout(request(&[("song", 2)]))).await.expect("created");
    let id = about(&first.outcome).id.clone();
    book.cancel(&alice(), cancel(&id, "k2"), id.clone()).await.expect("canceled");
    let again = book.create(&alice(), create("k1"), new_checkout(request(&[("song", 2)]))).await.expect("replayed");
    assert_eq!(bytes(&first), bytes(&again));
}

async fn outcome_without_a_sale_is_replayed(place: Place) {
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
    shop.opened(&[("song", 1)], "k1").await;
    let mut other = create("k1");
    other.claim.fingerprint = Fingerprint("another body".into());
    let before = place.raw().state();
    let refused = shop.checkouts.create(&alice(), other, new_checkout(request(&[("book", 1)]))).await;
    assert_eq!(refusal(refused), CheckoutRefusal::Key(KeyRefusal::Reused));
    assert_eq!(place.raw().state(), before);
}

/// The kinds of writes that have a resource.
const KINDS: [&str; 3] = ["update", "cancel", "complete"];

/// Runs a write of this kind. `Ok(true)` means that the outcome is a replay.
async fn write(shop: &Shop, kind: &str, id: &CheckoutId, key: &str) -> Result<bool, Failure<CheckoutRefusal>> {
    let (book, ctx) = (&shop.checkouts, alice());
    let answer = match kind {
        "update" => book.update(&ctx, update(id, key), id.clone(), request(&[("book", 1)])).await?,
        "cancel" => book.cancel(&ctx, cancel(id, key), id.clone()).await?,
        _ => match book.begin_completion(&ctx, begin(id, key)).await? {
            CompletionState::Answered(answer) => answer,
            CompletionState::Claimed { attempt, .. } => {
                shop.settle(&attempt, PaymentOutcome::Confirmed).await;
                return Ok(false);
            }
            other => panic!("{other:?}"),
        },
    };
    Ok(answer.replayed)
}

const REUSED: CheckoutRefusal = CheckoutRefusal::Key(KeyRefusal::Reused);

async fn a_key_belongs_to_one_resource_of_an_operation(place: Place) {
    let shop = place.shop().await;
    for kind in KINDS {
        let [first, second] = two(&shop, kind).await;
        assert!(!write(&shop, kind, &first, kind).await.expect("done"), "{kind}");
        let before = place.raw().state();
        assert_eq!(refusal(write(&shop, kind, &second, kind).await), REUSED, "{kind}");
        assert_eq!(place.raw().state(), before, "{kind} changed something");
        assert!(write(&shop, kind, &first, kind).await.expect("repeated"), "{kind}");
        // With another key the write runs.
        assert!(!write(&shop, kind, &second, &format!("{kind}-2")).await.expect("done"), "{kind}");
    }
}

async fn two(shop: &Shop, name: &str) -> [CheckoutId; 2] {
    [
        shop.opened(&[("song", 1)], &format!("{name}-first")).await.id,
        shop.opened(&[("song", 1)], &format!("{name}-second")).await.id,
    ]
}

/// The protocol says that a key is unique for each client and each type of operation.
async fn keys_are_separate_for_operations_and_platforms(place: Place) {
    let shop = place.shop().await;
    let id = shop.opened(&[("song", 1)], "k1").await.id;
    for kind in ["update", "complete"] {
        assert!(!write(&shop, kind, &id, "k1").await.expect("done"), "{kind}");
    }
    let as_bob = |mut claimed: domain::idempotency::Write| {
        claimed.claim.principal = BOB.into();
        claimed
    };
    let new = new_checkout(request(&[("song", 1)]));
    let bobs = shop.checkouts.create(&bob(), as_bob(create("k1")), new).await.expect("created");
    assert!(!bobs.replayed);
    let id = about(&bobs.outcome).id.clone();
    let bobs = as_bob(update(&id, "k1"));
    let bobs = shop.checkouts.update(&bob(), bobs, id, request(&[("book", 1)])).await.expect("updated");
    assert!(!bobs.replayed);
}

/// The first key is released because the gateway was not reached. The second is never stored because the write was
/// refused.
async fn a_key_without_an_outcome_is_free_for_another_resource(place: Place) {
    let shop = place.shop().await;
    let [first, second] = two(&shop, "k").await;
    let (_, attempt) = shop.begin(&first, "k1").await;
    assert_eq!(refusal(write(&shop, "complete", &second, "k1").await), REUSED, "while it is under way");
    shop.settle(&attempt, PaymentOutcome::NotAttempted).await;
    assert_eq!(place.raw().count("idempotency_binding"), 0);
    assert!(!write(&shop, "complete", &second, "k1").await.expect("done"));

    let unknown = new_checkout(request(&[("song", 1)])).id;
    assert_eq!(refusal(write(&shop, "cancel", &unknown, "k2").await), CheckoutRefusal::NotFound);
    assert!(!write(&shop, "cancel", &first, "k2").await.expect("done"));
}

async fn expired_key_is_free_for_another_resource(place: Place) {
    let shop = place.shop().await;
    let [first, second] = two(&shop, "k").await;
    write(&shop, "update", &first, "k1").await.expect("done");
    shop.keys.age(&task(), "k1".into(), 47).await.expect("aged");
    assert_eq!(refusal(write(&shop, "update", &second, "k1").await), REUSED);
    shop.keys.age(&task(), "k1".into(), 1).await.expect("aged");
    assert!(!write(&shop, "update", &second, "k1").await.expect("done"));
    assert_eq!(refusal(write(&shop, "update", &first, "k1").await), REUSED, "it is the key of the second now");

    // A payment with an unknown outcome keeps its key at any age.
    shop.begin(&first, "k2").await;
    shop.keys.age(&task(), "k2".into(), 480).await.expect("aged");
    assert_eq!(refusal(write(&shop, "complete", &second, "k2").await), REUSED);
}

/// An operator may have deleted the key by hand.
async fn binding_without_its_key_does_not_count(place: Place) {
    let shop = place.shop().await;
    let [first, second] = two(&shop, "k").await;
    write(&shop, "update", &first, "k1").await.expect("done");
    place.raw().execute("DELETE FROM idempotency_key");
    assert!(!write(&shop, "update", &first, "k1").await.expect("done again"));
    place.raw().execute("DELETE FROM idempotency_key");
    assert!(!write(&shop, "update", &second, "k1").await.expect("done"));
    assert_eq!(refusal(write(&shop, "update", &first, "k1").await), REUSED);
}

async fn a_refused_write_leaves_its_key_free(place: Place) {
    let shop = place.shop().await;
    let new = new_checkout(request(&[("song", 1)]));
    let id = new.id.clone();
    let before = place.raw().state();
    let refused = shop.checkouts.cancel(&alice(), cancel(&id, "k1"), id.clone()).await;
    assert_eq!(refusal(refused), CheckoutRefusal::NotFound);
    assert_eq!(place.raw().state(), before);
    // The same key and request work after there is a checkout to cancel.
    shop.checkouts.create(&alice(), create("k2"), new).await.expect("created");
    let answer = shop.checkouts.cancel(&alice(), cancel(&id, "k1"), id.clone()).await.expect("canceled");
    assert!(!answer.replayed);
}

async fn expired_key_is_claimed_again(place: Place) {
    let shop = place.shop().await;
    let first = shop.opened(&[("song", 1)], "k1").await;
    let create_later = |later| {
        let mut write = create_at(later, "k1");
        write.claim.fingerprint = Fingerprint("another body".into());
        shop.checkouts.create(&alice(), write, new_checkout(request(&[("book", 1)])))
    };
    let a_moment_early = noon() + RETENTION - time::Duration::milliseconds(1);
    assert_eq!(refusal(create_later(a_moment_early).await), CheckoutRefusal::Key(KeyRefusal::Reused));
    let answer = create_later(noon() + RETENTION).await.expect("created");
    assert!(!answer.replayed);
    assert_ne!(about(&answer.outcome).id, first.id);
    // After that the new outcome is replayed.
    let again = create_later(noon() + RETENTION + hours(1)).await.expect("replayed");
    assert!(again.replayed);
    assert_eq!(bytes(&answer), bytes(&again));
}

async fn concurrent_writes_with_one_key_run_once(place: Place) {
    let shop = Arc::new(place.shop().await);
    let answers = at_once(&shop, "k1", noon()).await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| bytes(answer) == bytes(&answers[0])));
    assert_eq!(place.raw().count("checkout"), 1);
}

async fn concurrent_writes_with_one_expired_key_run_once(place: Place) {
    let shop = Arc::new(place.shop().await);
    shop.opened(&[("song", 1)], "k1").await;
    assert_eq!(shop.keys.age(&task(), "k1".into(), 48).await.expect("aged"), 1);
    let answers = at_once(&shop, "k1", noon()).await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| bytes(answer) == bytes(&answers[0])));
    assert_eq!(place.raw().count("checkout"), 2);
}

/// Runs eight callers with the same key and request. A caller that gets "in progress" sends its request again.
async fn at_once(shop: &Arc<Shop>, key: &'static str, now: Timestamp) -> Vec<Answer> {
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let shop = shop.clone();
        callers.spawn(async move {
            loop {
                let new = new_checkout(request(&[("song", 1)]));
                match shop.checkouts.create(&alice(), create_at(now, key), new).await {
                    Ok(answer) => return answer,
                    Err(Failure::Refused(CheckoutRefusal::Key(KeyRefusal::InProgress))) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    callers.join_all().await
}

mod locked {
    use super::{Arc, IdempotencyStore, Place, alice, at_once, bytes, noon, task};
    use crate::kit::{data, until};

    crate::on_postgres!(expired_key_seen_by_several_is_claimed_once, expired_key_is_bound_to_one_of_several_resources,);

    /// All writers wait for the binding before one of them can take it over.
    async fn expired_key_is_bound_to_one_of_several_resources(place: Place) {
        let shop = Arc::new(place.shop_with(|config| config.pool_size = 8).await);
        let [first, second] = super::two(&shop, "a").await;
        let [third, fourth] = super::two(&shop, "b").await;
        super::write(&shop, "update", &first, "k1").await.expect("done");
        assert_eq!(shop.keys.age(&task(), "k1".into(), 48).await.expect("aged"), 1);
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.hold("SELECT 1 FROM idempotency_binding");
        let mut writers = super::JoinSet::new();
        for id in [first, second, third, fourth] {
            let shop = shop.clone();
            writers.spawn(async move { super::write(&shop, "update", &id, "k1").await });
        }
        until("all four wait for the binding", || observer.waiting() == 4).await;
        other.release();
        let (done, refused): (Vec<_>, Vec<_>) = writers.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(done.into_iter().map(|replayed| replayed.expect("done")).collect::<Vec<_>>(), [false]);
        assert!(refused.into_iter().all(|write| super::refusal(write) == super::REUSED));
        // The sum of the versions: four checkouts, the earlier change, and the change of the writer that got the key.
        assert_eq!(place.raw().number("SELECT sum(version) FROM checkout"), 4 + 2);
    }

    /// All callers have read the old outcome before one of them can replace it.
    async fn expired_key_seen_by_several_is_claimed_once(place: Place) {
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
        domain::checkout::CheckoutStore::read(&shop.checkouts, &alice(), read).await.expect("the one that was made");
    }
}
