//! The values of the configuration: defaults, service links of Kubernetes, masked secrets, and normalized addresses.

use crate::kit::Place;
use crate::kit::command::tuckshop;

#[test]
fn empty_value_counts_as_unset() {
    let finished = tuckshop(&["config"], &[("TUCKSHOP_HTTP_ADDRESS", ""), ("TUCKSHOP_SHOP_NAME", "")]);
    assert_eq!(finished.code, 0, "{}", finished.err);
    for line in ["TUCKSHOP_HTTP_ADDRESS=127.0.0.1:8080", "TUCKSHOP_SHOP_NAME=Tuckshop"] {
        assert!(finished.out.lines().any(|shown| shown == line), "{}", finished.out);
    }
}

/// Kubernetes sets such variables for a service that is called tuckshop.
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

/// The log names the ignored variables.
async fn ignored_service_links_are_logged(place: Place) {
    let server =
        place.serve_with(&[("TUCKSHOP_SERVICE_HOST", "10.0.0.1"), ("TUCKSHOP_PORT", "tcp://10.0.0.1:1")]).await;
    let log = server.stop().log;
    let line = log.iter().find(|line| line["msg"] == "service links were ignored").expect("the log line");
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
        assert!(finished.out.lines().any(|shown| shown == line), "no {line} in\n{}", finished.out);
    }
    assert!(finished.out.lines().all(|line| line.starts_with("TUCKSHOP_")), "{}", finished.out);
}

/// Neither the refusal nor the listed values show the password of a malformed address.
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

/// The value that was validated is the value that is used.
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
        assert!(finished.out.lines().any(|shown| shown == line), "{given:?}: {}", finished.out);
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

crate::on_both_engines!(ignored_service_links_are_logged);
