//! Which URLs are accepted as destinations. The check does not use the network.

use integrations::outbound::{Blocked, Destination, MAX_URL_LENGTH, UntrustedPolicy};

fn untrusted(text: &str) -> Result<String, &'static str> {
    Destination::untrusted(text, UntrustedPolicy::Public)
        .map(|to| to.url().to_string())
        .map_err(|blocked| blocked.into_str())
}

#[test]
fn https_to_a_public_host_is_allowed() {
    for text in [
        "https://shop.example/hooks",
        "https://shop.example:8443/hooks?tenant=7",
        "https://93.184.215.14/hooks",
        "https://[2606:4700:4700::1111]/hooks",
        "https://xn--bcher-kva.example/",
        "HTTPS://SHOP.EXAMPLE/",
    ] {
        assert!(untrusted(text).is_ok(), "{text}: {:?}", untrusted(text));
    }
}

#[test]
fn other_untrusted_urls_are_refused() {
    for (text, why) in [
        ("", "malformed_url"),
        ("hooks", "malformed_url"),
        ("https://", "malformed_url"),
        ("https://shop.example:70000/", "malformed_url"),
        ("https://[::1/", "malformed_url"),
        ("https://1.2.3.4.5/", "malformed_url"),
        ("https://999.1.1.1/", "malformed_url"),
        ("http://shop.example/", "blocked_scheme"),
        ("ftp://shop.example/", "blocked_scheme"),
        ("file:///etc/passwd", "blocked_scheme"),
        ("gopher://127.0.0.1:6379/_PING", "blocked_scheme"),
        ("data:text/plain,hello", "blocked_scheme"),
        ("unix:/run/docker.sock", "blocked_scheme"),
        ("https://user@shop.example/", "blocked_userinfo"),
        ("https://user:word@shop.example/", "blocked_userinfo"),
        ("https://shop.example@127.0.0.1/", "blocked_userinfo"),
        ("https://localhost/", "blocked_host"),
        ("https://LOCALHOST:8443/", "blocked_host"),
        ("https://localhost./", "blocked_host"),
        ("https://shop.example./", "blocked_host"),
    ] {
        assert_eq!(untrusted(text), Err(why), "{text}");
    }
    let long = format!("https://shop.example/{}", "x".repeat(MAX_URL_LENGTH));
    assert_eq!(untrusted(&long), Err("malformed_url"));
}

#[test]
fn address_that_is_not_public_is_refused_in_every_notation() {
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "%31%32%37.0.0.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "2852039166",
        "172.16.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:8.8.8.8]",
        "[::127.0.0.1]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fec0::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[2001:db8::1]",
    ] {
        assert_eq!(untrusted(&format!("https://{host}/")), Err("blocked_address"), "{host}");
    }
}

#[test]
fn development_allows_only_loopback() {
    let untrusted =
        |text| Destination::untrusted(text, UntrustedPolicy::DevelopmentLoopback).map_err(|blocked| blocked.into_str());
    for text in [
        "http://localhost:9000/",
        "https://localhost/",
        "http://127.0.0.1:9000/",
        "http://127.9.9.9/",
        "http://[::1]:9000/",
        "https://shop.example/",
    ] {
        assert!(untrusted(text).is_ok(), "{text}");
    }
    for (text, why) in [
        ("http://shop.example/", "blocked_scheme"),
        ("http://localhost./", "blocked_scheme"),
        ("http://10.0.0.1/", "blocked_scheme"),
        ("https://10.0.0.1/", "blocked_address"),
        ("https://0.0.0.0/", "blocked_address"),
        ("https://169.254.169.254/", "blocked_address"),
        ("https://[::ffff:127.0.0.1]/", "blocked_address"),
        ("https://[fd00::1]/", "blocked_address"),
    ] {
        assert_eq!(untrusted(text).expect_err("refused"), why, "{text}");
    }
}

#[test]
fn trusted_url_may_be_any_https_address_or_http_on_this_machine() {
    for text in ["https://10.0.0.7/", "https://gateway.internal/", "http://127.0.0.1:1/", "http://localhost:1/"] {
        assert!(Destination::trusted(text).is_ok(), "{text}");
    }
    for (text, why) in [
        ("http://10.0.0.7/", Blocked::Scheme),
        ("http://gateway.internal/", Blocked::Scheme),
        ("https://key@gateway.internal/", Blocked::UserInfo),
        ("gateway.internal", Blocked::Malformed),
    ] {
        assert_eq!(Destination::trusted(text).expect_err("refused"), why, "{text}");
    }
}

#[test]
fn path_segments_are_escaped() {
    let base = Destination::trusted("https://gateway.internal/v1/").expect("allowed");
    for (segments, path) in [
        (&["payments", "p_1", "confirm"][..], "/v1/payments/p_1/confirm"),
        (&["payments", "a/b?c#d"][..], "/v1/payments/a%2Fb%3Fc%23d"),
        (&["payments", "..", "keys"][..], "/v1/payments/keys"),
        (&["payments", "../../keys"][..], "/v1/payments/..%2F..%2Fkeys"),
    ] {
        assert_eq!(base.at(segments).url().path(), path);
    }
}
