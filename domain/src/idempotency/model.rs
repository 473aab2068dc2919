//! Keys, claims, fingerprints and outcomes.

use std::time::Duration;

use derive_more::Debug;

use crate::clock::Timestamp;
use crate::text::is_visible_ascii;

/// How long an outcome is replayed. The protocol requires half of this time, and recommends this time.
pub const RETENTION: Duration = Duration::from_secs(48 * 60 * 60);

/// An idempotency key: the caller's name for one request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    pub const MAX_LENGTH: usize = 255;

    /// Parses 1 to 255 visible ASCII characters.
    pub fn parse(text: &str) -> Option<Self> {
        is_visible_ascii(text, Self::MAX_LENGTH).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A hash of the request: equal fingerprints mean the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[debug("{}", _0.get(..12).unwrap_or(_0))]
pub struct Fingerprint(pub String);

/// The claim of an idempotency key by a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyClaim {
    /// The caller: see [`Caller::principal`](crate::context::Caller::principal).
    pub principal: String,
    /// The operation for which the key is claimed, `module.verb`.
    pub operation: &'static str,
    /// The id of the resource that the operation changes. Empty if the operation creates a resource.
    pub resource: String,
    pub key: Key,
    pub fingerprint: Fingerprint,
}

/// The input of each keyed write: the claim of its idempotency key, and the time of the write.
#[derive(Clone, Debug)]
pub struct Write {
    pub claim: KeyClaim,
    pub now: Timestamp,
}

/// The outcome of a keyed write. `replayed` says that an earlier call with the same key did the write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<O> {
    pub outcome: O,
    pub replayed: bool,
}

/// Why a claim was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// The key was used before for another request of this operation, or for another resource.
    Reused,
    /// The first request with this key is still in progress.
    InProgress,
    /// The stored keys cannot be read, so a write that must happen at most once is not allowed.
    Unavailable,
}
