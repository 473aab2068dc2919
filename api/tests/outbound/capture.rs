//! Manual capture: the amount is held when the order is placed, and taken with the first shipment.

use paysim::{Fault, Operation, Totals};
use serde_json::{Value, json};

use crate::books::Books;
use crate::kit::basket::{id, order_path};
use crate::kit::{Place, until};
use crate::shop::{PRICE, Shop, UNITS};

const SETTINGS: &[(&str, &str)] =
    &[("TUCKSHOP_PAYMENT_CAPTURE", "manual"), ("TUCKSHOP_TASKS_PAYMENT_CAPTURE_MS", "100")];
const HELD: Totals = Totals { captures: 0, captured: 0, refunded: 0, held: PRICE };
const TAKEN: Totals = Totals { captures: 1, captured: PRICE, refunded: 0, held: 0 };
const LET_GO: Totals = Totals { captures: 0, captured: 0, refunded: 0, held: 0 };

async fn bought(shop: &Shop) -> Value {
    let done = shop.pay(&shop.checkout().await, "pm_card_visa").await.body(200);
    assert_eq!(done["status"], "completed");
    shop.server.get(&order_path(&done)).await.body(200)
}

fn totals(shop: &Shop) -> Totals {
    shop.gateway.ledger().totals()
}

fn state(place: &Place) -> String {
    let [state] = Books::open(place).rows(["state"], "FROM payment_attempt").remove(0);
    state
}

/// Some of the goods leave, and the whole amount is taken, once.
async fn first_shipment_captures_the_whole_amount_and_the_second_nothing(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let order = bought(&shop).await;
    // Several passes of the task, none of which has anything to take.
    let passes = async || shop.server.get("/statusz").await.body(200)["tasks"]["payment_capture"]["passes"].as_u64();
    let seen = passes().await.expect("a number");
    until("it has looked for something to take", || async { (passes().await > Some(seen + 2)).then_some(()) }).await;
    assert_eq!((totals(&shop), state(&place).as_str()), (HELD, "authorized"));

    let mut shipped = order.clone();
    shipped["fulfillment"]["events"] = json!([{
        "id": "evt_1", "occurred_at": "2026-04-08T10:00:00Z", "type": "shipped",
        "line_items": [{"id": order["line_items"][0]["id"], "quantity": 1}],
    }]);
    // The first answer is lost, after the capture.
    shop.gateway.fail_next(Operation::IntentCapture, 1, Fault::ErrorAfterEffect);
    let path = format!("/orders/{}", id(&order));
    let _ = shop.server.put(&path, &shipped).await.expect(200);
    until("it is captured", || async { (state(&place) == "confirmed").then_some(()) }).await;
    assert_eq!(shop.logged("payment captured").await["op"], "payment.capture");
    assert_eq!(totals(&shop), TAKEN);

    let rest = shop.server.post_nothing(&format!("/testing/orders/{}/fulfill", id(&order))).await.body(200);
    assert_eq!(rest["line_items"][0]["status"], "fulfilled");
    let seen = passes().await.expect("a number");
    until("it has looked again", || async { (passes().await > Some(seen + 2)).then_some(()) }).await;
    assert_eq!(totals(&shop), TAKEN);
    assert_eq!(Books::open(&place).level("bun"), (100 - UNITS, 0));
    shop.must_be_sound(&place, &[], &[]);
}

/// Six days have passed and nothing was shipped: the shop has promised the goods, and takes the amount while it can.
async fn expiring_authorization_is_captured_if_the_order_has_open_units(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let _ = bought(&shop).await;
    Books::open(&place).execute("UPDATE payment_attempt SET due_at = 0 WHERE state = 'authorized'");
    until("it is captured", || async { (state(&place) == "confirmed").then_some(()) }).await;
    assert_eq!(totals(&shop), TAKEN);
}

/// And nothing is taken for an order of which everything was taken back.
async fn expiring_authorization_is_released_if_the_order_has_no_open_units(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let order = bought(&shop).await;
    let everything = json!({"line_item_id": order["line_items"][0]["id"], "quantity": UNITS, "type": "refund"});
    let _ = shop.server.post(&format!("/testing/orders/{}/adjust", id(&order)), &everything).await.expect(200);
    Books::open(&place).execute("UPDATE payment_attempt SET due_at = 0 WHERE state = 'authorized'");
    until("it is let go", || async { (state(&place) == "released").then_some(()) }).await;
    assert_eq!(totals(&shop), LET_GO);
    let _ = shop.logged("payment let go: its order wants nothing any more").await;
}

crate::on_both_engines!(first_shipment_captures_the_whole_amount_and_the_second_nothing);

mod on_a_file {
    use super::*;
    crate::on_sqlite!(
        expiring_authorization_is_captured_if_the_order_has_open_units,
        expiring_authorization_is_released_if_the_order_has_no_open_units,
    );
}
