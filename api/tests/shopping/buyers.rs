//! What the shop stores about a buyer: the addresses of orders and a deliverable email address.

use serde_json::{Value, json};

use crate::kit::basket::{address, basket, deliverable};
use crate::kit::{Place, Server};

/// The ids and streets that a registered platform is offered for this buyer.
async fn offered_addresses(server: &Server, email: &str) -> Vec<(String, String)> {
    let mut wanted = basket(&[("eraser", 1)]);
    wanted["buyer"] = json!({"email": email});
    wanted["fulfillment"] = json!({"methods": [{"type": "shipping"}]});
    let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let destinations = checkout["fulfillment"]["methods"][0]["destinations"].as_array().cloned().unwrap_or_default();
    destinations.iter().map(|one| (text(&one["id"]), text(&one["street_address"]))).collect()
}

/// A basket of this buyer with this street as its destination, under an id that the platform chose.
fn basket_delivered_to(email: &str, id: &str, street: &str) -> Value {
    let mut wanted = deliverable(&[("eraser", 1)]);
    wanted["buyer"] = json!({"email": email});
    let method = &mut wanted["fulfillment"]["methods"][0];
    let mut address = address();
    (address["id"], address["street_address"]) = (json!(id), json!(street));
    (method["destinations"], method["selected_destination_id"]) = (json!([address]), json!(id));
    wanted
}

async fn addresses_are_kept_once_an_order_is_placed_and_the_newest_wins(place: Place) {
    let server = place.serve().await;
    let email = "eve@example.com";
    let ready = server.post("/checkout-sessions", &basket_delivered_to(email, "home", "1 A St")).await.body(201);
    assert_eq!(offered_addresses(&server, email).await, [], "an address was stored before a purchase");
    let _ = server.complete(&ready, "fail_token").await.body(402);
    assert_eq!(offered_addresses(&server, email).await, [], "an address was stored before a payment");

    for street in ["1 A St", "2 B St"] {
        let ready = server.post("/checkout-sessions", &basket_delivered_to(email, "home", street)).await.body(201);
        let _ = server.complete(&ready, "success_token").await.body(200);
        assert_eq!(offered_addresses(&server, email).await, [("home".to_owned(), street.to_owned())]);
    }
    // A platform that may not read the stored addresses does not add to them.
    let stranger = server.as_platform("https://stranger.example/profile.json");
    let ready = stranger.post("/checkout-sessions", &basket_delivered_to(email, "trap", "9 Z St")).await.body(201);
    let _ = stranger.complete(&ready, "success_token").await.body(200);
    assert_eq!(offered_addresses(&server, email).await, [("home".to_owned(), "2 B St".to_owned())]);
}

/// The address of the last order is stored, also when the list is full.
async fn address_book_is_bounded(place: Place) {
    let server = place.serve().await;
    let before = place.count("address");
    for number in 0..22 {
        let wanted = basket_delivered_to("eve@example.com", &format!("home_{number:02}"), &format!("{number} A St"));
        let ready = server.post("/checkout-sessions", &wanted).await.body(201);
        let _ = server.complete(&ready, "success_token").await.body(200);
    }
    let book = offered_addresses(&server, "eve@example.com").await;
    assert_eq!((book.len(), book.last()), (20, Some(&("home_21".to_owned(), "21 A St".to_owned()))));
    assert_eq!(place.count("address") - before, 20, "more addresses are stored than are offered");
}

async fn another_buyer_is_not_offered_the_addresses_of_the_first(place: Place) {
    let server = place.serve().await;
    let mut wanted = basket(&[("eraser", 1)]);
    wanted["fulfillment"] = json!({"methods": [{"type": "shipping"}]});
    wanted["buyer"] = json!({"email": "ada.barley@example.com"});
    let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
    assert_eq!(checkout["fulfillment"]["methods"][0]["destinations"].as_array().map(Vec::len), Some(2));
    for buyer in [json!({"email": "eve@example.com"}), json!({"first_name": "Eve"}), Value::Null] {
        wanted["buyer"] = buyer.clone();
        let path = format!("/checkout-sessions/{}", checkout["id"].as_str().expect("an id"));
        let changed = server.put(&path, &wanted).await.body(200);
        assert!(!changed.to_string().contains("Orchard Street"), "{buyer}: {changed}");
    }
}

async fn undeliverable_email_is_refused_and_another_is_kept_as_given(place: Place) {
    let server = place.serve().await;
    let mut wanted = deliverable(&[("eraser", 1)]);
    for email in ["ada..b@example.com", ".ada@example.com", "ada@", "ädä@example.com", "a b@example.com"] {
        wanted["buyer"] = json!({"email": email});
        let refused = server.post("/checkout-sessions", &wanted).await.problem(400, "invalid_request");
        assert!(!refused.text().contains(email), "{}", refused.text());
    }
    for (email, kept) in
        [("Ada.B@Example.COM", "Ada.B@example.com"), (" o'brien+x@example.com ", "o'brien+x@example.com")]
    {
        wanted["buyer"] = json!({"email": email});
        let made = server.post("/checkout-sessions", &wanted).await.body(201);
        assert_eq!(made["buyer"]["email"], kept);
    }
}

crate::on_both_engines!(
    addresses_are_kept_once_an_order_is_placed_and_the_newest_wins,
    address_book_is_bounded,
    another_buyer_is_not_offered_the_addresses_of_the_first,
    undeliverable_email_is_refused_and_another_is_kept_as_given,
);
