//! Configuration errors: all of them are reported at once, with the names of the variables and without their values.

use crate::kit::Place;
use crate::kit::command::{tuckshop, tuckshop_at};

/// Longer than any setting whose maximum length is below 100.
const LONG: &str = "0123456789012345678901234567890123456789012345678901234567890123456789";

/// The variables named in the output, one per line, in the order of the lines.
fn named_variables(complaint: &str) -> Vec<&str> {
    complaint.lines().filter_map(|line| line.split_once(": ")).map(|(variable, _)| variable).collect()
}

#[test]
fn all_mistakes_are_reported_at_once_with_exit_code_2() {
    let wrong = [
        ("TUCKSHOP_HTTP_ADRESS", "127.0.0.1:0"),
        ("TUCKSHOP_HTTP_REQUEST_TIMEOUT_MS", "soon"),
        ("TUCKSHOP_HTTP_MAX_BODY_BYTES", "12"),
        ("TUCKSHOP_DATABASE_URL", "postgress://shop:hunter2@localhost/shop"),
        ("TUCKSHOP_DATABASE_POOL_SIZE", "1"),
        ("TUCKSHOP_MODE", "staging"),
        ("TUCKSHOP_SHOP_CURRENCY", "usd"),
        ("TUCKSHOP_NONSENSE", "hunter2"),
        ("TUCKSHOP_LOG_LEVEL", "loud"),
        ("TUCKSHOP_ORDER_READ_ACCESS", "everyone"),
    ];
    for command in [&[][..], &["serve"], &["config"], &["migrate"], &["import", "/nowhere"]] {
        let finished = tuckshop(command, &wrong);
        assert_eq!(finished.code, 2, "{command:?}: {}", finished.err);
        let mut expected: Vec<&str> = wrong.iter().map(|(name, _)| *name).collect();
        let mut reported = named_variables(&finished.err);
        expected.sort_unstable();
        reported.sort_unstable();
        assert_eq!(reported, expected, "{}", finished.err);
        assert_eq!(finished.out, "");
    }
}

