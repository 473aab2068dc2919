//! Requests that the protocol permits and that exceed a limit of the shop.

use crate::kit::Place;
use crate::kit::basket::{address, basket, deliverable};
use serde_json::{Value, json};

const CHECKOUTS: &str = "/checkout-sessions";

/// A quantity that the protocol permits and the shop does not sell is an in-band outcome: nothing is stored, and the
/// key is free.
async fn quantity_above_the_bound_of_the_shop_is_an_outcome(place: Place) {
    let server = place.serve().await;
    let made = server.post(CHECKOUTS, &basket(&[("gift_card", 1)])).await.body(201);
    let path = format!("{CHECKOUTS}/{}", made["id"].as_str().expect("an id"));
    for quantity in [10_001, 4_294_967_296, 9_007_199_254_740_991] {
        let wanted = basket(&[("gift_card", 1), ("eraser", quantity)]);
        for request in [server.post(CHECKOUTS, &wanted), server.put(&path, &wanted)] {
            let messages = request.await.refused_in_band();
            assert_eq!(
                (&messages[0]["code"], &messages[0]["path"]),
                (&json!("out_of_stock"), &json!("$.line_items[1]"))
            );
        }
    }
    assert_eq!(server.get(&path).await.body(200), made);
    assert_eq!(place.count("checkout"), 1);
}

/// The protocol has none of these limits. A request beyond one is valid and is answered in-band.
async fn request_beyond_a_limit_of_the_shop_is_an_outcome(place: Place) {
    let server = place.serve().await;
    let made = server.post(CHECKOUTS, &basket(&[("gift_card", 1)])).await.body(201);
    let path = format!("{CHECKOUTS}/{}", made["id"].as_str().expect("an id"));
    let line = json!({"item": {"id": "gift_card"}, "quantity": 1});
    let instrument = json!({"id": "i", "handler_id": "mock_payment_handler", "type": "card"});
    let shipping = |destinations: Value| json!({"methods": [{"type": "shipping", "destinations": destinations}]});
    for (member, most, beyond, at) in [
        ("line_items", json!(vec![&line; 100]), json!(vec![&line; 101]), "$.line_items"),
        ("discounts", json!({"codes": vec!["X"; 20]}), json!({"codes": vec!["X"; 21]}), "$.discounts.codes"),
        (
            "fulfillment",
            json!({"methods": vec![json!({"type": "shipping"}); 10]}),
            json!({"methods": vec![json!({"type": "shipping"}); 11]}),
            "$.fulfillment.methods",
        ),
        (
            "fulfillment",
            shipping(json!(vec![address(); 20])),
            shipping(json!(vec![address(); 21])),
            "$.fulfillment.methods[0].destinations",
        ),
        (
            "payment",
            json!({"instruments": vec![&instrument; 10]}),
            json!({"instruments": vec![&instrument; 11]}),
            "$.payment.instruments",
        ),
        ("buyer", json!({"first_name": "x".repeat(200)}), json!({"first_name": "x".repeat(201)}), "$.buyer.first_name"),
    ] {
        let with = |value: Value| {
            let mut wanted = basket(&[("gift_card", 1)]);
            wanted[member] = value;
            wanted
        };
        let _ = server.post(CHECKOUTS, &with(most)).await.expect(201);
        let (stored, wanted) = (place.count("checkout"), with(beyond));
        for request in [server.post(CHECKOUTS, &wanted), server.put(&path, &wanted)] {
            let messages = request.await.refused_in_band();
            let seen = (&messages[0]["code"], &messages[0]["severity"], &messages[0]["path"]);
            assert_eq!(seen, (&json!("limit_exceeded"), &json!("unrecoverable"), &json!(at)));
        }
        assert_eq!(place.count("checkout"), stored, "{at}");
    }
    let wanted = json!({"payment": {"instruments": vec![&instrument; 11]}});
    let messages = server.post(&format!("{path}/complete"), &wanted).await.refused_in_band();
    assert_eq!(messages[0]["code"], "limit_exceeded");
    assert_eq!(server.get(&path).await.body(200), made, "the checkout has changed");
}

