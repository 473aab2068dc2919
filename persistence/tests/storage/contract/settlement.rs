//! Settlement: a paid checkout becomes exactly one order, and held stock is always released or sold.

use std::sync::Arc;
use std::time::Duration;

use domain::checkout::{Answer, CheckoutStore, CompletionState, MessageCode, Outcome, Settlement, Status};
use domain::idempotency::{IdempotencyStore, RETENTION};
use domain::import::Batch;
use domain::order::{LineStatus, OrderEventKind, OrderStore};
use domain::payment::{AttemptState, AttemptStore, PaymentOutcome};
use tokio::task::JoinSet;

use crate::kit::Place;
use crate::kit::data::{
    about, alice, begin, hours, new_checkout, noon, product, rich_request, settlement, stock, task, usd,
};
use crate::on_both_engines;

on_both_engines!(
    a_confirmed_payment_places_one_order_and_takes_the_stock,
    order_contains_lines_and_address_of_the_checkout,
    declined_payment_releases_the_stock_and_allows_another,
    a_payment_that_was_not_attempted_releases_the_stock_and_refuses_nothing,
    payment_never_attempted_frees_its_key,
    second_settlement_returns_the_first_outcome,
    concurrent_settlements_place_one_order,
    free_checkout_becomes_an_order,
    a_payment_of_unknown_outcome_can_still_be_settled,
    settlement_of_an_unrecorded_attempt_is_a_fault,
    outcome_of_a_late_settlement_is_replayed_for_the_whole_retention,
    settlement_without_its_key_changes_nothing,
    order_of_any_number_of_lines_keeps_them_all,
);

async fn a_confirmed_payment_places_one_order_and_takes_the_stock(place: Place) {
    let shop = place.shop().await;
    let (begun, attempt) = shop.begun(&[("song", 3)], "k1").await;
    let outcome = shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    let Outcome::Checkout(completed) = &outcome else { panic!("not completed: {outcome:?}") };
    assert_eq!((completed.status, completed.version), (Status::Completed, begun.version + 1));
    assert_eq!(completed.attempt, Some(attempt.id.clone()));
    assert_eq!(shop.checkouts.read(&alice(), begun.id.clone()).await.expect("read"), *completed);
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.count("orders")), ((7, 0), 1));
    assert_eq!(raw.texts("SELECT state AS value FROM payment_attempt"), ["confirmed"]);
}

async fn order_contains_lines_and_address_of_the_checkout(place: Place) {
    let shop = place.shop().await;
    let new = new_checkout(rich_request());
    shop.checkouts.create(&alice(), crate::kit::data::create("k1"), new.clone()).await.expect("created");
    let (checkout, attempt) = shop.begin(&new.id, "k2").await;
    let outcome = shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    let link = about(&outcome).order.clone().expect("an order");
    let order = shop.orders.read(&task(), link.id.clone()).await.expect("read").expect("an order");
    assert_eq!((order.id.clone(), order.page.clone(), order.checkout.clone()), (link.id, link.page, checkout.id));
    assert_eq!((order.owner.clone(), order.placed_at), (checkout.owner, noon()));
    assert_eq!(order.totals, checkout.details.totals);
    assert_eq!(order.attribution, checkout.details.attribution);
    let sold: Vec<_> = order.lines.iter().map(|line| (line.sku.as_str(), line.original, line.status())).collect();
    assert_eq!(sold, [("rose", 1, LineStatus::Processing), ("book", 2, LineStatus::Processing)]);
    let discounts: Vec<_> = order.lines.iter().map(|line| line.discount).collect();
    assert_eq!(discounts, checkout.details.lines.iter().map(|line| line.discount).collect::<Vec<_>>());
    assert_eq!(order.expectations.len(), 1);
    assert_eq!(order.expectations[0].destination, crate::kit::data::address("2 Side St"));
    assert!(matches!(order.events[..], [ref placed] if placed.kind == OrderEventKind::Placed));
    assert_eq!(shop.orders.read_page(&task(), order.page.clone()).await.expect("read"), Some(order));
}