/// Mistakes that only an adapter can find are reported with the others, before the database exists.
#[test]
fn mistakes_found_by_adapters_are_reported_before_anything_is_opened() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (roots, keys) = (file("roots.pem", "no certificate"), file("keys.pem", "hunter2"));
    let database = directory.path().join("shop.db");
    let database_url = format!("sqlite://{}", database.display());
    let good = [
        ("TUCKSHOP_DATABASE_URL", database_url.as_str()),
        ("TUCKSHOP_HTTP_ADDRESS", "127.0.0.1:0"),
        ("TUCKSHOP_MAIL_USERNAME", "shop"),
    ];
    let wrong = [
        ("TUCKSHOP_HTTP_REQUEST_TIMEOUT_MS", "soon"),
        ("TUCKSHOP_PAYMENT_GATEWAY_URL", "http://hunter2.example"),
        ("TUCKSHOP_PAYMENT_GATEWAY_KEY", "hunter\n2"),
        ("TUCKSHOP_PAYMENT_GATEWAY_VERSION", "hunter 2"),
        ("TUCKSHOP_SHOP_CURRENCY", "ISK"),
        ("TUCKSHOP_MAIL_HOST", "smtp://hunter2.example"),
        ("TUCKSHOP_MAIL_FROM", "hunter2"),
        ("TUCKSHOP_MAIL_PASSWORD", ""),
        ("TUCKSHOP_MAIL_CA_PATH", roots.as_str()),
        ("TUCKSHOP_WEBHOOK_KEYS_PATH", keys.as_str()),
    ];
    let mut expected: Vec<&str> = wrong.iter().map(|(name, _)| *name).collect();
    expected.sort_unstable();
    for command in [&["serve"][..], &["config"], &["migrate"], &["keys", "list"], &["deliveries", "list"]] {
        let finished = tuckshop(command, &[&good[..], &wrong[..]].concat());
        assert_eq!(finished.code, 2, "{command:?}: {}", finished.err);
        let mut reported = named_variables(&finished.err);
        reported.sort_unstable();
        assert_eq!(reported, expected, "{command:?}: {}", finished.err);
        assert!(!finished.err.contains("hunter"), "{}", finished.err);
        assert!(!database.exists(), "{command:?} opened the database");
    }
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("a directory").collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn unreadable_values_are_reported_with_the_expected_form() {
    for (name, value, expected) in [
        ("TUCKSHOP_MAIL_PORT", "99999", "must be a whole number within reason."),
        ("TUCKSHOP_MAIL_PORT", "0", "must be between 1 and 65535. The port of the relay."),
        ("TUCKSHOP_SIMULATION_SLOW_MS", "60001", "must be at most 60000. How long"),
        ("TUCKSHOP_PAYMENT_GATEWAY_VERSION", LONG, "must have between 1 and 64 characters. The requested version"),
        ("TUCKSHOP_SHOP_TERMS_URL", "terms", "must be a URL. The terms of service"),
        ("TUCKSHOP_SHOP_TERMS_URL", "javascript:alert(1)", "must be an http or https URL"),
        ("TUCKSHOP_SHOP_PRIVACY_URL", "data:text/html,x", "must be an http or https URL"),
        ("TUCKSHOP_PAYMENT_HANDLER_SPEC", "javascript:alert(1)", "must be an http or https URL"),
        ("TUCKSHOP_PAYMENT_HANDLER_SCHEMA", "file:///etc/passwd", "must be an http or https URL"),
        ("TUCKSHOP_HTTP_PUBLIC_URL", "javascript:alert(1)", "must be an http or https URL"),
        ("TUCKSHOP_PAYMENT_HANDLER_VERSION", "+2026-04-08", "must be a date, YYYY-MM-DD"),
        ("TUCKSHOP_SHOP_CURRENCY", "usd", "cannot be read. The ISO 4217 code of all prices, in capital letters"),
        ("TUCKSHOP_LOG_LEVEL", "warn", "must be one of `trace`, `debug`, `info`, `warning`, `error`, `critical`."),
        ("TUCKSHOP_LOG_LEVEL", "crit", "must be one of `trace`"),
        ("TUCKSHOP_LOG_LEVEL", "err", "must be one of `trace`"),
        ("TUCKSHOP_LOG_LEVEL", "WARNING", "must be one of `trace`"),
        ("TUCKSHOP_LOG_LEVEL", "Info", "must be one of `trace`"),
        (
            "TUCKSHOP_HTTP_ADDRESS",
            "0.0.0.0:9",
            "development mode accepts loopback addresses only: anyone who reaches it can take goods",
        ),
        (
            "TUCKSHOP_OPERATIONS_ADDRESS",
            "0.0.0.0:9",
            "development mode accepts loopback addresses only: anyone who reaches it can read",
        ),
        ("TUCKSHOP_OPERATIONS_ADDRESS", "127.0.0.1:8080", "must be another address than TUCKSHOP_HTTP_ADDRESS"),
        ("TUCKSHOP_OPERATIONS_ADDRESS", "localhost:8080", "must be another address than TUCKSHOP_HTTP_ADDRESS"),
        ("TUCKSHOP_HTTP_REQUEST_TIMEOUT_MS", "-1", "must be a whole number."),
        ("TUCKSHOP_SIMULATION_ENABLED", "yes", "must be true or false."),
        ("TUCKSHOP_MAIL_TLS", "ssl", "must be one of `implicit`, `starttls`, `none`."),
        ("TUCKSHOP_PAYMENT_CAPTURE", "later", "must be `automatic` or `manual`."),
        // The words of an expected form have no meaning in a value.
        ("TUCKSHOP_MAIL_TLS", "integer", "must be one of `implicit`, `starttls`, `none`."),
        ("TUCKSHOP_MAIL_TLS", "a digit, expected `true` or `false`", "must be one of `implicit`, `starttls`, `none`."),
        ("TUCKSHOP_LOG_LEVEL", "too large while parsing value '1'", "must be one of `trace`, `debug`"),
        ("TUCKSHOP_SIMULATION_ENABLED", "integer", "must be true or false."),
        ("TUCKSHOP_MAIL_PORT", "`true` or `false`", "must be a whole number."),
        ("TUCKSHOP_MAIL_PORT", "too large", "must be a whole number."),
        ("TUCKSHOP_MAIL_PORT", "unknown variant `x`, expected `y`", "must be a whole number."),
        ("TUCKSHOP_SHOP_CURRENCY", "integer", "cannot be read. The ISO 4217 code"),
        ("TUCKSHOP_HTTP_TRUSTED_PROXIES", "digit", "cannot be read. "),
    ] {
        let finished = tuckshop(&["config"], &[(name, value)]);
        assert_eq!(finished.code, 2, "{}", finished.err);
        assert!(finished.err.contains(&format!("{name}: {expected}")), "{}", finished.err);
    }
}

