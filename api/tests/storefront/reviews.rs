//! Reviews: the routes, and the page without JavaScript.

use reqwest::Method;
use serde_json::{Value, json};

use crate::kit::client::{Answer, Request, fresh_key};
use crate::kit::{Place, Server};

crate::on_both_engines!(
    buyer_creates_revises_and_withdraws_a_review,
    request_with_wrong_members_gets_all_errors_at_once,
    request_without_the_token_of_its_order_is_refused,
    list_is_paged_and_bounded,
    page_publishes_revises_and_withdraws_without_javascript,
);

/// Buys one item and returns the token of the order's page.
async fn bought(server: &Server, item: &str) -> String {
    let bought = server.buy(&[(item, 1)]).await;
    let page = bought["order"]["permalink_url"].as_str().expect("a page");
    page.rsplit('/').next().expect("a token").to_owned()
}

fn by(request: Request, token: &str) -> Request {
    request.header("authorization", &format!("Bearer {token}"))
}

async fn create(server: &Server, token: &str, body: &Value) -> Answer {
    by(server.post("/store/v1/reviews", body), token).await
}

fn change(server: &Server, method: Method, path: &str, token: &str, version: &str) -> Request {
    by(server.request(method, path), token).header("if-match", version)
}

fn review(rating: i64) -> Value {
    json!({"item": "li_1", "rating": rating, "text": "Soft & \"blue\""})
}

/// Checks that the answer has problem details with this status and code.
#[track_caller]
fn problem(answer: Answer, status: u16, code: &str) -> Value {
    let problem = answer.clone().body(status);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)), "{problem}");
    assert_eq!(problem["request_id"].as_str(), answer.header("request-id"));
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}

async fn buyer_creates_revises_and_withdraws_a_review(place: Place) {
    let server = place.serve().await;
    let token = bought(&server, "eraser").await;
    let creation = by(server.post("/store/v1/reviews", &review(4)), &token);
    let first = creation.clone().await.expect(201);
    let again = creation.await.expect(201);
    assert!(!first.is_replay() && again.is_replay());
    assert_eq!((&first.bytes, first.header("etag")), (&again.bytes, Some("\"1\"")));
    problem(create(&server, &token, &review(5)).await, 409, "item_already_reviewed");

    let path = first.header("location").expect("an address").to_owned();
    assert_eq!(path, format!("/store/v1/reviews/{}", first.json["id"].as_str().expect("an id")));
    let read = by(server.get(&path), &token).await.expect(200);
    assert_eq!((&read.json, read.header("etag")), (&first.json, Some("\"1\"")));

    let content = json!({"rating": 2, "text": "Hard"});
    let revise = |version| change(&server, Method::PUT, &path, &token, version).json(&content);
    problem(revise("\"2\"").await, 412, "stale_version");
    problem(revise("\"1\"").without("if-match").await, 428, "missing_version");
    for malformed in ["1", "*", "W/\"1\"", "\"0\"", "\"1\", \"2\""] {
        problem(revise(malformed).await, 400, "invalid_version");
    }
    for _ in 0..2 {
        let revised = revise("\"1\"").await.expect(200);
        assert_eq!((&revised.json["rating"], revised.header("etag")), (&json!(2), Some("\"2\"")));
    }
    let list = server.get("/store/v1/products/eraser/reviews").await.body(200);
    assert_eq!(
        (&list["count"], &list["average"], &list["reviews"][0]["text"]),
        (&json!(1), &json!(2.0), &json!("Hard"))
    );

    let withdraw = |version| change(&server, Method::DELETE, &path, &token, version);
    problem(withdraw("\"1\"").await, 412, "stale_version");
    for _ in 0..2 {
        let _ = withdraw("\"2\"").await.expect(204);
    }
    problem(by(server.get(&path), &token).await, 404, "review_not_found");
    problem(revise("\"3\"").await, 404, "review_not_found");
    let list = server.get("/store/v1/products/eraser/reviews").await.body(200);
    assert_eq!(list, json!({"count": 0, "average": null, "reviews": [], "next": null}));
}

async fn request_with_wrong_members_gets_all_errors_at_once(place: Place) {
    let server = place.serve().await;
    let token = bought(&server, "eraser").await;
    let long = "x".repeat(2_001);
    for (body, pointers) in [
        (json!({}), vec!["#/item", "#/rating"]),
        (json!({"item": "li_1", "rating": 0, "text": long}), vec!["#/rating", "#/text"]),
        (json!({"item": "li_1", "rating": 6}), vec!["#/rating"]),
        (json!({"item": "li_2", "rating": 5}), vec!["#/item"]),
    ] {
        let refused = problem(create(&server, &token, &body).await, 422, "invalid_fields");
        let errors = refused["errors"].as_array().expect("errors").iter();
        let found: Vec<_> = errors.map(|error| error["pointer"].as_str().expect("a pointer")).collect();
        assert_eq!(found, pointers, "{refused}");
    }
    for body in [json!([]), json!({"item": "li_1", "rating": "5"}), json!({"item": "li_1", "rating": 5, "stars": 5})] {
        problem(create(&server, &token, &body).await, 400, "malformed_body");
    }
    assert_eq!(place.count("review"), 0);
}

