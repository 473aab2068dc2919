//! The signing keys of the shop: which key signs, and which keys the profile publishes.
//!
//! A key is published before it signs, so that platforms that cache the profile have it in time. It stays published
//! after its last signature, so that messages in transit can still be verified. A stolen key is revoked: from then on
//! it neither signs nor is published, and earlier signatures with it no longer verify. The rules are [`signing_at`],
//! [`retired_at`] and [`published_at`]; the port is [`KeyStore`].

use std::time::Duration;

use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::secret::Secret;

/// How long a retired key stays published. The commerce protocol requires at least seven days.
pub const PUBLISHED_AFTER: Duration = Duration::from_secs(8 * 24 * 60 * 60);
/// How long a new key is published before it signs. Longer than platforms may cache a profile.
pub const PUBLISHED_BEFORE: Duration = Duration::from_secs(60 * 60);

/// A key pair for ES256 (ECDSA on P-256 with SHA-256).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// The key id in signatures.
    pub id: String,
    /// PKCS #8 in PEM (RFC 7468).
    pub private: Secret,
    pub created_at: Timestamp,
    /// The time from which it signs, unless a younger key signs.
    pub signs_from: Timestamp,
    /// The time of its revocation, if it was revoked. A revocation is permanent.
    pub revoked_at: Option<Timestamp>,
}

impl SigningKey {
    /// Whether the key was created to sign at once. Such a key was not published before it signed, so it has taken over
    /// on each instance that knows it, even if the clock of the instance is behind the clock of its creator.
    pub fn is_at_once(&self) -> bool {
        self.signs_from <= self.created_at
    }

    /// The time at which it takes over from older keys. `None` if it was revoked before.
    fn takes_over_at(&self) -> Option<Timestamp> {
        let in_time = |at: &Timestamp| self.is_at_once() || self.revoked_at.is_none_or(|revoked| *at <= revoked);
        Some(self.signs_from).filter(in_time)
    }

