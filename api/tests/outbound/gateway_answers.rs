//! A gateway that is down, slow or wrong during a purchase. One charge becomes one order, and stock is released if
//! nothing was charged.

use std::time::{Duration, Instant};

use paysim::{Fault, Operation};
use serde_json::{Value, json};

use crate::database::{Database, stock};
use crate::kit::basket::{basket, codes, id};
use crate::kit::client::fresh_key;
use crate::kit::{Answer, Place, until};
use crate::shop::{HASTY, PRICE, Shop, UNITS};

/// Many more than the retries of one call.
const ALWAYS: u64 = 1_000;

/// The units on hand and held of the item that is bought.
fn level(place: &Place) -> (i64, i64) {
    Database::open(place).level("bun")
}

fn attempts(place: &Place) -> Vec<[String; 3]> {
    Database::open(place).rows(["id", "state", "checkout_id"], "FROM payment_attempt ORDER BY created_at, id")
}

/// The log lines of the calls of this operation.
fn calls(shop: &Shop, op: &str) -> Vec<Value> {
    shop.server.log().into_iter().filter(|line| line["msg"] == "outbound call" && line["op"] == op).collect()
}

/// Waits for the log line of the `count`th call of this operation. The line may follow the answer.
async fn nth_call(shop: &Shop, op: &str, count: usize) -> Value {
    until(&format!("call {count} of {op} is logged"), || async { calls(shop, op).into_iter().nth(count - 1) }).await
}

/// PAY1. Refused connections are retried. Then the completion fails without effect, and the same key works later.
async fn unreachable_gateway_charges_nothing_and_stock_is_released(place: Place) {
    let shop = Shop::open(&place, &[]).await;
    let shop = shop.without_gateway();
    let (checkout, key) = (shop.checkout().await, fresh_key());

    let refused = shop.payment(&checkout, "pm_card_visa", &key).await.problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(shop.read_checkout(&checkout).await["status"], "ready_for_complete");
    assert_eq!(level(&place), (100, 0));
    let call = shop.wait_for_log_line("outbound call").await;
    assert_eq!(
        (&call["op"], &call["outcome"], &call["effect"]),
        (&json!("payment.open"), &json!("unreachable"), &json!("none"))
    );
    assert!(call["attempts"].as_u64() > Some(1), "the call was not retried: {call}");

    let shop = shop.with_gateway();
    let done = shop.payment(&checkout, "pm_card_visa", &key).await.body(200);
    assert_eq!(done["status"], "completed");
    assert_eq!(shop.captured(), (1, PRICE));
    shop.assert_sound(&place, &[&done], &[]);
}

/// The gateway refuses to create such a payment. Nothing happens, and its reason is logged once.
async fn refused_payment_intent_is_reported_with_its_reason(place: Place) {
    stock(&place, &[("crumb", 20, 10)]);
    let shop = Shop::open(&place, &[]).await;
    let checkout = shop.server.post("/checkout-sessions", &basket(&[("crumb", 1)])).await.body(201);
    // The refusal is recorded: the same key replays it. The platform can change its basket.
    let key = fresh_key();
    let refused = shop.payment(&checkout, "pm_card_visa", &key).await.body(402);
    assert_eq!((&refused["status"], codes(&refused)), (&json!("ready_for_complete"), vec!["payment_failed"]));
    assert_eq!(refused["messages"][0]["content"], "The amount is too small to be paid this way.");
    let again = shop.payment(&checkout, "pm_card_visa", &key).await;
    assert!(again.is_replay());
    assert_eq!(again.body(402), refused);
    nth_call(&shop, "payment.open", 1).await;
    assert_eq!(calls(&shop, "payment.open").len(), 1);
    assert_eq!((Database::open(&place).level("crumb"), shop.captured()), ((10, 0), (0, 0)));
    let line = shop.wait_for_log_line("gateway refuses to open the payment").await;
    assert_eq!(line["error_code"], "payment.open_refused");
    assert!(line["detail"].as_str().is_some_and(|detail| detail.contains("amount_too_small")), "{line}");

    let path = format!("/checkout-sessions/{}", id(&checkout));
    let more = shop.server.put(&path, &basket(&[("crumb", 3)])).await.body(200);
    assert_eq!(shop.pay(&more, "pm_card_visa").await.body(200)["status"], "completed");
}

