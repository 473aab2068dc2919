//! Which profiles are accepted, and which webhook address they name.

use integrations::platform_profile::validate_profile;
use serde_json::{Value, json};

const VERSION: &str = "2026-04-08";
const ORDER: &str = "dev.ucp.shopping.order";

fn profile(order: Value) -> String {
    json!({"ucp": {"version": VERSION, "capabilities": {ORDER: order}}, "signing_keys": []}).to_string()
}

fn url_of(order: Value) -> Option<String> {
    validate_profile(&profile(order)).expect("a profile").map(String::from)
}

fn entry(version: &str, url: &str) -> Value {
    json!({"version": version, "spec": "https://ucp.dev/", "config": {"webhook_url": url}})
}

#[test]
fn webhook_address_is_that_of_the_highest_known_version() {
    let (older, old) = (entry("2025-09-01", "https://p.example/1"), entry("2026-01-23", "https://p.example/2"));
    let (ours, newer) = (entry(VERSION, "https://p.example/3?x=1"), entry("2026-08-25", "https://p.example/4"));
    for (entries, expected) in [
        (json!([older, old, ours, newer]), Some("https://p.example/3?x=1")),
        (json!([newer, ours, old]), Some("https://p.example/3?x=1")),
        (json!([newer, old, older]), Some("https://p.example/2")),
        (json!([newer]), None),
        (json!([]), None),
        (json!([{"version": VERSION}]), None),
        (json!([{"version": VERSION, "config": {}}]), None),
        (json!([{"version": VERSION, "config": {"webhook_url": null}}]), None),
        (json!([entry(VERSION, "http://127.0.0.1:9000/hook")]), Some("http://127.0.0.1:9000/hook")),
    ] {
        assert_eq!(url_of(entries.clone()).as_deref(), expected, "{entries}");
    }
}

#[test]
fn profile_without_order_capability_has_no_webhook_address() {
    let document = json!({"ucp": {"version": "2026-08-25", "capabilities": {}}}).to_string();
    assert_eq!(validate_profile(&document), Ok(None));
}

#[test]
fn error_names_the_missing_or_wrong_member() {
    let order = |config: Value| profile(json!([{"version": VERSION, "config": config}]));
    let at = "ucp.capabilities.dev.ucp.shopping.order";
    for (document, expected) in [
        (String::new(), "not JSON: line 1, column 0".to_owned()),
        ("{\"ucp\": ".to_owned(), "not JSON: line 1, column 8".to_owned()),
        ("[]".to_owned(), "the profile is not an object".to_owned()),
        ("{}".to_owned(), "ucp is missing".to_owned()),
        (json!({"ucp": 1}).to_string(), "ucp is not an object".to_owned()),
        (json!({"ucp": {}}).to_string(), "ucp.version is missing".to_owned()),
        (json!({"ucp": {"version": 1}}).to_string(), "ucp.version is not a text".to_owned()),
        (json!({"ucp": {"version": "latest"}}).to_string(), "ucp.version is not a date such as 2026-04-08".into()),
        (json!({"ucp": {"version": VERSION}}).to_string(), "ucp.capabilities is missing".to_owned()),
        (
            json!({"ucp": {"version": VERSION, "capabilities": []}}).to_string(),
            "ucp.capabilities is not an object".to_owned(),
        ),
        (profile(json!({})), format!("{at} is not an array")),
        (profile(json!([1])), format!("{at}[0] is not an object")),
        (profile(json!([{}])), format!("{at}[0].version is missing")),
        (
            profile(json!([entry("v1", "https://p.example/")])),
            format!("{at}[0].version is not a date such as 2026-04-08"),
        ),
        (order(json!("x")), format!("{at}[0].config is not an object")),
        (order(json!({"webhook_url": 1})), format!("{at}[0].config.webhook_url is not a text of at most 2048 bytes")),
        (order(json!({"webhook_url": "/hook"})), format!("{at}[0].config.webhook_url is not a web address")),
        (order(json!({"webhook_url": "file:///x"})), format!("{at}[0].config.webhook_url is not a web address")),
    ] {
        assert_eq!(validate_profile(&document), Err(expected), "{document}");
    }
    let deep = "[".repeat(100_000);
    assert!(validate_profile(&deep).expect_err("too deep").starts_with("not JSON"));
}