#[test]
fn documented_log_levels_are_accepted() {
    for level in ["trace", "debug", "info", "warning", "error", "critical"] {
        let finished = tuckshop(&["config"], &[("TUCKSHOP_LOG_LEVEL", level)]);
        assert_eq!(finished.code, 0, "{}", finished.err);
        assert!(finished.out.lines().any(|line| line == format!("TUCKSHOP_LOG_LEVEL={level}")), "{}", finished.out);
    }
}

#[test]
fn ports_picked_by_the_system_differ() {
    let any = [("TUCKSHOP_HTTP_ADDRESS", "127.0.0.1:0"), ("TUCKSHOP_OPERATIONS_ADDRESS", "127.0.0.1:0")];
    assert_eq!(tuckshop(&["config"], &any).code, 0);
}

#[test]
fn messages_repeat_no_value() {
    let finished = tuckshop(
        &["serve"],
        &[
            ("TUCKSHOP_DATABASE_URL", "mysql://hunter2"),
            ("TUCKSHOP_SIMULATION_SECRETT", "hunter2"),
            ("TUCKSHOP_SIMULATION_SLOW_MS", "hunter2"),
            ("TUCKSHOP_SIMULATION_ENABLED", "hunter2"),
            ("TUCKSHOP_HTTP_PUBLIC_URL", "hunter2"),
            ("TUCKSHOP_HTTP_ADDRESS", "hunter2"),
            ("TUCKSHOP_SHOP_TERMS_URL", "hunter2"),
            ("TUCKSHOP_SHOP_CURRENCY", "hunter2"),
            ("TUCKSHOP_MODE", "hunter2"),
            // The words of an error message from which the expected form is taken.
            ("TUCKSHOP_LOG_FORMAT", "expected hunter2"),
            ("TUCKSHOP_LOG_LEVEL", "x`, expected hunter2"),
        ],
    );
    assert_eq!(finished.code, 2);
    assert_eq!(named_variables(&finished.err).len(), 11, "{}", finished.err);
    assert!(!finished.err.contains("hunter2"), "{}", finished.err);
}

