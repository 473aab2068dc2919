//! Idempotency keys: the same key applies a request once, also for repeated and concurrent requests and across a
//! restart.

use integrations::mock_gateway::{EntryKind, Ledger};
use serde_json::{Value, json};

use crate::kit::basket::{basket, cancel_path, checkout_path, complete_path, deliverable, id, pay, total};
use crate::kit::client::{OTHER_PLATFORM, fresh_key};
use crate::kit::{Answer, Place, Request, until};

/// Sends the request twice. The second answer equals the first byte for byte and is marked as a replay.
async fn send_twice(request: Request, status: u16) -> Answer {
    let first = request.clone().await.expect(status);
    assert!(!first.is_replay());
    let second = request.await;
    assert!(second.is_replay(), "{}", second.text());
    assert_eq!((second.status, second.text()), (first.status, first.text()));
    first
}

fn count_charges(place: &Place) -> usize {
    let entries = Ledger::read(place.ledger_path()).expect("a ledger");
    entries.iter().filter(|entry| entry.entry == EntryKind::Charged).count()
}

async fn every_write_needs_a_key(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let too_long = "k".repeat(256);
    let body = deliverable(&[("eraser", 2)]);
    for write in [
        server.post("/checkout-sessions", &body),
        server.put(&checkout_path(&ready), &body),
        server.post(&complete_path(&ready), &pay("success_token")),
        server.post_empty(&cancel_path(&ready)),
    ] {
        write.clone().without("idempotency-key").await.problem(400, "missing_idempotency_key");
        write.clone().key("").await.problem(400, "invalid_idempotency_key");
        write.key(&too_long).await.problem(400, "invalid_idempotency_key");
    }
    assert_eq!(server.get(&checkout_path(&ready)).await.body(200), ready, "the checkout has changed");
}

async fn repeated_write_is_answered_like_the_first(place: Place) {
    let server = place.serve().await;
    let created = send_twice(server.post("/checkout-sessions", &deliverable(&[("eraser", 1)])), 201).await.json;
    let update = server.put(&checkout_path(&created), &deliverable(&[("eraser", 2)]));
    let updated = send_twice(update.clone(), 200).await;
    let declined = send_twice(server.post(&complete_path(&created), &pay("fail_token")), 402).await;
    assert_eq!(declined.json["status"], "ready_for_complete");
    let complete = server.post(&complete_path(&created), &pay("success_token"));
    let completed = send_twice(complete, 200).await.json;
    assert_eq!(completed["status"], "completed");
    assert_eq!(count_charges(&place), 1);
    // A replay ignores later changes.
    assert_eq!(update.await.text(), updated.text());

    let other = server.ready_checkout(&[("eraser", 1)]).await;
    let cancelled = send_twice(server.post_empty(&cancel_path(&other)), 200).await.json;
    assert_eq!(cancelled["status"], "canceled");
}

async fn replay_changes_nothing(place: Place) {
    let server = place.serve().await;
    let first = server.post("/checkout-sessions", &deliverable(&[("eraser", 1)]));
    let created = first.clone().await.body(201);
    let two = server.put(&checkout_path(&created), &deliverable(&[("eraser", 2)]));
    let _ = two.clone().await.body(200);
    let three = server.put(&checkout_path(&created), &deliverable(&[("eraser", 3)])).await.body(200);
    assert_eq!(two.await.body(200)["line_items"][0]["quantity"], 2);
    assert_eq!(id(&first.await.body(201)), id(&created));
    assert_eq!(server.get(&checkout_path(&created)).await.body(200), three);
}

async fn in_band_refusal_is_replayed(place: Place) {
    let server = place.serve().await;
    let refused = send_twice(server.post("/checkout-sessions", &basket(&[("geometry_set", 1)])), 200).await;
    assert_eq!(refused.json["ucp"]["status"], "error");
}

/// The raw bytes are compared: another spelling of the same document is another request.
async fn key_with_another_request_is_refused(place: Place) {
    let server = place.serve().await;
    let body = deliverable(&[("eraser", 1)]);
    let create = server.post("/checkout-sessions", &body);
    let created = create.clone().await.body(201);
    create.clone().json(&deliverable(&[("eraser", 2)])).await.problem(409, "idempotency_key_reused");
    create.raw(format!("{body} ")).await.problem(409, "idempotency_key_reused");

    let update = server.put(&checkout_path(&created), &body);
    let _ = update.clone().await.body(200);
    update.json(&basket(&[("eraser", 9)])).await.problem(409, "idempotency_key_reused");

    let complete = server.post(&complete_path(&created), &pay("success_token"));
    let done = complete.clone().await.body(200);
    complete.json(&pay("fail_token")).await.problem(409, "idempotency_key_reused");
    assert_eq!(server.get(&checkout_path(&created)).await.body(200), done);
    assert_eq!((place.count("checkout"), place.count("orders"), count_charges(&place)), (1, 1, 1));
    let is_it = |line: &&Value| line["msg"] == "request" && line["status"] == 409 && line["outcome"] == "refused";
    until("every refusal is logged", || async { (server.log().iter().filter(is_it).count() == 4).then_some(()) }).await;
}

