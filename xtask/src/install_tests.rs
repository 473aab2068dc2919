//! Tests of `install.rs`.

use super::*;

#[test]
fn permission_needs_the_option_or_a_ci() {
    for (install, ci, expected) in [
        (false, None, false),
        (false, Some("false"), false),
        (false, Some(""), false),
        (false, Some("true"), true),
        (true, None, true),
        (true, Some("false"), true),
    ] {
        assert_eq!(Install { install }.permission_with(ci).is_some(), expected, "--install {install}, CI={ci:?}");
    }
}
