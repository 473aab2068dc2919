//! Idempotency keys, as Stripe documents them.

mod kit;

use std::time::Duration;

use futures_util::future::join_all;
use kit::{PATIENCE, Shop, now};
use paysim::{Fault, Operation};
use serde_json::json;

const INTENTS: &str = "/v1/payment_intents";
const INTENT: [(&str, &str); 3] = [("amount", "1200"), ("currency", "gbp"), ("metadata[attempt_id]", "a")];

#[actix_web::test]
async fn first_response_is_replayed_byte_for_byte() {
    let shop = Shop::open();
    let first = shop.post(INTENTS, Some("key"), &INTENT).await;
    assert!(!first.replayed);
    // The order of the parameters makes no difference.
    let shuffled = [INTENT[2], INTENT[0], INTENT[1]];
    let second = shop.post(INTENTS, Some("key"), &shuffled).await;
    assert!(second.replayed);
    assert_eq!((second.status, &second.text), (first.status, &first.text));
    assert_ne!(second.headers["request-id"], first.headers["request-id"]);
    assert_ne!(shop.post(INTENTS, Some("other"), &INTENT).await.id(), first.id());
    assert_ne!(shop.post(INTENTS, None, &INTENT).await.id(), first.id());
}

#[actix_web::test]
async fn one_key_charges_once() {
    let shop = Shop::open();
    let id = shop.create("pm_card_visa", &[]).await;
    let answers = join_all((0..50).map(|_| shop.confirm(&id, Some("key")))).await;
    assert!(answers.iter().all(|answer| answer.object()["status"] == "succeeded"));
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(shop.gateway.ledger().totals().captures, 1);
}

#[actix_web::test]
async fn key_with_other_parameters_or_endpoint_is_refused() {
    let shop = Shop::open();
    let id = shop.create("pm_card_visa", &[]).await;
    let first = shop.post(INTENTS, Some("key"), &INTENT).await.id();
    let dearer = [("amount", "1300"), INTENT[1], INTENT[2]];
    for (path, form) in [
        (INTENTS, &dearer[..]),
        (INTENTS, &[][..]),
        (&format!("{INTENTS}/{id}/confirm"), &[][..]),
        ("/v1/refunds", &INTENT),
    ] {
        assert_eq!(shop.post(path, Some("key"), form).await.error(400)["type"], "idempotency_error", "{path}");
    }
    assert_eq!(shop.post(INTENTS, Some("key"), &INTENT).await.id(), first);
    assert_eq!(shop.gateway.ledger().entries, []);
}

#[actix_web::test]
async fn errors_of_calls_that_began_are_replayed() {
    let shop = Shop::open();
    let id = shop.create("pm_card_chargeDeclined", &[]).await;
    let declined = shop.confirm(&id, Some("declined")).await;
    declined.error(402);
    let again = shop.confirm(&id, Some("declined")).await;
    assert_eq!((again.replayed, &again.text), (true, &declined.text));

    for (card, captures) in [("pm_sim_charge_then_500", 1), ("pm_sim_no_charge_500", 0)] {
        let id = shop.create(card, &[("metadata[card]", card)]).await;
        assert_eq!(shop.confirm(&id, Some(card)).await.error(500)["type"], "api_error");
        let again = shop.confirm(&id, Some(card)).await;
        assert_eq!((again.status.as_u16(), again.replayed), (500, true));
        assert_eq!(shop.gateway.ledger().of_intent(&id).captures, captures);
        let status = if captures == 1 { "succeeded" } else { "requires_confirmation" };
        assert_eq!(shop.status(&id).await, status);
    }
}

