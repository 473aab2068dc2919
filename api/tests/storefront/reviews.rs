//! Reviews: the routes, and the page without JavaScript.

use serde_json::{Value, json};

use crate::buyer::{Buyer, problem};
use crate::kit::Place;
use crate::kit::client::fresh_key;

crate::on_both_engines!(
    buyer_creates_revises_and_withdraws_a_review,
    request_with_wrong_members_gets_all_errors_at_once,
    request_without_the_token_of_its_order_is_refused,
    list_is_paged_and_bounded,
    page_publishes_revises_and_withdraws_without_javascript,
);

const REVIEWS: &str = "/store/v1/reviews";
const LIST: &str = "/store/v1/products/eraser/reviews";

fn review(rating: i64) -> Value {
    json!({"item": "li_1", "rating": rating, "text": "Soft & \"blue\""})
}

async fn buyer_creates_revises_and_withdraws_a_review(place: Place) {
    let server = place.serve().await;
    let buyer = Buyer::of(&server, "eraser").await;
    let creation = buyer.post(REVIEWS, &review(4));
    let first = creation.clone().await.expect(201);
    let again = creation.await.expect(201);
    assert!(!first.is_replay() && again.is_replay());
    assert_eq!((&first.bytes, first.header("etag")), (&again.bytes, Some("\"1\"")));
    problem(buyer.post(REVIEWS, &review(5)).await, 409, "item_already_reviewed");

    let path = first.header("location").expect("an address");
    assert_eq!(path, format!("{REVIEWS}/{}", first.json["id"].as_str().expect("an id")));
    let read = buyer.get(path).await.expect(200);
    assert_eq!((&read.json, read.header("etag")), (&first.json, Some("\"1\"")));
    for (known, status) in [("\"1\"", 304), ("\"9\", W/\"1\"", 304), ("*", 304), ("\"2\"", 200)] {
        let read = buyer.get(path).header("if-none-match", known).await.expect(status);
        assert_eq!((read.bytes.is_empty(), read.header("etag")), (status == 304, Some("\"1\"")));
    }

    let content = json!({"rating": 2, "text": "Hard"});
    let revise = |version| buyer.put(path, version, &content);
    problem(revise("\"2\"").await, 412, "stale_version");
    problem(revise("\"1\"").without("if-match").await, 428, "missing_version");
    for malformed in ["1", "*", "W/\"1\"", "\"0\"", "\"01\"", "\"+1\"", "\"1\", \"2\""] {
        problem(revise(malformed).await, 400, "invalid_version");
    }
    for _ in 0..2 {
        let revised = revise("\"1\"").await.expect(200);
        assert_eq!((&revised.json["rating"], revised.header("etag")), (&json!(2), Some("\"2\"")));
    }
    let list = server.get(LIST).await.body(200);
    assert_eq!((&list["average"], &list["reviews"][0]["text"]), (&json!(2.0), &json!("Hard")));

    problem(buyer.delete(path, "\"1\"").await, 412, "stale_version");
    for _ in 0..2 {
        let _ = buyer.delete(path, "\"2\"").await.expect(204);
    }
    problem(buyer.get(path).await, 404, "review_not_found");
    problem(revise("\"3\"").await, 404, "review_not_found");
    let list = server.get(LIST).await.body(200);
    assert_eq!(list, json!({"count": 0, "average": null, "reviews": [], "next": null}));
}

async fn request_with_wrong_members_gets_all_errors_at_once(place: Place) {
    let server = place.serve().await;
    let buyer = Buyer::of(&server, "eraser").await;
    for (body, pointers) in [
        (json!({}), vec!["#/item", "#/rating"]),
        (json!({"item": "li_1", "rating": 0, "text": "x".repeat(2_001)}), vec!["#/rating", "#/text"]),
        (json!({"item": "li_1", "rating": 6}), vec!["#/rating"]),
        (json!({"item": "li_2", "rating": 5}), vec!["#/item"]),
        (json!({"item": "li_2", "rating": 6, "text": "x".repeat(2_001)}), vec!["#/item", "#/rating", "#/text"]),
    ] {
        let refused = problem(buyer.post(REVIEWS, &body).await, 422, "invalid_fields");
        let errors = refused["errors"].as_array().expect("errors").iter();
        let found: Vec<_> = errors.map(|error| error["pointer"].as_str().expect("a pointer")).collect();
        assert_eq!(found, pointers, "{refused}");
    }
    for body in [
        json!([]),
        json!(["li_1", 4, "Soft"]),
        json!({"item": "li_1", "rating": "5"}),
        json!({"item": "li_1", "rating": 5, "stars": 5}),
    ] {
        problem(buyer.post(REVIEWS, &body).await, 400, "malformed_body");
    }
    assert_eq!(place.count("review"), 0);
}

