//! The begin of a completion: stock is held once, and never more than there is.

use domain::checkout::{BeginCompletion, CheckoutRefusal, CheckoutStore, CompletionState, MessageCode, Status};
use domain::idempotency::{Fingerprint, KeyRefusal};
use domain::money::{Amount, Money};
use domain::payment::{AttemptState, AttemptStore, PaymentOutcome};

use crate::kit::data::{COMPLETE, about, alice, begin, cancel, claim, noon, request, task, update, usd};
use crate::kit::{Place, refusal};
use crate::on_both_engines;

on_both_engines!(
    begin_holds_the_stock_and_records_the_attempt,
    checkout_in_progress_refuses_changes,
    same_key_waits_for_its_attempt,
    repeated_command_continues_as_the_owner_of_its_attempt,
    shortage_is_reported_and_stored_and_nothing_is_held,
    short_checkout_completes_after_restocking,
    completion_of_an_unready_checkout_leaves_the_key_free,
    completion_state_follows_the_attempt,
    released_key_is_claimed_again,
    attempt_released_by_its_owner_is_due_at_once,
);

async fn begin_holds_the_stock_and_records_the_attempt(place: Place) {
    let shop = place.shop().await;
    let opened = shop.opened(&[("song", 2), ("book", 1), ("song", 1)], "k1").await;
    let wanted = begin(&opened.id, "pay");
    let begun = shop.checkouts.begin_completion(&alice(), wanted.clone()).await.expect("begun");
    let CompletionState::Claimed { checkout, attempt } = begun else { panic!("not claimed: {begun:?}") };
    assert_eq!((checkout.status, checkout.version), (Status::CompleteInProgress, 2));
    assert_eq!(checkout.attempt, Some(wanted.attempt.clone()));
    assert_eq!(checkout.details.instruments, Vec::from_iter(wanted.instrument));
    assert_eq!(
        (attempt.id, attempt.checkout, attempt.state),
        (wanted.attempt, checkout.id.clone(), AttemptState::Opened)
    );
    assert_eq!(attempt.money, Money { amount: Amount::new(3 * 500 + 1_250), currency: usd() });
    assert_eq!((attempt.reference, attempt.checks), (None, 0));
    assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), checkout);
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.level("book")), ((10, 3), (10, 1)));
}

/// After a commit with an unknown outcome the same command runs again.
async fn repeated_command_continues_as_the_owner_of_its_attempt(place: Place) {
    let shop = place.shop().await;
    let opened = shop.opened(&[("song", 2)], "k1").await;
    let command = begin(&opened.id, "pay");
    let book = &shop.checkouts;
    let first = book.begin_completion(&alice(), command.clone()).await.expect("begun");
    let state = place.raw().state();
    let again = book.begin_completion(&alice(), command.clone()).await.expect("begun");
    assert_eq!(first, again);
    // Another command under the same key is not the owner.
    let other = book.begin_completion(&alice(), begin(&opened.id, "pay")).await.expect("begun");
    assert_eq!(other, CompletionState::InProgress);
    assert_eq!(place.raw().state(), state);
    // The command itself is no longer the owner, once another worker settles the payment.
    shop.attempts.record_unknown(&task(), command.attempt.clone(), noon()).await.expect("recorded");
    let late = book.begin_completion(&alice(), command).await.expect("begun");
    assert!(matches!(late, CompletionState::Unknown(_)), "{late:?}");
}

async fn checkout_in_progress_refuses_changes(place: Place) {
    let shop = place.shop().await;
    let (checkout, _) = shop.begun(&[("song", 1)], "k1").await;
    let (id, book) = (checkout.id.clone(), &shop.checkouts);
    let before = place.raw().state();
    assert_eq!(refusal(book.cancel(&alice(), cancel(&id, "k2"), id.clone()).await), CheckoutRefusal::InProgress);
    let updated = book.update(&alice(), update(&id, "k3"), id.clone(), request(&[("book", 1)])).await;
    assert_eq!(refusal(updated), CheckoutRefusal::InProgress);
    assert_eq!(refusal(book.begin_completion(&alice(), begin(&id, "k4")).await), CheckoutRefusal::InProgress);
    assert_eq!(place.raw().state(), before);
}

async fn same_key_waits_for_its_attempt(place: Place) {
    let shop = place.shop().await;
    let (checkout, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let (id, book) = (checkout.id.clone(), &shop.checkouts);
    let before = place.raw().state();
    assert_eq!(book.begin_completion(&alice(), begin(&id, "k1")).await.expect("state"), CompletionState::InProgress);
    let mut other = begin(&id, "k1");
    other.write.claim.fingerprint = Fingerprint("another body".into());
    let reused = CheckoutRefusal::Key(KeyRefusal::Reused);
    assert_eq!(refusal(book.begin_completion(&alice(), other).await), reused);
    assert_eq!(place.raw().state(), before);

    let outcome = shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    let begun = book.begin_completion(&alice(), begin(&id, "k1")).await.expect("replayed");
    let CompletionState::Answered(answer) = begun else { panic!("not answered: {begun:?}") };
    assert_eq!((answer.outcome, answer.replayed), (outcome, true));
}

async fn shortage_is_reported_and_stored_and_nothing_is_held(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("song", 6), ("book", 1)], "k1").await;
    shop.begun(&[("song", 6)], "k2").await;
    let begun = shop.checkouts.begin_completion(&alice(), begin(&checkout.id, "k3")).await.expect("answered");
    let CompletionState::Answered(answer) = begun else { panic!("not answered: {begun:?}") };
    let short = about(&answer.outcome);
    assert!(!answer.replayed);
    assert_eq!((short.status, short.version, short.attempt.clone()), (Status::Incomplete, 2, None));
    let codes: Vec<_> = short.details.messages.iter().map(|message| message.code).collect();
    assert_eq!(codes, [MessageCode::OutOfStock]);
    assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), *short);
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.level("book"), raw.count("payment_attempt")), ((10, 6), (10, 0), 1));

    let again = shop.checkouts.begin_completion(&alice(), begin(&checkout.id, "k3")).await.expect("replayed");
    let CompletionState::Answered(again) = again else { panic!("not answered: {again:?}") };
    assert_eq!((again.outcome, again.replayed), (answer.outcome, true));
}

