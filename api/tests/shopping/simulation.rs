//! The affordances of the simulation: shipping, refunds, and an order as a merchant reports it.

use serde_json::{Value, json};

use crate::kit::basket::{deliverable, id, order_path};
use crate::kit::server::SECRET;
use crate::kit::{Answer, Place, Server};

async fn ship(server: &Server, order: &Value) -> Answer {
    server.post_empty(&format!("/testing/simulate-shipping/{}", id(order))).header("simulation-secret", SECRET).await
}

async fn buy(server: &Server, items: &[(&str, i64)]) -> Value {
    let done = server.buy(items).await;
    server.order(&done).await
}

async fn simulated_shipping_needs_the_secret(place: Place) {
    let server = place.serve().await;
    let order = buy(&server, &[("eraser", 2)]).await;
    let request = server.post_empty(&format!("/testing/simulate-shipping/{}", id(&order)));
    request.clone().await.problem(403, "wrong_simulation_secret");
    for wrong in ["", "guess", &SECRET.to_uppercase(), &format!("{SECRET} ")[..SECRET.len() - 1]] {
        request.clone().header("simulation-secret", wrong).await.problem(403, "wrong_simulation_secret");
    }
    assert_eq!(server.get(&order_path(&json!({"order": order}))).await.body(200), order);
}

async fn simulated_shipping_fulfils_the_open_units(place: Place) {
    let server = place.serve().await;
    let order = buy(&server, &[("eraser", 2), ("flapjack", 1)]).await;
    let shipped = ship(&server, &order).await.body(200);
    for line in shipped["line_items"].as_array().expect("lines") {
        assert_eq!(
            (&line["status"], &line["quantity"]["fulfilled"]),
            (&json!("fulfilled"), &line["quantity"]["total"])
        );
    }
    let events = shipped["fulfillment"]["events"].as_array().expect("events");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["type"], "shipped");
    assert!(events[0]["tracking_number"].is_string() && events[0]["occurred_at"].is_string());
    let units: Vec<&Value> =
        events[0]["line_items"].as_array().expect("units").iter().map(|l| &l["quantity"]).collect();
    assert_eq!(units, [&json!(2), &json!(1)]);
    let path = order_path(&json!({"order": order}));
    assert_eq!(server.get(&path).await.body(200), shipped);
    assert_eq!(ship(&server, &order).await.body(200), shipped, "a second shipment has changed the order");
}

async fn fulfil_affordance_needs_no_secret(place: Place) {
    let server = place.serve().await;
    let order = buy(&server, &[("eraser", 2)]).await;
    let shipped = server.post_empty(&format!("/testing/orders/{}/fulfill", id(&order))).await.body(200);
    assert_eq!(shipped["line_items"][0]["status"], "fulfilled");
}

async fn adjustment_is_negative_and_keeps_its_line(place: Place) {
    let server = place.serve().await;
    let order = buy(&server, &[("chocolate_bar", 2), ("eraser", 1)]).await;
    let line = &order["line_items"][0];
    let path = format!("/testing/orders/{}/adjust", id(&order));
    let refund = |quantity: i64| json!({"line_item_id": line["id"], "quantity": quantity, "type": "refund"});

    let partly = server.post(&path, &refund(1)).await.body(200);
    assert_eq!(partly["line_items"][0]["quantity"], json!({"original": 2, "total": 1, "fulfilled": 0}));
    assert_eq!(partly["line_items"][0]["status"], "processing");
    let whole = server.post(&path, &refund(1)).await.body(200);
    assert_eq!(whole["line_items"].as_array().map(Vec::len), Some(2), "a line has disappeared");
    assert_eq!(whole["line_items"][0]["quantity"], json!({"original": 2, "total": 0, "fulfilled": 0}));
    assert_eq!(whole["line_items"][0]["status"], "removed");
    assert_eq!(whole["line_items"][1], order["line_items"][1]);
    assert_eq!(whole["totals"], order["totals"]);
    let adjustments = whole["adjustments"].as_array().expect("adjustments");
    assert_eq!(adjustments.len(), 2);
    for adjustment in adjustments {
        assert_eq!((&adjustment["type"], &adjustment["status"]), (&json!("refund"), &json!("completed")));
        assert_eq!(adjustment["line_items"], json!([{"id": line["id"], "quantity": -1}]));
        assert_eq!(adjustment["totals"][0]["amount"], -250);
    }

    server.post(&path, &refund(1)).await.problem(422, "order_change_refused");
    let unknown = json!({"line_item_id": "li_99", "quantity": 1, "type": "refund"});
    server.post(&path, &unknown).await.problem(422, "order_change_refused");
    assert_eq!(server.get(&order_path(&json!({"order": order}))).await.body(200), whole);
}

