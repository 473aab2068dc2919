//! Payments: declined ones, incomplete ones, and the choice of handler and instrument.

use integrations::mock_gateway::{EntryKind, Ledger};
use serde_json::{Value, json};

use crate::kit::basket::{address, basket, checkout_path, codes, complete_path, deliverable, pay, total};
use crate::kit::{Place, Server};

async fn declined_payment_can_be_retried_with_another_instrument(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("chocolate_bar", 1)]).await;
    let declined = server.complete(&ready, "fail_token").await.body(402);
    assert_eq!(declined["status"], "ready_for_complete");
    assert_eq!(codes(&declined), ["payment_failed"]);
    assert_eq!(declined["messages"][0]["content"], "The card was declined");
    assert_eq!(declined["order"], Value::Null);
    assert_eq!(server.get(&checkout_path(&ready)).await.body(200), declined);

    let done = server.complete(&ready, "success_token").await.body(200);
    assert_eq!((&done["status"], total(&done, "total")), (&json!("completed"), Some(700)));
    let entries = Ledger::read(place.ledger_path()).expect("a ledger");
    let charged: Vec<i64> =
        entries.iter().filter(|entry| entry.entry == EntryKind::Charged).map(|entry| entry.amount.minor()).collect();
    assert_eq!(charged, [700]);
}

/// There are three scarves. A declined payment keeps none of them.
async fn declined_payment_holds_no_stock(place: Place) {
    let server = place.serve().await;
    let declined = server.ready_checkout(&[("school_scarf", 3)]).await;
    let _ = server.complete(&declined, "fail_token").await.body(402);
    server.buy(&[("school_scarf", 3)]).await;
    let short = server.complete(&declined, "success_token").await.body(200);
    assert_eq!(short["status"], "incomplete");
    assert!(codes(&short).contains(&"out_of_stock"), "{short}");
    let entries = Ledger::read(place.ledger_path()).expect("a ledger");
    assert_eq!(entries.iter().filter(|entry| entry.entry == EntryKind::Charged).count(), 1);
}

async fn unknown_token_is_declined(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let declined = server.complete(&ready, "made up").await.body(402);
    assert_eq!(codes(&declined), ["payment_failed"]);
}

async fn completion_without_address_or_option_is_refused(place: Place) {
    let server = place.serve().await;
    let needed = "Fulfillment address and option must be selected";
    let bare = server.post("/checkout-sessions", &basket(&[("chocolate_bar", 1)])).await.body(201);
    let refused = server.complete(&bare, "success_token").await.problem(400, "checkout_not_ready");
    assert!(refused.json["content"].as_str().is_some_and(|content| content.contains(needed)), "{}", refused.text());

    let path = checkout_path(&bare);
    let mut wanted = basket(&[("chocolate_bar", 1)]);
    for methods in [
        json!([{"type": "shipping"}]),
        json!([{"type": "shipping", "destinations": [address()]}]),
        json!([{"type": "shipping", "destinations": [address()], "selected_destination_id": "elsewhere"}]),
        json!([{"type": "shipping", "destinations": [address()], "groups": [{"selected_option_id": "by_owl"}]}]),
        json!([{"type": "pickup"}]),
    ] {
        wanted["fulfillment"] = json!({"methods": methods});
        let incomplete = server.put(&path, &wanted).await.body(200);
        assert_eq!(incomplete["status"], "incomplete", "{methods}");
        server.complete(&incomplete, "success_token").await.problem(400, "checkout_not_ready");
    }
    assert_eq!(Ledger::read(place.ledger_path()).expect("a ledger"), [], "the gateway was called");
}

async fn goods_without_shipping_need_no_address(place: Place) {
    let server = place.serve().await;
    let card = server.post("/checkout-sessions", &basket(&[("gift_card", 1)])).await.body(201);
    assert_eq!(card["status"], "ready_for_complete");
    let done = server.complete(&card, "success_token").await.body(200);
    assert_eq!((&done["status"], total(&done, "fulfillment")), (&json!("completed"), None));
    assert_eq!(server.order(&done).await["fulfillment"]["expectations"], json!([]));

    // A delivery may still be requested and costs nothing.
    let ready = server.ready_checkout(&[("gift_card", 1)]).await;
    assert_eq!(total(&ready, "fulfillment"), None);
}

