//! Tests of `stored.rs`.

use std::collections::BTreeMap;

use super::*;

#[test]
fn every_stored_time_is_read_back() {
    for (at, stored) in [
        (datetime!(2026-11-22 12:00:00.123 UTC), true),
        (datetime!(2026-11-22 12:00 +5:30), true),
        (datetime!(0000-01-01 00:00 UTC), true),
        (datetime!(9999-12-31 23:59:59.999 UTC), true),
        // In UTC these times are in the year 10000 and in the year -1.
        (datetime!(9999-12-31 23:59:59 -23:59), false),
        (datetime!(0000-01-01 00:00 +23:59), false),
        (datetime!(-9999-01-01 00:00 UTC), false),
    ] {
        assert_eq!(exact_millis(at).and_then(instant).ok(), stored.then_some(at), "{at}");
        assert!(instant(millis(at)).is_ok(), "{at}");
    }
    for millis in [i64::MIN, FIRST_MILLIS - 1, LAST_MILLIS + 1, i64::MAX] {
        assert!((0..=9999).contains(&nearest_instant(millis).year()), "{millis}");
    }
}

#[test]
fn documents_of_every_format_are_read() {
    let map = |text: &str| from_text::<BTreeMap<String, String>>(text).map_err(|error| error.to_string());
    let one = |name: &str, value: &str| Ok(BTreeMap::from([(name.to_owned(), value.to_owned())]));
    for (text, expected) in [
        (r#"{"a":"b"}"#, one("a", "b")),
        (r#"{"v":"1"}"#, one("v", "1")),
        (r#"{"v":1,"d":{"v":"1"}}"#, one("v", "1")),
        (r#"{"v":2,"d":{"a":"b"},"later":true}"#, one("a", "b")),
        ("{}", Ok(BTreeMap::new())),
    ] {
        assert_eq!(map(text), expected, "{text}");
    }
    assert!(map(r#"{"v":1}"#).is_err());
    assert_eq!(from_text::<Vec<i64>>("[1]").expect("read"), [1]);
    assert_eq!(from_text::<Vec<i64>>(&to_text(&[1]).expect("written")).expect("read"), [1]);
}