/// The protocol says that claims and an attribution never prevent a checkout.
async fn hint_beyond_a_limit_of_the_shop_is_left_out(place: Place) {
    let server = place.serve().await;
    let made = server.post(CHECKOUTS, &basket(&[("gift_card", 1)])).await.body(201);
    let path = format!("{CHECKOUTS}/{}", made["id"].as_str().expect("an id"));
    let attribution = |count: usize| Value::Object((10..count + 10).map(|n| (format!("n{n}"), json!("x"))).collect());
    let names = |count: usize| (0..count).map(|n| format!("com.example.club{n}")).collect::<Vec<_>>();
    let claims = |count: usize| json!({"eligibility": names(count)});
    let long_claim = format!("com.{}", "x".repeat(197));
    for (member, sent, kept) in [
        ("context", claims(21), claims(20)),
        (
            "context",
            json!({"eligibility": ["com.a", long_claim, "club", "com.a", "com.b"]}),
            json!({"eligibility": ["com.a", "com.b"]}),
        ),
        ("context", json!({"intent": "x".repeat(2_001), "language": "en"}), json!({"language": "en"})),
        ("attribution", attribution(51), attribution(50)),
        ("attribution", json!({"x".repeat(101): "x", "a": "b"}), json!({"a": "b"})),
        ("attribution", json!({"long": "x".repeat(501), "a": "b"}), json!({"a": "b"})),
        ("attribution", json!({"long": "x".repeat(501)}), Value::Null),
    ] {
        let mut wanted = basket(&[("gift_card", 1)]);
        wanted[member] = sent;
        for (request, status) in [(server.post(CHECKOUTS, &wanted), 201), (server.put(&path, &wanted), 200)] {
            let checkout = request.await.body(status);
            assert_eq!((&checkout[member], &checkout["status"]), (&kept, &json!("ready_for_complete")));
            let messages = checkout["messages"].as_array().expect("messages");
            assert_eq!(messages.len(), kept["eligibility"].as_array().map_or(0, Vec::len), "{checkout}");
            for (index, message) in messages.iter().enumerate() {
                let path = format!("$.context.eligibility[{index}]");
                assert_eq!((&message["code"], &message["path"]), (&json!("eligibility_not_accepted"), &json!(path)));
            }
        }
    }
}

/// A name longer than any name of the shop is answered like every other unknown name.
async fn name_longer_than_any_of_the_shop_is_unknown(place: Place) {
    let server = place.serve().await;
    let long = "x".repeat(20_000);
    let unsold = server.post(CHECKOUTS, &basket(&[(&long, 1)])).await.refused_in_band();
    assert_eq!((unsold[0]["code"].as_str(), unsold.len()), (Some("item_unavailable"), 1));
    let mut wanted = deliverable(&[("eraser", 1), (&long, 1)]);
    // Blanks at the ends of a code do not count.
    wanted["discounts"] = json!({"codes": [long, format!("10OFF{}X", " ".repeat(60))]});
    wanted["fulfillment"]["methods"][0]["selected_destination_id"] = json!(long);
    let made = server.post(CHECKOUTS, &wanted).await.expect(201);
    assert!(made.bytes.len() < 10_000, "{} bytes", made.bytes.len());
    let messages = made.json["messages"].as_array().expect("messages");
    let mut seen: Vec<_> = messages.iter().map(|message| message["code"].as_str().expect("a code")).collect();
    seen.sort_unstable();
    let expected = ["discount_code_invalid", "discount_code_invalid", "item_unavailable", "unknown_selection"];
    assert_eq!(seen, expected, "{messages:?}");
}

crate::on_sqlite!(
    quantity_above_the_bound_of_the_shop_is_an_outcome,
    request_beyond_a_limit_of_the_shop_is_an_outcome,
    hint_beyond_a_limit_of_the_shop_is_left_out,
    name_longer_than_any_of_the_shop_is_unknown
);
