//! The log of a request: one access line with timings, and no secret.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::kit::basket::{basket, cancel_path, checkout_path, complete_path, deliverable, order_path, pay};
use crate::kit::logs::SECRETS;
use crate::kit::{Place, until};

fn access_lines(log: &[Value]) -> Vec<&Value> {
    log.iter().filter(|line| line["msg"] == "request").collect()
}

async fn every_answer_has_exactly_one_access_line(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("chocolate_bar", 1)]).await;
    let other = server.ready_checkout(&[("chocolate_bar", 1)]).await;
    let path = checkout_path(&ready);
    let mut expected: HashMap<String, (u16, &str, &str)> = HashMap::new();
    for (request, status, route, outcome) in [
        (server.post("/checkout-sessions", &basket(&[("unicorn", 1)])), 200, "/checkout-sessions", "ok"),
        (server.get(&path), 200, "/checkout-sessions/{id}", "ok"),
        (server.put(&path, &deliverable(&[("eraser", 1)])), 200, "/checkout-sessions/{id}", "ok"),
        (server.post(&complete_path(&ready), &pay("fail_token")), 402, "/checkout-sessions/{id}/complete", "refused"),
        (server.post(&complete_path(&ready), &pay("success_token")), 200, "/checkout-sessions/{id}/complete", "ok"),
        (server.post_empty(&cancel_path(&other)), 200, "/checkout-sessions/{id}/cancel", "ok"),
        (server.post_empty(&cancel_path(&other)), 409, "/checkout-sessions/{id}/cancel", "refused"),
        (server.post("/checkout-sessions", &json!(5)), 400, "/checkout-sessions", "refused"),
        (server.get(&path).without("ucp-agent"), 400, "/checkout-sessions/{id}", "refused"),
        (server.get("/livez"), 200, "/livez", "ok"),
        (server.get("/no/such"), 404, "none", "refused"),
        (server.get("/livez").header("request-timeout-ms", "x"), 400, "/livez", "refused"),
    ] {
        let answer = request.await.expect(status);
        let id = answer.header("request-id").expect("an id").to_owned();
        assert_eq!(expected.insert(id, (status, route, outcome)), None, "ids are unique");
    }
    let completion = server.post(&complete_path(&ready), &pay("success_token")).header("request-id", "the-last").await;
    completion.problem(409, "checkout_not_modifiable");
    until("the last access line is logged", || async {
        server.log().iter().any(|line| line["request_id"] == "the-last" && line["msg"] == "request").then_some(())
    })
    .await;

    let log = server.stop().log;
    for (id, (status, route, outcome)) in expected {
        let lines: Vec<&Value> =
            access_lines(&log).into_iter().filter(|line| line["request_id"] == id.as_str()).collect();
        assert_eq!(lines.len(), 1, "{id}: {lines:?}");
        let line = lines[0];
        assert_eq!((&line["status"], &line["outcome"]), (&json!(status), &json!(outcome)), "{line}");
        assert_eq!((&line["route"], &line["op"]), (&json!(route), &json!("http.request")), "{line}");
        assert_eq!(line["trace_id"].as_str().map(str::len), Some(32), "{line}");
        for time in ["elapsed_us", "connection_wait_us", "storage_us", "gateway_us"] {
            assert!(line[time].is_u64(), "{time}: {line}");
        }
        assert!(line["elapsed_us"].as_u64() > Some(0), "{line}");
        let at_gateway = route.ends_with("/complete") && [200, 402].contains(&status);
        assert_eq!(line["gateway_us"].as_u64() > Some(0), at_gateway, "{line}");
        let in_storage = route.starts_with("/checkout") && status != 400;
        assert_eq!(line["storage_us"].as_u64() > Some(0), in_storage, "{line}");
    }
}

/// The access line has the peer of the socket, the address that a trusted proxy reports, and the platform.
async fn access_line_names_peer_client_and_platform(place: Place) {
    let platform = "http://localhost:9999/profiles/test.json?key=of-the-platform-that-asks";
    for (proxies, client) in [("", "127.0.0.1"), ("127.0.0.0/8", "198.51.100.7")] {
        let server = place.serve_with(&[("TUCKSHOP_HTTP_TRUSTED_PROXIES", proxies)]).await;
        let sender = server.as_platform(platform);
        for (request, id, platform) in [
            (sender.get("/checkout-sessions/x"), "named", "http://localhost:9999/profiles/test.json"),
            (sender.get("/livez"), "unnamed", "none"),
        ] {
            let _ = request.header("request-id", id).header("x-forwarded-for", "192.0.2.1, 198.51.100.7").await;
            let line = until("the access line is logged", || async {
                server.log().into_iter().find(|line| line["request_id"] == id && line["msg"] == "request")
            })
            .await;
            assert_eq!((&line["peer"], &line["client"]), (&json!("127.0.0.1"), &json!(client)), "{line}");
            assert_eq!(line["platform"], platform, "{line}");
        }
        assert!(!server.stop().log.iter().any(|line| line.to_string().contains("of-the-platform-that-asks")));
    }
}

