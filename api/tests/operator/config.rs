//! The configuration: every mistake in one go, by name, without a value.

use crate::kit::Place;
use crate::kit::command::{tuckshop, tuckshop_at};

/// Longer than any setting may be that has a greatest length below 100.
const LONG: &str = "0123456789012345678901234567890123456789012345678901234567890123456789";

/// The variables that are complained about, one a line, in the order of the lines.
fn named(complaint: &str) -> Vec<&str> {
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
        let mut told = named(&finished.err);
        expected.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, expected, "{}", finished.err);
        assert_eq!(finished.out, "");
    }
}

/// What only an adapter can judge is judged with everything else: before the database exists.
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
        let mut told = named(&finished.err);
        told.sort_unstable();
        assert_eq!(told, expected, "{command:?}: {}", finished.err);
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
        ("TUCKSHOP_SIMULATION_SLOW_MS", "60001", "must be at most 60000. How late"),
        ("TUCKSHOP_PAYMENT_GATEWAY_VERSION", LONG, "must have between 1 and 64 characters. The version"),
        ("TUCKSHOP_SHOP_TERMS_URL", "terms", "must be a URL. The terms of service"),
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
            // The words of an error that the form is taken from.
            ("TUCKSHOP_LOG_FORMAT", "expected hunter2"),
            ("TUCKSHOP_LOG_LEVEL", "x`, expected hunter2"),
        ],
    );
    assert_eq!(finished.code, 2);
    assert_eq!(named(&finished.err).len(), 11, "{}", finished.err);
    assert!(!finished.err.contains("hunter2"), "{}", finished.err);
}

#[test]
fn contradictory_settings_are_refused() {
    for (settings, blamed) in [
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
        assert_eq!(named(&finished.err), [blamed], "{}", finished.err);
    }
}

/// Whoever sets what has no use alone forgot, or misspelt, the rest.
#[test]
fn incomplete_configuration_is_refused() {
    let (host, from) = (("TUCKSHOP_MAIL_HOST", "mail.example"), ("TUCKSHOP_MAIL_FROM", "orders@sweets.example"));
    let gateway = ("TUCKSHOP_PAYMENT_GATEWAY_URL", "https://gateway.example");
    let (key, capture) = (("TUCKSHOP_PAYMENT_GATEWAY_KEY", "sk_1"), ("TUCKSHOP_PAYMENT_CAPTURE", "manual"));
    for (settings, blamed) in [
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
            assert_eq!(named(&finished.err), blamed, "{settings:?} {mode:?}: {}", finished.err);
            assert_eq!(finished.code, if blamed.is_empty() { 0 } else { 2 }, "{settings:?}");
        }
    }
}

#[test]
fn empty_value_counts_as_unset() {
    let finished = tuckshop(&["config"], &[("TUCKSHOP_HTTP_ADDRESS", ""), ("TUCKSHOP_SHOP_NAME", "")]);
    assert_eq!(finished.code, 0, "{}", finished.err);
    for line in ["TUCKSHOP_HTTP_ADDRESS=127.0.0.1:8080", "TUCKSHOP_SHOP_NAME=Tuckshop"] {
        assert!(finished.out.lines().any(|told| told == line), "{}", finished.out);
    }
}

