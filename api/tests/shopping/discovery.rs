//! `GET /.well-known/ucp`.

use serde_json::Value;

use crate::kit::{Answer, Place, Server};

async fn profile(server: &Server) -> Answer {
    // A client that discovers the shop has no profile to name yet.
    server.get("/.well-known/ucp").without("ucp-agent").await.expect(200)
}

async fn profile_may_be_cached_by_anyone_for_a_minute_or_more(place: Place) {
    let server = place.serve().await;
    let answer = profile(&server).await;
    let cache = answer.header("cache-control").expect("a Cache-Control").to_owned();
    let directives: Vec<&str> = cache.split(',').map(str::trim).collect();
    assert!(directives.contains(&"public"), "{cache}");
    let max_age = directives.iter().find_map(|directive| directive.strip_prefix("max-age=")).expect("a max-age");
    assert!(max_age.parse::<u32>().expect("seconds") >= 60, "{cache}");
    for forbidden in ["private", "no-store", "no-cache"] {
        assert!(!directives.contains(&forbidden), "{cache}");
    }
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

async fn only_served_capabilities_are_advertised(place: Place) {
    let server = place.serve().await;
    let profile = profile(&server).await.json;
    assert_eq!(profile["ucp"]["version"], "2026-04-08");
    assert_eq!(profile["ucp"]["supported_versions"], Value::Null);
    let names: Vec<&String> = profile["ucp"]["capabilities"].as_object().expect("capabilities").keys().collect();
    assert_eq!(
        names,
        [
            "dev.ucp.shopping.buyer_consent",
            "dev.ucp.shopping.checkout",
            "dev.ucp.shopping.discount",
            "dev.ucp.shopping.fulfillment",
            "dev.ucp.shopping.order",
        ]
    );
    for extension in ["buyer_consent", "discount", "fulfillment"] {
        let entry = &profile["ucp"]["capabilities"][format!("dev.ucp.shopping.{extension}")][0];
        assert_eq!(entry["extends"], "dev.ucp.shopping.checkout", "{extension}");
    }
    let services = profile["ucp"]["services"].as_object().expect("services");
    assert_eq!(services.keys().collect::<Vec<_>>(), ["dev.ucp.shopping"]);
    assert_eq!(services["dev.ucp.shopping"].as_array().map(Vec::len), Some(1));
    assert_eq!(services["dev.ucp.shopping"][0]["transport"], "rest");
}

async fn endpoint_is_where_the_shop_answers(place: Place) {
    let server = place.serve().await;
    let profile = profile(&server).await.json;
    let endpoint = profile["ucp"]["services"]["dev.ucp.shopping"][0]["endpoint"].as_str().expect("an endpoint");
    assert!(!endpoint.ends_with('/'), "{endpoint}");
    assert_eq!(endpoint, server.url());

    drop(server);
    let named = place.serve_with(&[("TUCKSHOP_HTTP_PUBLIC_URL", "https://shop.example")]).await;
    let profile = self::profile(&named).await.json;
    assert_eq!(profile["ucp"]["services"]["dev.ucp.shopping"][0]["endpoint"], "https://shop.example");
}

/// Every entry names its specification and its schema. For `dev.ucp.*` both are at ucp.dev.
async fn specifications_are_at_the_authority_of_their_names(place: Place) {
    let server = place.serve().await;
    let profile = profile(&server).await.json;
    let mut checked = 0;
    for registry in ["services", "capabilities", "payment_handlers"] {
        for (name, entries) in profile["ucp"][registry].as_object().expect("a registry") {
            assert!(name.split('.').count() >= 3, "{name} is not a reverse domain name");
            for entry in entries.as_array().expect("entries") {
                for member in ["spec", "schema"] {
                    let address = entry[member].as_str().unwrap_or_else(|| panic!("{name} has no {member}"));
                    let authority = if name.starts_with("dev.ucp.") { "https://ucp.dev/" } else { "https://" };
                    assert!(address.starts_with(authority), "{name}: {address}");
                    checked += 1;
                }
                let version = entry["version"].as_str().expect("a version");
                assert!(version.len() == 10 && version.split('-').count() == 3, "{version}");
            }
        }
    }
    assert_eq!(checked, 2 * (1 + 5 + 1));
}

async fn simulated_payments_are_offered_by_name(place: Place) {
    let server = place.serve().await;
    let profile = profile(&server).await.json;
    let handler = &profile["ucp"]["payment_handlers"]["example.tuckshop.mock_payment_handler"][0];
    assert_eq!(handler["id"], "mock_payment_handler");
    assert_eq!(handler["available_instruments"][0]["type"], "card");
}

crate::on_sqlite!(
    profile_may_be_cached_by_anyone_for_a_minute_or_more,
    only_served_capabilities_are_advertised,
    endpoint_is_where_the_shop_answers,
    specifications_are_at_the_authority_of_their_names,
    simulated_payments_are_offered_by_name,
);
