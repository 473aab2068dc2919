//! Values as they are stored: instants as integers, documents as text, enums as words.

use diesel::result::Error;
use domain::clock::Timestamp;
use domain::money::Currency;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Milliseconds since 1970 in UTC.
pub(crate) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

pub(crate) fn instant(millis: i64) -> Result<Timestamp, Error> {
    Timestamp::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .map_err(|error| malformed(format!("{millis} is no instant: {error}")))
}

pub(crate) fn currency(code: &str) -> Result<Currency, Error> {
    Currency::parse(code).map_err(|error| malformed(error.to_string()))
}

/// A document as text. The domain's types decide its shape; fields are only ever added, with a default.
pub(crate) fn to_text<T: Serialize>(document: &T) -> Result<String, Error> {
    serde_json::to_string(document).map_err(|error| Error::SerializationError(error.into()))
}

pub(crate) fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| malformed(error.to_string()))
}

/// Whether `text` can be stored at all. Postgres has no text with a NUL in it; so neither engine holds any, and looking
/// for one finds nothing instead of failing.
pub(crate) fn storable(text: &str) -> bool {
    !text.contains('\0')
}

/// What is stored contradicts what this program stores: a bug, or a hand that edited the database.
pub(crate) fn malformed(what: impl Into<String>) -> Error {
    Error::DeserializationError(what.into().into())
}
