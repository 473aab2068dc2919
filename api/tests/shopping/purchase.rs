//! A purchase from the first basket to the order page, and the content of a checkout.

use serde_json::{Value, json};

use crate::kit::basket::{
    address, basket, cancel_path, checkout_path, codes, complete_path, deliverable, id, order_path, pay, total,
};
use crate::kit::{Answer, Place, Server};

const EMAIL: &str = "ada@example.com";

/// Fetches the page at an address of this server.
async fn fetch_page(server: &Server, url: &Value) -> Answer {
    let url = url.as_str().unwrap_or_else(|| panic!("not a url: {url}"));
    let path = url.strip_prefix(&server.url()).unwrap_or_else(|| panic!("{url} is not at {}", server.url()));
    server.get(path).without("ucp-agent").await
}

async fn purchase_leads_from_basket_to_order(place: Place) {
    let server = place.serve().await;
    let mut wanted = basket(&[("chocolate_bar", 2), ("cola_bottles", 1)]);
    let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
    assert_eq!(checkout["status"], "incomplete");
    assert_eq!(checkout["currency"], "USD");
    assert_eq!(codes(&checkout), ["missing"]);
    assert_eq!(checkout["messages"][0]["path"], "$.fulfillment");
    assert_eq!(checkout["messages"][0]["severity"], "recoverable");
    assert_eq!((total(&checkout, "subtotal"), total(&checkout, "total")), (Some(660), Some(660)));
    let kinds: Vec<&Value> = checkout["links"].as_array().expect("links").iter().map(|link| &link["type"]).collect();
    assert_eq!(kinds, ["terms_of_service", "privacy_policy"]);

    let path = checkout_path(&checkout);
    let consent = json!({"analytics": true, "marketing": false});
    wanted["buyer"] = json!({"first_name": "Ada", "last_name": "Byron", "email": EMAIL, "consent": consent});
    wanted["discounts"] = json!({"codes": ["10off", "SWEETS20"]});
    wanted["attribution"] = json!({"campaign": "autumn"});
    wanted["fulfillment"] = json!({"methods": [{"type": "shipping", "destinations": [address()]}]});
    let checkout = server.put(&path, &wanted).await.body(200);
    assert_eq!((&checkout["status"], codes(&checkout)), (&json!("incomplete"), vec!["missing"]));
    assert_eq!(checkout["buyer"]["email"], EMAIL);
    assert_eq!(checkout["buyer"]["consent"], consent);
    // Sweets first: 20 % of 160. Then 10 % of the remaining 628, rounded half up.
    assert_eq!((total(&checkout, "items_discount"), total(&checkout, "discount")), (Some(-32), Some(-63)));
    assert_eq!((total(&checkout, "fulfillment"), total(&checkout, "total")), (None, Some(565)));
    let method = &checkout["fulfillment"]["methods"][0];
    assert_eq!((&method["type"], &method["selected_destination_id"]), (&json!("shipping"), &json!("home")));
    let options = method["groups"][0]["options"].as_array().expect("options");
    let titles: Vec<&Value> = options.iter().map(|option| &option["title"]).collect();
    assert_eq!(titles, ["Standard Delivery", "Express Delivery (US)"]);

    wanted["fulfillment"]["methods"][0]["groups"] = json!([{"selected_option_id": options[0]["id"]}]);
    let ready = server.put(&path, &wanted).await.body(200);
    assert_eq!((&ready["status"], codes(&ready)), (&json!("ready_for_complete"), vec![]));
    assert_eq!((total(&ready, "fulfillment"), total(&ready, "total")), (Some(450), Some(1015)));
    assert_eq!(server.get(&path).await.body(200), ready);

    let done = server.complete(&ready, "success_token").await.body(200);
    assert_eq!(done["status"], "completed");
    assert_eq!(done["totals"], ready["totals"]);
    assert_eq!((&done["continue_url"], &done["line_items"]), (&Value::Null, &ready["line_items"]));
    assert_eq!(server.get(&path).await.body(200), done);

    let order = server.order(&done).await;
    assert_eq!((&order["checkout_id"], &order["permalink_url"]), (&done["id"], &done["order"]["permalink_url"]));
    assert_eq!((&order["totals"], &order["currency"]), (&done["totals"], &done["currency"]));
    assert_eq!(order["attribution"], json!({"campaign": "autumn"}));
    assert_eq!((&order["fulfillment"]["events"], &order["adjustments"]), (&json!([]), &json!([])));
    let lines = order["line_items"].as_array().expect("lines");
    assert_eq!(lines.len(), 2);
    for (line, bought) in lines.iter().zip(done["line_items"].as_array().expect("lines")) {
        assert_eq!((&line["id"], &line["item"]), (&bought["id"], &bought["item"]));
        assert_eq!((&line["totals"], &line["status"]), (&bought["totals"], &json!("processing")));
        let quantity = &bought["quantity"];
        assert_eq!(line["quantity"], json!({"original": quantity, "total": quantity, "fulfilled": 0}));
    }
    let expectation = &order["fulfillment"]["expectations"][0];
    assert_eq!(expectation["description"], "Standard Delivery");
    assert_eq!(expectation["destination"]["postal_code"], "62704");
    assert_eq!(expectation["line_items"].as_array().map(Vec::len), Some(2));
}