/// Every line of a request has the request id that its caller knows.
async fn purchase_can_be_followed_by_its_request_id(place: Place) {
    let server = place.serve().await;
    let ready = server.ready_checkout(&[("eraser", 1)]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let complete = server.post(&complete_path(&ready), &pay("success_token")).header("request-id", "follow-me");
    let _ = complete.header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")).await.expect(200);
    let log = server.stop().log;
    let mine: Vec<&Value> = log.iter().filter(|line| line["request_id"] == "follow-me").collect();
    let messages: Vec<&str> = mine.iter().filter_map(|line| line["msg"].as_str()).collect();
    assert_eq!(messages, ["payment answered", "request"]);
    assert!(mine.iter().all(|line| line["trace_id"] == trace), "{mine:?}");
}

/// The log level is debug, the most verbose one.
async fn no_secret_is_logged(place: Place) {
    let settings = [
        ("TUCKSHOP_LOG_LEVEL", "trace"),
        ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "500"),
        ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "1500"),
        ("TUCKSHOP_SIMULATION_SLOW_MS", "1"),
        ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "50"),
    ];
    let server = place.serve_with(&settings).await;
    let mut wanted = deliverable(&[("eraser", 1)]);
    wanted["buyer"] = json!({"first_name": "Ada", "email": "ada.barley@example.com", "phone_number": "+1 555 0100"});
    for token in ["success_token", "fail_token", "slow_token", "charge_then_fail_token", "hang_token"] {
        let checkout = server.post("/checkout-sessions", &wanted).await.body(201);
        let _ = server.complete(&checkout, token).await;
        let settled = until("the payment is settled", || async {
            let now = server.get(&checkout_path(&checkout)).await.body(200);
            (now["status"] != "complete_in_progress").then_some(now)
        })
        .await;
        if token == "success_token" {
            let shipped = server.post_empty(&format!("/testing/simulate-shipping/{}", &order_path(&settled)[8..]));
            let _ = shipped.header("simulation-secret", crate::kit::server::SECRET).await.expect(200);
        }
    }
    // Errors are logged too and might quote their input.
    wanted["buyer"]["email"] = json!("ada @example.com");
    let _ = server.post("/checkout-sessions", &wanted).await.expect(400);
    let _ = server.post("/checkout-sessions", &pay("success_token")).await.expect(400);

    let log = server.stop().log;
    assert!(log.iter().any(|line| line["level"] == "debug"), "no debug line was logged");
    let personal = ["Ada", "555 0100", "School Lane", "Springfield"];
    for line in log {
        let text = line.to_string();
        for secret in SECRETS.iter().chain(&personal) {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

/// The address of a page grants access to it.
async fn page_token_is_never_logged(place: Place) {
    let server = place.serve_with(&[("TUCKSHOP_LOG_LEVEL", "trace")]).await;
    let bought = server.buy(&[("eraser", 1)]).await;
    let open = server.ready_checkout(&[("eraser", 1)]).await;
    let path = |url: &Value| url::Url::parse(url.as_str().expect("a url")).expect("a url").path().to_owned();
    let pages = [path(&open["continue_url"]), path(&bought["order"]["permalink_url"])];
    let mut requests = 0;
    for page in &pages {
        for (address, status) in [
            (page.clone(), 200),
            (format!("{page}?from=mail"), 200),
            // A misspelled page address still contains the token.
            (format!("{page}/"), 404),
            (format!("{page}x"), 404),
            (format!("/x{page}"), 404),
            (page.to_uppercase(), 404),
        ] {
            let _ = server.get(&address).await.expect(status);
            requests += 1;
        }
    }
    let log = server.stop().log;
    let routes = access_lines(&log).into_iter().filter(|line| line["route"] == "/pages/orders/{token}").count();
    assert!(routes >= 2 && access_lines(&log).len() >= requests, "{log:?}");
    for page in pages {
        let token = page.rsplit('/').next().expect("a token");
        assert!(token.len() >= 16, "{token}");
        let leak = log.iter().find(|line| line.to_string().to_lowercase().contains(&token.to_lowercase()));
        assert_eq!(leak, None);
    }
}

async fn every_line_has_time_level_and_message(place: Place) {
    let server = place.serve().await;
    let _ = server.buy(&[("eraser", 1)]).await;
    let stopped = server.stop();
    assert!(stopped.status.success());
    for line in &stopped.log {
        let at = line["at"].as_str().expect("a time");
        assert!(at.len() >= 20 && at.ends_with('Z') && at.contains('T'), "{line}");
        assert!(["info", "warning", "debug"].contains(&line["level"].as_str().unwrap_or_default()), "{line}");
        assert!(line["msg"].is_string(), "{line}");
    }
    let messages: Vec<&str> = stopped.log.iter().filter_map(|line| line["msg"].as_str()).collect();
    assert_eq!(messages.last(), Some(&"shutdown done"));
}

mod any_engine {
    crate::on_sqlite!(access_line_names_peer_client_and_platform);
    use super::access_line_names_peer_client_and_platform;
}

crate::on_both_engines!(
    every_answer_has_exactly_one_access_line,
    purchase_can_be_followed_by_its_request_id,
    no_secret_is_logged,
    page_token_is_never_logged,
    every_line_has_time_level_and_message,
);
