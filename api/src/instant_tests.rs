//! Tests of `instant.rs`.

use time::macros::datetime;

use super::*;

#[test]
fn timestamp_of_a_request_is_read_in_utc_within_its_years() {
    for (text, shown) in [
        ("2026-04-08T10:00:00Z", Some("2026-04-08T10:00:00Z")),
        ("2026-04-08T10:00:00.1239+02:00", Some("2026-04-08T08:00:00.123Z")),
        ("2000-01-01T00:00:00Z", Some("2000-01-01T00:00:00Z")),
        ("9999-12-31T23:59:59.999Z", Some("9999-12-31T23:59:59.999Z")),
        ("1999-12-31T23:59:59-01:00", Some("2000-01-01T00:59:59Z")),
        ("2000-01-01T00:00:00+00:01", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("0000-01-01T00:00:00+23:59", None),
        ("1970-01-01T00:00:00Z", None),
        ("10000-01-01T00:00:00Z", None),
        ("2026-04-08", None),
        ("", None),
    ] {
        assert_eq!(parse(text).ok().map(rfc3339).as_deref(), shown, "{text}");
    }
}

#[test]
fn instant_is_shown_as_rfc_3339() {
    for at in [
        datetime!(2026-11-22 12:00 UTC),
        datetime!(0000-01-01 00:00 UTC),
        datetime!(9999-12-31 23:59:59.999 UTC),
        datetime!(2026-11-22 01:02:03.120 UTC),
        datetime!(2026-11-22 01:02:03.000_000_001 UTC),
    ] {
        assert_eq!(Some(rfc3339(at)), at.format(&Rfc3339).ok());
    }
    for at in [datetime!(-0001-12-31 00:01 UTC), datetime!(9999-12-31 23:59:59 -23:59)] {
        assert!(!rfc3339(at).is_empty(), "{at}");
    }
}
