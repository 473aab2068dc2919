//! Two writers of one row: the second waits for the first, and then decides by its result.

use domain::checkout::{CheckoutRefusal, CheckoutStore, CompletionState, Outcome};
use domain::fault::Failure;
use domain::idempotency::KeyRefusal;
use domain::money::Amount;
use domain::order::{Adjustment, AdjustmentStatus, OrderChange, OrderChangeKind, OrderStore};
use domain::payment::{AttemptStore, PaymentOutcome, PaymentReference, RefundId, RefundStore, RefundWanted};

use crate::kit::data::{COMPLETE, alice, begin, cancel, create, new_checkout, noon, request, settlement, task, update};
use crate::kit::race::{locking, second};
use crate::kit::{Place, refusal};

crate::on_both_engines!(
    an_event_waits_for_the_event_before_it,
    a_refund_waits_for_the_refund_before_it,
    a_settlement_waits_for_the_one_before_it,
    a_change_of_a_checkout_waits_for_the_one_before_it,
    a_key_waits_for_its_first_claim,
    a_key_for_another_resource_waits_for_its_first_claim,
    key_for_another_resource_waits_until_it_is_released,
    a_reference_waits_for_the_settlement_before_it,
);

async fn an_event_waits_for_the_event_before_it(place: Place) {
    let shop = place.shop().await;
    let order = shop.bought(&[("song", 2)], "k1").await.order.expect("an order");
    let adjustment = Adjustment {
        kind: "note".into(),
        status: AdjustmentStatus::Pending,
        lines: Vec::new(),
        amount: None,
        description: None,
    };
    let change = OrderChange { id: "second".into(), occurred_at: noon(), kind: OrderChangeKind::Adjusted(adjustment) };
    let first = locking(&place, "SELECT id FROM orders")
        + "INSERT INTO order_event SELECT order_id, 1, 'first', kind, occurred_at, body FROM order_event";
    let ctx = task();
    let appended = second(&place, &ctx, &first, shop.orders.append(&ctx, order.id, vec![change], noon())).await;
    let events: Vec<_> = appended.expect("appended").events.into_iter().map(|event| event.id).collect();
    assert_eq!(events[1..], ["first", "second"]);
}

async fn a_refund_waits_for_the_refund_before_it(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let reference = PaymentReference("r".into());
    shop.attempts.record_reference(&task(), attempt.id.clone(), reference).await.expect("recorded");
    shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    let first = locking(&place, "SELECT id FROM payment_attempt")
        + "INSERT INTO refund (id, attempt_id, amount, currency, state, tries, created_at, due_at) \
           SELECT 'first', id, 400, currency, 'requested', 0, created_at, created_at FROM payment_attempt";
    let ctx = task();
    for (amount, fits) in [(101, false), (100, true)] {
        let wanted = RefundWanted {
            id: RefundId::generate(noon()),
            attempt: attempt.id.clone(),
            amount: Amount::new(amount),
            now: noon(),
        };
        let requested = second(&place, &ctx, &first, shop.refunds.request(&ctx, wanted)).await;
        match requested {
            Ok(_) => assert!(fits, "{amount} of the 100 that are left"),
            Err(Failure::Refused(_)) => assert!(!fits),
            Err(Failure::Fault(fault)) => panic!("{}", fault.chain()),
        }
        place.raw().execute("DELETE FROM refund");
    }
}

async fn a_settlement_waits_for_the_one_before_it(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let first = "UPDATE payment_attempt SET state = 'cancelled'";
    let ctx = task();
    let confirmed = settlement(&attempt, PaymentOutcome::Confirmed);
    let settled = second(&place, &ctx, first, shop.checkouts.settle(&ctx, confirmed)).await;
    assert!(matches!(&settled, Ok(Outcome::Checkout(unpaid)) if unpaid.order.is_none()), "{settled:?}");
    assert_eq!(place.raw().count("orders"), 0);
}

