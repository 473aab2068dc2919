//! Refunds: each is made once, never beyond the captured amount, also when the answers of the gateway are lost.
//!
//! No surface requests refunds yet. The tests insert the row that a request would write while the shop runs.

use std::time::Duration;

use domain::payment::RefundId;
use paysim::{Fault, Operation};
use serde_json::{Value, json};

use crate::database::Database;
use crate::kit::basket::order_path;
use crate::kit::{Place, until};
use crate::shop::{PRICE, Shop};

const SETTINGS: &[(&str, &str)] = &[("TUCKSHOP_TASKS_PAYMENT_REFUND_MS", "100")];
const ALWAYS: u64 = 1_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

async fn buy(shop: &Shop) -> Value {
    let done = shop.pay(&shop.checkout().await, "pm_card_visa").await.body(200);
    shop.server.get(&order_path(&done)).await.body(200)
}

/// Inserts a requested refund of the only payment, as `refund.request` records it. It was requested `age` milliseconds
/// ago.
fn request(place: &Place, amount: i64, age: u64) -> RefundId {
    let now = time::OffsetDateTime::now_utc();
    let (id, at) = (RefundId::generate(now), now.unix_timestamp() * 1_000 - age as i64);
    Database::open(place).execute(&format!(
        "INSERT INTO refund (id, attempt_id, amount, currency, state, tries, created_at, due_at) \
         SELECT '{id}', id, {amount}, currency, 'requested', 0, {at}, {at} FROM payment_attempt"
    ));
    id
}

/// Makes the refund due. The shop would repeat the request after a minute and the lookup after an hour.
fn make_due(place: &Place, id: &RefundId) {
    Database::open(place).execute(&format!("UPDATE refund SET due_at = 0, leased_until = NULL WHERE id = '{id}'"));
}

fn state(place: &Place, id: &RefundId) -> [String; 3] {
    let refund = format!("FROM refund WHERE id = '{id}'");
    Database::open(place).rows(["state", "tries", "reason"], &refund).remove(0)
}

async fn wait_for_state(place: &Place, id: &RefundId, expected: [&str; 3]) {
    until(&format!("the refund is {expected:?}"), || async { (state(place, id) == expected).then_some(()) }).await;
}

/// Waits for the last log line of this refund with this message.
async fn last_line(shop: &Shop, id: &RefundId, message: &str) -> Value {
    until(&format!("{message:?} is logged"), || async {
        let is_it = |line: &Value| line["msg"] == message && line["refund_id"] == id.as_str();
        shop.server.log().into_iter().rfind(is_it)
    })
    .await
}

fn refunded(shop: &Shop) -> i64 {
    shop.gateway.ledger().totals().refunded
}

/// PAY13. The refund was made and the answer was lost. The shop looks the refund up before it requests it again.
async fn refund_with_a_lost_answer_is_made_once(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let _ = buy(&shop).await;
    shop.gateway.fail_next(Operation::RefundCreate, ALWAYS, Fault::ErrorAfterEffect);
    let id = request(&place, 200, 0);
    let line = last_line(&shop, &id, "refund has no answer yet").await;
    assert_eq!((&line["op"], &line["level"]), (&json!("payment.refund"), &json!("warning")));
    assert_eq!((&line["error_code"], &line["tries"]), (&json!("outcome_unknown"), &json!(1)));
    wait_for_state(&place, &id, ["requested", "1", ""]).await;
    assert_eq!(refunded(&shop), 200);

    shop.gateway.clear_faults();
    make_due(&place, &id);
    wait_for_state(&place, &id, ["succeeded", "2", ""]).await;
    assert_eq!(last_line(&shop, &id, "refund answered").await["state"], "Succeeded");
    assert_eq!(refunded(&shop), 200);
}

