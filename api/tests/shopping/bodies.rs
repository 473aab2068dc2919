//! Request bodies that are too large, too slow, too deep or malformed. Each is refused with its error code, and the
//! shop goes on.

use serde_json::{Value, json};

use crate::kit::basket::{address, basket};
use crate::kit::client::fresh_key;
use crate::kit::raw::{Raw, post};
use crate::kit::{Place, Request, Server, until};

const CHECKOUTS: &str = "/checkout-sessions";

fn create(server: &Server, body: impl Into<Vec<u8>>) -> Request {
    server.post(CHECKOUTS, &json!({})).raw(body)
}

/// Waits for the log lines of the refusals. Asserts that nothing was stored and that the shop still sells.
async fn assert_refusals_logged(place: &Place, server: &Server, status: u16, times: usize) {
    let is_it = |line: &&Value| line["msg"] == "request" && line["status"] == status && line["outcome"] == "refused";
    until("every refusal is logged", || async { (server.log().iter().filter(is_it).count() == times).then_some(()) })
        .await;
    assert_eq!(["checkout", "idempotency_key"].map(|table| place.count(table)), [0, 0]);
    let checkout = server.post(CHECKOUTS, &basket(&[("gift_card", 1)])).await.body(201);
    assert_eq!(checkout["status"], "ready_for_complete");
}

async fn body_declared_too_large_is_not_read(place: Place) {
    let server = place.serve_with(&[("TUCKSHOP_HTTP_MAX_BODY_BYTES", "4096")]).await;
    let mut raw = Raw::connect(server.address()).await;
    raw.send(post(CHECKOUTS, "content-length: 4097\r\n").as_bytes()).await;
    raw.receive().await.problem(413, "body_too_large");
    assert_refusals_logged(&place, &server, 413, 1).await;
}

async fn body_that_grows_too_large_is_refused(place: Place) {
    let server = place.serve_with(&[("TUCKSHOP_HTTP_MAX_BODY_BYTES", "4096")]).await;
    let mut raw = Raw::connect(server.address()).await;
    raw.send(post(CHECKOUTS, "transfer-encoding: chunked\r\n").as_bytes()).await;
    // One byte more than the limit, and no end of the body.
    raw.send(format!("1001\r\n{}", " ".repeat(0x1001)).as_bytes()).await;
    raw.receive().await.problem(413, "body_too_large");
    assert_refusals_logged(&place, &server, 413, 1).await;
}

async fn body_of_the_largest_size_is_read(place: Place) {
    let server = place.serve_with(&[("TUCKSHOP_HTTP_MAX_BODY_BYTES", "4096")]).await;
    let body = basket(&[("gift_card", 1)]).to_string();
    let padded = format!("{body}{}", " ".repeat(4096 - body.len()));
    assert_eq!(padded.len(), 4096);
    let _ = create(&server, padded).await.expect(201);
}

async fn trickling_body_is_refused_by_the_deadline(place: Place) {
    let server = place.serve_with(&[("TUCKSHOP_HTTP_BODY_TIMEOUT_MS", "300")]).await;
    for more in ["content-length: 100000\r\n", "transfer-encoding: chunked\r\n"] {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(post(CHECKOUTS, more).as_bytes()).await;
        if more.starts_with("transfer") {
            raw.send(b"186a0\r\n").await;
        }
        raw.trickle().await.problem(408, "body_timeout");
    }
    assert_refusals_logged(&place, &server, 408, 2).await;
}

async fn deeply_nested_body_is_refused(place: Place) {
    let server = place.serve().await;
    let depth = 100_000;
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    for body in [
        format!("{open}{close}"),
        open.clone(),
        "{\"a\":".repeat(40_000),
        format!("{{\"line_items\":{open}{close}}}"),
        format!("{{\"line_items\":[{{\"item\":{open}{close},\"quantity\":1}}]}}"),
        format!("{{\"fulfillment\":{{\"methods\":{open}{close}}},\"line_items\":[]}}"),
    ] {
        let shown = body[..40].to_owned();
        let answer = create(&server, body).await;
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text());
        assert_eq!(answer.json["code"], "malformed_body", "{shown}");
    }
    assert_refusals_logged(&place, &server, 400, 6).await;
}