async fn request_without_the_token_of_its_order_is_refused(place: Place) {
    let server = place.serve().await;
    let (buyer, other) = (Buyer::of(&server, "eraser").await, Buyer::of(&server, "eraser").await);
    let created = buyer.post(REVIEWS, &review(4)).await.expect(201);
    let path = created.header("location").expect("a path");
    for (request, code) in [
        (server.post(REVIEWS, &review(4)), "missing_page_token"),
        (server.get(path).header("authorization", "Basic eDp5"), "missing_page_token"),
        (server.get(path).header("authorization", &format!("Bearer {}", "0".repeat(32))), "unknown_page_token"),
        (server.get(path).header("authorization", "Bearer ord_1"), "unknown_page_token"),
    ] {
        let refused = request.await;
        assert!(refused.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")));
        problem(refused, 401, code);
    }
    problem(other.get(path).await, 404, "review_not_found");
    problem(other.put(path, "\"1\"", &json!({"rating": 1})).await, 404, "review_not_found");
    problem(other.delete(path, "\"1\"").await, 404, "review_not_found");
    let list = server.get(LIST).await.body(200);
    assert_eq!((&list["count"], &list["average"]), (&json!(1), &json!(4.0)));
}

async fn list_is_paged_and_bounded(place: Place) {
    let server = place.serve().await;
    let mut written = Vec::new();
    for rating in [5, 4, 4] {
        let buyer = Buyer::of(&server, "eraser").await;
        written.insert(0, buyer.post(REVIEWS, &review(rating)).await.body(201));
    }
    let first = server.get(&format!("{LIST}?limit=2")).await.body(200);
    assert_eq!(
        (&first["count"], &first["average"], &first["reviews"]),
        (&json!(3), &json!(4.33), &json!(written[..2]))
    );
    let next = first["next"].as_str().expect("a cursor");
    let last = server.get(&format!("{LIST}?limit=2&cursor={next}")).await.body(200);
    assert_eq!((&last["reviews"], &last["next"]), (&json!(written[2..]), &Value::Null));
    for query in ["limit=0", "limit=101", "limit=x", "page=2"] {
        problem(server.get(&format!("{LIST}?{query}")).await, 400, "invalid_query");
    }
    let of_another_list = next.replace("rev_", "ord_");
    for cursor in ["", "%00", "A", "rev_", "rev_g", &of_another_list, &next.to_uppercase(), &format!("{next}0")] {
        let refused = problem(server.get(&format!("{LIST}?limit=0&cursor={cursor}")).await, 400, "invalid_query");
        assert_eq!(refused["detail"], "cursor: is no cursor of this list; limit: must be at least 1", "{cursor}");
    }
    let refused = problem(server.get(&format!("{LIST}?limit=x")).await, 400, "invalid_query");
    assert_eq!(refused["detail"], "limit: invalid digit found in string");
    for unknown in ["unheard-of", "%00"] {
        problem(server.get(&format!("/store/v1/products/{unknown}/reviews")).await, 404, "product_not_found");
    }
    assert_eq!(server.get("/store/v1/openapi.json").await.body(200)["openapi"], "3.1.0");
}

async fn page_publishes_revises_and_withdraws_without_javascript(place: Place) {
    let server = place.serve().await;
    let buyer = Buyer::of(&server, "eraser").await;
    let order = format!("/pages/orders/{}", buyer.token);
    let path = format!("{order}/items/1/review");
    let order = server.get(&order).await.expect(200).text();
    assert!(order.contains(&format!("href=\"{path}\"")), "{order}");
    let page = server.get(&path).await.expect(200).text();
    assert!(page.contains(&format!("href=\"/pages/orders/{}\"", buyer.token)), "{page}");
    assert!(page.contains("name=\"idempotency_key\"") && !page.contains("<script"), "{page}");

    let key = fresh_key();
    let filled = |rating| [("idempotency_key", key.as_str()), ("rating", rating), ("text", "1 < 2\r\n")];
    let refused = buyer.submit(&path, &filled("9")).await.expect(422).text();
    assert!(refused.contains("rating: must be at most 5") && refused.contains("1 &#60; 2"), "{refused}");
    for _ in 0..2 {
        assert_eq!(buyer.submit(&path, &filled("5")).await.expect(303).header("location"), Some("review"));
    }
    let _ = buyer.submit(&path, &[("idempotency_key", "another"), ("rating", "1")]).await.expect(409);
    let list = server.get(LIST).await.body(200);
    assert_eq!((&list["average"], &list["reviews"][0]["text"]), (&json!(5.0), &json!("1 < 2\n")));

    let revised = [("idempotency_key", "k"), ("rating", "3"), ("text", "Fine"), ("version", "1")];
    let _ = buyer.submit(&path, &revised).await.expect(303);
    let stale = [("idempotency_key", "k"), ("rating", "1"), ("version", "1")];
    let stale = buyer.submit(&path, &stale).await.expect(412).text();
    assert!(stale.contains("has changed") && stale.contains("Your stored review: 3 – <bdi>Fine</bdi>"), "{stale}");
    let stale = [("idempotency_key", "k"), ("withdraw", "true"), ("version", "1")];
    let stale = buyer.submit(&path, &stale).await.expect(412).text();
    assert!(stale.contains("value=\"3\" required checked") && stale.contains("\nFine</textarea>"), "{stale}");
    let _ = buyer.submit(&path, &[("idempotency_key", "k"), ("withdraw", "true")]).await.expect(404);
    assert!(server.get(&path).await.text().contains("Fine"));
    let _ = buyer.submit(&path, &[("idempotency_key", "k"), ("withdraw", "true"), ("version", "2")]).await.expect(303);
    assert!(server.get(&path).await.text().contains("You have withdrawn your review"));

    let page = format!("/pages/orders/{}/items", buyer.token);
    for missing in ["0", "2", "01", "+1", "x", "18446744073709551616"] {
        let _ = server.get(&format!("{page}/{missing}/review")).await.expect(404);
    }
    let _ = buyer.submit(&path, &[("rating", "1")]).await.expect(400);
    let unknown = server.get(&format!("/pages/orders/{}/items/1/review", "0".repeat(32)));
    let page = unknown.header("accept", "text/html,*/*;q=0.8").await.expect(401);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert!(page.text().contains("<h1>Unauthorized</h1>"), "{}", page.text());
}
