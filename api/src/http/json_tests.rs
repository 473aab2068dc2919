//! Tests of `json.rs`.

use super::*;
use serde_json::json;

#[test]
fn numbers_are_read_by_their_value() {
    for (text, expected) in [
        ("1", json!(1)),
        ("1.0", json!(1)),
        ("10e-1", json!(1)),
        ("1e2", json!(100)),
        ("-0.0", json!(0)),
        ("1.5", json!(1.5)),
        ("9007199254740991", json!(LARGEST)),
        ("-9007199254740991", json!(-LARGEST)),
    ] {
        assert_eq!(document(text.as_bytes()).expect(text), expected, "{text}");
    }
}

#[test]
fn value_that_is_not_interoperable_is_refused_at_any_depth() {
    for part in [
        "9007199254740992",
        "-9007199254740992",
        "9223372036854775808",
        "1e30",
        "1e400",
        "9007199254740992.0",
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#""\u0000""#,
        r#"{"\u0000":1}"#,
        r#""\ud800""#,
    ] {
        for body in [part.to_owned(), format!("[{part}]"), format!(r#"{{"unknown":{{"x":[{part}]}}}}"#)] {
            let problem = document(body.as_bytes()).expect_err(&body);
            assert_eq!(problem.code(), "malformed_body", "{body}");
        }
    }
}

/// The rule is about the text after its escapes are decoded. This text has a backslash and no NUL.
#[test]
fn escaped_backslash_before_u0000_is_not_a_nul() {
    assert_eq!(document(br#""C:\\u0000x""#).expect("valid"), json!("C:\\u0000x"));
}