async fn a_change_of_a_checkout_waits_for_the_one_before_it(place: Place) {
    let shop = place.shop().await;
    let canceled = "UPDATE checkout SET status = 'canceled', version = version + 1";
    for what in ["update", "cancel", "complete"] {
        let id = shop.opened(&[("song", 1)], &format!("open-{what}")).await.id;
        let (ctx, wanted) = (alice(), request(&[("song", 2)]));
        let refused = match what {
            "update" => {
                let updating = shop.checkouts.update(&ctx, update(&id, what), id.clone(), wanted);
                refusal(second(&place, &ctx, canceled, updating).await)
            }
            "cancel" => {
                let canceling = shop.checkouts.cancel(&ctx, cancel(&id, what), id.clone());
                refusal(second(&place, &ctx, canceled, canceling).await)
            }
            _ => refusal(second(&place, &ctx, canceled, shop.checkouts.begin_completion(&ctx, begin(&id, what))).await),
        };
        assert!(matches!(refused, CheckoutRefusal::NotModifiable(_)), "{what}: {refused:?}");
    }
    assert_eq!(place.raw().level("song"), (10, 0));
}

async fn a_key_waits_for_its_first_claim(place: Place) {
    let shop = place.shop().await;
    shop.opened(&[("song", 1)], "k1").await;
    let first = "INSERT INTO idempotency_key (principal, operation, resource, idempotency_key, fingerprint, created_at) \
         SELECT principal, operation, resource, 'k2', 'fingerprint of k2', created_at FROM idempotency_key";
    let ctx = alice();
    let creating = shop.checkouts.create(&ctx, create("k2"), new_checkout(request(&[("song", 1)])));
    let refused = refusal(second(&place, &ctx, first, creating).await);
    assert_eq!(refused, CheckoutRefusal::Key(KeyRefusal::InProgress));
    assert_eq!(place.raw().count("checkout"), 1);
}

/// The first writer has claimed the key for another checkout.
async fn a_key_for_another_resource_waits_for_its_first_claim(place: Place) {
    let shop = place.shop().await;
    let id = shop.opened(&[("song", 1)], "k1").await.id;
    let first = format!(
        "INSERT INTO idempotency_key (principal, operation, resource, idempotency_key, fingerprint, created_at) \
         SELECT principal, '{COMPLETE}', 'another', 'k2', 'f', created_at FROM idempotency_key; \
         INSERT INTO idempotency_binding (principal, operation, resource, idempotency_key, created_at) \
         SELECT principal, operation, resource, idempotency_key, created_at FROM idempotency_key \
         WHERE operation = '{COMPLETE}'"
    );
    let ctx = alice();
    let refused = refusal(second(&place, &ctx, &first, shop.checkouts.begin_completion(&ctx, begin(&id, "k2"))).await);
    assert_eq!(refused, CheckoutRefusal::Key(KeyRefusal::Reused));
    assert_eq!((place.raw().count("payment_attempt"), place.raw().count("idempotency_key")), (0, 2));
    assert_eq!(place.raw().level("song"), (10, 0));
}

async fn key_for_another_resource_waits_until_it_is_released(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let id = shop.opened(&[("song", 1)], "k2").await.id;
    let first = format!(
        "DELETE FROM idempotency_key WHERE operation = '{COMPLETE}'; \
         DELETE FROM idempotency_binding WHERE operation = '{COMPLETE}'"
    );
    let ctx = alice();
    let begun = second(&place, &ctx, &first, shop.checkouts.begin_completion(&ctx, begin(&id, "k1"))).await;
    let begun = begun.expect("begun");
    assert!(matches!(&begun, CompletionState::Claimed { attempt: ours, .. } if ours.id != attempt.id), "{begun:?}");
    let bound = "SELECT resource AS value FROM idempotency_binding";
    assert_eq!(place.raw().texts(bound), [id.as_str()]);
}

async fn a_reference_waits_for_the_settlement_before_it(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let ctx = task();
    let unknown = shop.attempts.record_unknown(&ctx, attempt.id, noon());
    second(&place, &ctx, "UPDATE payment_attempt SET state = 'confirmed'", unknown).await.expect("recorded");
    assert_eq!(place.raw().texts("SELECT state AS value FROM payment_attempt"), ["confirmed"], "not taken back");
}
