//! Request headers: the caller, the request id, the trace context and the time limit.

use serde_json::json;

use crate::kit::Place;
use crate::kit::basket::{basket, checkout_path, id};
use crate::kit::server::SECRET;

async fn request_without_ucp_agent_is_refused(place: Place) {
    let server = place.serve().await;
    let body = basket(&[("gift_card", 1)]);
    let path = format!("/checkout-sessions/chk_{}", uuid::Uuid::new_v4().simple());
    for request in [
        server.post("/checkout-sessions", &body),
        server.get(&path),
        server.put(&path, &body),
        server.post(&format!("{path}/complete"), &json!({})),
        server.post_empty(&format!("{path}/cancel")),
        server.get("/orders/x"),
    ] {
        request.clone().without("ucp-agent").await.problem(400, "invalid_profile_url");
        for malformed in [
            "",
            "profile=",
            "profile=http://localhost:9999/p.json",
            "profile=(1 2)",
            "profile=\"nonsense\"",
            "profile=\"http://platform.example/p.json\"",
            "profile=\"file:///etc/passwd\"",
            "name=\"https://platform.example/p.json\"",
            "https://platform.example/p.json",
        ] {
            request.clone().header("ucp-agent", malformed).await.problem(400, "invalid_profile_url");
        }
    }
}

/// A proxy may read one of two equal headers and the shop the other.
async fn duplicate_header_is_refused_or_ignored(place: Place) {
    let server = place.serve().await;
    let create = server.post("/checkout-sessions", &basket(&[("gift_card", 1)]));
    let profile = "profile=\"http://localhost:9999/profiles/test.json\"";
    for (name, first, second, status, code) in [
        ("idempotency-key", "first", "second", 400, "invalid_idempotency_key"),
        ("idempotency-key", "same", "same", 400, "invalid_idempotency_key"),
        ("ucp-agent", profile, profile, 400, "invalid_profile_url"),
        ("request-timeout-ms", "5000", "6000", 400, "invalid_request_timeout"),
        ("content-type", "application/json", "text/plain", 415, "unsupported_media_type"),
        ("content-type", "application/json", "application/json", 415, "unsupported_media_type"),
    ] {
        create.clone().header(name, first).and_header(name, second).await.problem(status, code);
    }
    let shipping = server.post_empty("/testing/simulate-shipping/x").header("simulation-secret", SECRET);
    shipping.clone().await.problem(404, "not_found");
    shipping.and_header("simulation-secret", SECRET).await.problem(403, "wrong_simulation_secret");

    // A duplicate of an informational header counts as absent.
    let answer = server.get("/livez").header("request-id", "one").and_header("request-id", "two").await.expect(200);
    assert!(answer.header("request-id").is_some_and(|id| id != "one" && id != "two"));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let given = format!("00-{trace}-00f067aa0ba902b7-01");
    let answer = server.get("/livez").header("traceparent", &given).and_header("traceparent", &given).await;
    assert!(answer.expect(200).header("traceparent").is_some_and(|started| !started.contains(trace)));
}

async fn unsupported_version_is_refused(place: Place) {
    let server = place.serve().await;
    let create = server.post("/checkout-sessions", &basket(&[("gift_card", 1)]));
    let profile = "profile=\"http://localhost:9999/p.json\"";
    for separator in [';', ','] {
        let later = format!("{profile}{separator} version=\"2099-01-01\"");
        create.clone().header("ucp-agent", &later).await.problem(422, "version_unsupported");
    }
    let ours = format!("{profile}; version=\"2026-04-08\"");
    assert_eq!(create.header("ucp-agent", &ours).await.body(201)["ucp"]["version"], "2026-04-08");
}

async fn request_id_is_echoed_or_created(place: Place) {
    let server = place.serve().await;
    let read = server.get("/checkout-sessions/x");
    let echoed = read.clone().header("request-id", "my-request.1").await;
    assert_eq!(echoed.header("request-id"), Some("my-request.1"));

    let too_long = "x".repeat(129);
    let mut made = vec![read.clone().await];
    for malformed in ["", "two words", "a\tb", "{\"level\":\"error\"}", &too_long] {
        made.push(read.clone().header("request-id", malformed).await);
    }
    let mut ids: Vec<&str> = made.iter().map(|answer| answer.header("request-id").expect("an id")).collect();
    for id in &ids {
        assert!(!id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), made.len(), "created ids repeat");
}

