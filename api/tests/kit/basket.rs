//! Request bodies for the demo catalogue, which an empty shop imports by itself.

use serde_json::{Value, json};

use super::client::{Answer, Client};

/// A street in the United States, where standard delivery costs 450 and express delivery 1200.
pub const US_STREET: &str = "12 School Lane";

/// A body with one line for each id and quantity.
pub fn basket(items: &[(&str, i64)]) -> Value {
    let lines: Vec<Value> =
        items.iter().map(|(id, quantity)| json!({"item": {"id": id}, "quantity": quantity})).collect();
    json!({"line_items": lines})
}

/// A basket with an address and a selected delivery option.
pub fn deliverable(items: &[(&str, i64)]) -> Value {
    let mut body = basket(items);
    body["fulfillment"] = json!({"methods": [{
        "type": "shipping", "destinations": [address()], "selected_destination_id": "home",
        "groups": [{"selected_option_id": "ship_standard"}],
    }]});
    body
}

pub fn address() -> Value {
    json!({
        "id": "home", "street_address": US_STREET, "address_locality": "Springfield", "address_region": "IL",
        "postal_code": "62704", "address_country": "US",
    })
}

/// The body of a completion: one card with this token.
pub fn pay(token: &str) -> Value {
    json!({"payment": {"instruments": [{
        "id": "card_1", "handler_id": "mock_payment_handler", "type": "card", "selected": true,
        "display": {"brand": "Visa", "last_digits": "4242"},
        "credential": {"type": "token", "token": token},
    }]}})
}

/// The id of a document.
#[track_caller]
pub fn id(document: &Value) -> &str {
    document["id"].as_str().unwrap_or_else(|| panic!("no id: {document}"))
}

/// The path of a checkout. The paths of its operations are [`complete_path`] and [`cancel_path`].
pub fn checkout_path(checkout: &Value) -> String {
    format!("/checkout-sessions/{}", id(checkout))
}

pub fn complete_path(checkout: &Value) -> String {
    format!("{}/complete", checkout_path(checkout))
}

pub fn cancel_path(checkout: &Value) -> String {
    format!("{}/cancel", checkout_path(checkout))
}

/// The amount of the totals entry of this type; `None` if there is none.
#[track_caller]
pub fn total(document: &Value, kind: &str) -> Option<i64> {
    let totals = document["totals"].as_array().unwrap_or_else(|| panic!("no totals: {document}"));
    totals.iter().find(|total| total["type"] == kind).map(|total| total["amount"].as_i64().expect("an amount"))
}

/// The codes of the messages.
pub fn codes(document: &Value) -> Vec<&str> {
    document["messages"].as_array().into_iter().flatten().filter_map(|message| message["code"].as_str()).collect()
}

impl Client {
    /// Creates a checkout that is ready to be completed.
    pub async fn ready_checkout(&self, items: &[(&str, i64)]) -> Value {
        let checkout = self.post("/checkout-sessions", &deliverable(items)).await.body(201);
        assert_eq!(checkout["status"], "ready_for_complete", "{checkout}");
        checkout
    }

    /// Completes a checkout with this token.
    pub async fn complete(&self, checkout: &Value, token: &str) -> Answer {
        self.post(&complete_path(checkout), &pay(token)).await
    }

    /// Creates and completes a checkout.
    pub async fn buy(&self, items: &[(&str, i64)]) -> Value {
        let checkout = self.ready_checkout(items).await;
        let bought = self.complete(&checkout, "success_token").await.body(200);
        assert_eq!(bought["status"], "completed", "{bought}");
        bought
    }

    /// The order of a completed checkout.
    pub async fn order(&self, checkout: &Value) -> Value {
        self.get(&order_path(checkout)).await.body(200)
    }
}

/// The path of the order of a completed checkout.
#[track_caller]
pub fn order_path(checkout: &Value) -> String {
    format!("/orders/{}", id(&checkout["order"]))
}