#[test]
fn contradictory_settings_are_refused() {
    for (settings, expected) in [
        (
            [("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "1500"), ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "501")],
            "TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS",
        ),
        (
            [("TUCKSHOP_HTTP_REQUEST_TIMEOUT_MS", "400"), ("TUCKSHOP_CHECKOUT_COMPLETION_MINIMUM_MS", "500")],
            "TUCKSHOP_CHECKOUT_COMPLETION_MINIMUM_MS",
        ),
        ([("TUCKSHOP_HTTP_ADDRESS", "0.0.0.0:8080"), ("TUCKSHOP_MODE", "development")], "TUCKSHOP_HTTP_ADDRESS"),
        (
            [("TUCKSHOP_HTTP_PUBLIC_URL", "http://localhost:8080/"), ("TUCKSHOP_MODE", "development")],
            "TUCKSHOP_HTTP_PUBLIC_URL",
        ),
        (
            [("TUCKSHOP_HTTP_PUBLIC_URL", "http://localhost:8080/shop"), ("TUCKSHOP_MODE", "development")],
            "TUCKSHOP_HTTP_PUBLIC_URL",
        ),
    ] {
        let finished = tuckshop(&["config"], &settings);
        assert_eq!(finished.code, 2, "{settings:?}");
        assert_eq!(named_variables(&finished.err), [expected], "{}", finished.err);
    }
}

/// A setting that has no effect alone means that the others are missing or misspelt.
#[test]
fn incomplete_configuration_is_refused() {
    let (host, from) = (("TUCKSHOP_MAIL_HOST", "mail.example"), ("TUCKSHOP_MAIL_FROM", "orders@sweets.example"));
    let gateway = ("TUCKSHOP_PAYMENT_GATEWAY_URL", "https://gateway.example");
    let (key, capture) = (("TUCKSHOP_PAYMENT_GATEWAY_KEY", "sk_1"), ("TUCKSHOP_PAYMENT_CAPTURE", "manual"));
    for (settings, expected) in [
        (&[key][..], &["TUCKSHOP_PAYMENT_GATEWAY_KEY"][..]),
        (&[("TUCKSHOP_PAYMENT_EVENT_SECRETS", "whsec_1")], &["TUCKSHOP_PAYMENT_EVENT_SECRETS"]),
        (&[capture], &["TUCKSHOP_PAYMENT_CAPTURE"]),
        (&[gateway], &["TUCKSHOP_PAYMENT_GATEWAY_KEY"]),
        (&[gateway, key, ("TUCKSHOP_PAYMENT_EVENT_SECRETS", " , ")], &["TUCKSHOP_PAYMENT_EVENT_SECRETS"]),
        (&[gateway, key, capture, ("TUCKSHOP_PAYMENT_EVENT_SECRETS", "whsec_1")], &[]),
        (&[from], &["TUCKSHOP_MAIL_FROM"]),
        (&[("TUCKSHOP_MAIL_TLS", "starttls")], &["TUCKSHOP_MAIL_TLS"]),
        (
            &[("TUCKSHOP_MAIL_USERNAME", "shop"), ("TUCKSHOP_MAIL_PASSWORD", "word"), ("TUCKSHOP_MAIL_PORT", "587")],
            &["TUCKSHOP_MAIL_USERNAME", "TUCKSHOP_MAIL_PASSWORD", "TUCKSHOP_MAIL_PORT"],
        ),
        (&[host, from, ("TUCKSHOP_MAIL_PASSWORD", "word")], &["TUCKSHOP_MAIL_USERNAME"]),
        (&[host, from], &[]),
    ] {
        for mode in [
            &[][..],
            &[
                ("TUCKSHOP_MODE", "production"),
                ("TUCKSHOP_HTTP_PUBLIC_URL", "https://shop.example"),
                ("TUCKSHOP_HTTP_TRUST_UCP_AGENT", "true"),
                ("TUCKSHOP_SHOP_TERMS_URL", "https://shop.example/terms"),
                ("TUCKSHOP_SHOP_PRIVACY_URL", "https://shop.example/privacy"),
            ],
        ] {
            let handler = [
                ("TUCKSHOP_PAYMENT_HANDLER_NAME", "example.shop.card"),
                ("TUCKSHOP_PAYMENT_HANDLER_SPEC", "https://shop.example/card"),
                ("TUCKSHOP_PAYMENT_HANDLER_SCHEMA", "https://shop.example/card.json"),
            ];
            let finished = tuckshop(&["config"], &[settings, mode, &handler].concat());
            assert_eq!(named_variables(&finished.err), expected, "{settings:?} {mode:?}: {}", finished.err);
            assert_eq!(finished.code, if expected.is_empty() { 0 } else { 2 }, "{settings:?}");
        }
    }
}

#[test]
fn reference_names_every_setting_that_is_shown() {
    let (shown, reference) = (tuckshop(&["config"], &[]), tuckshop(&["config", "--markdown"], &[]));
    assert_eq!((shown.code, reference.code), (0, 0));
    for line in shown.out.lines() {
        let (variable, _) = line.split_once('=').expect("a setting");
        assert!(reference.out.contains(&format!("| `{variable}` |")), "{variable}");
    }
}

#[test]
fn wrong_arguments_exit_with_2_and_help_with_0() {
    for arguments in
        [&["sell"][..], &["import"], &["serve", "--fast"], &["--nonsense"], &["demo", "--url", "shop:8080"]]
    {
        let finished = tuckshop(arguments, &[]);
        assert_eq!(finished.code, 2, "{arguments:?}");
        assert!(!finished.err.is_empty(), "{arguments:?}");
    }
    for arguments in [["--help"], ["--version"]] {
        assert_eq!(tuckshop(&arguments, &[]).code, 0, "{arguments:?}");
    }
}

/// The demo is an ordinary platform: it buys from a running shop and prints what each step took.
async fn demo_buys_from_a_running_shop_and_fails_without_a_shop(place: Place) {
    let server = place.serve().await;
    // The demo ignores a proxy, at which nothing listens here.
    let proxy = [("http_proxy", "http://127.0.0.1:1"), ("ALL_PROXY", "http://127.0.0.1:1")];
    let finished = tuckshop_at(&place, &["demo", "--url", &server.url()], &proxy);
    assert_eq!(finished.code, 0, "{}", finished.err);
    assert!(finished.out.contains("Bought. The buyer's page: http://127.0.0.1"), "{}", finished.out);
    assert!(finished.out.contains("The platform received a webhook: order_placed (msg_"), "{}", finished.out);
    assert!(finished.out.contains(", signed)"), "{}", finished.out);
    drop(server);
    let alone = tuckshop_at(&place, &["demo", "--url", "http://127.0.0.1:1"], &[]);
    assert_eq!(alone.code, 1);
    assert!(alone.err.contains("Is the shop running?"), "{}", alone.err);
}

#[test]
fn dangerous_settings_are_refused() {
    let gateway = ("TUCKSHOP_PAYMENT_GATEWAY_URL", "https://gateway.example");
    let test_key = ("TUCKSHOP_PAYMENT_GATEWAY_KEY", "sk_test_1");
    for (settings, expected) in [
        (&[gateway, ("TUCKSHOP_PAYMENT_GATEWAY_KEY", "sk_live_1")][..], "TUCKSHOP_PAYMENT_GATEWAY_KEY"),
        (&[gateway, ("TUCKSHOP_PAYMENT_GATEWAY_KEY", "rk_live_1")], "TUCKSHOP_PAYMENT_GATEWAY_KEY"),
        (&[gateway, test_key, ("TUCKSHOP_PAYMENT_EVENT_SECRETS", "x")], "TUCKSHOP_PAYMENT_EVENT_SECRETS"),
        (&[gateway, test_key, ("TUCKSHOP_PAYMENT_EVENT_SECRETS", "whsec_1,x")], "TUCKSHOP_PAYMENT_EVENT_SECRETS"),
        (&[gateway, test_key, ("TUCKSHOP_PAYMENT_EVENT_SECRETS", "whsec_1 whsec_2")], "TUCKSHOP_PAYMENT_EVENT_SECRETS"),
        (&[("TUCKSHOP_SHOP_CURRENCY", "HRK")], "TUCKSHOP_SHOP_CURRENCY"),
        (&[("TUCKSHOP_SHOP_CURRENCY", "XXX")], "TUCKSHOP_SHOP_CURRENCY"),
        (&[("TUCKSHOP_SHOP_CURRENCY", "XTS")], "TUCKSHOP_SHOP_CURRENCY"),
        (&[("TUCKSHOP_SHOP_CURRENCY", "XAU")], "TUCKSHOP_SHOP_CURRENCY"),
    ] {
        let finished = tuckshop(&["config"], settings);
        assert_eq!(finished.code, 2, "{settings:?}");
        assert!(finished.err.contains(&format!("{expected}: ")), "{settings:?}: {}", finished.err);
        assert!(!finished.err.contains("_live_"), "{}", finished.err);
    }
    for currency in ["USD", "EUR", "JPY", "KWD"] {
        assert_eq!(tuckshop(&["config"], &[("TUCKSHOP_SHOP_CURRENCY", currency)]).code, 0, "{currency}");
    }
}

crate::on_both_engines!(demo_buys_from_a_running_shop_and_fails_without_a_shop);
