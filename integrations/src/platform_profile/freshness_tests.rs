//! Tests of `freshness.rs`.

use super::*;

#[test]
fn cache_time_is_between_a_minute_and_a_day() {
    for (values, seconds) in [
        (&[][..], 60),
        (&["public, max-age=3600"], 3600),
        (&["public", "Max-Age=3600"], 3600),
        (&["max-age=\"120\""], 120),
        (&["max-age=1"], 60),
        (&["max-age=0, must-revalidate"], 60),
        (&["max-age=999999999"], 86_400),
        (&["max-age=-1"], 60),
        (&["max-age=soon"], 60),
        (&["max-age=99999999999999999999999"], 60),
        (&["no-store, max-age=3600"], 60),
        (&["no-cache"], 60),
        (&["s-maxage=600"], 60),
        (&[",,;="], 60),
    ] {
        assert_eq!(cache_time(values.iter().copied()).as_secs(), seconds, "{values:?}");
    }
}
