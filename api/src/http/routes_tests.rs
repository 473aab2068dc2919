//! Tests of `routes.rs`.

use super::*;

#[test]
fn percent_encoded_fixed_segment_is_not_matched() {
    for (pattern, path, expected) in [
        ("/statusz", "/statusz", true),
        ("/statusz", "/%73tatusz", false),
        ("/orders/{id}", "/orders/ord_1", true),
        ("/orders/{id}", "/orders/ord%5F1", true),
        ("/orders/{id}", "/%6Frders/ord_1", false),
        ("/checkout-sessions/{id}/complete", "/checkout-sessions/x/complet%65", false),
    ] {
        assert_eq!(is_literal(pattern, path), expected, "{path}");
    }
}

#[test]
fn path_with_get_allows_head() {
    assert_eq!(allow(&[Method::GET, Method::PUT]), "GET, PUT, HEAD, OPTIONS");
    assert_eq!(allow(&[Method::POST]), "POST, OPTIONS");
}
