//! Production mode: no simulation, no test affordances, and no trust in local platforms.

use serde_json::json;

use crate::kit::basket::{basket, checkout_path, complete_path, pay};
use crate::kit::client::STRANGER;
use crate::kit::command::{tuckshop, tuckshop_at};
use crate::kit::server::SECRET;
use crate::kit::{Place, Server};

const PRODUCTION: [(&str, &str); 5] = [
    ("TUCKSHOP_MODE", "production"),
    ("TUCKSHOP_HTTP_PUBLIC_URL", "https://shop.example"),
    ("TUCKSHOP_HTTP_TRUST_UCP_AGENT", "true"),
    ("TUCKSHOP_SHOP_TERMS_URL", "https://shop.example/terms"),
    ("TUCKSHOP_SHOP_PRIVACY_URL", "https://shop.example/privacy"),
];

#[test]
fn production_needs_a_public_https_url() {
    for (public_url, code) in
        [("", 2), ("http://shop.example", 2), ("https://shop.example/", 2), ("https://shop.example", 0)]
    {
        let finished = tuckshop(&["config"], &[&PRODUCTION[..], &[("TUCKSHOP_HTTP_PUBLIC_URL", public_url)]].concat());
        assert_eq!(finished.code, code, "{public_url}: {}", finished.err);
        assert_eq!(finished.err.contains("TUCKSHOP_HTTP_PUBLIC_URL: "), code == 2, "{}", finished.err);
    }
}

#[test]
fn production_publishes_https_urls_only() {
    for variable in [
        "TUCKSHOP_SHOP_TERMS_URL",
        "TUCKSHOP_SHOP_PRIVACY_URL",
        "TUCKSHOP_PAYMENT_HANDLER_SPEC",
        "TUCKSHOP_PAYMENT_HANDLER_SCHEMA",
    ] {
        for (url, code) in [("http://shop.example/it", 2), ("javascript:alert(1)", 2), ("https://shop.example/it", 0)] {
            let finished = tuckshop(&["config"], &[&PRODUCTION[..], &[(variable, url)]].concat());
            assert_eq!(finished.code, code, "{variable} {url}: {}", finished.err);
            assert_eq!(finished.err.contains(&format!("{variable}: ")), code == 2, "{}", finished.err);
        }
    }
}

/// Signatures are not verified yet. The operator must accept the consequence explicitly.
#[test]
fn production_needs_an_explicit_trust_decision() {
    for (value, code) in [("", 2), ("false", 2), ("yes", 2), ("true", 0)] {
        let trust = ("TUCKSHOP_HTTP_TRUST_UCP_AGENT", value);
        let finished = tuckshop(&["config"], &[&PRODUCTION[..], &[trust]].concat());
        assert_eq!(finished.code, code, "{value}: {}", finished.err);
        assert_eq!(finished.err.contains("TUCKSHOP_HTTP_TRUST_UCP_AGENT: "), code == 2, "{}", finished.err);
    }
    assert_eq!(tuckshop(&["config"], &[]).code, 0, "development needs no trust decision");
}

#[test]
fn production_needs_a_persistent_database() {
    for (url, code) in [
        ("sqlite://:memory:", 2),
        ("sqlite:///:memory:", 2),
        ("sqlite://file:shop.db?mode=memory", 2),
        ("sqlite://file:shop.db", 2),
        ("sqlite://data/shop.db", 0),
    ] {
        let database = ("TUCKSHOP_DATABASE_URL", url);
        for command in ["config", "serve"] {
            if code == 0 && command == "serve" {
                continue;
            }
            let finished = tuckshop(&[command], &[&PRODUCTION[..], &[database]].concat());
            assert_eq!(finished.code, code, "{url}: {}", finished.err);
            assert_eq!(finished.err.contains("TUCKSHOP_DATABASE_URL: "), code == 2, "{}", finished.err);
        }
    }
}

#[test]
fn production_refuses_simulation() {
    let simulation = ("TUCKSHOP_SIMULATION_ENABLED", "true");
    let finished = tuckshop(&["serve"], &[&PRODUCTION[..], &[simulation]].concat());
    assert_eq!(finished.code, 2);
    assert!(finished.err.contains("TUCKSHOP_SIMULATION_ENABLED: simulation is refused"), "{}", finished.err);
}

