//! Reads and writes instants as RFC 3339 text.

use domain::clock::Timestamp;
use serde::{Deserialize, Deserializer};
use time::UtcOffset;
use time::format_description::well_known::Rfc3339;

/// The years in UTC that a request may use. RFC 3339 has no later ones.
const YEARS: std::ops::RangeInclusive<i32> = 2000..=9999;

/// Reads a timestamp of a request, converts it to UTC, and cuts it to whole milliseconds.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn parse(text: &str) -> Result<Timestamp, String> {
    let at = Timestamp::parse(text, &Rfc3339).map_err(|error| format!("is no timestamp of RFC 3339: {error}"))?;
    let in_utc = at.checked_to_offset(UtcOffset::UTC).filter(|at| YEARS.contains(&at.year()));
    let at = in_utc.ok_or_else(|| format!("is outside of the years {} to {} in UTC", YEARS.start(), YEARS.end()))?;
    at.replace_millisecond(at.millisecond()).map_err(|error| error.to_string())
}

/// The text of an instant in UTC: RFC 3339 for the years 0 to 9999, without trailing zeros of the fraction. Never fails.
pub fn rfc3339(at: Timestamp) -> String {
    let at = at.checked_to_offset(UtcOffset::UTC).unwrap_or(at);
    let fraction = format!(".{:09}", at.nanosecond());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{fraction}Z", at.hour(), at.minute(), at.second())
}

#[cfg(test)]
mod tests {
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
}