async fn buyer_pages_show_the_purchase_and_nothing_sensitive(place: Place) {
    let server = place.serve().await;
    let mut wanted = deliverable(&[("chocolate_bar", 2)]);
    wanted["buyer"] = json!({"first_name": "Ada", "email": EMAIL, "phone_number": "+1 555 0100"});
    let ready = server.post("/checkout-sessions", &wanted).await.body(201);
    let before = fetch_page(&server, &ready["continue_url"]).await;
    let done = server.complete(&ready, "success_token").await.body(200);
    let after = fetch_page(&server, &done["order"]["permalink_url"]).await;
    for page in [before, after] {
        let page = page.expect(200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("cache-control"), Some("private, no-store"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        let html = page.text();
        for shown in ["Milk Chocolate Bar", "USD 9.50", "Standard Delivery", "<html"] {
            assert!(html.contains(shown), "no {shown}: {html}");
        }
        for hidden in [EMAIL, "Ada", "555 0100", "12 School Lane", "success_token", "card_1", "localhost:9999"] {
            assert!(!html.contains(hidden), "{hidden}: {html}");
        }
    }
}

async fn page_is_found_by_its_token_only(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let done = server.complete(&ready, "success_token").await.body(200);
    let token = |url: &Value| url.as_str().and_then(|url| url.rsplit('/').next()).expect("a token").to_owned();
    let (checkout, order) = (token(&ready["continue_url"]), token(&done["order"]["permalink_url"]));
    assert_ne!(checkout, order);
    for token in [&checkout, &order] {
        assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    }
    let random = uuid::Uuid::new_v4().simple().to_string();
    for path in [
        format!("/pages/checkouts/{random}"),
        format!("/pages/orders/{random}"),
        format!("/pages/orders/{checkout}"),
        format!("/pages/checkouts/{order}"),
        format!("/pages/orders/{}", id(&done["order"])),
        format!("/pages/orders/{}", &id(&done["order"])[4..]),
        format!("/pages/checkouts/{}", &id(&done)[4..]),
        "/pages/orders/x".to_owned(),
    ] {
        let missing = server.get(&path).await.expect(404);
        assert!(missing.text().contains("Page not found"), "{path}: {}", missing.text());
    }
}

async fn credentials_are_never_echoed(place: Place) {
    let server = place.serve().await;
    let mut wanted = deliverable(&[("eraser", 1)]);
    wanted["payment"] = pay("success_token")["payment"].clone();
    let checkout = server.post("/checkout-sessions", &wanted).await.expect(201);
    let path = checkout_path(&checkout.json);
    let updated = server.put(&path, &wanted).await.expect(200);
    let declined = server.complete(&checkout.json, "fail_token").await.expect(402);
    let done = server.complete(&checkout.json, "success_token").await.expect(200);
    let read = server.get(&path).await.expect(200);
    let order = server.get(&order_path(&done.json)).await.expect(200);
    for answer in [&checkout, &updated, &declined, &done, &read, &order] {
        let text = answer.text();
        assert!(!text.contains("_token") && !text.contains("credential"), "{text}");
    }
    for answer in [&checkout, &done] {
        let instrument = &answer.json["payment"]["instruments"][0];
        assert_eq!(
            instrument,
            &json!({
                "id": "card_1", "handler_id": "mock_payment_handler", "type": "card", "selected": true,
                "display": {"brand": "Visa", "last_digits": "4242"},
            })
        );
    }
}

async fn update_replaces_everything(place: Place) {
    let server = place.serve().await;
    let mut wanted = deliverable(&[("chocolate_bar", 1), ("eraser", 2)]);
    wanted["buyer"] = json!({"email": EMAIL});
    wanted["discounts"] = json!({"codes": ["10OFF"]});
    wanted["context"] = json!({"address_country": "US", "intent": "a present"});
    let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
    assert_eq!(checkout["context"]["intent"], "a present");
    let replaced = server.put(&checkout_path(&checkout), &basket(&[("gift_card", 1)])).await.body(200);
    for gone in ["buyer", "discounts", "context", "fulfillment"] {
        assert_ne!(checkout[gone], Value::Null, "{gone}");
        assert_eq!(replaced[gone], Value::Null, "{gone}");
    }
    assert_eq!(replaced["line_items"].as_array().map(Vec::len), Some(1));
    assert_eq!((&replaced["status"], total(&replaced, "total")), (&json!("ready_for_complete"), Some(1000)));
    assert_eq!(server.get(&checkout_path(&checkout)).await.body(200), replaced);
}

async fn codes_are_replaced_cleared_and_explained(place: Place) {
    let server = place.serve().await;
    let mut wanted = deliverable(&[("chocolate_bar", 4)]);
    wanted["discounts"] = json!({"codes": ["10OFF", "NOPE", "10off", "SWEETS20"]});
    let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
    assert_eq!(checkout["discounts"]["codes"], wanted["discounts"]["codes"]);
    assert_eq!(checkout["discounts"]["applied"].as_array().map(Vec::len), Some(1));
    assert_eq!(checkout["discounts"]["applied"][0]["amount"], 100);
    assert_eq!(
        codes(&checkout),
        ["discount_code_invalid", "discount_code_already_applied", "discount_code_user_ineligible"]
    );
    for (message, index) in checkout["messages"].as_array().expect("messages").iter().zip([1, 2, 3]) {
        assert_eq!(message["type"], "warning");
        assert_eq!(message["path"], format!("$.discounts.codes[{index}]"));
    }
    assert_eq!(checkout["status"], "ready_for_complete", "a warning blocks the checkout");

    let path = checkout_path(&checkout);
    wanted["discounts"] = json!({"codes": ["FIXED500"]});
    let replaced = server.put(&path, &wanted).await.body(200);
    assert_eq!((total(&replaced, "discount"), codes(&replaced)), (Some(-500), vec![]));
    wanted["discounts"] = json!({"codes": []});
    let cleared = server.put(&path, &wanted).await.body(200);
    assert_eq!(cleared["discounts"], json!({"codes": [], "applied": []}));
    assert_eq!((total(&cleared, "discount"), total(&cleared, "total")), (None, Some(1450)));
}

async fn standard_delivery_is_free_under_a_promotion(place: Place) {
    let server = place.serve().await;
    for (items, price) in
        [([("chocolate_bar", 20)], Some(0)), ([("chocolate_bar", 19)], Some(450)), ([("school_scarf", 1)], Some(0))]
    {
        let checkout = server.ready_checkout(&items).await;
        assert_eq!(total(&checkout, "fulfillment"), price, "{items:?}");
        let mut express = deliverable(&items);
        express["fulfillment"]["methods"][0]["groups"][0]["selected_option_id"] = json!("ship_express_us");
        let checkout = server.put(&checkout_path(&checkout), &express).await.body(200);
        assert_eq!(total(&checkout, "fulfillment"), Some(1200), "{items:?}");
    }
}

/// A sticker for 1.00 with a code for 5.00 off.
async fn free_order_makes_no_charge(place: Place) {
    for (file, text) in [
        ("products.csv", "id,title,price,image_url,requires_shipping\nsticker,Sticker,100,,false\n"),
        ("inventory.csv", "product_id,quantity\nsticker,5\n"),
        ("discounts.csv", "code,type,value,description\nFIXED500,fixed_amount,500,5.00 off\n"),
    ] {
        std::fs::write(place.directory().join(file), text).expect("a file");
    }
    let directory = place.directory().to_str().expect("text").to_owned();
    let imported = crate::kit::command::tuckshop_at(&place, &["import", &directory], &[]);
    assert_eq!(imported.code, 0, "{}", imported.err);

    let server = place.serve().await;
    let mut wanted = basket(&[("sticker", 1)]);
    wanted["discounts"] = json!({"codes": ["FIXED500"]});
    let free = server.post("/checkout-sessions", &wanted).await.body(201);
    assert_eq!((total(&free, "discount"), total(&free, "total")), (Some(-100), Some(0)), "the total is below zero");
    let done = server.complete(&free, "fail_token").await.body(200);
    assert_eq!((&done["status"], total(&server.order(&done).await, "total")), (&json!("completed"), Some(0)));
    let entries = integrations::mock_gateway::Ledger::read(place.ledger_path()).expect("a ledger");
    assert_eq!(entries, [], "the gateway was called");
}

/// A request may contain the members that only the shop sets. They have no effect.
async fn read_only_members_are_ignored(place: Place) {
    let server = place.serve().await;
    let mut wanted = deliverable(&[("chocolate_bar", 1)]);
    wanted["status"] = json!("completed");
    wanted["currency"] = json!("XXX");
    wanted["totals"] = json!([{"type": "total", "amount": 1}]);
    wanted["line_items"][0]["item"]["price"] = json!(1);
    wanted["line_items"][0]["item"]["title"] = json!("Gold");
    wanted["line_items"][0]["totals"] = json!("nonsense");
    wanted["line_items"][0]["id"] = json!("my own id");
    wanted["messages"] = json!([{"type": "error"}]);
    wanted["order"] = json!({"id": "ord_1"});
    let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
    let plain = server.ready_checkout(&[("chocolate_bar", 1)]).await;
    for member in ["status", "currency", "totals", "line_items", "messages", "order"] {
        assert_eq!(checkout[member], plain[member], "{member}");
    }
}

async fn named_line_keeps_its_id(place: Place) {
    let server = place.serve().await;
    let checkout = server.post("/checkout-sessions", &basket(&[("eraser", 1), ("flapjack", 2)])).await.body(201);
    let flapjack = checkout["line_items"][1]["id"].clone();
    let mut wanted = basket(&[("cola_bottles", 1), ("flapjack", 3)]);
    wanted["line_items"][1]["id"] = flapjack.clone();
    let updated = server.put(&checkout_path(&checkout), &wanted).await.body(200);
    assert_eq!(updated["line_items"][1]["id"], flapjack);
    let new = &updated["line_items"][0]["id"];
    assert!(*new != flapjack && *new != checkout["line_items"][0]["id"], "{updated}");
}

async fn cancelled_checkout_is_final(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let cancelled = server.post_empty(&cancel_path(&ready)).await.body(200);
    assert_eq!((&cancelled["status"], &cancelled["continue_url"]), (&json!("canceled"), &Value::Null));
    assert_eq!(server.get(&checkout_path(&ready)).await.body(200), cancelled);
}

/// Every change of a final checkout is refused, each under a new key.
async fn final_checkout_cannot_be_changed(place: Place) {
    let server = place.serve().await;
    let completed = server.buy(&[("eraser", 1)]).await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let cancelled = server.post_empty(&cancel_path(&ready)).await.body(200);
    for over in [completed, cancelled] {
        let update = server.put(&checkout_path(&over), &deliverable(&[("eraser", 2)])).await;
        update.problem(409, "checkout_not_modifiable");
        let complete = server.post(&complete_path(&over), &pay("success_token")).await;
        complete.problem(409, "checkout_not_modifiable");
        let cancel = server.post_empty(&cancel_path(&over)).await;
        cancel.problem(409, "checkout_not_modifiable");
        assert_eq!(server.get(&checkout_path(&over)).await.body(200), over);
    }
}

crate::on_both_engines!(
    purchase_leads_from_basket_to_order,
    buyer_pages_show_the_purchase_and_nothing_sensitive,
    page_is_found_by_its_token_only,
    credentials_are_never_echoed,
    update_replaces_everything,
    codes_are_replaced_cleared_and_explained,
    standard_delivery_is_free_under_a_promotion,
    free_order_makes_no_charge,
    read_only_members_are_ignored,
    named_line_keeps_its_id,
    cancelled_checkout_is_final,
    final_checkout_cannot_be_changed,
);