/// A refund returns units. It cannot add units that were not bought, nor return a negative number.
async fn adjustment_below_one_is_refused(place: Place) {
    let server = place.serve().await;
    let order = buy(&server, &[("eraser", 2)]).await;
    let path = format!("/testing/orders/{}/adjust", id(&order));
    for quantity in [-1, 0, 3, 9_007_199_254_740_991_i64, -9_007_199_254_740_991_i64] {
        let body = json!({"line_item_id": order["line_items"][0]["id"], "quantity": quantity, "type": "refund"});
        server.post(&path, &body).await.problem(422, "order_change_refused");
    }
    assert_eq!(server.get(&order_path(&json!({"order": order}))).await.body(200), order);
}

async fn put_order_keeps_its_events_and_adjustments(place: Place) {
    let server = place.serve().await;
    let order = buy(&server, &[("chocolate_bar", 2)]).await;
    let path = order_path(&json!({"order": order}));
    let line = order["line_items"][0]["id"].clone();
    let mut put = order.clone();
    put["fulfillment"]["events"] = json!([{
        "id": "evt_1", "occurred_at": "2026-04-08T10:00:00Z", "type": "shipped",
        "line_items": [{"id": line, "quantity": 1}], "tracking_number": "TRACK1", "carrier": "Post",
    }]);
    put["adjustments"] = json!([{
        "id": "adj_1", "type": "refund", "occurred_at": "2026-04-09T10:00:00Z", "status": "completed",
        "line_items": [{"id": line, "quantity": -1}],
        "totals": [{"type": "total", "display_text": "Refund", "amount": -250}],
    }]);
    put["totals"] = json!([{"type": "total", "amount": 1}]);
    let kept = server.put(&path, &put).await.body(200);
    let event = &kept["fulfillment"]["events"][0];
    assert_eq!((&event["id"], &event["tracking_number"]), (&json!("evt_1"), &json!("TRACK1")));
    assert_eq!(
        (&kept["adjustments"][0]["id"], &kept["adjustments"][0]["status"]),
        (&json!("adj_1"), &json!("completed"))
    );
    // Only the members of the schema are kept.
    assert_eq!(kept["adjustments"][0]["totals"][0]["amount"], -250);
    assert_eq!(kept["adjustments"][0]["amount"], Value::Null);
    assert_eq!(kept["line_items"][0]["quantity"], json!({"original": 2, "total": 1, "fulfilled": 1}));
    assert_eq!(kept["totals"], order["totals"], "a put has changed the totals");
    assert_eq!(server.get(&path).await.body(200), kept);
    assert_eq!(server.put(&path, &put).await.body(200), kept, "a repeated put has changed the order");
}

async fn invalid_put_of_an_order_changes_nothing(place: Place) {
    let server = place.serve().await;
    let order = buy(&server, &[("chocolate_bar", 2)]).await;
    let path = order_path(&json!({"order": order}));
    let line = order["line_items"][0]["id"].clone();
    let adjustment = json!({
        "id": "adj_1", "type": "refund", "occurred_at": "2026-04-09T10:00:00Z", "status": "completed",
    });
    let with = |pointer: &str, value: Value| {
        let mut adjustment = adjustment.clone();
        adjustment[pointer] = value;
        json!([adjustment])
    };
    for adjustments in [
        json!({}),
        json!("none"),
        json!([5]),
        with("status", json!("pending?")),
        with("status", json!("COMPLETED")),
        with("occurred_at", json!("yesterday")),
        with("line_items", json!([{"id": line, "quantity": -3}])),
        with("line_items", json!([{"id": "li_99", "quantity": -1}])),
    ] {
        let mut put = order.clone();
        put["adjustments"] = adjustments.clone();
        let refused = server.put(&path, &put).await;
        assert_eq!(refused.status, 422, "{adjustments}: {}", refused.text());
        assert!(refused.json["code"].is_string() && refused.json["content"].is_string(), "{}", refused.text());
    }
    let mut put = order.clone();
    put["fulfillment"]["events"] = json!([{
        "id": "evt_1", "occurred_at": "2026-04-08T10:00:00Z", "type": "shipped",
        "line_items": [{"id": line, "quantity": 3}],
    }]);
    server.put(&path, &put).await.problem(422, "order_change_refused");
    assert_eq!(server.get(&path).await.body(200), order);
}

