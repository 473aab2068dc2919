//! Tests of the result line of a load generator, and the bodies.

use super::*;

#[test]
fn result_line_is_parsed_and_its_absence_is_an_error() {
    let got = sample("Running\nRESULT done=30 failed=1 seconds=2.000 p50_us=1500 p99_us=4000\n").unwrap();
    let expected = Sample { done: 30.0, per_second: 15.0, p50: 1.5, p99: 4.0, failed: 1.0, ..Sample::default() };
    assert_eq!(got, expected);
    assert!(sample("Socket errors: connect 1").is_err());
}

#[test]
fn bodies_of_a_purchase_have_the_items() {
    for step in ["create", "update"] {
        assert!(body(step, "[1,2]").unwrap().contains("\"line_items\":[1,2]"), "{step}");
    }
    assert!(body("complete", "[]").unwrap().contains("success_token"));
}
