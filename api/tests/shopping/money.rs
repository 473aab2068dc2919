//! Free checkouts and refunds.

use serde_json::{Value, json};

use crate::kit::basket::{basket, complete_path, deliverable, id, pay, total};
use crate::kit::{Place, Server};

/// A shop with a free item.
async fn serve_with_gift(place: &Place) -> Server {
    let directory = place.directory().join("gifts");
    std::fs::create_dir(&directory).expect("a directory");
    let products = "id,title,price,image_url,requires_shipping\nleaflet,Leaflet,0,,false\n";
    std::fs::write(directory.join("products.csv"), products).expect("a file");
    std::fs::write(directory.join("inventory.csv"), "product_id,quantity\nleaflet,10\n").expect("a file");
    drop(place.serve().await);
    let imported = crate::kit::command::tuckshop_at(place, &["import", directory.to_str().expect("text")], &[]);
    assert_eq!(imported.code, 0, "{}", imported.err);
    place.serve().await
}

async fn free_checkout_completes_without_an_instrument(place: Place) {
    let server = serve_with_gift(&place).await;
    for payment in [json!({}), json!({"instruments": []}), pay("fail_token")["payment"].clone()] {
        let free = server.post("/checkout-sessions", &basket(&[("leaflet", 1)])).await.body(201);
        assert_eq!((total(&free, "total"), &free["status"]), (Some(0), &json!("ready_for_complete")));
        let done = server.post(&complete_path(&free), &json!({"payment": payment})).await.body(200);
        assert_eq!(done["status"], "completed", "{payment}");
        assert_eq!(server.order(&done).await["checkout_id"], done["id"], "{payment}");
    }
    // An item with a price still needs an instrument.
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    server.post(&complete_path(&ready), &json!({"payment": {}})).await.problem(400, "invalid_request");
    let mut blank = pay("success_token");
    blank["payment"]["instruments"][0]["credential"]["token"] = json!(" ");
    server.post(&complete_path(&ready), &blank).await.problem(400, "unknown_payment_instrument");
}

async fn refund_equals_the_amount_paid(place: Place) {
    let server = place.serve().await;
    let mut wanted = deliverable(&[("gift_card", 1), ("sherbet_lemons", 3)]);
    wanted["discounts"] = json!({"codes": ["SWEETS20", "10OFF"]});
    let ready = server.post("/checkout-sessions", &wanted).await.body(201);
    let done = server.complete(&ready, "success_token").await.body(200);
    let order = server.order(&done).await;
    let path = format!("/testing/orders/{}/adjust", id(&order));
    let mut back = Vec::new();
    for (line, units) in [(0, 1), (1, 1), (1, 1), (1, 1)] {
        let line = &order["line_items"][line]["id"];
        let wish = json!({"line_item_id": line, "quantity": units, "type": "refund"});
        let adjusted = server.post(&path, &wish).await.body(200);
        let last = adjusted["adjustments"].as_array().and_then(|all| all.last().cloned()).unwrap_or(Value::Null);
        back.push(last["totals"][0]["amount"].as_i64().expect("an amount"));
    }
    // Discounts leave 1000 and 432 of the lines. The order discount of 10 %, 143, is allocated to the lines.
    assert_eq!(back, [-900, -129, -129, -131]);
    let of_goods = total(&done, "total").expect("a total") - total(&done, "fulfillment").unwrap_or(0);
    assert_eq!(-back.iter().sum::<i64>(), of_goods);
}

/// Readers that hold JSON numbers as doubles would lose cents of a larger total.
async fn total_beyond_the_safe_integer_range_is_refused_in_band(place: Place) {
    let directory = place.directory().join("dear");
    std::fs::create_dir(&directory).expect("a directory");
    let products = "id,title,price,image_url,requires_shipping\nisland,Island,1000000000000,,false\n";
    std::fs::write(directory.join("products.csv"), products).expect("a file");
    std::fs::write(directory.join("inventory.csv"), "product_id,quantity\nisland,100000\n").expect("a file");
    drop(place.serve().await);
    let imported = crate::kit::command::tuckshop_at(&place, &["import", directory.to_str().expect("text")], &[]);
    assert_eq!(imported.code, 0, "{}", imported.err);
    let server = place.serve().await;
    let made = server.post("/checkout-sessions", &basket(&[("island", 9_006)])).await.body(201);
    assert_eq!(total(&made, "total"), Some(9_006_000_000_000_000));
    let beyond = basket(&[("island", 1), ("island", 9_008)]);
    let path = format!("/checkout-sessions/{}", id(&made));
    for write in [server.post("/checkout-sessions", &beyond), server.put(&path, &beyond)] {
        let refused = write.await.refused_in_band();
        assert_eq!((&refused[0]["code"], &refused[0]["path"]), (&json!("limit_exceeded"), &json!("$.line_items[1]")));
    }
    assert_eq!(server.get(&path).await.body(200), made);
}

crate::on_both_engines!(
    total_beyond_the_safe_integer_range_is_refused_in_band,
    free_checkout_completes_without_an_instrument,
    refund_equals_the_amount_paid,
);
