//! Payments that are held for a later capture, and the events of the gateway.

use std::time::Duration;

use domain::checkout::{CheckoutStore, LineId, Outcome, Settlement, Status};
use domain::order::{
    Adjustment, AdjustmentStatus, ExpectedLine, OrderChange, OrderChangeKind, OrderId, OrderStore, Shipment,
};
use domain::payment::{
    Attempt, AttemptId, AttemptState, AttemptStore, AuthorizationEnd, AuthorizedAttempt, GatewayEvent,
    LONGEST_WAIT_UNSETTLED, PaymentOutcome, PaymentReference, capture_due,
};

use crate::kit::data::{hours, noon, settlement, task};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

const HOUR: Duration = Duration::from_secs(60 * 60);

on_both_engines!(
    authorized_payment_places_the_order_and_takes_the_stock,
    the_first_shipment_makes_a_capture_due,
    event_without_a_shipment_makes_no_capture_due,
    capture_is_due_shortly_before_the_hold_lapses,
    capture_of_a_payment_that_is_settled_late_is_due_before_the_hold_lapses,
    shipment_makes_a_capture_due_that_a_worker_postpones_later,
    fully_cancelled_order_has_no_units,
    ended_hold_is_not_changed,
    clock_that_is_behind_makes_no_hold_due_early,
    claim_is_counted_and_fences_a_late_postponement,
    reconciler_and_capture_claim_separate_attempts,
    gateway_event_is_recorded_once,
    gateway_event_of_an_unknown_payment_changes_nothing,
    gateway_event_does_not_end_a_lease,
);

async fn held(shop: &Shop) -> (OrderId, Attempt) {
    let (_, attempt) = shop.begun(&[("book", 2), ("song", 1)], "k1").await;
    let Outcome::Checkout(placed) = shop.settle(&attempt, PaymentOutcome::Authorized).await else {
        panic!("not placed");
    };
    (placed.order.expect("an order").id, attempt)
}

fn units(line: &str, quantity: i64) -> Vec<ExpectedLine> {
    vec![ExpectedLine { line: LineId(line.to_owned()), quantity }]
}

fn shipment(id: &str, kind: &str, lines: Vec<ExpectedLine>) -> OrderChange {
    let (tracking_number, tracking_url, carrier, description) = (None, None, None, None);
    let shipment = Shipment { kind: kind.into(), lines, tracking_number, tracking_url, carrier, description };
    OrderChange { id: id.to_owned(), occurred_at: noon(), kind: OrderChangeKind::Shipped(shipment) }
}

fn removed(id: &str, line: &str, quantity: i64) -> OrderChange {
    let adjustment = Adjustment {
        kind: "cancellation".into(),
        status: AdjustmentStatus::Completed,
        lines: units(line, -quantity),
        amount: None,
        description: None,
    };
    OrderChange { id: id.to_owned(), occurred_at: noon(), kind: OrderChangeKind::Adjusted(adjustment) }
}

async fn append(shop: &Shop, order: &OrderId, changes: Vec<OrderChange>) {
    shop.orders.append(&task(), order.clone(), changes, noon() + hours(1)).await.expect("appended");
}

async fn claim(shop: &Shop, now: domain::clock::Timestamp) -> Vec<AuthorizedAttempt> {
    shop.attempts.claim_authorized(&task(), now, Duration::ZERO, 10).await.expect("claimed")
}

fn state(place: &Place) -> String {
    place.raw().texts("SELECT state AS value FROM payment_attempt").remove(0)
}

async fn authorized_payment_places_the_order_and_takes_the_stock(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 3)], "k1").await;
    let outcome = shop.settle(&attempt, PaymentOutcome::Authorized).await;
    let Outcome::Checkout(completed) = &outcome else { panic!("not completed: {outcome:?}") };
    assert_eq!(completed.status, Status::Completed);
    assert_eq!(
        (place.raw().level("song"), place.raw().count("orders"), state(&place)),
        ((7, 0), 1, "authorized".into())
    );
    // If the payment is settled again, before or after its capture, there is still one order.
    assert_eq!(shop.settle(&attempt, PaymentOutcome::Confirmed).await, outcome);
    shop.attempts.record_captured(&task(), attempt.id.clone(), AuthorizationEnd::Captured).await.expect("recorded");
    assert_eq!(shop.settle(&attempt, PaymentOutcome::NotAttempted).await, outcome);
    assert_eq!(
        (place.raw().level("song"), place.raw().count("orders"), state(&place)),
        ((7, 0), 1, "confirmed".into())
    );
}

