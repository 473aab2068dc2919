//! Tests of `output.rs`.

use super::*;

#[test]
fn lines_of_a_text_become_one() {
    for (text, line) in [
        ("one", "one"),
        ("refused\n\tIs the server running?\n", "refused Is the server running?"),
        ("not now\r\n", "not now"),
    ] {
        assert_eq!(one_line(text), line, "{text:?}");
    }
}