async fn every_kind_of_answer_carries_the_request_id(place: Place) {
    let server = place.serve().await;
    let create = server.post("/checkout-sessions", &basket(&[("gift_card", 1)]));
    for (name, request, status) in [
        ("ok", create.clone(), 201),
        ("refused", create.clone().without("ucp-agent"), 400),
        ("malformed", create.clone().raw("{"), 400),
        ("media", create.header("content-type", "text/plain"), 415),
        ("missing", server.get("/nothing/here"), 404),
        ("page", server.get("/pages/orders/x"), 404),
        ("operations", server.get("/livez"), 200),
        ("timeout", server.get("/livez").header("request-timeout-ms", "soon"), 400),
        ("testing", server.post_empty("/testing/simulate-shipping/x"), 403),
    ] {
        let answer = request.header("request-id", name).await.expect(status);
        assert_eq!(answer.header("request-id"), Some(name));
        assert!(answer.header("traceparent").is_some(), "{name}");
    }
}

async fn trace_context_is_continued(place: Place) {
    let server = place.serve().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let given = format!("00-{trace}-00f067aa0ba902b7-01");
    let answer = server.get("/livez").header("traceparent", &given).await;
    let parts: Vec<String> = answer.header("traceparent").expect("one").split('-').map(str::to_owned).collect();
    assert_eq!((parts[0].as_str(), parts[1].as_str(), parts[3].as_str()), ("00", trace, "01"));
    assert!(parts[2].len() == 16 && parts[2] != "00f067aa0ba902b7", "the span id is not new: {parts:?}");

    for malformed in ["", "nonsense", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
        let answer = server.get("/livez").header("traceparent", malformed).await;
        let started = answer.header("traceparent").expect("one");
        assert!(started.len() == 55 && !started.contains(&"0".repeat(32)), "{started}");
    }
}

async fn time_limit_must_be_a_number_above_zero(place: Place) {
    let server = place.serve().await;
    for malformed in ["", "0", "-5", "+5", "1.5", "1s", "soon", "99999999999999999999"] {
        let refused = server.get("/checkout-sessions/x").header("request-timeout-ms", malformed).await;
        refused.problem(400, "invalid_request_timeout");
    }
    // A limit above the shop's own is accepted, but not granted.
    let generous = server.get("/livez").header("request-timeout-ms", "86400000").await;
    let _ = generous.expect(200);
}

/// A legacy header of older clients has no effect.
async fn unknown_headers_are_ignored(place: Place) {
    let server = place.serve().await;
    let create = server.post("/checkout-sessions", &basket(&[("gift_card", 1)]));
    let created = create.header("request-signature", "test").await.body(201);
    assert!(id(&created).starts_with("chk_"));
    let _ = server.get(&checkout_path(&created)).header("x-unknown", "1").await.expect(200);
}

async fn unknown_route_is_answered_in_json(place: Place) {
    let server = place.serve().await;
    for request in [
        server.get("/checkout-sessions/a/b/c"),
        server.post("/orders", &json!({})),
        server.get("/.well-known/ucp/"),
        server.get("/%2e%2e/etc/passwd"),
    ] {
        let missing = request.await.problem(404, "no_such_route");
        assert_eq!(missing.header("content-type"), Some("application/json"));
    }
}

async fn status_pages_are_served(place: Place) {
    let server = place.serve().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(server.get(path).without("ucp-agent").await.body(200), json!({"status": "ok"}));
    }
    let status = server.get("/statusz").without("ucp-agent").await.body(200);
    assert_eq!((&status["stopping"], &status["commands_in_flight"]), (&json!(false), &json!(0)));
    assert_eq!((&status["requests_in_flight"], &status["transactions_abandoned"]), (&json!(1), &json!(0)));
    let tasks: Vec<&String> = status["tasks"].as_object().expect("tasks").keys().collect();
    let expected = [
        "checkout_expiry",
        "delivery_purge",
        "idempotency_purge",
        "payment_capture",
        "payment_reconciler",
        "payment_refunder",
        "webhook_delivery",
    ];
    assert_eq!(tasks, expected);
    for task in tasks {
        assert_eq!(status["tasks"][task]["failures"], 0, "{task}");
    }
}

crate::on_sqlite!(
    request_without_ucp_agent_is_refused,
    duplicate_header_is_refused_or_ignored,
    unsupported_version_is_refused,
    request_id_is_echoed_or_created,
    every_kind_of_answer_carries_the_request_id,
    trace_context_is_continued,
    time_limit_must_be_a_number_above_zero,
    unknown_headers_are_ignored,
    unknown_route_is_answered_in_json,
    status_pages_are_served,
);