async fn short_checkout_completes_after_restocking(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("song", 6)], "k1").await;
    let (_, rival) = shop.begun(&[("song", 6)], "k2").await;
    let short = shop.checkouts.begin_completion(&alice(), begin(&checkout.id, "k3")).await.expect("answered");
    assert!(matches!(short, CompletionState::Answered(_)));
    shop.settle(&rival, PaymentOutcome::Declined("no".into())).await;
    let (checkout, _) = shop.begin(&checkout.id, "k4").await;
    assert_eq!(checkout.details.messages, []);
    assert_eq!(place.raw().level("song"), (10, 6));
}

async fn completion_of_an_unready_checkout_leaves_the_key_free(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("rose", 1)], "k1").await;
    assert_eq!(checkout.status, Status::Incomplete);
    let before = place.raw().state();
    let refused = refusal(shop.checkouts.begin_completion(&alice(), begin(&checkout.id, "pay")).await);
    assert!(
        matches!(&refused, CheckoutRefusal::NotReady(missing) if missing.code == MessageCode::Missing),
        "{refused:?}"
    );
    assert_eq!(place.raw().state(), before);
    // The same key completes the checkout after the platform has added what was missing.
    let id = checkout.id;
    let wanted = request(&[("song", 1)]);
    shop.checkouts.update(&alice(), update(&id, "k2"), id.clone(), wanted).await.expect("updated");
    shop.begin(&id, "pay").await;
}

async fn completion_state_follows_the_attempt(place: Place) {
    let shop = place.shop().await;
    let (checkout, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let claim = || claim(COMPLETE, checkout.id.as_str(), "k1");
    let state = |claim| shop.checkouts.completion(&alice(), claim, checkout.id.clone());
    assert_eq!(state(claim()).await.expect("state"), CompletionState::InProgress);
    let mut other = claim();
    other.fingerprint = Fingerprint("another body".into());
    assert_eq!(refusal(state(other).await), CheckoutRefusal::Key(KeyRefusal::Reused));

    shop.attempts.record_unknown(&task(), attempt.id.clone(), noon()).await.expect("recorded");
    assert_eq!(state(claim()).await.expect("state"), CompletionState::Unknown(checkout.clone()));
    let again = shop.checkouts.begin_completion(&alice(), begin(&checkout.id, "k1")).await.expect("state");
    assert_eq!(again, CompletionState::Unknown(checkout.clone()));

    let outcome = shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    let answered = state(claim()).await.expect("state");
    let CompletionState::Answered(answer) = answered else { panic!("not answered: {answered:?}") };
    assert_eq!((answer.outcome, answer.replayed), (outcome, true));
    let free = self::claim(COMPLETE, checkout.id.as_str(), "k9");
    assert_eq!(state(free).await.expect("state"), CompletionState::Free);
    // The call only reads, and does not claim the key.
    assert_eq!(place.raw().count("idempotency_key"), 2);
    let foreign = crate::kit::data::bob();
    let asked = shop.checkouts.completion(&foreign, self::claim(COMPLETE, "", "k9"), checkout.id.clone()).await;
    assert_eq!(refusal(asked), CheckoutRefusal::NotFound);
}

async fn released_key_is_claimed_again(place: Place) {
    let shop = place.shop().await;
    let (checkout, attempt) = shop.begun(&[("song", 1)], "k1").await;
    shop.settle(&attempt, PaymentOutcome::NotAttempted).await;
    let claim = claim(COMPLETE, checkout.id.as_str(), "k1");
    let state = shop.checkouts.completion(&alice(), claim, checkout.id.clone()).await;
    assert_eq!(state.expect("state"), CompletionState::Free);
    let (_, second) = shop.begin(&checkout.id, "k1").await;
    let outcome = shop.settle(&second, PaymentOutcome::Confirmed).await;
    // The first attempt is settled late. That changes nothing, and returns the outcome of the second attempt.
    assert_eq!(shop.settle(&attempt, PaymentOutcome::Confirmed).await, outcome);
    assert_eq!((place.raw().level("song"), place.raw().count("orders")), ((9, 0), 1));
}

async fn attempt_released_by_its_owner_is_due_at_once(place: Place) {
    let shop = place.shop().await;
    let id = shop.opened(&[("song", 1)], "open").await.id;
    let begin = BeginCompletion { owned_for: std::time::Duration::from_secs(60), ..begin(&id, "k1") };
    let begun = shop.checkouts.begin_completion(&alice(), begin).await.expect("begun");
    let CompletionState::Claimed { attempt, .. } = begun else { panic!("not claimed: {begun:?}") };
    let claim_due = || shop.attempts.claim_due(&task(), noon(), std::time::Duration::from_secs(60), 5);
    assert_eq!(claim_due().await.expect("claimed").len(), 0);
    shop.attempts.postpone(&task(), &attempt, noon()).await.expect("given up");
    let claimed = claim_due().await.expect("claimed");
    assert_eq!(claimed.iter().map(|one| &one.id).collect::<Vec<_>>(), [&attempt.id]);
    // The owner is no longer the last claimer, so its second call does not end the lease of the current claim.
    shop.attempts.postpone(&task(), &attempt, noon()).await.expect("given up");
    assert_eq!(claim_due().await.expect("claimed").len(), 0);
}
