//! Typed ids and page tokens.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Uuid};

use crate::clock::Timestamp;
use crate::text::is_lower_hex;

/// The id of a `T`: a readable prefix and a version 7 UUID (RFC 9562), so that ids sort by creation time.
pub struct Id<T>(String, PhantomData<fn() -> T>);

/// A type that has ids, and the prefix of these ids.
pub trait Named {
    const PREFIX: &'static str;
}

impl<T: Named> Id<T> {
    /// Generates the id of a `T` that is created at `now`.
    pub fn generate(now: Timestamp) -> Self {
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        let at = uuid::Timestamp::from_unix(NoContext, seconds, now.nanosecond());
        Self(format!("{}_{}", T::PREFIX, Uuid::new_v7(at).simple()), PhantomData)
    }

    /// Parses an id made by [`Id::generate`]. Returns `None` for other text: no `T` has such an id.
    pub fn parse(text: &str) -> Option<Self> {
        let uuid = text.strip_prefix(T::PREFIX)?.strip_prefix('_')?;
        is_lower_hex(uuid, 32).then(|| Self(text.to_owned(), PhantomData))
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

/// The secret name of a buyer's page: 122 random bits. A visitor who presents the token may read the page.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken(String);

impl PageToken {
    pub fn generate() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    /// Parses a token. Returns `None` if `text` cannot be a token; then no lookup is needed.
    pub fn parse(text: &str) -> Option<Self> {
        is_lower_hex(text, 32).then(|| Self(text.to_owned()))
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
