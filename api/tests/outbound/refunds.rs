//! Money that goes back: once, never more than was taken, whatever becomes of the gateway's answers.
//!
//! No surface asks for a refund yet. What one would write down is written here, beside a shop that is open.

use std::time::Duration;

use domain::payment::RefundId;
use paysim::{Fault, Operation};
use serde_json::{Value, json};

use crate::books::Books;
use crate::kit::basket::order_path;
use crate::kit::{Place, until};
use crate::shop::{PRICE, Shop};

const SETTINGS: &[(&str, &str)] = &[("TUCKSHOP_TASKS_PAYMENT_REFUND_MS", "100")];
const ALWAYS: u64 = 1_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

async fn bought(shop: &Shop) -> Value {
    let done = shop.pay(&shop.checkout().await, "pm_card_visa").await.body(200);
    shop.server.get(&order_path(&done)).await.body(200)
}

/// As `refund.request` records it, of the one payment there is; `age` is how long ago that was.
fn request(place: &Place, amount: i64, age: u64) -> RefundId {
    let now = time::OffsetDateTime::now_utc();
    let (id, at) = (RefundId::generate(now), now.unix_timestamp() * 1_000 - age as i64);
    Books::open(place).execute(&format!(
        "INSERT INTO refund (id, attempt_id, amount, currency, state, tries, created_at, due_at) \
         SELECT '{id}', id, {amount}, currency, 'requested', 0, {at}, {at} FROM payment_attempt"
    ));
    id
}

/// It is asked for again after a minute, looked for again after an hour; the test does not wait for that.
fn hasten(place: &Place, id: &RefundId) {
    Books::open(place).execute(&format!("UPDATE refund SET due_at = 0, leased_until = NULL WHERE id = '{id}'"));
}

fn state(place: &Place, id: &RefundId) -> [String; 3] {
    let refund = format!("FROM refund WHERE id = '{id}'");
    Books::open(place).rows(["state", "tries", "reason"], &refund).remove(0)
}

async fn is(place: &Place, id: &RefundId, expected: [&str; 3]) {
    until(&format!("the refund is {expected:?}"), || async { (state(place, id) == expected).then_some(()) }).await;
}

/// The last line about it with this message.
async fn told(shop: &Shop, id: &RefundId, message: &str) -> Value {
    until(&format!("{message:?} is logged"), || async {
        let is_it = |line: &Value| line["msg"] == message && line["refund_id"] == id.as_str();
        shop.server.log().into_iter().rfind(is_it)
    })
    .await
}

fn given_back(shop: &Shop) -> i64 {
    shop.gateway.ledger().totals().refunded
}

/// PAY13. Done, and the answer was lost: looked for before it is asked for again, and so made once.
async fn refund_with_a_lost_answer_is_made_once(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let _ = bought(&shop).await;
    shop.gateway.fail_next(Operation::RefundCreate, ALWAYS, Fault::ErrorAfterEffect);
    let id = request(&place, 200, 0);
    let line = told(&shop, &id, "refund has no answer yet").await;
    assert_eq!((&line["op"], &line["level"]), (&json!("payment.refund"), &json!("warning")));
    assert_eq!((&line["error_code"], &line["tries"]), (&json!("outcome_unknown"), &json!(1)));
    is(&place, &id, ["requested", "1", ""]).await;
    assert_eq!(given_back(&shop), 200);

    shop.gateway.clear_faults();
    hasten(&place, &id);
    is(&place, &id, ["succeeded", "2", ""]).await;
    assert_eq!(told(&shop, &id, "refund answered").await["state"], "Succeeded");
    assert_eq!(given_back(&shop), 200);
}

/// PAY13. Done, and the process is killed before it hears of it.
async fn kill_during_a_refund_refunds_once(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let _ = bought(&shop).await;
    shop.gateway.fail_next(Operation::RefundCreate, ALWAYS, Fault::HangAfterEffect);
    let id = request(&place, PRICE, 0);
    until("the gateway has made it", || async { (given_back(&shop) == PRICE).then_some(()) }).await;
    shop.server.kill();
    let shop = shop.reopen(&place).await;
    is(&place, &id, ["requested", "1", ""]).await;
    shop.gateway.clear_faults();
    // Its lease lasts for five minutes, and nobody lives who has it.
    hasten(&place, &id);
    is(&place, &id, ["succeeded", "2", ""]).await;
    assert_eq!((given_back(&shop), shop.captured()), (PRICE, (1, PRICE)));
}

/// PAY13. More than is left, which the shop itself would not have written down: the gateway refuses, and that is an end.
async fn refund_beyond_the_captured_amount_is_refused(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let _ = bought(&shop).await;
    let most = request(&place, 400, 0);
    is(&place, &most, ["succeeded", "1", ""]).await;
    let more = request(&place, 101, 0);
    let line = told(&shop, &more, "refund answered").await;
    assert!(line["state"].as_str().is_some_and(|state| state.starts_with("Failed(")), "{line}");
    until("it has failed", || async { (state(&place, &more)[0] == "failed").then_some(()) }).await;
    assert!(!state(&place, &more)[2].is_empty(), "no reason");
    assert_eq!((given_back(&shop), shop.captured()), (400, (1, PRICE)));
}

/// PAY14. The gateway has forgotten the key. What it did make is found; what it did not is never made any more, and a
/// person is told. Made by hand, it is found too.
async fn day_old_refund_is_looked_up_and_not_repeated(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let _ = bought(&shop).await;
    shop.gateway.fail_next(Operation::RefundCreate, ALWAYS, Fault::ErrorAfterEffect);
    let made = request(&place, 200, 0);
    let _ = told(&shop, &made, "refund has no answer yet").await;
    is(&place, &made, ["requested", "1", ""]).await;
    shop.gateway.clear_faults();
    shop.gateway.advance(Duration::from_millis(DAY_MS + 1));
    let aged = format!("UPDATE refund SET created_at = created_at - {DAY_MS} WHERE id = '{made}'");
    Books::open(&place).execute(&aged);
    hasten(&place, &made);
    is(&place, &made, ["succeeded", "2", ""]).await;
    assert_eq!(given_back(&shop), 200);

    let never = request(&place, 100, DAY_MS);
    let line =
        told(&shop, &never, "refund is a day old and the gateway does not have it: it is not asked for again").await;
    assert_eq!((&line["level"], &line["error_code"]), (&json!("error"), &json!("payment.key_expired")));
    is(&place, &never, ["requested", "1", ""]).await;
    assert_eq!(given_back(&shop), 200);

    let [intent] = Books::open(&place).rows(["reference"], "FROM payment_attempt").remove(0);
    let form = [("payment_intent", intent.as_str()), ("amount", "100"), ("metadata[refund_id]", never.as_str())];
    let by_hand = reqwest::Client::new().post(format!("{}/v1/refunds", shop.gateway.url())).form(&form);
    let by_hand = by_hand.bearer_auth(shop.gateway.api_key()).send().await.expect("an answer");
    assert_eq!(by_hand.status().as_u16(), 200);
    hasten(&place, &never);
    is(&place, &never, ["succeeded", "2", ""]).await;
    assert_eq!((given_back(&shop), shop.captured()), (300, (1, PRICE)));
}

crate::on_both_engines!(refund_with_a_lost_answer_is_made_once);

mod on_a_file {
    use super::*;
    crate::on_sqlite!(
        kill_during_a_refund_refunds_once,
        refund_beyond_the_captured_amount_is_refused,
        day_old_refund_is_looked_up_and_not_repeated,
    );
}