/// The events and adjustments of one put order, each refused for one member.
async fn out_of_range_member_is_refused_and_stops_no_webhook(place: Place) {
    let server = place.serve().await;
    let order = buy(&server, &[("chocolate_bar", 2)]).await;
    let path = order_path(&json!({"order": order}));
    let line = order["line_items"][0]["id"].clone();
    let event = json!({
        "id": "evt_1", "type": "delivered", "occurred_at": "2026-04-08T10:00:00Z",
        "line_items": [{"id": line, "quantity": 1}],
    });
    let adjustment = json!({
        "id": "adj_1", "type": "refund", "status": "completed", "occurred_at": "2026-04-08T10:00:00Z",
        "line_items": [{"id": line, "quantity": -1}],
    });
    let units = |quantity: i64| json!([{"id": line, "quantity": quantity}]);
    let long = |most: usize| json!("x".repeat(most + 1));
    let instants = ["9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59", "1999-12-31T23:59:59Z"];
    let both = [("id", long(128)), ("type", long(200)), ("description", long(2_000)), ("line_items", units(0))];
    let both = both.into_iter().chain(instants.map(|instant| ("occurred_at", json!(instant))));
    let of_event = both.clone().chain([
        ("tracking_number", long(200)),
        ("tracking_url", long(2_000)),
        ("carrier", long(200)),
        ("line_items", units(-5)),
        ("line_items", units(3)),
    ]);
    let of_adjustment = both.chain([("line_items", units(-3)), ("line_items", units(1))]);
    let changed = |entry: &Value, member: &str, value: &Value| {
        let mut entry = entry.clone();
        entry[member] = value.clone();
        entry
    };
    let of_event = of_event.map(|(member, value)| {
        let entry = changed(&event, member, &value);
        (member, value, json!({"fulfillment": {"events": [entry]}}))
    });
    let of_adjustment = of_adjustment.map(|(member, value)| {
        let entry = changed(&adjustment, member, &value);
        (member, value, json!({"adjustments": [entry]}))
    });
    for (member, value, put) in of_event.chain(of_adjustment) {
        let refused = server.put(&path, &put).await;
        assert_eq!(refused.status, 422, "{member} {value}: {}", refused.text());
    }
    assert_eq!(server.get(&path).await.body(200), order);
    let kept = server.put(&path, &json!({"fulfillment": {"events": [event]}, "adjustments": [adjustment]})).await;
    assert_eq!(kept.body(200)["fulfillment"]["events"][0]["occurred_at"], "2026-04-08T10:00:00Z");
}

/// Each change sees the result of the changes before it.
async fn concurrent_changes_are_all_applied(place: Place) {
    let server = place.serve().await;
    let order = buy(&server, &[("chocolate_bar", 5)]).await;
    let path = format!("/testing/orders/{}/adjust", id(&order));
    let body = json!({"line_item_id": order["line_items"][0]["id"], "quantity": 1});
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let request = server.post(&path, &body);
        requests.spawn(async move { request.await });
    }
    let mut statuses: Vec<u16> = requests.join_all().await.iter().map(|answer: &Answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 422, 422, 422]);
    let after = server.get(&order_path(&json!({"order": order}))).await.body(200);
    assert_eq!(after["line_items"][0]["quantity"]["total"], 0);
    assert_eq!(after["adjustments"].as_array().map(Vec::len), Some(5));
}

async fn missing_order_is_not_found(place: Place) {
    let server = place.serve().await;
    let missing = json!({"id": format!("ord_{}", uuid::Uuid::new_v4().simple())});
    ship(&server, &missing).await.problem(404, "not_found");
    let adjust = json!({"line_item_id": "li_1", "quantity": 1});
    server.post("/testing/orders/x/adjust", &adjust).await.problem(404, "not_found");
    server.put(&format!("/orders/{}", id(&missing)), &json!({})).await.problem(404, "not_found");
}

async fn affordances_without_simulation_do_not_exist(place: Place) {
    let server = place.serve_with(&[("TUCKSHOP_SIMULATION_ENABLED", "false")]).await;
    let body = deliverable(&[("eraser", 1)]);
    for path in [
        "/testing/simulate-shipping/x",
        "/testing/orders/x/fulfill",
        "/testing/orders/x/adjust",
        "/testing/idempotency/age",
        "/testing/idempotency/outage",
    ] {
        server.post(path, &body).header("simulation-secret", SECRET).await.problem(404, "no_such_route");
    }
    // The route exists for reading.
    server.put("/orders/x", &body).header("simulation-secret", SECRET).await.problem(405, "method_not_allowed");
}

crate::on_both_engines!(
    simulated_shipping_needs_the_secret,
    simulated_shipping_fulfils_the_open_units,
    fulfil_affordance_needs_no_secret,
    adjustment_is_negative_and_keeps_its_line,
    adjustment_below_one_is_refused,
    put_order_keeps_its_events_and_adjustments,
    invalid_put_of_an_order_changes_nothing,
    out_of_range_member_is_refused_and_stops_no_webhook,
    concurrent_changes_are_all_applied,
    missing_order_is_not_found,
    affordances_without_simulation_do_not_exist,
);