/// PAY15. A gateway that hangs does so already at the creation of the payment. Nothing is charged and stock is
/// released. A caller that waits with the same key claims it.
async fn gateway_hanging_at_intent_creation_releases_the_key_to_a_waiter(place: Place) {
    let shop = Shop::open(&place, HASTY).await;
    let (checkout, key) = (shop.checkout().await, fresh_key());
    shop.gateway.fail_next(Operation::IntentCreate, ALWAYS, Fault::HangWithoutEffect);
    let first = shop.payment(&checkout, "pm_card_visa", &key);
    let hangs = || shop.gateway.faults_dealt().contains_key("hang_without_effect");
    let second = async {
        until("the gateway hangs", || async { hangs().then_some(()) }).await;
        shop.gateway.clear_faults();
        shop.payment(&checkout, "pm_card_visa", &key).await
    };
    let (first, second) = tokio::join!(async { first.await }, second);
    let _ = first.problem(503, "unavailable");
    let done = second.body(200);
    assert_eq!((&done["status"], shop.captured()), (&json!("completed"), (1, PRICE)));
    assert_eq!(level(&place), (100 - UNITS, 0));
    let states: Vec<String> = attempts(&place).into_iter().map(|[_, state, _]| state).collect();
    assert_eq!(states, ["cancelled", "confirmed"]);
    shop.assert_sound(&place, &[&done], &[]);
}

/// PAY2. The gateway charges and does not answer. The outcome is unknown to the caller until the reconciler finds the
/// charge.
async fn charge_without_an_answer_becomes_an_order(place: Place) {
    let shop = Shop::open(&place, HASTY).await;
    let (checkout, key) = (shop.checkout().await, fresh_key());
    let unknown = shop.payment(&checkout, "pm_sim_charge_then_hang", &key).await.body(200);
    assert_eq!(unknown["status"], "complete_in_progress");
    assert_eq!(unknown["order"], Value::Null);

    let line = shop.wait_for_log_line("payment outcome is unknown").await;
    assert_eq!((&line["op"], &line["checkout_id"]), (&json!("payment.confirm"), &checkout["id"]));
    assert!(line["reference"].as_str().is_some_and(|reference| reference.starts_with("pi_")), "{line}");
    let done = shop.wait_until_settled(&checkout).await;
    assert_eq!(done["status"], "completed");
    assert_eq!(shop.wait_for_log_line("payment attempt reconciled").await["checkout_id"], checkout["id"]);
    assert_eq!(shop.captured(), (1, PRICE));
    assert_eq!(level(&place), (100 - UNITS, 0));
    let again = shop.payment(&checkout, "pm_sim_charge_then_hang", &key).await;
    assert!(again.is_replay());
    assert_eq!(again.body(200), done);
    shop.assert_sound(&place, &[&done], &[]);
}

/// PAY2. The gateway neither charges nor answers. The payment is cancelled at the gateway before its stock is released.
async fn hung_payment_without_a_charge_is_cancelled_and_can_be_retried(place: Place) {
    let shop = Shop::open(&place, HASTY).await;
    let (checkout, key) = (shop.checkout().await, fresh_key());
    let unknown = shop.payment(&checkout, "pm_sim_no_charge_hang", &key).await.body(200);
    assert_eq!(unknown["status"], "complete_in_progress");
    let unpaid = shop.wait_until_settled(&checkout).await;
    assert_eq!((&unpaid["status"], codes(&unpaid)), (&json!("ready_for_complete"), vec!["payment_not_attempted"]));
    assert_eq!((shop.captured(), level(&place)), ((0, 0), (100, 0)));
    shop.assert_sound(&place, &[], &[&checkout]);
    // The payment was not refused. The key is free for the same request.
    let again = shop.payment(&checkout, "pm_sim_no_charge_hang", &key).await;
    assert!(!again.is_replay());
    assert_eq!(again.body(200)["status"], "complete_in_progress");
    assert_eq!(shop.wait_until_settled(&checkout).await["status"], "ready_for_complete");

    let done = shop.pay(&checkout, "pm_card_visa").await.body(200);
    assert_eq!((&done["status"], codes(&done)), (&json!("completed"), vec![]));
    assert_eq!(shop.captured(), (1, PRICE));
    shop.assert_sound(&place, &[&done], &[]);
}

/// PAY2. The charge comes after every wait has ended. It is cancelled in time or becomes an order.
async fn late_charge_becomes_an_order_or_is_prevented(place: Place) {
    let shop = Shop::open(&place, HASTY).await;
    let checkout = shop.checkout().await;
    let unknown = shop.pay(&checkout, "pm_sim_late_charge").await.body(200);
    assert_eq!(unknown["status"], "complete_in_progress");
    let settled = shop.wait_until_settled(&checkout).await;
    // The charge happens three seconds after the request, whether or not a caller waits.
    let due = Instant::now() + Duration::from_millis(3_500);
    until("the late charge is due", || async { (Instant::now() > due).then_some(()) }).await;
    let is_order = settled["status"] == "completed";
    assert_eq!(shop.captured(), if is_order { (1, PRICE) } else { (0, 0) }, "{settled}");
    let (acknowledged, refused) = if is_order { (vec![&settled], vec![]) } else { (vec![], vec![&settled]) };
    shop.assert_sound(&place, &acknowledged, &refused);
}

