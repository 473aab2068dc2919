//! Tests of `grammar.rs`.

use super::*;

#[test]
fn mistake_is_reported_with_its_line() {
    for (text, expected) in [
        ("a,b\n1,2\n", None),
        ("a,b\r\n\"1\",\"x\"\"y\"\r\n", None),
        ("a,b\n\"x\ny\",2\n", None),
        ("a,b\n1,\"x;y\"", None),
        ("", None),
        ("a,b\n\"1\"x,2\n", Some((2, "after a closing"))),
        ("a,b\n\"1\" ,2\n", Some((2, "after a closing"))),
        ("a,b\r1,2\r\"1\"x,2\r", Some((3, "after a closing"))),
        ("a,b\r\n1,2\r\n\"1\"x,2\r\n", Some((3, "after a closing"))),
        ("a,b\n\"x\ny\",2\n5\" pipe,1\n", None),
        ("a,b\n1,2\n\"1,2\n3,4\n", Some((3, "not closed"))),
        ("a;b\n1;2\n", Some((1, "semicolons"))),
        ("a\tb\n", Some((1, "tabs"))),
        ("\n \na;b\n1;2\n", Some((3, "semicolons"))),
        ("\r\n\r\na;b\r\n", Some((3, "semicolons"))),
        ("\r\r\ta\tb\r", Some((3, "tabs"))),
        ("\u{feff}\n\ta\n", Some((2, "tabs"))),
        (" \t\n", None),
    ] {
        let found = mistake(text.as_bytes());
        let shown = found.as_ref().map(|(line, message)| (*line, message.as_str()));
        match (shown, expected) {
            (None, None) => {}
            (Some((line, message)), Some((at, part))) if line == at && message.contains(part) => {}
            _ => panic!("{text:?}: {shown:?}"),
        }
    }
}
