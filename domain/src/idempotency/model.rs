//! Keys, scopes and fingerprints.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::context::PlatformId;

/// How long an outcome is replayed: twice what the protocol demands, as it recommends.
pub const RETENTION: Duration = Duration::from_secs(48 * 60 * 60);

/// The caller's name for one intent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    pub const MAX_LENGTH: usize = 255;

    /// Accepts 1 to 255 visible ASCII characters.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_LENGTH).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A hash of the request: equal fingerprints mean the same request.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint(pub String);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// A caller's claim to be the one who does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyClaim {
    pub principal: PlatformId,
    /// The `module.verb` that is claimed.
    pub operation: &'static str,
    /// What it is done to; empty when it makes something new.
    pub resource: String,
    pub key: Key,
    pub fingerprint: Fingerprint,
}

/// What every keyed write brings: the claim on its idempotency key, and the time it happens at.
#[derive(Clone, Debug)]
pub struct Write {
    pub claim: KeyClaim,
    pub now: Timestamp,
}

/// What a keyed write came to, and whether an earlier call with the same key did it.
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
    /// The first request with this key is still at work.
    InProgress,
    /// The records cannot be consulted, so nothing that must happen once may happen.
    Unavailable,
}