/// PAY3. The gateway answers 500, once after a charge and once without. It repeats the 500 for the same key.
async fn gateway_500_is_neither_a_charge_nor_a_refusal(place: Place) {
    let shop = Shop::open(&place, HASTY).await;
    let charged = shop.checkout().await;
    assert_eq!(shop.pay(&charged, "pm_sim_charge_then_500").await.body(200)["status"], "complete_in_progress");
    let done = shop.wait_until_settled(&charged).await;
    assert_eq!((&done["status"], shop.captured()), (&json!("completed"), (1, PRICE)));

    let uncharged = shop.checkout().await;
    assert_eq!(shop.pay(&uncharged, "pm_sim_no_charge_500").await.body(200)["status"], "complete_in_progress");
    let refused = shop.wait_until_settled(&uncharged).await;
    assert_eq!((&refused["status"], codes(&refused)), (&json!("ready_for_complete"), vec!["payment_not_attempted"]));
    assert_eq!((shop.captured(), level(&place)), ((1, PRICE), (100 - UNITS, 0)));
    let unknown = shop.server.log().into_iter().filter(|line| line["msg"] == "payment outcome is unknown");
    assert_eq!(unknown.count(), 2);
    shop.assert_sound(&place, &[&done], &[&uncharged]);
}

/// PAY4. The gateway reports that the key is in use by an earlier call, and the shop waits for it.
async fn gateway_key_in_use_is_waited_for(place: Place) {
    let shop = Shop::open(&place, &[]).await;
    let checkout = shop.checkout().await;
    shop.gateway.fail_next(Operation::IntentConfirm, 2, Fault::InUse);
    let done = shop.pay(&checkout, "pm_card_visa").await.body(200);
    assert_eq!(done["status"], "completed");
    assert_eq!(shop.gateway.faults_dealt()["in_use"], 2);
    let call = nth_call(&shop, "payment.confirm", 1).await;
    assert_eq!(calls(&shop, "payment.confirm").len(), 1);
    assert_eq!((&call["attempts"], &call["outcome"]), (&json!(3), &json!("answered")));
    assert_eq!(shop.captured(), (1, PRICE));
    shop.assert_sound(&place, &[&done], &[]);
}

/// Between the first attempt of this call and its retry another client uses the key for a request that charges nothing.
async fn pay_while_another_client_uses_the_key(shop: &Shop, place: &Place, checkout: &Value, of: Operation) -> Answer {
    shop.gateway.fail_next(of, 1, Fault::RateLimited { retry_after_seconds: 2 });
    let rival = async {
        let attempt = until("the attempt is recorded", || async { attempts(place).pop() }).await;
        until("the first attempt was refused", || async { shop.gateway.faults_dealt().get("rate_limited").copied() })
            .await;
        let form = [("amount", "100"), ("currency", "usd")];
        let request = reqwest::Client::new().post(format!("{}/v1/payment_intents", shop.gateway.url())).form(&form);
        let verb = if of == Operation::IntentCreate { "open" } else { "confirm" };
        let key = format!("{}-{verb}", attempt[0]);
        let request = request.bearer_auth(shop.gateway.api_key()).header("idempotency-key", key);
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), 200);
    };
    let (answer, ()) = tokio::join!(shop.pay(checkout, "pm_card_visa"), rival);
    let line = shop.wait_for_log_line("gateway used the idempotency key for another request").await;
    assert_eq!((&line["level"], &line["error_code"]), (&json!("error"), &json!("payment.key_mismatch")));
    answer
}

/// PAY5. The gateway used the idempotency key for another request. The shop logs an error, and nothing is charged.
async fn gateway_key_of_another_request_charges_nothing(place: Place) {
    let shop = Shop::open(&place, &[]).await;
    let checkout = shop.checkout().await;
    let refused = pay_while_another_client_uses_the_key(&shop, &place, &checkout, Operation::IntentCreate).await;
    let _ = refused.problem(503, "unavailable");
    assert_eq!((shop.captured(), level(&place)), ((0, 0), (100, 0)));
    shop.assert_sound(&place, &[], &[&checkout]);
    assert_eq!(shop.pay(&checkout, "pm_card_visa").await.body(200)["status"], "completed");
}

