//! Tests of `answer.rs`.

use time::macros::datetime;

use super::*;

const NOON: Timestamp = datetime!(2026-04-08 12:00 UTC);

#[test]
fn retry_after_may_be_a_date() {
    for (date, seconds) in [
        ("Wed, 08 Apr 2026 12:02:00 GMT", Some(120)),
        (" Wed, 08 Apr 2026 12:00:00 GMT ", Some(0)),
        ("Wed, 08 Apr 2026 11:00:00 GMT", Some(0)),
        ("Thu, 09 Apr 2026 12:00:00 GMT", Some(24 * 60 * 60)),
        ("Wednesday, 08-Apr-26 12:02:00 GMT", Some(120)),
        ("Wed Apr  8 12:02:00 2026", Some(120)),
        ("Wed Apr  8 11:02:00 2026", Some(0)),
        ("Wed, 08 Apr 2026 12:02:00 +0200", None),
        ("Wed, 31 Feb 2026 12:02:00 GMT", None),
        ("tomorrow", None),
        ("", None),
    ] {
        assert_eq!(until(date, NOON).map(|wait| wait.as_secs()), seconds, "{date}");
    }
}
