//! The requirements of a delivery, and the items to which a delivery applies.

use serde_json::{Value, json};

use crate::kit::basket::{address, basket, checkout_path, codes, deliverable, total};
use crate::kit::{Place, Server};

/// The codes of the messages that prevent completion.
fn blocking_codes(checkout: &Value) -> Vec<&str> {
    let messages = checkout["messages"].as_array().into_iter().flatten();
    messages.filter(|message| message["type"] == "error").filter_map(|message| message["code"].as_str()).collect()
}

async fn delivered_to(server: &Server, destination: Value) -> Value {
    let mut wanted = deliverable(&[("chocolate_bar", 1)]);
    let method = &mut wanted["fulfillment"]["methods"][0];
    method["destinations"] = json!([destination]);
    method.as_object_mut().expect("a method").remove("selected_destination_id");
    server.post("/checkout-sessions", &wanted).await.body(201)
}

async fn address_without_country_is_not_ready_and_is_not_paid(place: Place) {
    let server = place.serve().await;
    for destination in [
        json!({"id": "home"}),
        json!({"id": "home", "street_address": "12 School Lane", "address_locality": "Springfield"}),
        json!({"id": "home", "address_country": ""}),
        json!({"id": "home", "address_country": " "}),
        json!({"id": "home", "first_name": "Ada", "phone_number": "+1 555 0100"}),
        json!({}),
    ] {
        let checkout = delivered_to(&server, destination.clone()).await;
        assert_eq!(checkout["status"], "incomplete", "{destination}");
        assert_eq!(blocking_codes(&checkout), ["missing"], "{destination}");
        let path = "$.fulfillment.methods[0].destinations[0].address_country";
        assert_eq!(checkout["messages"][0]["path"], path, "{destination}");
        assert_eq!(total(&checkout, "fulfillment"), None, "{destination}");
        server.complete(&checkout, "success_token").await.problem(400, "checkout_not_ready");
    }
}

async fn country_costs_the_same_however_it_is_spelled(place: Place) {
    let server = place.serve().await;
    for spelling in ["US", "us", "usa", "USA", "United States", "U.S.A.", " us "] {
        let mut destination = address();
        destination["address_country"] = json!(spelling);
        let checkout = delivered_to(&server, destination).await;
        assert_eq!(checkout["status"], "ready_for_complete", "{spelling}");
        let method = &checkout["fulfillment"]["methods"][0];
        let options = method["groups"][0]["options"].as_array().expect("options");
        let ids: Vec<&Value> = options.iter().map(|option| &option["id"]).collect();
        assert_eq!(ids, ["ship_standard", "ship_express_us"], "{spelling}");
        assert_eq!(method["destinations"][0]["address_country"], "US", "{spelling}");
    }
    for unreadable in ["XX", "Narnia", "840", "u"] {
        let mut destination = address();
        destination["address_country"] = json!(unreadable);
        let checkout = delivered_to(&server, destination).await;
        assert_eq!((&checkout["status"], blocking_codes(&checkout)), (&json!("incomplete"), vec!["unknown_country"]));
        assert_eq!(total(&checkout, "fulfillment"), None, "{unreadable}");
        let method = &checkout["fulfillment"]["methods"][0];
        assert_eq!(method["destinations"][0]["address_country"], unreadable);
        server.complete(&checkout, "success_token").await.problem(400, "checkout_not_ready");
    }
}

