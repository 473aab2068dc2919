//! Tests of `demo.rs`.

use super::*;

#[test]
fn refusal_has_a_remedy_only_where_another_call_helps() {
    for (code, option) in [
        ("out_of_stock", "--item"),
        ("item_unavailable", "--item"),
        ("payment_failed", "--token"),
        ("unknown_payment_instrument", "--token"),
    ] {
        assert!(remedy(code).contains(option), "{code}");
    }
    for code in ["unavailable", "storage_full", "deadline_exceeded", "draining", "internal", "checkout_not_ready", ""] {
        assert_eq!(remedy(code), "", "{code}");
    }
}