async fn outcome_of_a_late_settlement_is_replayed_for_the_whole_retention(place: Place) {
    let shop = place.shop().await;
    let (checkout, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let settled_at = noon() + hours(49);
    let late = Settlement { now: settled_at, ..settlement(&attempt, PaymentOutcome::Confirmed) };
    let outcome = shop.checkouts.settle(&task(), late).await.expect("settled");
    shop.keys.purge(&task(), settled_at - Duration::from_millis(1), 10).await.expect("purged");
    let mut repeated = begin(&checkout.id, "k1");
    repeated.write.now = settled_at + RETENTION - Duration::from_millis(1);
    let state = shop.checkouts.begin_completion(&alice(), repeated).await.expect("replayed");
    assert_eq!(state, CompletionState::Answered(Answer { outcome, replayed: true }));
}

async fn declined_payment_releases_the_stock_and_allows_another(place: Place) {
    let shop = place.shop().await;
    let (checkout, attempt) = shop.begun(&[("song", 3)], "k1").await;
    let outcome = shop.settle(&attempt, PaymentOutcome::Declined("Not enough money".into())).await;
    let Outcome::Declined(declined) = &outcome else { panic!("not declined: {outcome:?}") };
    assert_eq!(
        (declined.status, declined.attempt.clone(), declined.order.clone()),
        (Status::ReadyForComplete, None, None)
    );
    let messages: Vec<_> =
        declined.details.messages.iter().map(|message| (message.code, message.content.as_str())).collect();
    assert_eq!(messages, [(MessageCode::PaymentFailed, "Not enough money")]);
    assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), *declined);
    assert_eq!(place.raw().level("song"), (10, 0));

    let (_, second) = shop.begin(&checkout.id, "k2").await;
    shop.settle(&second, PaymentOutcome::Confirmed).await;
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.count("orders")), ((7, 0), 1));
    // The first key still returns its outcome.
    let again = shop.checkouts.begin_completion(&alice(), begin(&checkout.id, "k1")).await.expect("replayed");
    assert!(matches!(again, domain::checkout::CompletionState::Answered(answer) if answer.outcome == outcome));
}

async fn a_payment_that_was_not_attempted_releases_the_stock_and_refuses_nothing(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 3)], "k1").await;
    let outcome = shop.settle(&attempt, PaymentOutcome::NotAttempted).await;
    let Outcome::Checkout(checkout) = &outcome else { panic!("refused: {outcome:?}") };
    assert_eq!((checkout.status, &checkout.attempt), (Status::ReadyForComplete, &None));
    let codes: Vec<_> = checkout.details.messages.iter().map(|message| message.code).collect();
    assert_eq!(codes, [MessageCode::PaymentNotAttempted]);
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.count("orders")), ((10, 0), 0));
    assert_eq!(raw.texts("SELECT state AS value FROM payment_attempt"), ["cancelled"]);
}

async fn payment_never_attempted_frees_its_key(place: Place) {
    let shop = place.shop().await;
    let (checkout, attempt) = shop.begun(&[("song", 3)], "k1").await;
    shop.settle(&attempt, PaymentOutcome::NotAttempted).await;
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.count("orders"), raw.count("idempotency_key")), ((10, 0), 0, 1));
    let (_, second) = shop.begin(&checkout.id, "k1").await;
    assert_ne!(second.id, attempt.id);
}

async fn second_settlement_returns_the_first_outcome(place: Place) {
    let shop = place.shop().await;
    for (round, first) in [
        PaymentOutcome::Confirmed,
        PaymentOutcome::Declined("no".into()),
        PaymentOutcome::ActionRequired,
        PaymentOutcome::NotAttempted,
    ]
    .into_iter()
    .enumerate()
    {
        let (_, attempt) = shop.begun(&[("song", 1)], &format!("k{round}")).await;
        let outcome = shop.settle(&attempt, first.clone()).await;
        let after = place.raw().state();
        // Even if the second settlement has another outcome, nothing changes.
        for second in [first, PaymentOutcome::Confirmed, PaymentOutcome::Declined("late".into())] {
            assert_eq!(shop.settle(&attempt, second).await, outcome);
            assert_eq!(place.raw().state(), after);
        }
    }
}