/// The protocol requires that a key is unique per client and type of operation.
async fn keys_are_scoped_by_platform_and_operation(place: Place) {
    let server = place.serve().await;
    let key = fresh_key();
    let body = deliverable(&[("eraser", 1)]);
    let ours = server.post("/checkout-sessions", &body).key(&key).await.body(201);
    let other = server.as_platform(OTHER_PLATFORM);
    let theirs = other.post("/checkout-sessions", &body).key(&key).await.expect(201);
    assert!(!theirs.is_replay() && id(&theirs.json) != id(&ours));

    let second = server.ready_checkout(&[("eraser", 1)]).await;
    for request in [
        server.put(&checkout_path(&ours), &body),
        server.post(&complete_path(&second), &pay("success_token")),
        server.post_empty(&cancel_path(&ours)),
    ] {
        let answer = request.key(&key).await.expect(200);
        assert!(!answer.is_replay(), "{}", answer.text());
    }
}

async fn key_of_one_checkout_is_refused_for_another(place: Place) {
    let server = place.serve().await;
    let body = deliverable(&[("eraser", 2)]);
    let update = |checkout: &Value| server.put(&checkout_path(checkout), &body);
    let complete = |checkout: &Value| server.post(&complete_path(checkout), &pay("success_token"));
    let cancel = |checkout: &Value| server.post_empty(&cancel_path(checkout));
    for write in [&update as &dyn Fn(&Value) -> Request, &complete, &cancel] {
        let (key, first, second) =
            (fresh_key(), server.ready_checkout(&[("eraser", 1)]).await, server.ready_checkout(&[("eraser", 1)]).await);
        let done = write(&first).key(&key).await.expect(200);
        assert!(!done.is_replay(), "{}", done.text());
        write(&second).key(&key).await.problem(409, "idempotency_key_reused");
        assert_eq!(server.get(&checkout_path(&second)).await.body(200), second, "the checkout has changed");
        assert!(write(&first).key(&key).await.expect(200).is_replay());
        let own = write(&second).await.expect(200);
        assert!(!own.is_replay(), "{}", own.text());
    }
    assert_eq!((place.count("orders"), count_charges(&place)), (2, 2));
}

/// Two checkouts are completed at once with one key. Exactly one is paid, whichever comes first.
async fn two_checkouts_completed_at_once_with_one_key_pay_one(place: Place) {
    let server = place.serve().await;
    let key = fresh_key();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let ready = server.ready_checkout(&[("eraser", 1)]).await;
        calls.spawn(server.post(&complete_path(&ready), &pay("success_token")).key(&key).send());
    }
    let mut statuses: Vec<u16> = calls.join_all().await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!((place.count("orders"), count_charges(&place)), (1, 1));
}

/// A request that was invalid or not ready has no outcome to replay.
async fn refused_request_leaves_its_key_free(place: Place) {
    let server = place.serve().await;
    let key = fresh_key();
    let create = server.post("/checkout-sessions", &json!({"line_items": 5})).key(&key);
    create.clone().await.problem(400, "malformed_body");
    let created = create.json(&basket(&[("eraser", 1)])).await.expect(201);
    assert!(!created.is_replay());

    let complete = server.post(&complete_path(&created.json), &pay("success_token"));
    complete.clone().await.problem(400, "checkout_not_ready");
    let ready = server.put(&checkout_path(&created.json), &deliverable(&[("eraser", 1)])).await.body(200);
    assert_eq!(ready["status"], "ready_for_complete");
    let completed = complete.await.expect(200);
    assert!(!completed.is_replay() && completed.json["status"] == "completed", "{}", completed.text());
}

