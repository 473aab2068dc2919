//! HTTP methods, the encoding of paths, and caching of answers.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::kit::Place;
use crate::kit::basket::{basket, checkout_path, deliverable, order_path};
use crate::kit::client::STRANGER;
use crate::kit::server::SECRET;

async fn head_is_answered_like_get_without_a_body(place: Place) {
    let server = place.serve().await;
    let bought = server.buy(&[("eraser", 1)]).await;
    let page = bought["order"]["permalink_url"].as_str().expect("a page");
    let page = url::Url::parse(page).expect("a url").path().to_owned();
    for path in [
        "/.well-known/ucp",
        "/livez",
        "/readyz",
        "/statusz",
        &checkout_path(&bought),
        &order_path(&bought),
        &page,
        "/checkout-sessions/x",
        "/pages/orders/x",
        "/no/such",
    ] {
        let get = server.get(path).await;
        let head = server.request(Method::HEAD, path).await;
        assert_eq!((head.status, head.bytes.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        if path != "/statusz" && get.status != 404 {
            assert_eq!(head.header("content-length"), Some(get.bytes.len().to_string().as_str()), "{path}");
        }
    }
    // The next answer follows on the connection, without a body before it.
    let mut stream = BufReader::new(TcpStream::connect(server.address()).await.expect("a connection"));
    for path in ["/nowhere", "/livez", "/nowhere"] {
        let head = format!("HEAD {path} HTTP/1.1\r\nhost: shop\r\n\r\n");
        stream.get_mut().write_all(head.as_bytes()).await.expect("sent");
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("a line");
        assert!(line.starts_with("HTTP/1.1 "), "{line}");
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await.expect("a line");
        }
    }
}

async fn wrong_method_is_405_with_the_methods_of_the_address(place: Place) {
    let server = place.serve().await;
    for (path, allow) in [
        ("/checkout-sessions", "POST, OPTIONS"),
        ("/checkout-sessions/x", "GET, PUT, HEAD, OPTIONS"),
        ("/checkout-sessions/x/complete", "POST, OPTIONS"),
        ("/checkout-sessions/x/cancel", "POST, OPTIONS"),
        ("/orders/x", "GET, PUT, HEAD, OPTIONS"),
        ("/.well-known/ucp", "GET, HEAD, OPTIONS"),
        ("/pages/orders/x", "GET, HEAD, OPTIONS"),
        ("/livez", "GET, HEAD, OPTIONS"),
        ("/statusz", "GET, HEAD, OPTIONS"),
        ("/testing/orders/x/adjust", "POST, OPTIONS"),
    ] {
        let options = server.request(Method::OPTIONS, path).without("ucp-agent").await.expect(204);
        assert_eq!((options.header("allow"), options.bytes.len()), (Some(allow), 0), "{path}");
        for method in [Method::DELETE, Method::PATCH, Method::TRACE, Method::from_bytes(b"BREW").expect("a method")] {
            let refused = server.request(method, path).await.problem(405, "method_not_allowed");
            assert_eq!(refused.header("allow"), Some(allow), "{path}");
        }
    }
    server.request(Method::HEAD, "/checkout-sessions").await.expect(405).header("allow").expect("the methods");
    server.request(Method::DELETE, "/no/such").await.problem(404, "no_such_route");
}

async fn root_describes_the_service(place: Place) {
    for (simulation, words) in [("true", "are simulated."), ("false", "are off.")] {
        let server = place.serve_with(&[("TUCKSHOP_SIMULATION_ENABLED", simulation)]).await;
        let home = server.get("/").without("ucp-agent").await.expect(200);
        assert!(home.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
        for part in ["Tuckshop", "/.well-known/ucp", "https://ucp.dev/", words, &format!("demo --url {}", server.url())]
        {
            assert!(home.text().contains(part), "{part}: {}", home.text());
        }
    }
}

/// A proxy rule for the plain path must not be bypassed.
async fn percent_encoded_path_is_another_path(place: Place) {
    let server = place.serve().await;
    for path in ["/%73tatusz", "/statu%73z", "/%6Civez", "/checkout%2Dsessions/x", "/%70ages/orders/x"] {
        server.get(path).await.problem(404, "no_such_route");
    }
    let bought = server.buy(&[("eraser", 1)]).await;
    // An id may be percent-encoded.
    let encoded = checkout_path(&bought).replace('_', "%5F");
    assert_eq!(server.get(&encoded).await.body(200), server.get(&checkout_path(&bought)).await.body(200));
}

async fn caller_dependent_answer_is_not_cacheable(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    for (request, varies) in [
        (server.post("/checkout-sessions", &basket(&[("eraser", 1)])), true),
        (server.post("/checkout-sessions", &json!({})), true),
        (server.get(&checkout_path(&ready)), true),
        (server.get(&checkout_path(&ready)).without("ucp-agent"), true),
        (server.as_platform(STRANGER).get(&checkout_path(&ready)), true),
        (server.put(&checkout_path(&ready), &deliverable(&[("eraser", 1)])), true),
        (server.get("/orders/x"), true),
        (server.get("/readyz"), false),
        (server.get("/no/such"), false),
        (server.get("/pages/orders/x"), false),
    ] {
        let answer = request.await;
        assert_eq!(answer.header("cache-control"), Some("private, no-store"), "{}", answer.text());
        assert_eq!(answer.header("vary"), varies.then_some("UCP-Agent"), "{}", answer.text());
    }
    let profile = server.get("/.well-known/ucp").await.expect(200);
    assert!(profile.header("cache-control").is_some_and(|value| value.starts_with("public")));
    assert_eq!(profile.header("vary"), None);
}

/// A browser sends requests from any page to this machine.
async fn test_affordances_are_refused_to_pages_of_another_origin(place: Place) {
    let server = place.serve().await;
    let own = server.url();
    for path in [
        "/testing/simulate-shipping/x",
        "/testing/orders/x/fulfill",
        "/testing/orders/x/adjust",
        "/testing/idempotency/age",
        "/testing/idempotency/outage",
    ] {
        let request = server.post(path, &json!({})).header("simulation-secret", SECRET);
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:1"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            request.clone().header(name, value).await.problem(403, "cross_origin_request");
        }
        request.clone().without("content-type").await.problem(415, "unsupported_media_type");
        let allowed = request.header("origin", &own).header("sec-fetch-site", "same-origin").await;
        assert!(![403, 415].contains(&allowed.status), "{path}: {}", allowed.text());
    }
    let put = server.put("/orders/x", &json!({}));
    put.header("origin", "https://evil.example").await.problem(403, "cross_origin_request");
}

crate::on_sqlite!(
    head_is_answered_like_get_without_a_body,
    wrong_method_is_405_with_the_methods_of_the_address,
    root_describes_the_service,
    percent_encoded_path_is_another_path,
    caller_dependent_answer_is_not_cacheable,
    test_affordances_are_refused_to_pages_of_another_origin,
);