    fn has_taken_over_at(&self, now: Timestamp) -> bool {
        self.is_at_once() || self.takes_over_at().is_some_and(|at| at <= now)
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

/// The key that signs at `now`: the last added key that has taken over, or the first key if none has. So a key created
/// to sign at once also replaces keys that were to take over later.
///
/// If that key is revoked, the next key in the list signs at once. An older key never signs again, because it may have
/// been replaced after a theft. `None` means that a new key must be created.
pub fn signing_at(keys: &[SigningKey], now: Timestamp) -> Option<&SigningKey> {
    let last = keys.iter().rposition(|key| key.has_taken_over_at(now)).unwrap_or(0);
    keys.iter().skip(last).find(|key| key.revoked_at.is_none())
}

/// When the key at `position` signs for the last time because another key takes over. May be in the future.
pub fn retired_at(keys: &[SigningKey], position: usize) -> Option<Timestamp> {
    keys.iter().skip(position + 1).filter_map(SigningKey::takes_over_at).min()
}

/// The keys that the profile publishes at `now`: those that sign, will sign, or signed recently. Revoked keys are left
/// out.
pub fn published_at(keys: &[SigningKey], now: Timestamp) -> Vec<&SigningKey> {
    let is_shown = |position| retired_at(keys, position).is_none_or(|at: Timestamp| now < at + PUBLISHED_AFTER);
    let shown = keys.iter().enumerate().filter(|(position, _)| is_shown(*position)).map(|(_, key)| key);
    shown.filter(|key| key.revoked_at.is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

    /// A key that is published for an hour before it signs.
    fn key(id: &str, signs_from: Timestamp) -> SigningKey {
        SigningKey {
            id: id.to_owned(),
            private: Secret::new("x"),
            created_at: signs_from - PUBLISHED_BEFORE,
            signs_from,
            revoked_at: None,
        }
    }

    fn at_once(id: &str, made_at: Timestamp) -> SigningKey {
        SigningKey { created_at: made_at, ..key(id, made_at) }
    }

    fn revoked(id: &str, signs_from: Timestamp, at: Timestamp) -> SigningKey {
        SigningKey { revoked_at: Some(at), ..key(id, signs_from) }
    }

    #[test]
    fn rotated_key_is_published_before_and_after_it_signs() {
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(24 * 60 * 60));
        let keys = [key("old", NOW - day * 100), key("new", NOW)];
        let ids = |at| published_at(&keys, at).iter().map(|key| key.id.as_str()).collect::<Vec<_>>();
        let signer = |at| signing_at(&keys, at).map(|key| key.id.as_str());
        for (at, signs, published) in [
            (NOW - minute, "old", vec!["old", "new"]),
            (NOW, "new", vec!["old", "new"]),
            (NOW + day * 7, "new", vec!["old", "new"]),
            (NOW + PUBLISHED_AFTER, "new", vec!["new"]),
        ] {
            assert_eq!((signer(at), ids(at)), (Some(signs), published), "{at}");
        }
    }

    #[test]
    fn key_created_to_sign_at_once_replaces_keys_that_wait() {
        let hour = Duration::from_secs(60 * 60);
        let keys = [key("old", NOW - hour), key("to come", NOW + hour), at_once("at once", NOW)];
        for at in [NOW, NOW + hour, NOW + hour * 9] {
            assert_eq!(signing_at(&keys, at).map(|key| key.id.as_str()), Some("at once"), "{at}");
        }
    }

    #[test]
    fn only_key_signs_even_if_the_clock_was_set_back() {
        let keys = [key("only", NOW)];
        assert_eq!(signing_at(&keys, NOW - Duration::from_secs(1)).map(|key| key.id.as_str()), Some("only"));
        assert_eq!(signing_at(&[], NOW), None);
    }

    #[test]
    fn revoked_key_neither_signs_nor_is_published_and_no_older_key_signs_again() {
        let (hour, day) = (Duration::from_secs(60 * 60), Duration::from_secs(24 * 60 * 60));
        let (old, past) = (NOW - day * 100, NOW - day);
        for (keys, signs, published) in [
            // The only key: another must be created, and signs.
            (vec![revoked("only", old, NOW)], None, vec![]),
            (vec![revoked("only", old, NOW), key("made", NOW)], Some("made"), vec!["made"]),
            // The signing key: the next key signs before its time.
            (vec![revoked("stolen", old, NOW), key("next", NOW + hour)], Some("next"), vec!["next"]),
            // It replaced another key, which stays published and does not sign again.
            (vec![key("retired", old), revoked("stolen", past, NOW)], None, vec!["retired"]),
            (
                vec![key("retired", old), revoked("stolen", past, NOW), key("made", NOW)],
                Some("made"),
                vec!["retired", "made"],
            ),
            // A key that had not taken over: nothing changes, also when its time has come.
            (vec![key("present", old), revoked("next", NOW + hour, NOW)], Some("present"), vec!["present"]),
            (vec![key("present", old), revoked("next", past, past - hour)], Some("present"), vec!["present"]),
            // A retired key.
            (vec![revoked("retired", old, NOW), key("present", past)], Some("present"), vec!["present"]),
            (vec![revoked("one", old, past), revoked("other", past, NOW)], None, vec![]),
        ] {
            let ids = published_at(&keys, NOW).iter().map(|key| key.id.as_str()).collect::<Vec<_>>();
            assert_eq!((signing_at(&keys, NOW).map(|key| key.id.as_str()), ids), (signs, published), "{keys:?}");
        }
    }

    /// The clock of the instance that created the key is ahead of the clock of the instance that revokes it or signs.
    #[test]
    fn key_created_to_sign_at_once_has_taken_over_on_every_clock() {
        let (hour, ahead) = (Duration::from_secs(60 * 60), Duration::from_secs(2));
        let stolen = SigningKey { revoked_at: Some(NOW), ..at_once("stolen", NOW + ahead) };
        let old = || key("old", NOW - hour * 48);
        for at in [NOW, NOW + ahead, NOW + hour] {
            for (keys, signs) in [
                (vec![old(), at_once("new", NOW + ahead)], Some("new")),
                (vec![old(), stolen.clone()], None),
                (vec![old(), stolen.clone(), at_once("made", NOW)], Some("made")),
                (vec![old(), stolen.clone(), key("next", NOW + hour * 2)], Some("next")),
            ] {
                assert_eq!(signing_at(&keys, at).map(|key| key.id.as_str()), signs, "{at} {keys:?}");
            }
        }
    }

    #[test]
    fn key_retires_when_another_takes_over_unless_that_one_was_revoked_before() {
        let hour = Duration::from_secs(60 * 60);
        let keys = [key("old", NOW - hour), revoked("never", NOW, NOW - hour), key("next", NOW + hour)];
        assert_eq!([0, 1, 2].map(|position| retired_at(&keys, position)), [Some(NOW + hour), Some(NOW + hour), None]);
    }
}
