//! Identities: time-ordered, typed, readable.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Uuid};

use crate::clock::Timestamp;

/// An id of a `T`: a readable prefix and a version 7 uuid (RFC 9562), so that ids sort by the time they were made.
pub struct Id<T>(String, PhantomData<fn() -> T>);

/// What an id names, and the prefix that says so.
pub trait Named {
    const PREFIX: &'static str;
}

impl<T: Named> Id<T> {
    /// A new id for something made at `now`.
    pub fn generate(now: Timestamp) -> Self {
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        let at = uuid::Timestamp::from_unix(NoContext, seconds, now.nanosecond());
        Self(format!("{}_{}", T::PREFIX, Uuid::new_v7(at).simple()), PhantomData)
    }

    /// Accepts what [`Id::generate`] makes; `None` for anything else, which therefore names nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let uuid = text.strip_prefix(T::PREFIX)?.strip_prefix('_')?;
        let ours = uuid.len() == 32 && uuid.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        ours.then(|| Self(text.to_owned(), PhantomData))
    }
}

impl<T> Id<T> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<T> Serialize for Id<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
impl<'de, T: Named> Deserialize<'de> for Id<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a {} id", T::PREFIX)))
    }
}

/// An unguessable name for a page that anyone who holds it may read: 122 random bits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken(String);

impl PageToken {
    pub fn generate() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    /// `None` when `text` cannot be a token; then no lookup is needed.
    pub fn parse(text: &str) -> Option<Self> {
        let shape = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        shape.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    struct Thing;
    impl Named for Thing {
        const PREFIX: &'static str = "thg";
    }

    #[test]
    fn ids_sort_by_time_and_parse_back() {
        let early = Id::<Thing>::generate(datetime!(2026-01-01 00:00 UTC));
        let late = Id::<Thing>::generate(datetime!(2026-01-01 00:00:00.002 UTC));
        assert!(early.as_str() < late.as_str());
        assert_eq!(Id::<Thing>::parse(early.as_str()), Some(early));
    }

    #[test]
    fn what_was_not_made_here_names_nothing() {
        for text in
            ["", "thg_", "thg_1", "oth_00000000000000000000000000000000", "thg_0000000000000000000000000000000G"]
        {
            assert_eq!(Id::<Thing>::parse(text), None, "{text:?}");
        }
    }
}
