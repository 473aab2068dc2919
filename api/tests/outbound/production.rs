//! In production mode the shop calls no internal address for a platform, and payments go through the configured gateway
//! only.

use serde_json::json;

use crate::database::Database;
use crate::kit::basket::{basket, complete_path};
use crate::kit::command::tuckshop_at;
use crate::kit::{Place, Server, until};
use crate::receiver::Receiver;
use crate::shop::{Shop, card};

const PRODUCTION: &[(&str, &str)] = &[
    ("TUCKSHOP_MODE", "production"),
    ("TUCKSHOP_HTTP_TRUST_UCP_AGENT", "true"),
    ("TUCKSHOP_SHOP_TERMS_URL", "https://shop.example/terms"),
    ("TUCKSHOP_SHOP_PRIVACY_URL", "https://shop.example/privacy"),
    ("TUCKSHOP_HTTP_PUBLIC_URL", "https://shop.example"),
    ("TUCKSHOP_PAYMENT_HANDLER_NAME", "example.shop.card"),
    ("TUCKSHOP_PAYMENT_HANDLER_SPEC", "https://shop.example/specs/card"),
    ("TUCKSHOP_PAYMENT_HANDLER_SCHEMA", "https://schemas.shop.example/card.json"),
    ("TUCKSHOP_SHUTDOWN_LISTEN_MS", "0"),
];

/// The result and the reason of the first attempt to send an order of this platform.
async fn first_attempt(server: &Server, platform: &str) -> (String, String) {
    let client = server.as_platform(platform);
    let checkout = client.post("/checkout-sessions", &basket(&[("sample", 1)])).await.body(201);
    let done = client.post(&complete_path(&checkout), &card("pm_card_visa")).await.body(200);
    assert_eq!(done["status"], "completed");
    let destination = format!("webhook:{platform}");
    until("an attempt has ended", || async {
        let log = server.log();
        let line = log.iter().find(|line| line["op"] == "outbox.send" && line["destination"] == destination)?;
        Some((line["result"].as_str()?.to_owned(), line["reason"].as_str()?.to_owned()))
    })
    .await
}

/// WH5. Neither a pinned profile nor a fetched one makes the shop call an internal address.
async fn receivers_in_the_internal_network_are_not_called(place: Place) {
    let shop = Shop::open(&place, PRODUCTION).await;
    let receiver = Receiver::start().await;
    let port = receiver.address().port();
    for (number, (hook, result, reason)) in [
        (format!("http://127.0.0.1:{port}/hook"), "dead", "blocked_scheme"),
        (format!("https://127.0.0.1:{port}/hook"), "retry", "blocked_address"),
        (format!("https://localhost:{port}/hook"), "dead", "blocked_host"),
        (format!("https://[::ffff:7f00:1]:{port}/hook"), "retry", "blocked_address"),
        (format!("https://2130706433:{port}/hook"), "retry", "blocked_address"),
        ("https://169.254.169.254/latest/meta-data".to_owned(), "retry", "blocked_address"),
    ]
    .into_iter()
    .enumerate()
    {
        let platform = format!("https://platform.example/{number}");
        // The address is refused when it is pinned, and again when it is called.
        let pinned = tuckshop_at(&place, &["platforms", "add", &platform, "--webhook-url", &hook], PRODUCTION);
        assert_eq!((pinned.code, pinned.out.as_str()), (1, ""), "{hook}");
        assert!(pinned.err.contains("no webhook could be sent to its webhook_url: "), "{}", pinned.err);
        let order = json!([{"version": "2026-04-08", "config": {"webhook_url": hook}}]);
        let profile = json!({"ucp": {"version": "2026-04-08", "capabilities": {"dev.ucp.shopping.order": order}}});
        Database::open(&place).execute(&format!("INSERT INTO platform VALUES ('{platform}', '{profile}', 0)"));
        let listed = tuckshop_at(&place, &["platforms", "list"], PRODUCTION);
        assert!(listed.out.contains(&format!("{platform}  it cannot get webhooks: ")), "{}", listed.out);
        assert_eq!(first_attempt(&shop.server, &platform).await, (result.to_owned(), reason.to_owned()), "{hook}");
    }
    // A profile is not fetched from an internal address either.
    let inside = format!("https://127.0.0.1:{port}/profile.json");
    assert_eq!(first_attempt(&shop.server, &inside).await, ("retry".to_owned(), "profile: blocked_address".to_owned()));
    assert_eq!((receiver.arrivals().len(), receiver.profiles_served()), (0, 0));
    let mut database = Database::open(&place);
    let states =
        ["pending", "dead"].map(|state| database.number("count(*)", &format!("FROM delivery WHERE state = '{state}'")));
    assert_eq!(states, [5, 2]);
}

/// The operator chooses the gateway, which may therefore be internal. It is offered under its configured name.
async fn configured_gateway_is_offered_and_charged(place: Place) {
    let shop = Shop::open(&place, PRODUCTION).await;
    let client = shop.server.as_platform("https://platform.example/profile.json");
    let checkout = client.post("/checkout-sessions", &basket(&[("bun", 2)])).await.body(201);
    assert_eq!(checkout["ucp"]["payment_handlers"]["example.shop.card"][0]["id"], json!("card"));
    let simulated = crate::kit::basket::pay("success_token");
    client.post(&complete_path(&checkout), &simulated).await.problem(400, "unknown_payment_handler");
    let done = client.post(&complete_path(&checkout), &card("pm_card_visa")).await.body(200);
    assert_eq!((&done["status"], shop.captured()), (&json!("completed"), (1, 500)));
    shop.assert_sound(&place, &[&done], &[]);
}

crate::on_sqlite!(receivers_in_the_internal_network_are_not_called, configured_gateway_is_offered_and_charged);
