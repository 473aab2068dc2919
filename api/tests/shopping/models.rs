//! Tests of the validators: official models that accepted every document would prove nothing.

use serde_json::{Value, json};

use crate::kit::basket::basket;
use crate::kit::logs::Record;
use crate::kit::{Place, models};

/// The complaints about one document. `None` if the models are not available.
fn complaints(kind: &str, body: &Value) -> Option<Vec<String>> {
    models::validate(&[json!({"kind": kind, "from": "negative control", "body": body})])
}

async fn models_refuse_a_broken_checkout(place: Place) {
    let server = place.serve().await;
    let mut wanted = basket(&[("chocolate_bar", 2), ("cola_bottles", 1)]);
    wanted["discounts"] = json!({"codes": ["10OFF", "SWEETS20"]});
    let good = server.post("/checkout-sessions", &wanted).await.body(201);
    let Some(none) = complaints("checkout", &good) else { return };
    assert_eq!(none, Vec::<String>::new());

    let breaks: [(&str, Value); 12] = [
        ("/ucp/version", json!("April")),
        ("/ucp/payment_handlers", Value::Null),
        ("/status", json!("almost")),
        ("/line_items/0/quantity", json!(0)),
        ("/line_items/0/item/price", json!("free")),
        ("/totals/0/type", json!("total")),
        ("/totals/0/amount", json!(1)),
        ("/totals/1/amount", json!(5)),
        ("/line_items/0/totals/0/amount", json!(499)),
        ("/discounts/applied/0/amount", json!(-1)),
        ("/discounts/applied/0/allocations/0/amount", json!(1)),
        ("/expires_at", json!("tomorrow")),
    ];
    for (pointer, value) in breaks {
        let mut broken = good.clone();
        *broken.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer} in {good}")) = value;
        let complaints = complaints("checkout", &broken).expect("a judge");
        assert_eq!(complaints.len(), 1, "{pointer}: {complaints:?}");
    }
}

async fn models_refuse_a_broken_order_and_a_broken_refusal(place: Place) {
    let server = place.serve().await;
    let bought = server.buy(&[("chocolate_bar", 1)]).await;
    let order = server.order(&bought).await;
    let missing = server.get("/checkout-sessions/unknown").await.body(200);
    for (kind, good, pointer, value) in [
        ("order", &order, "/permalink_url", json!("not a url")),
        ("order", &order, "/line_items/0/quantity/total", json!(-1)),
        ("order", &order, "/totals/0/amount", json!(-5)),
        ("error", &missing, "/messages", json!([])),
        ("error", &missing, "/ucp/status", json!("success")),
        ("error", &missing, "/messages/0/severity", json!("hopeless")),
        ("problem", &json!({"code": "x", "content": "y"}), "/content", Value::Null),
    ] {
        let Some(none) = complaints(kind, good) else { return };
        assert_eq!(none, Vec::<String>::new());
        let mut broken = good.clone();
        *broken.pointer_mut(pointer).expect("there") = value;
        assert_eq!(complaints(kind, &broken).expect("a judge").len(), 1, "{pointer}");
    }
}

/// Every test ends with this search. Here it must find a secret.
#[test]
#[should_panic(expected = "a secret was logged")]
fn secret_in_the_log_is_detected() {
    let record = Record::default();
    record.record_log(vec![r#"{"msg":"payment answered","token":"success_token"}"#.to_owned()]);
    record.check();
}

crate::on_sqlite!(models_refuse_a_broken_checkout, models_refuse_a_broken_order_and_a_broken_refusal,);
