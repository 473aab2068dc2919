//! Manual capture: the amount is authorized when the order is placed and captured with the first shipment.

use paysim::{Fault, Operation, Totals};
use serde_json::{Value, json};

use crate::database::Database;
use crate::kit::basket::{id, order_path};
use crate::kit::{Place, until};
use crate::shop::{PRICE, Shop, UNITS};

const SETTINGS: &[(&str, &str)] =
    &[("TUCKSHOP_PAYMENT_CAPTURE", "manual"), ("TUCKSHOP_TASKS_PAYMENT_CAPTURE_MS", "100")];
const HELD: Totals = Totals { captures: 0, captured: 0, refunded: 0, held: PRICE };
const CAPTURED: Totals = Totals { captures: 1, captured: PRICE, refunded: 0, held: 0 };
const RELEASED: Totals = Totals { captures: 0, captured: 0, refunded: 0, held: 0 };

async fn buy(shop: &Shop) -> Value {
    let done = shop.pay(&shop.checkout().await, "pm_card_visa").await.body(200);
    assert_eq!(done["status"], "completed");
    shop.server.get(&order_path(&done)).await.body(200)
}

fn totals(shop: &Shop) -> Totals {
    shop.gateway.ledger().totals()
}

fn state(place: &Place) -> String {
    let [state] = Database::open(place).rows(["state"], "FROM payment_attempt").remove(0);
    state
}

/// A partial shipment captures the whole amount once.
async fn first_shipment_captures_the_whole_amount_and_the_second_nothing(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let order = buy(&shop).await;
    // Several passes of the task find nothing to capture.
    let passes = async || shop.server.get("/statusz").await.body(200)["tasks"]["payment_capture"]["passes"].as_u64();
    let seen = passes().await.expect("a number");
    until("the task has made more passes", || async { (passes().await > Some(seen + 2)).then_some(()) }).await;
    assert_eq!((totals(&shop), state(&place).as_str()), (HELD, "authorized"));

    let mut shipped = order.clone();
    shipped["fulfillment"]["events"] = json!([{
        "id": "evt_1", "occurred_at": "2026-04-08T10:00:00Z", "type": "shipped",
        "line_items": [{"id": order["line_items"][0]["id"], "quantity": 1}],
    }]);
    // The first answer is lost after the capture.
    shop.gateway.fail_next(Operation::IntentCapture, 1, Fault::ErrorAfterEffect);
    let path = format!("/orders/{}", id(&order));
    let _ = shop.server.put(&path, &shipped).await.expect(200);
    until("the amount is captured", || async { (state(&place) == "confirmed").then_some(()) }).await;
    assert_eq!(shop.wait_for_log_line("payment captured").await["op"], "payment.capture");
    assert_eq!(totals(&shop), CAPTURED);

    let rest = shop.server.post_empty(&format!("/testing/orders/{}/fulfill", id(&order))).await.body(200);
    assert_eq!(rest["line_items"][0]["status"], "fulfilled");
    let seen = passes().await.expect("a number");
    until("the task has made more passes", || async { (passes().await > Some(seen + 2)).then_some(()) }).await;
    assert_eq!(totals(&shop), CAPTURED);
    assert_eq!(Database::open(&place).level("bun"), (100 - UNITS, 0));
    shop.assert_sound(&place, &[], &[]);
}

/// An authorization is about to expire and nothing was shipped. The shop still owes the goods, so it captures the
/// amount.
async fn expiring_authorization_is_captured_if_the_order_has_open_units(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let _ = buy(&shop).await;
    Database::open(&place).execute("UPDATE payment_attempt SET due_at = 0 WHERE state = 'authorized'");
    until("the amount is captured", || async { (state(&place) == "confirmed").then_some(()) }).await;
    assert_eq!(totals(&shop), CAPTURED);
}

/// If every unit was refunded, the authorization is released and nothing is captured.
async fn expiring_authorization_is_released_if_the_order_has_no_open_units(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let order = buy(&shop).await;
    let everything = json!({"line_item_id": order["line_items"][0]["id"], "quantity": UNITS, "type": "refund"});
    let _ = shop.server.post(&format!("/testing/orders/{}/adjust", id(&order)), &everything).await.expect(200);
    Database::open(&place).execute("UPDATE payment_attempt SET due_at = 0 WHERE state = 'authorized'");
    until("the authorization is released", || async { (state(&place) == "released").then_some(()) }).await;
    assert_eq!(totals(&shop), RELEASED);
    let _ = shop.wait_for_log_line("payment released: its order has no units left").await;
}

crate::on_both_engines!(first_shipment_captures_the_whole_amount_and_the_second_nothing);

mod sqlite_only {
    use super::*;
    crate::on_sqlite!(
        expiring_authorization_is_captured_if_the_order_has_open_units,
        expiring_authorization_is_released_if_the_order_has_no_open_units,
    );
}