async fn delivery_applies_to_the_items_that_need_it(place: Place) {
    let server = place.serve().await;
    let mixed = server.ready_checkout(&[("gift_card", 1), ("chocolate_bar", 2)]).await;
    let shipped = &mixed["line_items"][1]["id"];
    let method = &mixed["fulfillment"]["methods"][0];
    assert_eq!(method["line_item_ids"], json!([shipped]));
    assert_eq!(method["groups"][0]["line_item_ids"], json!([shipped]));
    assert_eq!(total(&mixed, "fulfillment"), Some(450));

    let done = server.complete(&mixed, "success_token").await.body(200);
    let order = server.order(&done).await;
    assert_eq!(order["fulfillment"]["expectations"][0]["line_items"], json!([{"id": shipped, "quantity": 2}]));
    let path = format!("/testing/orders/{}/fulfill", order["id"].as_str().expect("an id"));
    let sent = server.post(&path, &json!({})).await.body(200);
    assert_eq!(sent["fulfillment"]["events"][0]["line_items"], json!([{"id": shipped, "quantity": 2}]));
    assert_eq!(sent["line_items"][0]["quantity"]["fulfilled"], 0);
    assert_eq!(sent["line_items"][1]["status"], "fulfilled");
    // All units are shipped: a repeated request ships nothing more.
    assert_eq!(server.post(&path, &json!({})).await.body(200), sent);
}

async fn goods_without_delivery_pay_none_and_belong_to_no_group(place: Place) {
    let server = place.serve().await;
    for methods in [
        json!([]),
        json!([{"type": "shipping"}]),
        json!([{"type": "shipping", "destinations": [{"id": "home"}]}]),
        json!([{"type": "shipping", "destinations": [address()]}]),
        json!([{"type": "shipping", "destinations": [address()], "groups": [{"selected_option_id": "ship_express"}]}]),
        json!([{"type": "shipping", "destinations": [address()], "groups": [{"selected_option_id": "ship_standard"}]}]),
        json!([{"type": "pickup"}]),
    ] {
        let mut wanted = basket(&[("gift_card", 1)]);
        wanted["fulfillment"] = json!({"methods": methods});
        let card = server.post("/checkout-sessions", &wanted).await.body(201);
        assert_eq!((&card["status"], codes(&card)), (&json!("ready_for_complete"), vec![]), "{methods}");
        assert_eq!((total(&card, "fulfillment"), total(&card, "total")), (None, Some(1000)), "{methods}");
        for method in card["fulfillment"]["methods"].as_array().into_iter().flatten() {
            assert_eq!(method["line_item_ids"], json!([]), "{methods}");
            // A price that is shown must be a price that is charged.
            for option in method["groups"][0]["options"].as_array().into_iter().flatten() {
                assert_eq!(total(option, "total"), Some(0), "{methods}: {option}");
            }
        }
        let done = server.complete(&card, "success_token").await.body(200);
        let order = server.order(&done).await;
        assert_eq!(order["fulfillment"]["expectations"], json!([]), "{methods}");
    }
    let checkout = server.post("/checkout-sessions", &basket(&[("gift_card", 1)])).await.body(201);
    assert_eq!(server.get(&checkout_path(&checkout)).await.body(200)["status"], "ready_for_complete");
}

async fn option_is_selected_in_the_group_with_the_id_of_the_shop(place: Place) {
    let server = place.serve().await;
    let express = |id: Option<&str>| json!({"id": id, "selected_option_id": "ship_express_us"});
    let standard = |id: Option<&str>| json!({"id": id, "selected_option_id": "ship_standard"});
    for (groups, selected) in [
        (json!([standard(Some("group_9")), express(Some("group_1"))]), "ship_express_us"),
        (json!([express(Some("group_1")), standard(Some("group_1"))]), "ship_express_us"),
        (json!([express(Some("group_9")), standard(None)]), "ship_express_us"),
        (json!([express(None), standard(None)]), "ship_express_us"),
    ] {
        let mut wanted = deliverable(&[("eraser", 1)]);
        wanted["fulfillment"]["methods"][0]["groups"] = groups.clone();
        let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
        let group = &checkout["fulfillment"]["methods"][0]["groups"][0];
        assert_eq!((&group["id"], &group["selected_option_id"]), (&json!("group_1"), &json!(selected)), "{groups}");
    }
}

crate::on_both_engines!(
    address_without_country_is_not_ready_and_is_not_paid,
    country_costs_the_same_however_it_is_spelled,
    delivery_applies_to_the_items_that_need_it,
    goods_without_delivery_pay_none_and_belong_to_no_group,
    option_is_selected_in_the_group_with_the_id_of_the_shop,
);