/// PAY5. The same for the charge. The key no longer identifies the payment, so the payment is looked up and cancelled.
async fn charge_key_of_another_request_is_looked_up_and_cancelled(place: Place) {
    let shop = Shop::open(&place, &[("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "100")]).await;
    let checkout = shop.checkout().await;
    let unknown =
        pay_while_another_client_uses_the_key(&shop, &place, &checkout, Operation::IntentConfirm).await.body(200);
    assert_eq!((&unknown["status"], &unknown["order"]), (&json!("complete_in_progress"), &Value::Null));
    assert_eq!(shop.wait_for_log_line("payment outcome is unknown").await["checkout_id"], checkout["id"]);

    let refused = shop.wait_until_settled(&checkout).await;
    assert_eq!((&refused["status"], codes(&refused)), (&json!("ready_for_complete"), vec!["payment_not_attempted"]));
    assert_eq!(shop.wait_for_log_line("payment attempt reconciled").await["payment"], "not_attempted");
    assert_eq!((shop.captured(), level(&place)), ((0, 0), (100, 0)));
    assert_eq!(attempts(&place)[0][1], "cancelled");
    let alarms = shop.server.log().into_iter().filter(|line| line["error_code"] == "payment.key_mismatch");
    assert_eq!(alarms.count(), 1, "the key was used again");
    shop.assert_sound(&place, &[], &[&checkout]);
    assert_eq!(shop.pay(&checkout, "pm_card_visa").await.body(200)["status"], "completed");
    assert_eq!(shop.captured(), (1, PRICE));
}

/// PAY6. A declined card is reported at once, stock is released, and nothing is retried.
async fn declined_card_is_reported_and_releases_stock(place: Place) {
    let shop = Shop::open(&place, &[]).await;
    let (checkout, key) = (shop.checkout().await, fresh_key());
    for (token, reason) in [
        ("pm_card_chargeDeclined", "Your card was declined."),
        ("pm_card_chargeDeclinedInsufficientFunds", "Your card has insufficient funds."),
        ("pm_card_chargeDeclinedExpiredCard", "Your card has expired."),
    ] {
        let declined = shop.pay(&checkout, token).await.body(402);
        assert_eq!((&declined["status"], codes(&declined)), (&json!("ready_for_complete"), vec!["payment_failed"]));
        assert_eq!(declined["messages"][0]["content"], reason);
        assert_eq!(declined["order"], Value::Null);
        assert_eq!(level(&place), (100, 0));
    }
    let declined = shop.payment(&checkout, "pm_card_chargeDeclined", &key).await.body(402);
    let replayed = shop.payment(&checkout, "pm_card_chargeDeclined", &key).await;
    assert!(replayed.is_replay());
    assert_eq!(replayed.body(402), declined);
    let line = shop.wait_for_log_line("payment answered").await;
    assert_eq!(line["payment"], "declined");
    assert!(line["reference"].as_str().is_some_and(|reference| reference.starts_with("pi_")), "{line}");
    let detail = "type card_error, code card_declined, decline_code generic_decline";
    assert_eq!(line["detail"], detail);
    assert_eq!((shop.captured(), attempts(&place).len()), ((0, 0), 4));
    shop.assert_sound(&place, &[], &[&checkout]);
}

/// PAY7, PAY8. An answer is slow, cut off, not JSON, or endless. If this happens once, the answer is fetched with the
/// same key.
async fn unreadable_gateway_answer_is_fetched_again(place: Place) {
    let shop = Shop::open(&place, &[]).await;
    let mut done = Vec::new();
    for token in [
        "pm_sim_charge_then_truncate",
        "pm_sim_charge_then_html",
        "pm_sim_charge_then_huge",
        "pm_sim_charge_then_reset",
    ] {
        let completed = shop.pay(&shop.checkout().await, token).await.body(200);
        assert_eq!(completed["status"], "completed", "{token}");
        let call = nth_call(&shop, "payment.confirm", done.len() + 1).await;
        assert_eq!((&call["attempts"], &call["outcome"]), (&json!(2), &json!("answered")), "{token}");
        done.push(completed);
    }
    assert_eq!(shop.captured(), (4, 4 * PRICE));
    shop.assert_sound(&place, &done.iter().collect::<Vec<_>>(), &[]);
}

/// PAY7, PAY8. If every answer is unreadable, the reconciler looks the payment up.
async fn permanently_unreadable_gateway_answer_is_settled_by_lookup(place: Place) {
    let shop = Shop::open(&place, HASTY).await;
    let mut done = Vec::new();
    for (fault, outcome) in [
        (Fault::Drip, "deadline"),
        (Fault::Truncated, "broken"),
        (Fault::Html, "unreadable"),
        (Fault::Huge, "too_large"),
        (Fault::ResetAfterEffect, "broken"),
    ] {
        let checkout = shop.checkout().await;
        shop.gateway.fail_next(Operation::IntentConfirm, ALWAYS, fault);
        let began = Instant::now();
        let unknown = shop.pay(&checkout, "pm_card_visa").await.body(200);
        assert_eq!(unknown["status"], "complete_in_progress", "{}", fault.name());
        assert!(began.elapsed() < Duration::from_secs(4), "{} took {:?}", fault.name(), began.elapsed());
        shop.gateway.clear_faults();
        let call = nth_call(&shop, "payment.confirm", done.len() + 1).await;
        // On a busy machine a retry may have ended at its deadline instead.
        let ended = call["outcome"].as_str().expect("an outcome");
        assert!([outcome, "deadline"].contains(&ended), "{}: {call}", fault.name());
        assert_eq!(call["effect"], "unknown", "{}", fault.name());
        let settled = shop.wait_until_settled(&checkout).await;
        assert_eq!(settled["status"], "completed", "{}", fault.name());
        done.push(settled);
    }
    assert_eq!(shop.captured(), (5, 5 * PRICE));
    shop.assert_sound(&place, &done.iter().collect::<Vec<_>>(), &[]);
}

/// 3-D Secure: a payment that needs the buyer is cancelled at the gateway, and stock is released.
async fn card_requiring_buyer_authentication_escalates_and_charges_nothing(place: Place) {
    let shop = Shop::open(&place, HASTY).await;
    let (checkout, key) = (shop.checkout().await, fresh_key());
    let escalated = shop.payment(&checkout, "pm_card_threeDSecure2Required", &key).await.body(200);
    assert_eq!(escalated["status"], "requires_escalation");
    let page = escalated["continue_url"].as_str().expect("a page").to_owned();
    assert!(page.starts_with(&shop.server.url()), "{page}");
    let [message] = escalated["messages"].as_array().expect("messages").as_slice() else { panic!("{escalated}") };
    assert_eq!((&message["type"], &message["severity"]), (&json!("error"), &json!("requires_buyer_input")));
    assert_eq!((shop.captured(), level(&place)), ((0, 0), (100, 0)));
    let [intent] = Database::open(&place).rows(["reference"], "FROM payment_attempt").remove(0);
    let request = reqwest::Client::new().get(format!("{}/v1/payment_intents/{intent}", shop.gateway.url()));
    let intent: Value =
        request.bearer_auth(shop.gateway.api_key()).send().await.expect("an answer").json().await.expect("an intent");
    assert_eq!(intent["status"], "canceled");
    let page = reqwest::get(&page).await.expect("the page");
    assert_eq!(page.status().as_u16(), 200);
    shop.assert_sound(&place, &[], &[&checkout]);
    let replayed = shop.payment(&checkout, "pm_card_threeDSecure2Required", &key).await;
    assert!(replayed.is_replay());
    assert_eq!(replayed.body(200), escalated);

    let done = shop.pay(&checkout, "pm_card_visa").await.body(200);
    assert_eq!((&done["status"], codes(&done)), (&json!("completed"), vec![]));
    assert_eq!((shop.captured(), id(&done)), ((1, PRICE), id(&checkout)));
    shop.assert_sound(&place, &[&done], &[]);
}

crate::on_both_engines!(
    unreachable_gateway_charges_nothing_and_stock_is_released,
    charge_without_an_answer_becomes_an_order,
    gateway_hanging_at_intent_creation_releases_the_key_to_a_waiter,
    hung_payment_without_a_charge_is_cancelled_and_can_be_retried,
    gateway_500_is_neither_a_charge_nor_a_refusal,
    declined_card_is_reported_and_releases_stock,
    card_requiring_buyer_authentication_escalates_and_charges_nothing,
);

mod sqlite_only {
    use super::*;
    crate::on_sqlite!(
        refused_payment_intent_is_reported_with_its_reason,
        late_charge_becomes_an_order_or_is_prevented,
        gateway_key_in_use_is_waited_for,
        gateway_key_of_another_request_charges_nothing,
        charge_key_of_another_request_is_looked_up_and_cancelled,
        unreadable_gateway_answer_is_fetched_again,
        permanently_unreadable_gateway_answer_is_settled_by_lookup,
    );
}