async fn unoffered_handler_is_refused(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let mut wanted = pay("success_token");
    wanted["payment"]["instruments"][0]["handler_id"] = json!("google_pay");
    server.post(&complete_path(&ready), &wanted).await.problem(400, "unknown_payment_handler");
    assert_eq!(server.get(&checkout_path(&ready)).await.body(200), ready);
}

async fn unoffered_instrument_type_is_refused_before_the_charge(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let mut wanted = pay("success_token");
    wanted["payment"]["instruments"][0]["type"] = json!("bank_transfer");
    server.post(&complete_path(&ready), &wanted).await.problem(400, "unknown_payment_instrument_type");
    assert_eq!(server.get(&checkout_path(&ready)).await.body(200), ready);
    assert_eq!(Ledger::read(place.ledger_path()).expect("a ledger"), [], "the gateway was called");
}

async fn only_handler_and_card_need_not_be_named(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let mut wanted = pay("success_token");
    let instrument = wanted["payment"]["instruments"][0].as_object_mut().expect("an instrument");
    instrument.remove("handler_id");
    instrument.remove("type");
    let done = server.post(&complete_path(&ready), &wanted).await.body(200);
    assert_eq!(done["status"], "completed");
    let charged = &done["payment"]["instruments"][0];
    assert_eq!((&charged["handler_id"], &charged["type"]), (&json!("mock_payment_handler"), &json!("card")));
}

async fn instrument_on_file_needs_no_credential(place: Place) {
    let server = place.serve().await;
    for (instrument, status) in [("instr_visa", 200), ("instr_declined", 402)] {
        let ready = server.ready_checkout(&[("eraser", 1)]).await;
        let wanted = json!({"payment": {"instruments": [
            {"id": instrument, "handler_id": "mock_payment_handler", "type": "card", "selected": true},
        ]}});
        let _ = server.post(&complete_path(&ready), &wanted).await.expect(status);
    }
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let unknown = json!({"payment": {"instruments": [{"id": "instr_x", "handler_id": "mock_payment_handler"}]}});
    server.post(&complete_path(&ready), &unknown).await.problem(400, "unknown_payment_instrument");
}

async fn selected_instrument_is_charged(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let mut wanted = pay("fail_token");
    let mut second = pay("success_token")["payment"]["instruments"][0].clone();
    second["id"] = json!("card_2");
    wanted["payment"]["instruments"][0]["selected"] = json!(false);
    wanted["payment"]["instruments"].as_array_mut().expect("instruments").push(second);
    let done = server.post(&complete_path(&ready), &wanted).await.body(200);
    assert_eq!(done["payment"]["instruments"][0]["id"], "card_2");
}

async fn completion_without_instruments_is_malformed(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let complete = |body: Value| server.post(&complete_path(&ready), &body);
    complete(json!({"payment": {"instruments": []}})).await.problem(400, "invalid_request");
    complete(json!({"payment": {}})).await.problem(400, "invalid_request");
    complete(json!({})).await.problem(400, "malformed_body");
    assert_eq!(server.get(&checkout_path(&ready)).await.body(200), ready);
}

/// The price that was shown is charged, even if the price has changed since.
async fn charged_price_is_the_price_shown(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("chocolate_bar", 1)]).await;
    drop(server);
    let directory = place.directory().join("new prices");
    std::fs::create_dir(&directory).expect("a directory");
    let products = "id,title,price,image_url\nchocolate_bar,Milk Chocolate Bar,999,\n";
    std::fs::write(directory.join("products.csv"), products).expect("a file");
    let imported = crate::kit::command::tuckshop_at(&place, &["import", directory.to_str().expect("text")], &[]);
    assert_eq!(imported.code, 0, "{}", imported.err);

    let server: Server = place.serve().await;
    let done = server.complete(&ready, "success_token").await.body(200);
    assert_eq!(total(&done, "total"), Some(700));
    let after = server.post("/checkout-sessions", &deliverable(&[("chocolate_bar", 1)])).await.body(201);
    assert_eq!(total(&after, "total"), Some(999 + 450));
}

crate::on_both_engines!(
    declined_payment_can_be_retried_with_another_instrument,
    declined_payment_holds_no_stock,
    unknown_token_is_declined,
    completion_without_address_or_option_is_refused,
    goods_without_shipping_need_no_address,
    unoffered_handler_is_refused,
    unoffered_instrument_type_is_refused_before_the_charge,
    only_handler_and_card_need_not_be_named,
    instrument_on_file_needs_no_credential,
    selected_instrument_is_charged,
    completion_without_instruments_is_malformed,
    charged_price_is_the_price_shown,
);
