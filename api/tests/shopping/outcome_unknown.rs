//! The answer of the gateway is late or lost. No buyer is charged twice, and every charge becomes an order.

use std::collections::HashMap;

use integrations::mock_gateway::{EntryKind, Ledger};
use serde_json::{Value, json};

use crate::kit::basket::{cancel_path, checkout_path, codes, complete_path, deliverable, pay};
use crate::kit::{Place, Server, until};

/// A low minimum for the time of a completion, so that a busy machine refuses none.
const LENIENT: (&str, &str) = ("TUCKSHOP_CHECKOUT_COMPLETION_MINIMUM_MS", "50");

/// Short payment timeouts and a short interval of the reconciler.
const HASTY: [(&str, &str); 4] = [
    LENIENT,
    ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "500"),
    ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "1500"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "100"),
];

/// A payment timeout much longer than any caller waits.
const PATIENT: [(&str, &str); 3] =
    [LENIENT, ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "40000"), ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "120000")];

fn ledger(place: &Place) -> HashMap<EntryKind, usize> {
    let mut count = HashMap::new();
    for entry in Ledger::read(place.ledger_path()).expect("a ledger") {
        *count.entry(entry.entry).or_default() += 1;
    }
    count
}

async fn wait_until_settled(server: &Server, checkout: &Value) -> Value {
    until("the payment is settled", || async {
        let now = server.get(&checkout_path(checkout)).await.body(200);
        (now["status"] != "complete_in_progress").then_some(now)
    })
    .await
}

async fn charge_with_a_lost_answer_becomes_an_order(place: Place) {
    let server = place.serve_with(&HASTY).await;
    let ready = server.ready_checkout(&[("school_scarf", 3)]).await;
    let complete = server.post(&complete_path(&ready), &pay("charge_then_fail_token"));
    let unknown = complete.clone().await.body(200);
    assert_eq!((&unknown["status"], &unknown["order"]), (&json!("complete_in_progress"), &Value::Null));

    let settled = wait_until_settled(&server, &ready).await;
    assert_eq!(settled["status"], "completed", "{settled}");
    assert_eq!(server.order(&settled).await["checkout_id"], ready["id"]);
    let replayed = complete.await.expect(200);
    assert!(replayed.is_replay());
    assert_eq!(replayed.json, settled);
    assert_eq!(ledger(&place), HashMap::from([(EntryKind::Opened, 1), (EntryKind::Charged, 1)]));
}

async fn unanswered_payment_is_cancelled_and_can_be_retried(place: Place) {
    let server = place.serve_with(&HASTY).await;
    let ready = server.ready_checkout(&[("school_scarf", 3)]).await;
    let complete = server.post(&complete_path(&ready), &pay("hang_token")).header("request-timeout-ms", "1500");
    let unknown = complete.clone().await.body(200);
    assert_eq!(unknown["status"], "complete_in_progress");

    let settled = wait_until_settled(&server, &ready).await;
    assert_eq!((&settled["status"], codes(&settled)), (&json!("ready_for_complete"), vec!["payment_not_attempted"]));
    assert_eq!(ledger(&place), HashMap::from([(EntryKind::Opened, 1), (EntryKind::Cancelled, 1)]));

    let done = server.complete(&ready, "success_token").await.body(200);
    assert_eq!(done["status"], "completed");
    assert_eq!(
        ledger(&place),
        HashMap::from([(EntryKind::Opened, 2), (EntryKind::Cancelled, 1), (EntryKind::Charged, 1)])
    );
}

async fn checkout_in_payment_cannot_be_changed(place: Place) {
    let server = place.serve_with(&PATIENT).await;
    let ready = server.ready_checkout(&[("school_scarf", 2)]).await;
    let complete = server.post(&complete_path(&ready), &pay("hang_token")).header("request-timeout-ms", "1000");
    let unknown = complete.clone().await.body(200);
    assert_eq!(unknown["status"], "complete_in_progress");

    for write in [
        server.put(&checkout_path(&ready), &deliverable(&[("eraser", 1)])),
        server.post_empty(&cancel_path(&ready)),
        server.post(&complete_path(&ready), &pay("success_token")),
    ] {
        let refused = write.await.problem(409, "checkout_in_progress");
        assert!(refused.header("retry-after").is_some());
    }
    // The first call still owns the key. A repeated request waits within its own time limit.
    let waited = complete.await.problem(409, "idempotency_in_progress");
    assert!(waited.header("retry-after").is_some());
    // The checkout holds two units: one scarf is left for others.
    let other = server.post("/checkout-sessions", &deliverable(&[("school_scarf", 2)])).await.body(201);
    assert_eq!(codes(&other), ["out_of_stock"]);
    assert_eq!(server.get(&checkout_path(&ready)).await.body(200), unknown);
    assert_eq!(ledger(&place), HashMap::from([(EntryKind::Opened, 1)]));
}

/// After the point of no return the deadline of the caller ends only the waiting.
async fn late_answer_completes_without_its_caller(place: Place) {
    let server = place.serve_with(&[LENIENT, ("TUCKSHOP_SIMULATION_SLOW_MS", "2000")]).await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let complete = server.post(&complete_path(&ready), &pay("slow_token")).header("request-timeout-ms", "1000");
    assert_eq!(complete.clone().await.body(200)["status"], "complete_in_progress");
    let settled = wait_until_settled(&server, &ready).await;
    assert_eq!(settled["status"], "completed");
    let replayed = complete.await.expect(200);
    assert!(replayed.is_replay());
    assert_eq!(replayed.json, settled);
    assert_eq!(ledger(&place), HashMap::from([(EntryKind::Opened, 1), (EntryKind::Charged, 1)]));
}

async fn repeated_slow_completion_gets_the_same_answer(place: Place) {
    let server = place.serve_with(&[LENIENT, ("TUCKSHOP_SIMULATION_SLOW_MS", "1000")]).await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let complete = server.post(&complete_path(&ready), &pay("slow_token"));
    let (first, second) = tokio::join!(complete.clone().send(), complete.send());
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.text(), second.text());
    assert_eq!(first.json["status"], "completed");
    assert!(first.is_replay() != second.is_replay(), "not exactly one request was executed");
    assert_eq!(ledger(&place), HashMap::from([(EntryKind::Opened, 1), (EntryKind::Charged, 1)]));
}

async fn caller_without_enough_time_is_refused_without_effect(place: Place) {
    let server = place.serve_with(&[("TUCKSHOP_CHECKOUT_COMPLETION_MINIMUM_MS", "5000")]).await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let complete = server.post(&complete_path(&ready), &pay("success_token"));
    let refused = complete.clone().header("request-timeout-ms", "4000").await;
    refused.problem(504, "deadline_exceeded");
    assert_eq!(server.get(&checkout_path(&ready)).await.body(200), ready);
    assert_eq!(ledger(&place), HashMap::new());
    let done = complete.await.expect(200);
    assert!(!done.is_replay() && done.json["status"] == "completed");
}

crate::on_both_engines!(
    charge_with_a_lost_answer_becomes_an_order,
    unanswered_payment_is_cancelled_and_can_be_retried,
    checkout_in_payment_cannot_be_changed,
    late_answer_completes_without_its_caller,
    repeated_slow_completion_gets_the_same_answer,
    caller_without_enough_time_is_refused_without_effect,
);
