//! Tests of `rules.rs`.

use super::*;

#[test]
fn addresses_overlap_when_one_listener_excludes_the_other() {
    for (one, other, expected) in [
        ("127.0.0.1:8080", "127.0.0.1:8080", true),
        ("127.0.0.1:8080", "127.0.0.1:8081", false),
        ("127.0.0.1:8080", "127.0.0.2:8080", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
        ("0.0.0.0:8080", "127.0.0.1:8080", true),
        ("0.0.0.0:8080", "[::1]:8080", false),
        ("[::]:8080", "127.0.0.1:8080", true),
        ("[::]:8080", "0.0.0.0:8080", true),
        ("[::1]:8080", "127.0.0.1:8080", false),
    ] {
        let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
        for (one, other) in [(one, other), (other, one)] {
            assert_eq!(overlap(parse(one), parse(other)), expected, "{one} {other}");
        }
    }
}

#[test]
fn domain_has_authority_over_the_names_that_reverse_it() {
    for (host, name, expected) in [
        ("example.com", "com.example.card", true),
        ("docs.example.com", "com.example.card", true),
        ("pay.google.com", "com.google.pay", true),
        ("shopify.dev", "dev.shopify.shop_pay", true),
        ("example.org", "com.example.card", false),
        ("example.com.evil.example", "com.example.card", false),
        ("badexample.com", "com.example.card", false),
        ("com", "com.example.card", false),
        ("com.example", "com.example.card", false),
    ] {
        assert_eq!(has_authority(host, name), expected, "{host} over {name}");
    }
    for (name, expected) in [
        ("com.example.card", true),
        ("dev.some-shop.shop_pay", true),
        ("card", false),
        ("example.card", false),
        ("com..card", false),
        ("com.example.", false),
        ("COM.Example.card", false),
        ("com.example.4", false),
        ("https://example.com/card", false),
    ] {
        assert_eq!(is_reversed_domain(name), expected, "{name}");
    }
}