async fn the_first_shipment_makes_a_capture_due(place: Place) {
    let shop = place.shop().await;
    let (order, attempt) = held(&shop).await;
    append(&shop, &order, vec![shipment("one", "shipped", units("li_1", 1))]).await;
    assert!(claim(&shop, noon()).await.is_empty());
    let claimed = claim(&shop, noon() + hours(1)).await;
    // The shipment counts too.
    let expected = Attempt { checks: 2, state: AttemptState::Authorized, ..attempt };
    assert_eq!(claimed, [AuthorizedAttempt { attempt: expected, has_units: true }]);
}

async fn event_without_a_shipment_makes_no_capture_due(place: Place) {
    let shop = place.shop().await;
    let (order, _) = held(&shop).await;
    append(&shop, &order, vec![shipment("one", "in_transit", Vec::new()), removed("two", "li_2", 1)]).await;
    assert!(claim(&shop, noon() + hours(2)).await.is_empty());
}

async fn capture_is_due_shortly_before_the_hold_lapses(place: Place) {
    let shop = place.shop().await;
    held(&shop).await;
    let due = capture_due(noon());
    assert_eq!(due, noon() + hours(6 * 24));
    assert!(claim(&shop, due - Duration::from_millis(1)).await.is_empty());
    let claimed = claim(&shop, due).await;
    assert_eq!(claimed.iter().map(|held| held.has_units).collect::<Vec<_>>(), [true]);
}

/// The gateway authorized the payment when the attempt began, but its answer was lost.
async fn capture_of_a_payment_that_is_settled_late_is_due_before_the_hold_lapses(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let late = Settlement { now: noon() + hours(60), ..settlement(&attempt, PaymentOutcome::Authorized) };
    shop.checkouts.settle(&task(), late).await.expect("settled");
    assert!(claim(&shop, capture_due(noon()) - Duration::from_millis(1)).await.is_empty());
    assert_eq!(claim(&shop, capture_due(noon())).await.len(), 1);
}

async fn shipment_makes_a_capture_due_that_a_worker_postpones_later(place: Place) {
    let shop = place.shop().await;
    let (order, _) = held(&shop).await;
    let due = capture_due(noon());
    let declined = claim(&shop, due).await.remove(0);
    append(&shop, &order, vec![shipment("one", "shipped", units("li_1", 1))]).await;
    shop.attempts.postpone(&task(), &declined.attempt, due + hours(1)).await.expect("refused in silence");
    assert_eq!(claim(&shop, due).await.len(), 1);
}

async fn fully_cancelled_order_has_no_units(place: Place) {
    let shop = place.shop().await;
    let (order, _) = held(&shop).await;
    let mut has_units = Vec::new();
    for change in [removed("one", "li_1", 1), removed("two", "li_2", 1), removed("three", "li_1", 1)] {
        append(&shop, &order, vec![change]).await;
        has_units.extend(claim(&shop, capture_due(noon())).await.into_iter().map(|held| held.has_units));
    }
    assert_eq!(has_units, [true, true, false]);
}

async fn ended_hold_is_not_changed(place: Place) {
    let shop = place.shop().await;
    use AuthorizationEnd::{Captured, Released};
    for (key, end, other, expected) in [("k1", Captured, Released, "confirmed"), ("k2", Released, Captured, "released")]
    {
        let (_, attempt) = shop.begun(&[("song", 1)], key).await;
        let record = |end| shop.attempts.record_captured(&task(), attempt.id.clone(), end);
        // The payment is not held yet, so this changes nothing.
        record(end).await.expect("ignored");
        shop.settle(&attempt, PaymentOutcome::Authorized).await;
        record(end).await.expect("recorded");
        let before = place.raw().state();
        record(other).await.expect("ignored");
        assert_eq!(place.raw().state(), before);
        let states =
            place.raw().texts(&format!("SELECT state AS value FROM payment_attempt WHERE id = '{}'", attempt.id));
        assert_eq!(states, [expected]);
    }
    assert!(claim(&shop, noon() + hours(1_000)).await.is_empty());
    shop.attempts.record_captured(&task(), AttemptId::generate(noon()), Captured).await.expect("ignored");
}

/// A machine whose clock starts in 1970 may claim held payments before its clock is set.
async fn clock_that_is_behind_makes_no_hold_due_early(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = held(&shop).await;
    for behind in [domain::clock::Timestamp::UNIX_EPOCH, noon() - hours(24 * 30), noon() - hours(1)] {
        assert!(claim(&shop, behind).await.is_empty(), "{behind}");
    }
    assert!(claim(&shop, capture_due(noon()) - time::Duration::milliseconds(1)).await.is_empty());
    let due = claim(&shop, capture_due(noon())).await;
    assert_eq!(due.into_iter().map(|held| held.attempt.id).collect::<Vec<_>>(), [attempt.id]);
}