async fn concurrent_settlements_place_one_order(place: Place) {
    let shop = Arc::new(place.shop().await);
    let (_, attempt) = shop.begun(&[("song", 2)], "k1").await;
    let mut settlers = JoinSet::new();
    for settler in 0..6 {
        let (shop, attempt) = (shop.clone(), attempt.clone());
        let outcome = if settler % 2 == 0 { PaymentOutcome::Confirmed } else { PaymentOutcome::NotAttempted };
        settlers.spawn(async move { shop.settle(&attempt, outcome).await });
    }
    let outcomes = settlers.join_all().await;
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
    // No order is placed if the first settlement was without a charge: the checkout is then open again.
    let placed = i64::from(about(&outcomes[0]).order.is_some());
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.count("orders")), ((10 - 2 * placed, 0), placed));
}

async fn free_checkout_becomes_an_order(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("gift", 1)], "k1").await;
    assert!(attempt.money.amount.is_zero());
    let outcome = shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    let link = about(&outcome).order.clone().expect("an order");
    let order = shop.orders.read(&task(), link.id).await.expect("read").expect("an order");
    assert!(order.totals.total().is_zero());
    assert_eq!(place.raw().level("gift"), (9, 0));
}

async fn a_payment_of_unknown_outcome_can_still_be_settled(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    shop.attempts.record_unknown(&task(), attempt.id.clone(), noon()).await.expect("recorded");
    let outcome = shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    assert!(matches!(&outcome, Outcome::Checkout(checkout) if checkout.status == Status::Completed));
    // Reports after the settlement change nothing.
    shop.attempts.record_unknown(&task(), attempt.id.clone(), noon()).await.expect("ignored");
    let due = shop.attempts.claim_due(&task(), noon(), std::time::Duration::ZERO, 10).await.expect("claimed");
    assert!(due.is_empty(), "{due:?}");
    assert_eq!(place.raw().level("song"), (9, 0));
}

async fn settlement_of_an_unrecorded_attempt_is_a_fault(place: Place) {
    let shop = place.shop().await;
    let (_, mut attempt) = shop.begun(&[("song", 1)], "k1").await;
    attempt.id = domain::payment::AttemptId::generate(noon());
    assert_eq!(attempt.state, AttemptState::Opened);
    let fault = shop.checkouts.settle(&task(), settlement(&attempt, PaymentOutcome::Confirmed)).await;
    assert_eq!(fault.expect_err("a fault").kind(), domain::fault::FaultKind::Internal);
    assert_eq!(place.raw().level("song"), (10, 1));
}

async fn settlement_without_its_key_changes_nothing(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 3)], "k1").await;
    let mut raw = place.raw();
    raw.execute("DELETE FROM idempotency_key WHERE operation = 'checkout.complete'");
    let before = raw.state();
    let settled = shop.checkouts.settle(&task(), settlement(&attempt, PaymentOutcome::Confirmed)).await;
    let fault = settled.expect_err("no key for the outcome");
    assert!(fault.chain().contains("has no such key"), "{}", fault.chain());
    assert_eq!(raw.state(), before);
}

async fn order_of_any_number_of_lines_keeps_them_all(place: Place) {
    let shop = place.shop().await;
    let ids: Vec<String> = (1..=11).map(|number| format!("item_{number:02}")).collect();
    let products = ids.iter().map(|id| product(id, 100, false)).collect();
    let stock = ids.iter().map(|id| stock(id, 50)).collect();
    shop.stock(Batch { products, stock, ..Batch::empty(usd()) }).await;
    for count in 1..=ids.len() {
        let lines: Vec<(&str, i64)> = ids[..count].iter().map(|id| (id.as_str(), 1)).collect();
        let link = shop.bought(&lines, &format!("k{count}")).await.order.expect("an order");
        let order = shop.orders.read(&task(), link.id).await.expect("read").expect("an order");
        let sold: Vec<&str> = order.lines.iter().map(|line| line.sku.as_str()).collect();
        assert_eq!(sold, ids[..count]);
    }
}
