//! Stored forms of values: times as integers, documents as text, enums as words.

use std::str::FromStr;

use diesel::result::Error;
use domain::clock::Timestamp;
use domain::id::{Id, PageToken};
use domain::money::Currency;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::macros::datetime;

/// The first and the last millisecond of the years 0 to 9999 in UTC, which RFC 3339 can write.
const FIRST_MILLIS: i64 = datetime!(0000-01-01 00:00 UTC).unix_timestamp() * 1_000;
const LAST_MILLIS: i64 = datetime!(9999-12-31 23:59:59 UTC).unix_timestamp() * 1_000 + 999;

/// Milliseconds since 1970 in UTC. A time outside of the years 0 to 9999 becomes the nearest time within these years,
/// so that every stored time can be read. For times from a caller, see [`exact_millis`].
pub(crate) fn millis(at: Timestamp) -> i64 {
    let millis = at.unix_timestamp_nanos() / 1_000_000;
    i64::try_from(millis.clamp(FIRST_MILLIS.into(), LAST_MILLIS.into())).unwrap_or(LAST_MILLIS)
}

/// Milliseconds since 1970 in UTC, like [`millis`]. Fails if the time is outside of the years 0 to 9999.
pub(crate) fn exact_millis(at: Timestamp) -> Result<i64, Error> {
    let millis = at.unix_timestamp_nanos() / 1_000_000;
    let millis = i64::try_from(millis).ok().filter(|millis| (FIRST_MILLIS..=LAST_MILLIS).contains(millis));
    millis.ok_or_else(|| Error::SerializationError(format!("{at} is not within the years 0 to 9999").into()))
}

/// Returns the stored time, or the nearest time that can be shown. For times that are only shown to a person.
pub(crate) fn nearest_instant(millis: i64) -> Timestamp {
    instant(millis.clamp(FIRST_MILLIS, LAST_MILLIS)).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(crate) fn instant(millis: i64) -> Result<Timestamp, Error> {
    Timestamp::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .map_err(|error| malformed(format!("{millis} is no instant: {error}")))
}

pub(crate) fn id<const A: char, const B: char, const C: char>(text: &str) -> Result<Id<A, B, C>, Error> {
    Id::try_from(text.to_owned()).map_err(malformed)
}

pub(crate) fn page_token(text: &str) -> Result<PageToken, Error> {
    PageToken::parse(text).ok_or_else(|| malformed("a page token has another shape"))
}

/// Parses the stored word of an enum value.
pub(crate) fn word<E: FromStr>(text: &str) -> Result<E, Error> {
    text.parse().map_err(|_| malformed(format!("{text:?} is no {}", std::any::type_name::<E>())))
}

pub(crate) fn currency(code: &str) -> Result<Currency, Error> {
    Currency::parse(code).ok_or_else(|| malformed(format!("{code:?} is not an ISO 4217 currency code")))
}

/// The number of the format of the documents that this program stores. Every change of their shape increases it. For
/// each format there is a golden set in `tests/golden`, which every later program reads. A new kind of document counts
/// as a change.
const FORMAT: u32 = 3;

/// The begin of every document with an envelope; a digit follows. No document of format 0, which had no envelope,
/// begins like this, because its member `v` would be a text.
const ENVELOPE: &str = r#"{"v":"#;

#[derive(Serialize)]
struct Written<'d, T> {
    v: u32,
    d: &'d T,
}

#[derive(Deserialize)]
struct Read<T> {
    d: T,
}

/// Returns a document as text, with the number of its format. The domain's types define its shape. A later release may
/// only add members with a default, or change the shape and translate older formats in [`from_text`].
pub(crate) fn to_text<T: Serialize>(document: &T) -> Result<String, Error> {
    serde_json::to_string(&Written { v: FORMAT, d: document }).map_err(|error| Error::SerializationError(error.into()))
}

/// Reads a document of any format. In a document of a later format, members that this program does not know are
/// ignored, because a newer program may run beside this one.
pub(crate) fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let in_envelope =
        text.strip_prefix(ENVELOPE).is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit()));
    let read = match in_envelope {
        true => serde_json::from_str(text).map(|Read { d }| d),
        false => serde_json::from_str(text),
    };
    read.map_err(|error| malformed(error.to_string()))
}

/// Converts a number of rows. A number above `u32::MAX` becomes `u32::MAX`.
pub(crate) fn count(rows: impl TryInto<u32>) -> u32 {
    rows.try_into().unwrap_or(u32::MAX)
}

/// The limit of a query that may find `most` rows. One row more shows that there are too many.
pub(crate) const fn one_more_than(most: usize) -> i64 {
    most as i64 + 1
}

/// Fails if there are more than `most` rows. A list that is cut off silently could, for example, lack a rate that a
/// buyer may choose.
pub(crate) fn all_of<T>(rows: &[T], most: usize, what: &str) -> Result<(), Error> {
    match rows.len() > most {
        true => Err(malformed(format!("more than {most} {what}"))),
        false => Ok(()),
    }
}

/// Whether `text` can be stored. Postgres stores no text with a NUL, so on both engines such a text is never stored. A
/// caller does not search for it, because on Postgres the search would fail.
pub(crate) fn storable(text: &str) -> bool {
    !text.contains('\0')
}

/// The error for stored data that contradicts this program, because of a bug or a manual change of the database.
pub(crate) fn malformed(what: impl Into<String>) -> Error {
    Error::DeserializationError(what.into().into())
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