/// PAY13. The refund was made, and the process is killed before the answer arrives.
async fn kill_during_a_refund_refunds_once(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let _ = buy(&shop).await;
    shop.gateway.fail_next(Operation::RefundCreate, ALWAYS, Fault::HangAfterEffect);
    let id = request(&place, PRICE, 0);
    until("the gateway has made the refund", || async { (refunded(&shop) == PRICE).then_some(()) }).await;
    shop.server.kill();
    let shop = shop.reopen(&place).await;
    wait_for_state(&place, &id, ["requested", "1", ""]).await;
    shop.gateway.clear_faults();
    // The lease lasts for five minutes, and its holder was killed.
    make_due(&place, &id);
    wait_for_state(&place, &id, ["succeeded", "2", ""]).await;
    assert_eq!((refunded(&shop), shop.captured()), (PRICE, (1, PRICE)));
}

/// PAY13. The refund exceeds the rest of the payment, which the shop itself would not record. The refusal of the
/// gateway is final.
async fn refund_beyond_the_captured_amount_is_refused(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let _ = buy(&shop).await;
    let most = request(&place, 400, 0);
    wait_for_state(&place, &most, ["succeeded", "1", ""]).await;
    let more = request(&place, 101, 0);
    let line = last_line(&shop, &more, "refund answered").await;
    assert!(line["state"].as_str().is_some_and(|state| state.starts_with("Failed(")), "{line}");
    until("the refund has failed", || async { (state(&place, &more)[0] == "failed").then_some(()) }).await;
    assert!(!state(&place, &more)[2].is_empty(), "no reason");
    assert_eq!((refunded(&shop), shop.captured()), (400, (1, PRICE)));
}

/// PAY14. The gateway has dropped the key. A refund that was made is found. A refund that was not made is never
/// requested again, and the shop logs an error. A refund made by hand is found too.
async fn day_old_refund_is_looked_up_and_not_repeated(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let _ = buy(&shop).await;
    shop.gateway.fail_next(Operation::RefundCreate, ALWAYS, Fault::ErrorAfterEffect);
    let made = request(&place, 200, 0);
    let _ = last_line(&shop, &made, "refund has no answer yet").await;
    wait_for_state(&place, &made, ["requested", "1", ""]).await;
    shop.gateway.clear_faults();
    shop.gateway.advance(Duration::from_millis(DAY_MS + 1));
    let aged = format!("UPDATE refund SET created_at = created_at - {DAY_MS} WHERE id = '{made}'");
    Database::open(&place).execute(&aged);
    make_due(&place, &made);
    wait_for_state(&place, &made, ["succeeded", "2", ""]).await;
    assert_eq!(refunded(&shop), 200);

    let never = request(&place, 100, DAY_MS);
    let line =
        last_line(&shop, &never, "refund is a day old and the gateway does not have it: it is not retried").await;
    assert_eq!((&line["level"], &line["error_code"]), (&json!("error"), &json!("payment.key_expired")));
    wait_for_state(&place, &never, ["requested", "1", ""]).await;
    assert_eq!(refunded(&shop), 200);

    let [intent] = Database::open(&place).rows(["reference"], "FROM payment_attempt").remove(0);
    let form = [("payment_intent", intent.as_str()), ("amount", "100"), ("metadata[refund_id]", never.as_str())];
    let by_hand = reqwest::Client::new().post(format!("{}/v1/refunds", shop.gateway.url())).form(&form);
    let by_hand = by_hand.bearer_auth(shop.gateway.api_key()).send().await.expect("an answer");
    assert_eq!(by_hand.status().as_u16(), 200);
    make_due(&place, &never);
    wait_for_state(&place, &never, ["succeeded", "2", ""]).await;
    assert_eq!((refunded(&shop), shop.captured()), (300, (1, PRICE)));
}

crate::on_both_engines!(refund_with_a_lost_answer_is_made_once);

mod sqlite_only {
    use super::*;
    crate::on_sqlite!(
        kill_during_a_refund_refunds_once,
        refund_beyond_the_captured_amount_is_refused,
        day_old_refund_is_looked_up_and_not_repeated,
    );
}