/// Kubernetes puts such variables beside every service that is called tuckshop.
#[test]
fn service_links_are_ignored() {
    let links = [
        ("TUCKSHOP_PORT", "tcp://10.0.0.1:8080"),
        ("TUCKSHOP_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("TUCKSHOP_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("TUCKSHOP_SERVICE_HOST", "10.0.0.1"),
        ("TUCKSHOP_SERVICE_PORT", "8080"),
    ];
    let (plain, linked) = (tuckshop(&["config"], &[]), tuckshop(&["config"], &links));
    assert_eq!((linked.code, linked.out), (0, plain.out));
}

/// They are told in the log, so that nobody wonders.
async fn ignored_service_links_are_logged(place: Place) {
    let server =
        place.serve_with(&[("TUCKSHOP_SERVICE_HOST", "10.0.0.1"), ("TUCKSHOP_PORT", "tcp://10.0.0.1:1")]).await;
    let log = server.stop().log;
    let line = log.iter().find(|line| line["msg"] == "service links were ignored").expect("told");
    assert_eq!(line["variables"], "TUCKSHOP_PORT, TUCKSHOP_SERVICE_HOST");
}

#[test]
fn effective_values_are_shown_with_secrets_masked() {
    let finished = tuckshop(
        &["config"],
        &[
            ("TUCKSHOP_DATABASE_URL", "postgres://shop:hunter2@localhost:5432/shop?password=hunter3"),
            ("TUCKSHOP_SIMULATION_SECRET", "hunter4"),
            ("TUCKSHOP_SHOP_NAME", "The Corner"),
            ("TUCKSHOP_HTTP_WORKERS", "3"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!(finished.code, 0, "{}", finished.err);
    assert!(!finished.out.contains("hunter"), "{}", finished.out);
    for line in [
        "TUCKSHOP_MODE=development",
        "TUCKSHOP_DATABASE_URL=postgres://shop:***@localhost:5432/shop?password=***",
        "TUCKSHOP_SIMULATION_SECRET=***",
        "TUCKSHOP_SHOP_NAME=The Corner",
        "TUCKSHOP_HTTP_WORKERS=3",
        "TUCKSHOP_LOG_LEVEL=info",
    ] {
        assert!(finished.out.lines().any(|told| told == line), "no {line} in\n{}", finished.out);
    }
    assert!(finished.out.lines().all(|line| line.starts_with("TUCKSHOP_")), "{}", finished.out);
}

/// Whatever is wrong with an address, its password is shown neither by the refusal nor by the values.
#[test]
fn password_in_an_unreadable_address_is_never_shown() {
    for url in [
        "postgres://shop:hunter2/x@localhost/shop",
        "postgres://shop:hunter2@x@localhost/shop",
        "postgres://shop:hunter2?x@localhost/shop",
        "postgres://shop:hunter2%zz@localhost/shop",
        "postgres://shop:hunter2@localhost:many/shop",
        "postgres://localhost/shop?pasword=hunter2",
        "postgress://shop:hunter2@localhost/shop",
        "shop:hunter2@localhost/shop",
        "sqlite://shop:hunter2@localhost/shop",
    ] {
        for command in [&["config"][..], &["serve"], &["migrate"], &["keys", "list"]] {
            let finished = tuckshop(command, &[("TUCKSHOP_DATABASE_URL", url)]);
            assert_eq!(finished.code, 2, "{url}: {}", finished.err);
            let shown = format!("{}{}", finished.out, finished.err);
            assert!(!shown.contains("hunter") && shown.contains("TUCKSHOP_DATABASE_URL: "), "{url}: {shown}");
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
    for arguments in [&["sell"][..], &["import"], &["serve", "--fast"], &["--nonsense"]] {
        let finished = tuckshop(arguments, &[]);
        assert_eq!(finished.code, 2, "{arguments:?}");
        assert!(!finished.err.is_empty(), "{arguments:?}");
    }
    for arguments in [["--help"], ["--version"]] {
        assert_eq!(tuckshop(&arguments, &[]).code, 0, "{arguments:?}");
    }
}

/// The demo is a platform like any other: it buys from a running shop and says what each step took.
async fn demo_buys_something(place: Place) {
    let server = place.serve().await;
    let finished = tuckshop_at(&place, &["demo", "--url", &server.url()], &[]);
    assert_eq!(finished.code, 0, "{}", finished.err);
    assert!(finished.out.contains("Bought. The buyer's page: http://127.0.0.1"), "{}", finished.out);
    assert!(finished.out.contains("The platform received a webhook: order_placed (msg_"), "{}", finished.out);
    assert!(finished.out.contains(", signed)"), "{}", finished.out);
    drop(server);
    let alone = tuckshop_at(&place, &["demo", "--url", "http://127.0.0.1:1"], &[]);
    assert_eq!(alone.code, 1);
    assert!(alone.err.contains("Is the shop running?"), "{}", alone.err);
}

/// The value that was checked is the one that is used.
#[test]
fn public_url_is_published_as_it_was_read() {
    for (given, used) in [
        ("https://shop.example\r", "https://shop.example"),
        (" https://shop.example \n", "https://shop.example"),
        ("https://SHOP.example:443", "https://shop.example"),
        ("http://localhost:8080", "http://localhost:8080"),
    ] {
        let finished = tuckshop(&["config"], &[("TUCKSHOP_HTTP_PUBLIC_URL", given)]);
        assert_eq!(finished.code, 0, "{given:?}: {}", finished.err);
        let line = format!("TUCKSHOP_HTTP_PUBLIC_URL={used}");
        assert!(finished.out.lines().any(|it| it == line), "{given:?}: {}", finished.out);
    }
    for given in ["https://user@shop.example", "https://user:word@shop.example", "https://shop.ex ample"] {
        assert_eq!(tuckshop(&["config"], &[("TUCKSHOP_HTTP_PUBLIC_URL", given)]).code, 2, "{given:?}");
    }
}

#[test]
fn service_variable_is_ignored_only_with_a_value_that_kubernetes_writes() {
    for (name, value, code) in [
        ("TUCKSHOP_PORT", "8080", 2),
        ("TUCKSHOP_PORT", "tcp://10.0.0.1:8080", 0),
        ("TUCKSHOP_PORT", "udp://[fd00::1]:53", 0),
        ("TUCKSHOP_PORT", "https://shop.example:443", 2),
        ("TUCKSHOP_PORT_8080_TCP", "tcp://10.0.0.1:8080", 0),
        ("TUCKSHOP_PORT_8080_TCP_PROTO", "tcp", 0),
        ("TUCKSHOP_PORT_8080_TCP_PORT", "8080", 0),
        ("TUCKSHOP_PORT_8080_TCP_ADDR", "10.0.0.1", 0),
        ("TUCKSHOP_PORT_8080_TCP_ADDR", "shop.example", 2),
        ("TUCKSHOP_SERVICE_PORT", "8080", 0),
        ("TUCKSHOP_SERVICE_PORT_HTTP", "8080", 0),
        ("TUCKSHOP_SERVICE_HOST", "10.0.0.1", 0),
        ("TUCKSHOP_SERVICE_HOST", "localhost:8080", 2),
        ("TUCKSHOP_SERVICE_NAME", "shop", 2),
        ("TUCKSHOP_PORTAL", "tcp://10.0.0.1:8080", 2),
    ] {
        let finished = tuckshop(&["config"], &[(name, value)]);
        assert_eq!(finished.code, code, "{name}={value}: {}", finished.err);
    }
}

#[test]
fn dangerous_settings_are_refused() {
    let gateway = ("TUCKSHOP_PAYMENT_GATEWAY_URL", "https://gateway.example");
    let test_key = ("TUCKSHOP_PAYMENT_GATEWAY_KEY", "sk_test_1");
    for (settings, blamed) in [
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
        assert!(finished.err.contains(&format!("{blamed}: ")), "{settings:?}: {}", finished.err);
        assert!(!finished.err.contains("_live_"), "{}", finished.err);
    }
    for currency in ["USD", "EUR", "JPY", "KWD"] {
        assert_eq!(tuckshop(&["config"], &[("TUCKSHOP_SHOP_CURRENCY", currency)]).code, 0, "{currency}");
    }
}

crate::on_both_engines!(ignored_service_links_are_logged, demo_buys_something);
