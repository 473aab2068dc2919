//! Tests of this module.

use super::*;
use crate::app;

#[test]
fn debug_shows_no_secret() {
    let given = [
        ("TUCKSHOP_DATABASE_URL", "postgres://shop:hunter1@localhost/shop"),
        ("TUCKSHOP_PAYMENT_GATEWAY_URL", "https://gateway.example"),
        ("TUCKSHOP_PAYMENT_GATEWAY_KEY", "sk_test_hunter2"),
        ("TUCKSHOP_PAYMENT_EVENT_SECRETS", "whsec_hunter3"),
        ("TUCKSHOP_MAIL_HOST", "relay.example"),
        ("TUCKSHOP_MAIL_FROM", "orders@shop.example"),
        ("TUCKSHOP_MAIL_USERNAME", "shop"),
        ("TUCKSHOP_MAIL_PASSWORD", "hunter4"),
        ("TUCKSHOP_SIMULATION_SECRET", "hunter5"),
    ];
    let config = app::read_config(&Environment::new(given.map(|(name, value)| (name.into(), value.into()))));
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let effective = app::effective(&config);
    let secrets = effective.iter().filter(|(_, value)| value.contains("***")).count();
    assert_eq!(secrets, 5, "{effective:?}");
    for shown in [format!("{config:?}"), format!("{config:#?}"), format!("{effective:?}")] {
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