/// Platforms verify what the shop publishes about its handler, so an example value or a name in another domain is an
/// error.
#[test]
fn production_needs_its_own_payment_handler_names() {
    let gateway =
        [("TUCKSHOP_PAYMENT_GATEWAY_URL", "https://gateway.example"), ("TUCKSHOP_PAYMENT_GATEWAY_KEY", "sk_1")];
    let [name, spec, schema] = ["NAME", "SPEC", "SCHEMA"].map(|it| format!("TUCKSHOP_PAYMENT_HANDLER_{it}"));
    for (values, expected) in [
        (["", "", ""], &["NAME", "SPEC", "SCHEMA"][..]),
        (["card", "https://example.com/card", "https://example.com/card.json"], &["NAME", "SPEC", "SCHEMA"]),
        (["com.example.card", "https://example.com/card", "https://schemas.example.com/card.json"], &[]),
        (["com.example.card", "http://example.com/card", "https://example.com/card.json"], &["SPEC"]),
        (["com.example.card", "https://example.com/card", "https://example.org/card.json"], &["SCHEMA"]),
        (["com.example.card", "https://example.com.example.org/card", "https://10.0.0.1/card"], &["SPEC", "SCHEMA"]),
        (["example.tuckshop.cards", "", "https://tuckshop.example/cards.json"], &["SPEC"]),
    ] {
        let handler = [(name.as_str(), values[0]), (spec.as_str(), values[1]), (schema.as_str(), values[2])];
        let finished = tuckshop(&["config"], &[&PRODUCTION[..], &gateway, &handler].concat());
        let reported: Vec<&str> =
            finished.err.lines().filter_map(|line| line.split_once(": ")).map(|(variable, _)| variable).collect();
        let expected: Vec<String> = expected.iter().map(|it| format!("TUCKSHOP_PAYMENT_HANDLER_{it}")).collect();
        assert_eq!(reported, expected, "{values:?}: {}", finished.err);
    }
}

#[test]
fn production_may_listen_on_all_interfaces() {
    let everyone = ("TUCKSHOP_HTTP_ADDRESS", "0.0.0.0:8080");
    assert_eq!(tuckshop(&["config"], &[&PRODUCTION[..], &[everyone]].concat()).code, 0);
}

/// A shop in production mode with one item.
async fn serve_production(place: &Place) -> Server {
    let directory = tempfile::tempdir().expect("a directory");
    for (file, text) in [
        ("products.csv", "id,title,price,image_url,requires_shipping\napple,Apple,50,,false\n"),
        ("inventory.csv", "product_id,quantity\napple,3\n"),
        ("customers.csv", "id,name,email\nada,Ada,ada@example.com\n"),
        ("addresses.csv", "id,customer_id,street_address,city,state,postal_code,country\nhome,ada,1 High St,,,,US\n"),
        ("shipping_rates.csv", "id,country_code,service_level,price,title\nstd,default,standard,5,Standard\n"),
    ] {
        std::fs::write(directory.path().join(file), text).expect("a file");
    }
    let imported = tuckshop_at(place, &["import", directory.path().to_str().expect("text")], &PRODUCTION);
    assert_eq!(imported.code, 0, "{}", imported.err);
    place.serve_with(&PRODUCTION).await
}

async fn test_affordances_do_not_exist(place: Place) {
    let server = serve_production(&place).await;
    for path in [
        "/testing/simulate-shipping/x",
        "/testing/orders/x/fulfill",
        "/testing/orders/x/adjust",
        "/testing/idempotency/age",
        "/testing/idempotency/outage",
    ] {
        let request = server.post(path, &json!({"enabled": true})).header("simulation-secret", SECRET);
        request.await.problem(404, "no_such_route");
    }
    let refused = server.put("/orders/x", &json!({})).await.problem(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), Some("GET, HEAD, OPTIONS"));
    server.get("/statusz").await.problem(404, "no_such_route");
}

async fn empty_shop_stays_empty(place: Place) {
    let server = place.serve_with(&PRODUCTION).await;
    let platform = server.as_platform(STRANGER);
    let refused = platform.post("/checkout-sessions", &basket(&[("eraser", 1)])).await.refused_in_band();
    assert_eq!(refused[0]["code"], "item_unavailable");
}

async fn local_platform_is_not_trusted(place: Place) {
    let server = serve_production(&place).await;
    let body = basket(&[("apple", 1)]);
    server.post("/checkout-sessions", &body).await.problem(400, "invalid_profile_url");
    let near = server.as_platform("https://localhost/profile.json");
    let mut wanted = body;
    wanted["buyer"] = json!({"email": "ada@example.com"});
    wanted["fulfillment"] = json!({"methods": [{"type": "shipping"}]});
    let checkout = near.post("/checkout-sessions", &wanted).await.body(201);
    assert!(!checkout.to_string().contains("High St"), "{checkout}");
}

/// Without a payment handler a completion is refused.
async fn completion_without_a_payment_handler_is_refused(place: Place) {
    let server = serve_production(&place).await;
    let platform = server.as_platform(STRANGER);
    let checkout = platform.post("/checkout-sessions", &basket(&[("apple", 1)])).await.body(201);
    assert_eq!(checkout["ucp"]["payment_handlers"], json!({}));
    assert!(
        checkout["continue_url"].as_str().is_some_and(|url| url.starts_with("https://shop.example/")),
        "{checkout}"
    );
    let refused = platform.post(&complete_path(&checkout), &pay("success_token")).await;
    refused.problem(400, "unknown_payment_handler");
    assert_eq!(platform.get(&checkout_path(&checkout)).await.body(200), checkout);
    assert!(!place.ledger_path().exists());
    let log = server.stop().log;
    assert!(
        log.iter().any(|line| line["level"] == "warning" && line["op"] == "app.build"),
        "the start logged no warning"
    );
}

crate::on_both_engines!(
    test_affordances_do_not_exist,
    empty_shop_stays_empty,
    local_platform_is_not_trusted,
    completion_without_a_payment_handler_is_refused,
);
