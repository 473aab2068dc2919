//! Access to checkouts, orders and stored addresses by their owner and by others.

use serde_json::{Value, json};

use crate::kit::basket::{
    US_STREET, address, basket, cancel_path, checkout_path, complete_path, deliverable, id, order_path, pay,
};
use crate::kit::client::{OTHER_PLATFORM, STRANGER};
use crate::kit::{Answer, Client, Place};

fn assert_not_found(answer: Answer) {
    let messages = answer.refused_in_band();
    assert_eq!(messages.len(), 1);
    assert_eq!((&messages[0]["code"], &messages[0]["severity"]), (&json!("not_found"), &json!("unrecoverable")));
}

async fn foreign_checkout_is_not_found(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    for profile in [OTHER_PLATFORM, STRANGER] {
        let other = server.as_platform(profile);
        assert_not_found(other.get(&checkout_path(&ready)).await);
        assert_not_found(other.put(&checkout_path(&ready), &deliverable(&[("eraser", 9)])).await);
        assert_not_found(other.post(&complete_path(&ready), &pay("success_token")).await);
        assert_not_found(other.post_empty(&cancel_path(&ready)).await);
    }
    assert_eq!(server.get(&checkout_path(&ready)).await.body(200), ready);
}

/// A checkout of another platform is answered like a missing one.
async fn foreign_and_missing_checkout_are_answered_alike(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let other = server.as_platform(OTHER_PLATFORM);
    let foreign = other.get(&checkout_path(&ready)).await;
    for path in
        [format!("/checkout-sessions/chk_{}", uuid::Uuid::new_v4().simple()), "/checkout-sessions/nonsense".to_owned()]
    {
        assert_eq!(other.get(&path).await.text(), foreign.text());
        assert_not_found(server.put(&path, &basket(&[("eraser", 1)])).await);
        assert_not_found(server.post(&format!("{path}/complete"), &pay("success_token")).await);
        assert_not_found(server.post_empty(&format!("{path}/cancel")).await);
    }
}

async fn order_is_readable_by_its_creator_or_by_anyone_as_configured(place: Place) {
    let mut order = String::new();
    for (access, open) in [("creator", false), ("open", true)] {
        let server = place.serve_with(&[("TUCKSHOP_ORDER_READ_ACCESS", access)]).await;
        if order.is_empty() {
            order = order_path(&server.buy(&[("eraser", 1)]).await);
        }
        let own = server.get(&order).await.body(200);
        assert_eq!(own["ucp"]["status"], "success");
        for profile in [OTHER_PLATFORM, STRANGER] {
            let answer = server.as_platform(profile).get(&order).await;
            if open {
                assert_eq!(answer.body(200), own);
            } else {
                let none = format!("/orders/ord_{}", uuid::Uuid::new_v4().simple());
                assert_eq!(answer.text(), server.get(&none).await.text());
                assert_not_found(answer);
            }
        }
    }
}

/// The stored addresses that a platform is offered for this buyer if it sends no address.
async fn offered_addresses(client: &Client, email: &str) -> Vec<Value> {
    let mut wanted = basket(&[("eraser", 1)]);
    wanted["buyer"] = json!({"email": email});
    wanted["fulfillment"] = json!({"methods": [{"type": "shipping"}]});
    let checkout = client.post("/checkout-sessions", &wanted).await.body(201);
    checkout["fulfillment"]["methods"][0]["destinations"].as_array().cloned().unwrap_or_default()
}

async fn stored_addresses_are_offered_to_registered_platforms_only(place: Place) {
    let server = place.serve().await;
    let known = offered_addresses(&server, "ada.barley@example.com").await;
    let ids: Vec<&Value> = known.iter().map(|destination| &destination["id"]).collect();
    assert_eq!(ids, ["addr_ada_home", "addr_ada_school"]);
    assert_eq!(known[0]["street_address"], "12 Orchard Street");
    assert_eq!(offered_addresses(&server, " ADA.Barley@Example.com").await, known, "the spelling of the email matters");
    assert_eq!(offered_addresses(&server, "unknown@example.com").await, Vec::<Value>::new());
    let stranger = server.as_platform(STRANGER);
    assert_eq!(offered_addresses(&stranger, "ada.barley@example.com").await, Vec::<Value>::new());
}