async fn request_without_the_token_of_its_order_is_refused(place: Place) {
    let server = place.serve().await;
    let (token, other) = (bought(&server, "eraser").await, bought(&server, "eraser").await);
    let path = create(&server, &token, &review(4)).await.expect(201).header("location").expect("a path").to_owned();
    let unknown = "0".repeat(32);
    for (request, code) in [
        (server.post("/store/v1/reviews", &review(4)), "missing_page_token"),
        (server.get(&path).header("authorization", "Basic eDp5"), "missing_page_token"),
        (by(server.get(&path), &unknown), "unknown_page_token"),
        (by(server.get(&path), "ord_1"), "unknown_page_token"),
    ] {
        let refused = request.await;
        assert!(refused.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")));
        problem(refused, 401, code);
    }
    problem(by(server.get(&path), &other).await, 404, "review_not_found");
    let content = json!({"rating": 1});
    let revised = change(&server, Method::PUT, &path, &other, "\"1\"").json(&content).await;
    problem(revised, 404, "review_not_found");
    problem(change(&server, Method::DELETE, &path, &other, "\"1\"").await, 404, "review_not_found");
    let list = server.get("/store/v1/products/eraser/reviews").await.body(200);
    assert_eq!((&list["count"], &list["average"]), (&json!(1), &json!(4.0)));
}

async fn list_is_paged_and_bounded(place: Place) {
    let server = place.serve().await;
    let mut written = Vec::new();
    for rating in [5, 4, 4] {
        let token = bought(&server, "eraser").await;
        written.insert(0, create(&server, &token, &review(rating)).await.body(201));
    }
    let path = "/store/v1/products/eraser/reviews";
    let first = server.get(&format!("{path}?limit=2")).await.body(200);
    assert_eq!(
        (&first["count"], &first["average"], &first["reviews"]),
        (&json!(3), &json!(4.33), &json!(written[..2]))
    );
    let next = first["next"].as_str().expect("a cursor");
    let last = server.get(&format!("{path}?limit=2&cursor={next}")).await.body(200);
    assert_eq!((&last["reviews"], &last["next"]), (&json!(written[2..]), &Value::Null));
    for (query, status, code) in [
        ("limit=0", 400, "invalid_query"),
        ("limit=101", 400, "invalid_query"),
        ("limit=x", 400, "invalid_query"),
        ("cursor=", 400, "invalid_query"),
        ("cursor=%00", 400, "invalid_query"),
        ("page=2", 400, "invalid_query"),
    ] {
        problem(server.get(&format!("{path}?{query}")).await, status, code);
    }
    for unknown in ["unheard-of", "%00"] {
        problem(server.get(&format!("/store/v1/products/{unknown}/reviews")).await, 404, "product_not_found");
    }
    let served = server.get("/store/v1/openapi.json").await.body(200);
    assert_eq!(served["openapi"], "3.1.0");
}

/// Submits the form of a page, as a browser does.
async fn submit(server: &Server, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = serde_urlencoded::to_string(fields).expect("a form");
    server.request(Method::POST, path).header("content-type", "application/x-www-form-urlencoded").raw(body).await
}

async fn page_publishes_revises_and_withdraws_without_javascript(place: Place) {
    let server = place.serve().await;
    let token = bought(&server, "eraser").await;
    let order = server.get(&format!("/pages/orders/{token}")).await.expect(200).text();
    let path = format!("/pages/orders/{token}/items/1/review");
    assert!(order.contains(&format!("href=\"{path}\"")), "{order}");
    let page = server.get(&path).await.expect(200).text();
    assert!(page.contains("name=\"idempotency_key\"") && !page.contains("<script"), "{page}");

    let key = fresh_key();
    let fields = [("idempotency_key", key.as_str()), ("rating", "9"), ("text", "1 < 2\r\n")];
    let refused = submit(&server, &path, &fields).await.expect(422).text();
    assert!(refused.contains("rating: must be at most 5") && refused.contains("1 &#60; 2"), "{refused}");
    let fields = [("idempotency_key", key.as_str()), ("rating", "5"), ("text", "1 < 2\r\n")];
    for _ in 0..2 {
        assert_eq!(submit(&server, &path, &fields).await.expect(303).header("location"), Some("review"));
    }
    let other = [("idempotency_key", "another"), ("rating", "1"), ("text", "")];
    let _ = submit(&server, &path, &other).await.expect(409);
    let list = server.get("/store/v1/products/eraser/reviews").await.body(200);
    assert_eq!((&list["average"], &list["reviews"][0]["text"]), (&json!(5.0), &json!("1 < 2\n")));

    let version = |version| [("idempotency_key", "k"), ("rating", "3"), ("text", "Fine"), ("version", version)];
    let _ = submit(&server, &path, &version("1")).await.expect(303);
    let stale =
        submit(&server, &path, &[("idempotency_key", "k"), ("rating", "1"), ("version", "1")]).await.expect(412);
    assert!(stale.text().contains("has changed"), "{}", stale.text());
    assert!(server.get(&path).await.text().contains("Fine"));
    let withdrawal = [("idempotency_key", "k"), ("withdraw", "true"), ("version", "2")];
    let _ = submit(&server, &path, &withdrawal).await.expect(303);
    assert!(server.get(&path).await.text().contains("You have withdrawn your review"));

    for missing in ["0", "2"] {
        let _ = server.get(&format!("/pages/orders/{token}/items/{missing}/review")).await.expect(404);
    }
    let _ = server.get(&format!("/pages/orders/{}/items/1/review", "0".repeat(32))).await.expect(401);
    let _ = submit(&server, &path, &[("rating", "1")]).await.expect(400);
    let unknown = server.get(&format!("/pages/orders/{}/items/1/review", "0".repeat(32)));
    let page = unknown.header("accept", "text/html,*/*;q=0.8").await.expect(401);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert!(page.text().contains("<h1>Unauthorized</h1>"), "{}", page.text());
}
