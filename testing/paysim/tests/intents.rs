//! The state machine of intents and refunds, and the entries of the ledger.

mod kit;

use std::time::Duration;

use kit::{Shop, text};
use paysim::{Movement, Outcome, Totals};
use serde_json::{Value, json};

const AT_ONCE: Totals = Totals { captures: 1, captured: 1200, refunded: 0, held: 0 };

fn moved(shop: &Shop) -> Vec<(Movement, i64)> {
    shop.gateway.ledger().entries.iter().map(|entry| (entry.kind, entry.amount)).collect()
}

#[actix_web::test]
async fn confirmed_intent_charges_card() {
    let shop = Shop::open();
    let id = shop.create("pm_card_visa", &[]).await;
    let before = shop.get(&format!("/v1/payment_intents/{id}")).await.object();
    assert_eq!(before["status"], "requires_confirmation");
    assert_eq!(before["metadata"], json!({"attempt_id": "attempt-1"}));
    assert_eq!(before["latest_charge"], Value::Null);
    assert_eq!(moved(&shop), []);

    let after = shop.confirm(&id, None).await.object();
    assert_eq!(after["status"], "succeeded");
    assert_eq!((&after["amount_received"], &after["amount_capturable"]), (&json!(1200), &json!(0)));
    assert!(text(&after["latest_charge"]).starts_with("ch_"));
    assert_eq!(moved(&shop), [(Movement::Authorised, 1200), (Movement::Captured, 1200)]);
    let ledger = shop.gateway.ledger();
    assert_eq!(ledger.by_metadata("attempt_id")["attempt-1"], AT_ONCE);
    assert_eq!(ledger.of_intent(&id), AT_ONCE);
}

#[actix_web::test]
async fn attempt_charged_twice_appears_in_ledger() {
    let shop = Shop::open();
    for _ in 0..2 {
        let id = shop.create("pm_card_visa", &[]).await;
        shop.confirm(&id, None).await.object();
    }
    let twice = Totals { captures: 2, captured: 2400, ..Totals::default() };
    assert_eq!(shop.gateway.ledger().by_metadata("attempt_id")["attempt-1"], twice);
}

#[actix_web::test]
async fn declined_intent_answers_402_and_can_be_confirmed_again() {
    for (card, code, decline_code) in [
        ("pm_card_chargeDeclined", "card_declined", json!("generic_decline")),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", json!("insufficient_funds")),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", Value::Null),
    ] {
        let shop = Shop::open();
        let id = shop.create(card, &[]).await;
        let error = shop.confirm(&id, None).await.error(402);
        assert_eq!((&error["type"], &error["code"]), (&json!("card_error"), &json!(code)));
        assert_eq!(error["decline_code"], decline_code);
        let intent = &error["payment_intent"];
        assert_eq!((&intent["id"], &intent["status"]), (&json!(id), &json!("requires_payment_method")));
        assert_eq!(intent["last_payment_error"]["code"], code);
        assert_eq!(moved(&shop), []);

        let path = format!("/v1/payment_intents/{id}/confirm");
        assert_eq!(shop.post(&path, None, &[]).await.error(400)["code"], "payment_intent_unexpected_state");
        let again = shop.post(&path, None, &[("payment_method", "pm_card_visa")]).await.object();
        assert_eq!((&again["status"], &again["last_payment_error"]), (&json!("succeeded"), &Value::Null));
    }
}

#[actix_web::test]
async fn authorisation_is_captured_once_and_rest_is_voided() {
    let shop = Shop::open();
    let id = shop.create("pm_card_visa", &[("capture_method", "manual")]).await;
    let held = shop.confirm(&id, None).await.object();
    assert_eq!((&held["status"], &held["amount_capturable"]), (&json!("requires_capture"), &json!(1200)));
    assert_eq!(shop.gateway.ledger().totals(), Totals { held: 1200, ..Totals::default() });

    let path = format!("/v1/payment_intents/{id}/capture");
    assert_eq!(shop.post(&path, None, &[("amount_to_capture", "1201")]).await.error(400)["code"], "amount_too_large");
    let taken = shop.post(&path, None, &[("amount_to_capture", "1000")]).await.object();
    assert_eq!((&taken["status"], &taken["amount_received"]), (&json!("succeeded"), &json!(1000)));
    assert_eq!(shop.post(&path, None, &[]).await.error(400)["code"], "payment_intent_unexpected_state");
    assert_eq!(moved(&shop), [(Movement::Authorised, 1200), (Movement::Captured, 1000), (Movement::Voided, 200)]);
}

