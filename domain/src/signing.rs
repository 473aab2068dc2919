//! The signing keys of the shop: which key signs, and which keys the profile publishes.
//!
//! A key is published before it signs, so that platforms that cache the profile know the key before they get its first
//! signature. It stays published after its last signature, so that messages in transit can still be verified. A stolen
//! key is revoked: from then on it neither signs nor is published, and earlier signatures with it no longer verify. The
//! rules are [`signing_at`], [`retired_at`] and [`published_at`]; the port is [`KeyStore`].

use std::time::Duration;

use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::secret::Secret;

/// How long a retired key stays published. The commerce protocol requires at least seven days.
pub const PUBLISHED_AFTER: Duration = Duration::from_secs(8 * 24 * 60 * 60);
/// How long a new key is published before it signs. This is longer than platforms may cache a profile.
pub const PUBLISHED_BEFORE: Duration = Duration::from_secs(60 * 60);

/// A key pair for ES256 (ECDSA on P-256 with SHA-256).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// The id by which signatures name the key.
    pub id: String,
    /// The private key: PKCS #8 in PEM (RFC 7468).
    pub private: Secret,
    pub created_at: Timestamp,
    /// The time from which the key signs, unless a younger key has taken over.
    pub signs_from: Timestamp,
    /// The time at which the key was revoked. `None` if it is not revoked. A revocation is permanent.
    pub revoked_at: Option<Timestamp>,
}

impl SigningKey {
    /// Whether the key was created to sign at once, without being published first. Such a key takes over from older
    /// keys on each instance that reads it, even if the clock of the instance is behind the clock of the instance that
    /// created the key.
    pub fn signs_at_once(&self) -> bool {
        self.signs_from <= self.created_at
    }

    /// The time at which the key takes over from older keys. `None` if the key was revoked before that time. A key that
    /// signs at once takes over in any case.
    fn takes_over_at(&self) -> Option<Timestamp> {
        let in_time = |at: &Timestamp| self.signs_at_once() || self.revoked_at.is_none_or(|revoked| *at <= revoked);
        Some(self.signs_from).filter(in_time)
    }

    /// Whether the key has taken over from older keys at `now`.
    fn has_taken_over_at(&self, now: Timestamp) -> bool {
        self.signs_at_once() || self.takes_over_at().is_some_and(|at| at <= now)
    }
}

/// The store of signing keys. Each method is one transaction.
pub trait KeyStore: Send + Sync {
    /// All keys, oldest first.
    fn keys(&self, ctx: &RequestContext) -> PortFuture<Vec<SigningKey>, Fault>;

    /// Appends a key. `seen` is the number of keys that the caller has read. Returns false and changes nothing if
    /// another process has added a key since.
    fn add(&self, ctx: &RequestContext, key: SigningKey, seen: usize) -> PortFuture<bool, Fault>;

    /// Revokes the key at `now` and keeps it in the list. Returns false and changes nothing if there is no such key or
    /// if it is already revoked.
    fn revoke(&self, ctx: &RequestContext, id: String, now: Timestamp) -> PortFuture<bool, Fault>;
}

/// The key that signs at `now`: the last added key that has taken over, or the first key if no key has taken over. So a
/// key that was created to sign at once also replaces older keys whose time has not come yet.
///
/// If that key is revoked, the next key in the list that is not revoked signs, even before its time. An older key never
/// signs again, because it may have been replaced after a theft. `None` means that a new key must be created.
pub fn signing_at(keys: &[SigningKey], now: Timestamp) -> Option<&SigningKey> {
    let last = keys.iter().rposition(|key| key.has_taken_over_at(now)).unwrap_or(0);
    keys.iter().skip(last).find(|key| key.revoked_at.is_none())
}

/// The time at which a younger key takes over from the key at `position`. It may be in the future. `None` if no younger
/// key takes over.
pub fn retired_at(keys: &[SigningKey], position: usize) -> Option<Timestamp> {
    keys.iter().skip(position + 1).filter_map(SigningKey::takes_over_at).min()
}

/// The keys that the profile publishes at `now`: the key that signs, the keys that will sign, and the keys that signed
/// recently. Revoked keys are left out.
pub fn published_at(keys: &[SigningKey], now: Timestamp) -> Vec<&SigningKey> {
    let is_shown = |position| retired_at(keys, position).is_none_or(|at: Timestamp| now < at + PUBLISHED_AFTER);
    let shown = keys.iter().enumerate().filter(|(position, _)| is_shown(*position)).map(|(_, key)| key);
    shown.filter(|key| key.revoked_at.is_none()).collect()
}