async fn stored_address_can_be_chosen_by_its_id(place: Place) {
    let server = place.serve().await;
    let mut wanted = basket(&[("eraser", 1)]);
    wanted["buyer"] = json!({"email": "ada.barley@example.com"});
    wanted["fulfillment"] = json!({"methods": [{
        "type": "shipping", "selected_destination_id": "addr_ada_school",
        "groups": [{"selected_option_id": "ship_standard"}],
    }]});
    let ready = server.post("/checkout-sessions", &wanted).await.body(201);
    assert_eq!(ready["status"], "ready_for_complete", "{ready}");
    let done = server.complete(&ready, "success_token").await.body(200);
    let order = server.order(&done).await;
    assert_eq!(order["fulfillment"]["expectations"][0]["destination"]["street_address"], "400 College Avenue");

    // A platform that was not offered the address cannot choose it.
    let stranger = server.as_platform(STRANGER);
    let checkout = stranger.post("/checkout-sessions", &wanted).await.body(201);
    assert_eq!(checkout["messages"][0]["code"], "unknown_selection");
    assert!(!checkout.to_string().contains("400 College Avenue"), "{checkout}");
}

async fn same_address_keeps_the_same_id(place: Place) {
    let server = place.serve().await;
    let with = |address: Value| {
        let mut wanted = basket(&[("eraser", 1)]);
        wanted["buyer"] = json!({"email": "ada.barley@example.com"});
        wanted["fulfillment"] = json!({"methods": [{"type": "shipping", "destinations": [address]}]});
        server.post("/checkout-sessions", &wanted)
    };
    let mut mine = address();
    mine.as_object_mut().expect("an address").remove("id");
    let mut ids = Vec::new();
    for street in [US_STREET, &US_STREET.to_uppercase(), "13 School Lane"] {
        mine["street_address"] = json!(street);
        let checkout = with(mine.clone()).await.body(201);
        ids.push(checkout["fulfillment"]["methods"][0]["destinations"][0]["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);

    let stored = json!({
        "street_address": "12 orchard street", "address_locality": "Portland", "address_region": "OR",
        "postal_code": "97205", "address_country": "US",
    });
    let checkout = with(stored).await.body(201);
    assert_eq!(checkout["fulfillment"]["methods"][0]["destinations"][0]["id"], "addr_ada_home");
}

/// A platform cannot reach into another session with an id of its choice.
async fn client_sent_id_is_ignored(place: Place) {
    let server = place.serve().await;
    let first = server.ready_checkout(&[("eraser", 1)]).await;
    let mut wanted = deliverable(&[("chocolate_bar", 5)]);
    wanted["id"] = first["id"].clone();
    let second = server.post("/checkout-sessions", &wanted).await.body(201);
    assert_ne!(id(&second), id(&first));
    let third = server.as_platform(OTHER_PLATFORM).post("/checkout-sessions", &wanted).await.body(201);
    assert_ne!(id(&third), id(&first));
    let updated = server.put(&checkout_path(&second), &wanted).await.body(200);
    assert_eq!(id(&updated), id(&second));
    assert_eq!(server.get(&checkout_path(&first)).await.body(200), first);
}

crate::on_both_engines!(
    foreign_checkout_is_not_found,
    foreign_and_missing_checkout_are_answered_alike,
    order_is_readable_by_its_creator_or_by_anyone_as_configured,
    stored_addresses_are_offered_to_registered_platforms_only,
    stored_address_can_be_chosen_by_its_id,
    same_address_keeps_the_same_id,
    client_sent_id_is_ignored,
);