async fn recorded_answers_survive_a_restart(place: Place) {
    let settings = [("TUCKSHOP_HTTP_PUBLIC_URL", "http://shop.example")];
    let server = place.serve_with(&settings).await;
    let (create_key, decline_key, complete_key) = (fresh_key(), fresh_key(), fresh_key());
    let body = deliverable(&[("eraser", 1)]);
    let created = server.post("/checkout-sessions", &body).key(&create_key).await.expect(201);
    let path = complete_path(&created.json);
    let declined = server.post(&path, &pay("fail_token")).key(&decline_key).await.expect(402);
    let completed = server.post(&path, &pay("success_token")).key(&complete_key).await.expect(200);
    let order = server.order(&completed.json).await;
    assert!(server.stop().status.success());

    let server = place.serve_with(&settings).await;
    for (request, first) in [
        (server.post("/checkout-sessions", &body).key(&create_key), created),
        (server.post(&path, &pay("fail_token")).key(&decline_key), declined),
        (server.post(&path, &pay("success_token")).key(&complete_key), completed.clone()),
    ] {
        let again = request.await;
        assert!(again.is_replay(), "{}", again.text());
        assert_eq!((again.status, again.text()), (first.status, first.text()));
    }
    assert_eq!(server.order(&completed.json).await, order);
    assert_eq!(count_charges(&place), 1);
}

async fn outage_of_the_idempotency_records_refuses_every_write(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let switch = |on: bool| server.post("/testing/idempotency/outage", &json!({"enabled": on}));
    assert_eq!(switch(true).await.body(200), json!({"enabled": true}));
    let writes = [
        server.post("/checkout-sessions", &basket(&[("gift_card", 1)])),
        server.put(&checkout_path(&ready), &deliverable(&[("eraser", 2)])),
        server.post(&complete_path(&ready), &pay("success_token")),
        server.post_empty(&cancel_path(&ready)),
    ];
    for write in &writes {
        let refused = write.clone().await.problem(503, "idempotency_unavailable");
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!(server.get(&checkout_path(&ready)).await.body(200), ready, "reading needs no key");
    assert_eq!(switch(false).await.body(200), json!({"enabled": false}));
    let done = writes[2].clone().await.expect(200);
    assert!(!done.is_replay() && done.json["status"] == "completed");
}

async fn key_is_kept_for_forty_eight_hours(place: Place) {
    let server = place.serve().await;
    let create = server.post("/checkout-sessions", &basket(&[("gift_card", 1)])).key("aged");
    let first = create.clone().await.body(201);
    let age = |hours: u32| server.post("/testing/idempotency/age", &json!({"key": "aged", "hours": hours}));
    assert_eq!(age(47).await.body(200), json!({"aged": 1}));
    let replayed = create.clone().await.expect(201);
    assert!(replayed.is_replay() && id(&replayed.json) == id(&first));
    assert_eq!(age(2).await.body(200), json!({"aged": 1}));
    let anew = create.await.expect(201);
    assert!(!anew.is_replay() && id(&anew.json) != id(&first), "{}", anew.text());
    let unknown = server.post("/testing/idempotency/age", &json!({"key": "never used", "hours": 1})).await;
    assert_eq!(unknown.body(200), json!({"aged": 0}));
}

async fn sixteen_completions_with_one_key_complete_once(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("school_scarf", 1)]).await;
    let complete = server.post(&complete_path(&ready), &pay("success_token"));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..16 {
        calls.spawn(complete.clone().send());
    }
    let answers = calls.join_all().await;
    for answer in &answers {
        assert_eq!((answer.status, answer.text()), (200, answers[0].text()));
    }
    assert_eq!(answers[0].json["status"], "completed");
    assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1, "not exactly one request was executed");
    assert_eq!(count_charges(&place), 1);
    // One scarf of three is sold, not sixteen.
    let rest = server.buy(&[("school_scarf", 2)]).await;
    assert_eq!(total(&rest, "subtotal"), Some(4800));
}

async fn sixteen_creations_with_one_key_create_once(place: Place) {
    let server = place.serve().await;
    let create = server.post("/checkout-sessions", &deliverable(&[("eraser", 1)]));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..16 {
        calls.spawn(create.clone().send());
    }
    let answers = calls.join_all().await;
    for answer in &answers {
        assert_eq!((answer.status, answer.text()), (201, answers[0].text()));
    }
    assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1);
}

crate::on_both_engines!(
    every_write_needs_a_key,
    repeated_write_is_answered_like_the_first,
    replay_changes_nothing,
    in_band_refusal_is_replayed,
    key_with_another_request_is_refused,
    keys_are_scoped_by_platform_and_operation,
    key_of_one_checkout_is_refused_for_another,
    two_checkouts_completed_at_once_with_one_key_pay_one,
    refused_request_leaves_its_key_free,
    recorded_answers_survive_a_restart,
    outage_of_the_idempotency_records_refuses_every_write,
    key_is_kept_for_forty_eight_hours,
    sixteen_completions_with_one_key_complete_once,
    sixteen_creations_with_one_key_create_once,
);
