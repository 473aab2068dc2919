//! Items that are available, short or not sold. The demo has three scarves and no geometry set.

use serde_json::{Value, json};

use crate::kit::basket::{basket, checkout_path, codes, complete_path, deliverable, pay, total};
use crate::kit::{Place, Request};

async fn basket_without_available_items_is_refused_without_a_resource(place: Place) {
    let server = place.serve().await;
    for items in [&[("geometry_set", 1)][..], &[("unicorn", 1)], &[("geometry_set", 1), ("unicorn", 2)]] {
        let messages = server.post("/checkout-sessions", &basket(items)).await.refused_in_band();
        assert_eq!(messages.len(), items.len());
        for (name, _) in items {
            let code = if *name == "unicorn" { "item_unavailable" } else { "out_of_stock" };
            let message = messages.iter().find(|message| message["code"] == code).expect("a message with the code");
            assert_eq!(message["severity"], "unrecoverable", "{message}");
        }
    }
}

async fn partly_available_basket_can_be_corrected(place: Place) {
    let server = place.serve().await;
    let wanted = deliverable(&[("eraser", 1), ("school_scarf", 4)]);
    let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
    assert_eq!(checkout["status"], "incomplete");
    let message = &checkout["messages"][0];
    assert_eq!((&message["code"], &message["path"]), (&json!("out_of_stock"), &json!("$.line_items[1]")));
    assert_eq!((&message["type"], &message["severity"]), (&json!("error"), &json!("recoverable")));
    assert!(message["content"].as_str().is_some_and(|text| text.contains("Only 3")), "{message}");

    let corrected = server.put(&checkout_path(&checkout), &deliverable(&[("eraser", 1), ("school_scarf", 3)])).await;
    let corrected = corrected.body(200);
    assert_eq!((&corrected["status"], codes(&corrected)), (&json!("ready_for_complete"), vec![]));
}

async fn left_out_item_is_named_in_the_content_and_has_no_path(place: Place) {
    let server = place.serve().await;
    let wanted = deliverable(&[("geometry_set", 1), ("eraser", 1)]);
    let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
    assert_eq!((&checkout["status"], codes(&checkout)), (&json!("incomplete"), vec!["out_of_stock"]));
    // The first line of the answer is the eraser.
    let message = &checkout["messages"][0];
    assert_eq!((&checkout["line_items"][0]["item"]["id"], &message["path"]), (&json!("eraser"), &Value::Null));
    assert_eq!(message["content"], "Geometry Set in a Tin is out of stock");
}

async fn unknown_item_is_left_out_and_reported(place: Place) {
    let server = place.serve().await;
    let wanted = deliverable(&[("unicorn", 1), ("eraser", 1)]);
    let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
    assert_eq!(codes(&checkout), ["item_unavailable"]);
    let message = &checkout["messages"][0];
    assert_eq!(
        (&message["path"], message["content"].as_str()),
        (&Value::Null, Some("The item \"unicorn\" is not sold here"))
    );
    let lines = checkout["line_items"].as_array().expect("lines");
    assert_eq!((lines.len(), &lines[0]["item"]["id"]), (1, &json!("eraser")));
    assert_eq!(total(&checkout, "subtotal"), Some(90));
}

async fn update_to_an_empty_basket_leaves_the_checkout_unchanged(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let messages = server.put(&checkout_path(&ready), &basket(&[("unicorn", 1)])).await.refused_in_band();
    assert_eq!(messages[0]["code"], "item_unavailable");
    assert_eq!(server.get(&checkout_path(&ready)).await.body(200), ready);
}

/// Two lines of one item share its stock.
async fn lines_of_one_item_are_counted_together(place: Place) {
    let server = place.serve().await;
    let wanted = deliverable(&[("school_scarf", 2), ("school_scarf", 2)]);
    let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
    assert_eq!((&checkout["status"], codes(&checkout)), (&json!("incomplete"), vec!["out_of_stock"; 2]));
    let refused = server.complete(&checkout, "success_token").await.body(200);
    assert_eq!((&refused["status"], &refused["order"]), (&json!("incomplete"), &Value::Null));
}

/// An open checkout reserves nothing. The first completion gets the stock.
async fn last_units_go_to_the_first_completion(place: Place) {
    let server = place.serve().await;
    let slow = server.ready_checkout(&[("school_scarf", 2)]).await;
    let quick = server.ready_checkout(&[("school_scarf", 2)]).await;
    assert_eq!(server.complete(&quick, "success_token").await.body(200)["status"], "completed");
    let short = server.complete(&slow, "success_token").await.body(200);
    assert_eq!((&short["status"], codes(&short)), (&json!("incomplete"), vec!["out_of_stock"]));
    let fewer = server.put(&checkout_path(&slow), &deliverable(&[("school_scarf", 1)])).await.body(200);
    assert_eq!(fewer["status"], "ready_for_complete");
    assert_eq!(server.complete(&fewer, "success_token").await.body(200)["status"], "completed");
}

/// Eight buyers want one each of three scarves: three orders, whatever the order of requests.
async fn sales_do_not_exceed_stock(place: Place) {
    let server = place.serve().await;
    let mut buyers: Vec<Request> = Vec::new();
    for _ in 0..8 {
        let ready = server.ready_checkout(&[("school_scarf", 1)]).await;
        buyers.push(server.post(&complete_path(&ready), &pay("success_token")));
    }
    let mut calls = tokio::task::JoinSet::new();
    for buyer in buyers {
        calls.spawn(buyer.send());
    }
    let answers = calls.join_all().await;
    let (mut sold, mut short) = (0, 0);
    for answer in answers {
        let checkout = answer.body(200);
        match checkout["status"].as_str() {
            Some("completed") => sold += 1,
            Some("incomplete") if codes(&checkout) == ["out_of_stock"] => short += 1,
            _ => panic!("{checkout}"),
        }
    }
    assert_eq!((sold, short), (3, 5));
}

crate::on_both_engines!(
    basket_without_available_items_is_refused_without_a_resource,
    partly_available_basket_can_be_corrected,
    left_out_item_is_named_in_the_content_and_has_no_path,
    unknown_item_is_left_out_and_reported,
    update_to_an_empty_basket_leaves_the_checkout_unchanged,
    lines_of_one_item_are_counted_together,
    last_units_go_to_the_first_completion,
    sales_do_not_exceed_stock,
);
