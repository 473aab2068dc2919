//! Reads and writes instants as RFC 3339 text.

use domain::clock::Timestamp;
use serde::{Deserialize, Deserializer};
use time::UtcOffset;
use time::format_description::well_known::Rfc3339;

/// The years in UTC that a request may use. RFC 3339 has no years after 9999.
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

/// The text of an instant in UTC: RFC 3339 for the years 0 to 9999, without trailing zeros of the fraction. Never
/// fails.
pub fn rfc3339(at: Timestamp) -> String {
    let at = at.checked_to_offset(UtcOffset::UTC).unwrap_or(at);
    let fraction = format!(".{:09}", at.nanosecond());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{fraction}Z", at.hour(), at.minute(), at.second())
}

#[cfg(test)]
#[path = "instant_tests.rs"]
mod tests;