#[actix_web::test]
async fn call_refused_before_it_began_leaves_key_free() {
    let shop = Shop::open();
    shop.post(INTENTS, Some("key"), &[("amount", "nothing")]).await.error(400);
    let first = shop.post(INTENTS, Some("key"), &INTENT).await;
    assert!(!first.replayed);
    first.object();

    shop.gateway.fail_next(Operation::IntentCreate, 1, Fault::InUse);
    shop.gateway.fail_next(Operation::IntentCreate, 1, Fault::RateLimited { retry_after_seconds: 7 });
    let in_use = shop.post(INTENTS, Some("second"), &INTENT).await;
    assert_eq!(in_use.error(409)["code"], "idempotency_key_in_use");
    let limited = shop.post(INTENTS, Some("second"), &INTENT).await;
    assert_eq!(limited.error(429)["code"], "rate_limit");
    assert_eq!(limited.headers["retry-after"], "7");
    assert!(!shop.post(INTENTS, Some("second"), &INTENT).await.replayed);
    assert_eq!(shop.gateway.faults_dealt(), [("in_use", 1), ("rate_limited", 1)].into());
}

#[actix_web::test]
async fn key_is_in_use_until_its_response_is_sent() {
    let shop = Shop::open();
    for fault in [Fault::Late { ms: 1_500 }, Fault::LateEffect { ms: 1_500 }] {
        let id = shop.create("pm_card_visa", &[]).await;
        shop.gateway.fail_next(Operation::IntentConfirm, 1, fault);
        let key = fault.name();
        let path = format!("{INTENTS}/{id}/confirm");
        let gone = shop.try_post(&path, Some(key), &[], Duration::from_millis(300)).await;
        assert!(gone.expect_err("too late").is_timeout());
        let early = shop.confirm(&id, Some(key)).await;
        assert_eq!(early.error(409)["code"], "idempotency_key_in_use", "{key}");
        let charged_already = u64::from(fault.name() == "late");
        assert_eq!(shop.gateway.ledger().of_intent(&id).captures, charged_already, "{key}");
        let begun = now();
        let answer = loop {
            let answer = shop.confirm(&id, Some(key)).await;
            if answer.status != 409 {
                break answer;
            }
            assert!(begun.elapsed() < PATIENCE, "{key} is in use for ever");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!((answer.replayed, &answer.object()["status"]), (true, &json!("succeeded")), "{key}");
        assert_eq!(shop.gateway.ledger().of_intent(&id).captures, 1, "{key}");
    }
}

/// A shop that looks for the charge before it happens finds none. So the shop must cancel the intent to prevent a late
/// charge.
#[actix_web::test]
async fn late_charge_of_cancelled_intent_is_refused() {
    let shop = Shop::open();
    let id = shop.create("pm_card_visa", &[]).await;
    shop.gateway.fail_next(Operation::IntentConfirm, 1, Fault::LateEffect { ms: 1_500 });
    let path = format!("{INTENTS}/{id}/confirm");
    let late = shop.post(&path, Some("key"), &[]);
    let cancelled = async {
        let begun = now();
        while !shop.gateway.faults_dealt().contains_key("late_effect") {
            assert!(begun.elapsed() < PATIENCE, "the confirmation never came");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(shop.post(&path, Some("key"), &[]).await.status, 409);
        shop.post(&format!("{INTENTS}/{id}/cancel"), None, &[]).await.object()
    };
    let (late, cancelled) = futures_util::future::join(late, cancelled).await;
    assert_eq!(cancelled["status"], "canceled");
    assert_eq!(late.error(400)["code"], "payment_intent_unexpected_state");
    assert_eq!(shop.gateway.ledger().entries, []);
}

#[actix_web::test]
async fn key_expires_after_a_day() {
    let shop = Shop::open();
    let first = shop.post(INTENTS, Some("key"), &INTENT).await.id();
    shop.gateway.advance(Duration::from_secs(24 * 3600 - 60));
    assert_eq!(shop.post(INTENTS, Some("key"), &INTENT).await.id(), first);
    shop.gateway.advance(Duration::from_secs(120));
    let late = shop.post(INTENTS, Some("key"), &INTENT).await;
    assert!(!late.replayed);
    assert_ne!(late.id(), first);
}

#[actix_web::test]
async fn key_longer_than_255_characters_is_refused() {
    let shop = Shop::open();
    shop.post(INTENTS, Some(&"k".repeat(255)), &INTENT).await.object();
    let refused = shop.post(INTENTS, Some(&"k".repeat(256)), &INTENT).await;
    assert_eq!(refused.error(400)["type"], "invalid_request_error");
}