#[actix_web::test]
async fn uncaptured_authorisation_expires() {
    let shop = Shop::open();
    let id = shop.create("pm_card_visa", &[("capture_method", "manual")]).await;
    shop.confirm(&id, None).await.object();
    shop.gateway.advance(Duration::from_secs(7 * 24 * 3600 - 60));
    assert_eq!(shop.status(&id).await, "requires_capture");
    shop.gateway.advance(Duration::from_secs(120));
    let ended = shop.get(&format!("/v1/payment_intents/{id}")).await.object();
    assert_eq!((&ended["status"], &ended["cancellation_reason"]), (&json!("canceled"), &json!("automatic")));
    assert_eq!(shop.gateway.ledger().totals(), Totals::default());
    let refused = shop.post(&format!("/v1/payment_intents/{id}/capture"), None, &[]).await;
    assert_eq!(refused.error(400)["payment_intent"]["status"], "canceled");
}

/// Tries every step from every state. The table has the state that the step leads to, or an empty text if the step is
/// refused.
#[actix_web::test]
async fn steps_are_allowed_as_documented() {
    let manual = [("capture_method", "manual")];
    for (state, card, capture, [confirm, capture_to, cancel]) in [
        ("requires_confirmation", "pm_card_visa", &[][..], ["succeeded", "", "canceled"]),
        ("succeeded", "pm_card_visa", &[][..], ["", "", ""]),
        ("requires_capture", "pm_card_visa", &manual[..], ["", "succeeded", "canceled"]),
        ("requires_action", "pm_card_threeDSecure2Required", &[][..], ["requires_action", "", "canceled"]),
        ("processing", "pm_sim_processing", &[][..], ["", "", ""]),
        ("canceled", "pm_card_visa", &[][..], ["", "", ""]),
    ] {
        for (verb, leads_to) in [("confirm", confirm), ("capture", capture_to), ("cancel", cancel)] {
            let shop = Shop::open();
            let id = shop.create(card, capture).await;
            match state {
                "requires_confirmation" => {}
                "canceled" => drop(shop.post(&format!("/v1/payment_intents/{id}/cancel"), None, &[]).await.object()),
                _ => drop(shop.confirm(&id, None).await.object()),
            }
            assert_eq!(shop.status(&id).await, state);
            let before = moved(&shop);
            let answer = shop.post(&format!("/v1/payment_intents/{id}/{verb}"), None, &[]).await;
            if leads_to.is_empty() {
                let error = answer.error(400);
                assert_eq!(error["code"], "payment_intent_unexpected_state", "{verb} from {state}");
                assert_eq!(error["payment_intent"]["status"], state, "{verb} from {state}");
                assert_eq!(moved(&shop), before, "{verb} from {state}");
            } else {
                assert_eq!(answer.object()["status"], leads_to, "{verb} from {state}");
            }
        }
    }
}

#[actix_web::test]
async fn intent_that_waits_for_buyer_or_bank_is_settled() {
    for (card, outcome, status, captured) in [
        ("pm_card_threeDSecure2Required", Outcome::Succeeded, "succeeded", 1200),
        ("pm_card_threeDSecure2Required", Outcome::Failed, "requires_payment_method", 0),
        ("pm_sim_processing", Outcome::Succeeded, "succeeded", 1200),
        ("pm_sim_processing", Outcome::Failed, "requires_payment_method", 0),
    ] {
        let shop = Shop::open();
        let id = shop.create(card, &[]).await;
        let waiting = shop.confirm(&id, None).await.object();
        assert_eq!(waiting["next_action"].is_null(), card == "pm_sim_processing", "{waiting}");
        assert_eq!(moved(&shop), []);
        assert_eq!(shop.gateway.settle(&id, outcome).expect("it waits")["status"], status);
        assert_eq!(shop.gateway.ledger().totals().captured, captured);
        shop.gateway.settle(&id, outcome).expect_err("it waits no longer");
    }
}

