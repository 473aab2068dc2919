//! `tuckshop demo`: a platform that buys something, receives the webhook, and ends.

use crate::kit::command::{tuckshop, tuckshop_at};
use crate::kit::process::Process;
use crate::kit::{PATIENCE, Place, until};

/// Enough runs to detect a demo that ends too early.
const RUNS: usize = 10;

/// If the demo ended before it answered the webhook, the shop would keep a webhook for an address without a server.
async fn webhook_of_the_demo_is_delivered_when_it_ends(place: Place) {
    let server = place.serve().await;
    for _ in 0..RUNS {
        let finished = tuckshop_at(&place, &["demo", "--url", &server.url(), "--item", "gift_card"], &[]);
        assert_eq!(finished.code, 0, "{}", finished.err);
        assert!(finished.out.contains("The platform received a webhook: order_placed"), "{}", finished.out);
    }
    until("no message is pending", async || {
        let waiting = tuckshop_at(&place, &["deliveries", "list", "--state", "pending"], &[]);
        (waiting.out == "0 shown.").then_some(())
    })
    .await;
    let delivered = tuckshop_at(&place, &["deliveries", "list", "--state", "delivered"], &[]);
    let once = delivered.out.lines().filter(|line| line.ends_with("attempts 1")).count();
    assert_eq!(once, RUNS, "{}", delivered.out);
    let log = server.stop().log;
    let broken: Vec<_> = log.iter().filter(|line| line["msg"] == "message not sent").collect();
    assert!(broken.is_empty(), "{broken:?}");
}

/// A refusal that no option of the demo can avoid has no hint at its options.
async fn refusal_names_the_option_that_helps(place: Place) {
    let server = place.serve().await;
    let url = server.url();
    for (arguments, reason, hint) in [
        (&["--token", "fail_token"][..], "/complete was refused: ", "(`--token TOKEN` pays with another token: "),
        (&["--item", "geometry_set"], "/checkout-sessions was refused: ", "(`--item SKU` buys something else.)"),
    ] {
        let finished = tuckshop_at(&place, &[&["demo", "--url", &url], arguments].concat(), &[]);
        assert_eq!(finished.code, 1, "{}", finished.err);
        assert!(finished.err.contains(reason) && finished.err.contains(hint), "{}", finished.err);
    }
    let outage = server.post("/testing/idempotency/outage", &serde_json::json!({"enabled": true}));
    let _ = outage.await.expect(200);
    let finished = tuckshop_at(&place, &["demo", "--url", &url], &[]);
    assert_eq!(finished.code, 1, "{}", finished.err);
    assert!(finished.err.contains("was refused: ") && !finished.err.contains("--"), "{}", finished.err);
}

/// The printed line can be copied as it is, also if the default token of the demo would be declined.
async fn banner_says_how_to_buy(place: Place) {
    let gateway = [
        ("TUCKSHOP_PAYMENT_GATEWAY_URL", "http://127.0.0.1:12111"),
        ("TUCKSHOP_PAYMENT_GATEWAY_KEY", "sk_test_paysim"),
    ];
    for (settings, token) in [(&[][..], false), (&gateway, true)] {
        let mut environment = place.settings();
        environment.push(("TUCKSHOP_LOG_FORMAT".to_owned(), "terminal".to_owned()));
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let shop = Process::tuckshop(&["serve"], &environment);
        let line = shop.out.first(PATIENCE, |line| line.contains("Buy something:").then(|| line.to_owned()));
        let line = line.unwrap_or_else(|| panic!("no banner; its output:\n{}", shop.output()));
        assert_eq!(line.contains(" --token pm_card_visa "), token, "{line}");
    }
}

#[test]
fn demo_with_the_configuration_of_production_needs_the_address_of_another_shop() {
    let production = [
        ("TUCKSHOP_MODE", "production"),
        ("TUCKSHOP_HTTP_PUBLIC_URL", "https://shop.example"),
        ("TUCKSHOP_HTTP_TRUST_UCP_AGENT", "true"),
        ("TUCKSHOP_SHOP_TERMS_URL", "https://shop.example/terms"),
        ("TUCKSHOP_SHOP_PRIVACY_URL", "https://shop.example/privacy"),
    ];
    let finished = tuckshop(&["demo"], &production);
    assert_eq!((finished.code, finished.out.as_str()), (2, ""), "{}", finished.err);
    assert!(finished.err.contains("development mode") && finished.err.contains("--url"), "{}", finished.err);
}

crate::on_sqlite!(
    banner_says_how_to_buy,
    webhook_of_the_demo_is_delivered_when_it_ends,
    refusal_names_the_option_that_helps
);