async fn duplicate_member_is_refused(place: Place) {
    let server = place.serve().await;
    let line = r#"{"item":{"id":"gift_card"},"quantity":1}"#;
    for (body, member) in [
        (format!(r#"{{"line_items":[{line}],"line_items":[{line}]}}"#), "line_items"),
        (r#"{"line_items":[{"item":{"id":"gift_card"},"quantity":1,"quantity":2}]}"#.to_owned(), "quantity"),
        (r#"{"line_items":[{"item":{"id":"gift_card","id":"eraser"},"quantity":1}]}"#.to_owned(), "id"),
        (format!(r#"{{"unknown":[{{"x":1,"x":2}}],"line_items":[{line}]}}"#), "x"),
        (format!(r#"{{"line_items":[{line}],"attribution":{{"a":"b","a":"c"}}}}"#), "a"),
        (format!(r#"{{"buyer":{{"email":"a@example.com","email":"b@example.com"}},"line_items":[{line}]}}"#), "email"),
    ] {
        let answer = create(&server, body).await.problem(400, "malformed_body");
        let content = answer.json["content"].as_str().unwrap_or_default();
        assert!(content.contains("duplicate") && content.contains(member), "{content}");
    }
    assert_refusals_logged(&place, &server, 400, 6).await;
}

/// A value of the wrong type is named by its path.
async fn invalid_members_are_named(place: Place) {
    let server = place.serve().await;
    let with = |pointer: &str, value: Value| {
        let mut body = basket(&[("gift_card", 1)]);
        body["buyer"] = json!({"email": "ada@example.com", "consent": {"analytics": true}});
        body["discounts"] = json!({"codes": []});
        body["fulfillment"] = json!({"methods": [{"type": "shipping", "destinations": [address()]}]});
        body["payment"] = json!({"instruments": []});
        *body.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        body
    };
    for (pointer, value, named) in [
        ("/line_items", json!("x"), "line_items"),
        ("/line_items", Value::Null, "line_items"),
        ("/line_items", json!([]), "line_items"),
        ("/line_items/0", json!(7), "line_items[0]"),
        ("/line_items/0/quantity", json!("2"), "line_items[0].quantity"),
        ("/line_items/0/quantity", json!(1.5), "line_items[0].quantity"),
        ("/line_items/0/quantity", json!(0), "line_items[0].quantity"),
        ("/line_items/0/quantity", json!(-5), "line_items[0].quantity"),
        ("/line_items/0/quantity", json!(1e30), "line_items[0].quantity"),
        ("/line_items/0/item", json!("gift_card"), "line_items[0].item"),
        ("/line_items/0/item/id", json!(5), "line_items[0].item.id"),
        ("/line_items/0/item/id", json!(""), "line_items[0].item.id"),
        ("/buyer", json!("Ada"), "buyer"),
        ("/buyer/email", json!(["ada@example.com"]), "buyer.email"),
        ("/buyer/email", json!("not an address"), "buyer.email"),
        ("/buyer/consent/analytics", json!("yes"), "buyer.consent.analytics"),
        ("/discounts/codes", json!("10OFF"), "discounts.codes"),
        ("/discounts/codes", json!([1]), "discounts.codes[0]"),
        ("/fulfillment/methods/0/type", json!("teleport"), "fulfillment.methods[0].type"),
        ("/fulfillment/methods/0/destinations", json!({}), "fulfillment.methods[0].destinations"),
        ("/fulfillment/methods/0/destinations/0/postal_code", json!(5), "postal_code"),
        ("/payment/instruments", json!(true), "payment.instruments"),
    ] {
        let refused = server.post(CHECKOUTS, &with(pointer, value.clone())).await.expect(400);
        let content = refused.json["content"].as_str().unwrap_or_default();
        let code = refused.json["code"].as_str().unwrap_or_default();
        assert!(["malformed_body", "invalid_request"].contains(&code), "{pointer} = {value}: {}", refused.text());
        assert!(content.contains(named), "{pointer} = {value}: {content}");
    }
    let _ = server.post(CHECKOUTS, &with("/discounts/codes", json!([]))).await.expect(201);
}

/// JSON has numbers without types, and rules about text apply to the decoded text.
async fn numbers_and_texts_are_read_by_their_value(place: Place) {
    let server = place.serve().await;
    for (quantity, expected) in [("1.0", 1), ("2e0", 2), ("30e-1", 3)] {
        let body = format!(r#"{{"line_items":[{{"item":{{"id":"gift_card"}},"quantity":{quantity}}}]}}"#);
        let made = create(&server, body).await.body(201);
        assert_eq!(made["line_items"][0]["quantity"], expected, "{quantity}");
    }
    let mut wanted = basket(&[("gift_card", 1)]);
    wanted["buyer"] = json!({"first_name": "C:\\u0000x"});
    let made = server.post(CHECKOUTS, &wanted).await.body(201);
    assert_eq!(made["buyer"]["first_name"], "C:\\u0000x");
}

async fn empty_optional_text_is_absent(place: Place) {
    let server = place.serve().await;
    let mut wanted = basket(&[("chocolate_bar", 1)]);
    wanted["line_items"][0]["id"] = json!("");
    wanted["buyer"] = json!({"first_name": "", "email": "", "phone_number": ""});
    let mut to = address();
    to["id"] = json!("");
    to["extended_address"] = json!("");
    wanted["fulfillment"] = json!({"methods": [{
        "type": "shipping", "destinations": [to], "selected_destination_id": "", "groups": [{"selected_option_id": ""}],
    }]});
    wanted["payment"] =
        json!({"instruments": [{"id": "", "handler_id": "", "display": {"brand": "", "last_digits": ""}}]});
    let made = server.post(CHECKOUTS, &wanted).await.body(201);
    assert_eq!(made["buyer"]["email"], Value::Null, "{made}");
    assert!(
        made["fulfillment"]["methods"][0]["destinations"][0]["id"].as_str().is_some_and(|id| !id.is_empty()),
        "{made}"
    );
}

/// A card number is neither stored nor echoed: a shop that stores card numbers falls under PCI DSS.
async fn card_number_in_display_is_refused(place: Place) {
    let server = place.serve().await;
    for (member, text, is_good) in [
        ("last_digits", "4242", true),
        ("last_digits", "4242424242424242", false),
        ("last_digits", "123 4", false),
        ("brand", "Visa", true),
        ("brand", "Visa 4242 4242 4242 4242", false),
        ("description", "Visa ending in 4242", true),
        ("description", "4242-4242-4242-4242", false),
    ] {
        let mut wanted = basket(&[("gift_card", 1)]);
        wanted["payment"] = json!({"instruments": [
            {"id": "card_1", "handler_id": "mock_payment_handler", "type": "card", "display": {member: text}},
        ]});
        let answer = server.post(CHECKOUTS, &wanted).await;
        assert_eq!(answer.status, if is_good { 201 } else { 400 }, "{member} {text}: {}", answer.text());
        assert!(is_good || !answer.text().contains("4242"), "{}", answer.text());
    }
}

async fn missing_members_are_named(place: Place) {
    let server = place.serve().await;
    for (body, named) in [
        (json!({}), "line_items"),
        (json!({"line_items": [{"quantity": 1}]}), "item"),
        (json!({"line_items": [{"item": {"id": "eraser"}}]}), "quantity"),
        (json!({"line_items": [{"item": {}, "quantity": 1}]}), "id"),
    ] {
        let refused = server.post(CHECKOUTS, &body).await.problem(400, "malformed_body");
        let content = refused.json["content"].as_str().unwrap_or_default();
        assert!(content.contains(&format!("missing field `{named}`")), "{content}");
    }
}

async fn body_that_is_not_a_json_object_is_refused(place: Place) {
    let server = place.serve().await;
    let good = basket(&[("gift_card", 1)]).to_string();
    for body in [
        "",
        "{",
        "null",
        "5",
        "\"text\"",
        "[]",
        "NaN",
        "{'line_items': []}",
        &format!("{good}{good}"),
        &format!("{good},"),
        &format!("\u{feff}{good}"),
    ] {
        create(&server, body).await.problem(400, "malformed_body");
    }
    assert_refusals_logged(&place, &server, 400, 11).await;
}

/// The values of an object's members in the order of the struct are not an object. A derived `Deserialize` would read a
/// struct from an array too.
async fn array_in_place_of_an_object_is_refused(place: Place) {
    let server = place.serve().await;
    for body in [
        json!([[{"item": {"id": "gift_card"}, "quantity": 1}], null, null, null, null, null, null]),
        json!({"line_items": [[null, {"id": "gift_card"}, 1]]}),
        json!({"line_items": [{"item": ["gift_card"], "quantity": 1}]}),
    ] {
        create(&server, body.to_string()).await.problem(400, "malformed_body");
    }
}

async fn text_that_is_not_utf8_is_refused(place: Place) {
    let server = place.serve().await;
    let good = basket(&[("gift_card", 1)]).to_string().into_bytes();
    let position = good.windows(4).position(|window| window == b"gift").expect("there");
    for wrong in [&b"\xff"[..], b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"] {
        let mut body = good.clone();
        body.splice(position..position, wrong.iter().copied());
        create(&server, body).await.problem(400, "malformed_body");
    }
    // Half a surrogate pair, and a NUL character, which Postgres cannot store.
    for escaped in ["\\ud800", "\\u0000", "gift\\u0000card"] {
        let body = format!(r#"{{"line_items":[{{"item":{{"id":"{escaped}"}},"quantity":1}}]}}"#);
        create(&server, body).await.problem(400, "malformed_body");
    }
    assert_refusals_logged(&place, &server, 400, 7).await;
}

async fn only_json_is_read(place: Place) {
    let server = place.serve().await;
    let create = server.post(CHECKOUTS, &basket(&[("gift_card", 1)]));
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data", ""] {
        create.clone().header("content-type", kind).await.problem(415, "unsupported_media_type");
    }
    for kind in ["application/json", "Application/JSON", "application/json; charset=utf-8"] {
        let _ = create.clone().header("content-type", kind).key(&fresh_key()).await.expect(201);
    }
}

/// A refusal quotes only a short part of the input.
async fn refusal_is_short(place: Place) {
    let server = place.serve().await;
    let long = "x".repeat(50_000);
    let line = |item: Value| json!({"line_items": [{"item": item, "quantity": 1}]});
    for (body, status) in [
        (json!({"line_items": long}), 400),
        (line(json!(long)), 400),
        (line(json!({"id": long})), 200),
        (json!({"line_items": [{"item": {"id": "eraser"}, "quantity": 1}], "buyer": {"first_name": long}}), 200),
    ] {
        let refused = server.post(CHECKOUTS, &body).await.expect(status);
        assert!(refused.bytes.len() < 2_000, "{} bytes", refused.bytes.len());
    }
}

crate::on_sqlite!(
    body_declared_too_large_is_not_read,
    body_that_grows_too_large_is_refused,
    body_of_the_largest_size_is_read,
    trickling_body_is_refused_by_the_deadline,
    deeply_nested_body_is_refused,
    duplicate_member_is_refused,
    invalid_members_are_named,
    numbers_and_texts_are_read_by_their_value,
    empty_optional_text_is_absent,
    card_number_in_display_is_refused,
    missing_members_are_named,
    body_that_is_not_a_json_object_is_refused,
    array_in_place_of_an_object_is_refused,
    text_that_is_not_utf8_is_refused,
    only_json_is_read,
    refusal_is_short
);