#[actix_web::test]
async fn refunds_never_exceed_captured_amount() {
    let shop = Shop::open();
    let id = shop.create("pm_card_visa", &[]).await;
    let intent = [("payment_intent", id.as_str())];
    let early = shop.post("/v1/refunds", None, &intent).await.error(400);
    assert!(text(&early["message"]).contains("does not have a successful charge"));
    shop.confirm(&id, None).await.object();

    let part = [intent[0], ("amount", "500"), ("metadata[why]", "stale")];
    let refund = shop.post("/v1/refunds", None, &part).await.object();
    assert_eq!((&refund["object"], &refund["status"]), (&json!("refund"), &json!("succeeded")));
    assert_eq!(refund["metadata"], json!({"why": "stale"}));
    assert_eq!(shop.post("/v1/refunds", None, &[intent[0], ("amount", "701")]).await.error(400)["param"], "amount");
    assert_eq!(shop.post("/v1/refunds", None, &intent).await.object()["amount"], 700);
    assert_eq!(shop.post("/v1/refunds", None, &intent).await.error(400)["code"], "charge_already_refunded");
    assert_eq!(shop.gateway.ledger().of_intent(&id), Totals { refunded: 1200, ..AT_ONCE });

    let listed = shop.get(&format!("/v1/refunds?payment_intent={id}&limit=1")).await.object();
    assert_eq!((&listed["has_more"], &listed["data"][0]["amount"]), (&json!(true), &json!(700)));
    let last = text(&listed["data"][0]["id"]);
    let listed = shop.get(&format!("/v1/refunds?payment_intent={id}&limit=1&starting_after={last}")).await.object();
    assert_eq!((&listed["has_more"], &listed["data"][0]["id"]), (&json!(false), &refund["id"]));
}

#[actix_web::test]
async fn intents_are_found_by_metadata() {
    let shop = Shop::open();
    let id = shop.create("pm_card_visa", &[]).await;
    let search = "/v1/payment_intents/search?query=metadata%5B'attempt_id'%5D:'attempt-1'";
    let found = shop.get(search).await.object();
    assert_eq!((&found["object"], &found["data"][0]["id"]), (&json!("search_result"), &json!(id)));
    let other = search.replace("attempt-1", "attempt-2");
    assert_eq!(shop.get(&other).await.object()["data"], json!([]));
    let bad = shop.get("/v1/payment_intents/search?query=nonsense").await.error(400);
    assert_eq!(bad["param"], "query");
}

#[actix_web::test]
async fn wrong_requests_are_refused_in_the_shape_of_stripe() {
    let shop = Shop::open();
    let good = [("amount", "1200"), ("currency", "gbp")];
    for (form, code, param) in [
        (&[("currency", "gbp")][..], "parameter_missing", "amount"),
        (&[("amount", "12.5"), good[1]][..], "parameter_invalid_integer", "amount"),
        (&[("amount", "0"), good[1]][..], "parameter_invalid_integer", "amount"),
        (&[("amount", "29"), good[1]][..], "amount_too_small", "amount"),
        (&[("amount", "100000000"), good[1]][..], "amount_too_large", "amount"),
        (&[good[0], good[1], ("colour", "red")][..], "parameter_unknown", "colour"),
        (&[good[0], good[1], ("payment_method", "pm_unknown")][..], "resource_missing", "payment_method"),
    ] {
        let error = shop.post("/v1/payment_intents", None, form).await.error(400);
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)));
        assert_eq!(error["type"], "invalid_request_error");
    }
    assert_eq!(shop.get("/v1/payment_intents/pi_none").await.error(404)["code"], "resource_missing");
    assert_eq!(shop.get("/v1/customers").await.error(404)["type"], "invalid_request_error");
    assert_eq!(moved(&shop), []);
}

#[actix_web::test]
async fn calls_need_the_api_key_and_responses_have_a_request_id() {
    let shop = Shop::open();
    let url = format!("{}/v1/payment_intents/search?query=metadata['a']:'b'", shop.gateway.url());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.get(&url);
    for (request, status) in [
        (request.try_clone().expect("no body"), 401),
        (request.try_clone().expect("no body").bearer_auth("sk_test_other"), 401),
        (request.bearer_auth("sk_test_paysim"), 200),
    ] {
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), status);
        assert!(answer.headers()["request-id"].to_str().expect("text").starts_with("req_"));
    }
}