async fn claim_is_counted_and_fences_a_late_postponement(place: Place) {
    let shop = place.shop().await;
    held(&shop).await;
    let due = capture_due(noon());
    let paused = claim(&shop, due).await.remove(0);
    let second = shop.attempts.claim_authorized(&task(), due, HOUR, 10).await.expect("claimed").remove(0);
    assert_eq!((paused.attempt.checks, second.attempt.checks), (1, 2));
    let before = place.raw().state();
    shop.attempts.postpone(&task(), &paused.attempt, due + hours(5)).await.expect("refused in silence");
    assert_eq!(place.raw().state(), before);
    assert!(claim(&shop, due).await.is_empty());
    shop.attempts.postpone(&task(), &second.attempt, due + hours(5)).await.expect("postponed");
    assert!(claim(&shop, due + hours(4)).await.is_empty());
    assert_eq!(claim(&shop, due + hours(5)).await.len(), 1);
}

async fn reconciler_and_capture_claim_separate_attempts(place: Place) {
    let shop = place.shop().await;
    let (_, held) = held(&shop).await;
    let (_, open) = shop.begun(&[("song", 1)], "k2").await;
    let later = noon() + hours(1_000);
    let unsettled = shop.attempts.claim_due(&task(), later, Duration::ZERO, 10).await.expect("claimed");
    assert_eq!(unsettled.into_iter().map(|attempt| attempt.id).collect::<Vec<_>>(), [open.id]);
    let to_capture = claim(&shop, later).await;
    assert_eq!(to_capture.into_iter().map(|held| held.attempt.id).collect::<Vec<_>>(), [held.id]);
}

fn gateway_event(id: &str, reference: &str) -> GatewayEvent {
    GatewayEvent { id: id.to_owned(), reference: Some(PaymentReference(reference.to_owned())) }
}

async fn postponed(shop: &Shop) -> Attempt {
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let reference = PaymentReference("gateway-1".into());
    shop.attempts.record_reference(&task(), attempt.id.clone(), reference).await.expect("recorded");
    shop.attempts.record_unknown(&task(), attempt.id.clone(), noon()).await.expect("recorded");
    let claimed = shop.attempts.claim_due(&task(), noon(), HOUR, 10).await.expect("claimed").remove(0);
    shop.attempts.postpone(&task(), &claimed, noon() + LONGEST_WAIT_UNSETTLED).await.expect("postponed");
    claimed
}

async fn gateway_event_is_recorded_once(place: Place) {
    let shop = place.shop().await;
    let attempt = postponed(&shop).await;
    let soon = noon() + LONGEST_WAIT_UNSETTLED / 2;
    let due = || shop.attempts.claim_due(&task(), soon, HOUR, 10);
    assert!(due().await.expect("claimed").is_empty());
    let ctx = task();
    let record_event = || shop.attempts.record_event(&ctx, gateway_event("evt_1", "gateway-1"), soon);
    let (one, other) = tokio::join!(record_event(), record_event());
    assert_ne!(one.expect("asked"), other.expect("asked"));
    let claimed = due().await.expect("claimed").remove(0);
    assert_eq!(claimed.id, attempt.id);
    shop.attempts.postpone(&ctx, &claimed, noon() + LONGEST_WAIT_UNSETTLED).await.expect("postponed");
    assert!(!record_event().await.expect("asked"));
    assert!(due().await.expect("claimed").is_empty());
}

async fn gateway_event_of_an_unknown_payment_changes_nothing(place: Place) {
    let shop = place.shop().await;
    let attempt = postponed(&shop).await;
    let about_nothing = GatewayEvent { id: "evt_2".into(), reference: None };
    for event in [gateway_event("evt_1", "gateway-9"), about_nothing] {
        assert!(shop.attempts.record_event(&task(), event, noon()).await.expect("recorded"));
    }
    assert!(shop.attempts.claim_due(&task(), noon(), HOUR, 10).await.expect("claimed").is_empty());
    // An event about a settled payment changes nothing either.
    shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    assert!(shop.attempts.record_event(&task(), gateway_event("evt_3", "gateway-1"), noon()).await.expect("recorded"));
    assert_eq!((state(&place), place.raw().count("gateway_event")), ("confirmed".into(), 3));
}

async fn gateway_event_does_not_end_a_lease(place: Place) {
    let shop = place.shop().await;
    postponed(&shop).await;
    let later = noon() + hours(5);
    shop.attempts.claim_due(&task(), later, HOUR, 10).await.expect("claimed").remove(0);
    assert!(shop.attempts.record_event(&task(), gateway_event("evt_1", "gateway-1"), noon()).await.expect("recorded"));
    assert!(shop.attempts.claim_due(&task(), later, HOUR, 10).await.expect("claimed").is_empty());
}
