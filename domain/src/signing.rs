//! The keys that the shop signs with.
//!
//! A key is published before it signs, so that those who cached the profile have it in time, and stays published after
//! the last signature that it made, so that what is under way can still be verified. A key that was stolen has no such
//! grace: it is revoked, and from then on neither signs nor is published, whatever was signed with it.

use std::time::Duration;

use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::secret::Secret;

/// How long a retired key stays published. The commerce protocol asks for seven days at least.
pub const PUBLISHED_AFTER: Duration = Duration::from_secs(8 * 24 * 60 * 60);
/// How long a new key is published before it signs: longer than anyone may cache a profile.
pub const PUBLISHED_BEFORE: Duration = Duration::from_secs(60 * 60);

/// A key pair for ES256 (ECDSA on P-256 with SHA-256).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// How signatures name it.
    pub id: String,
    /// PKCS #8 in PEM (RFC 7468).
    pub private: Secret,
    pub created_at: Timestamp,
    /// From when on it signs, if no younger key does.
    pub signs_from: Timestamp,
    /// When it was withdrawn, if it was. For good.
    pub revoked_at: Option<Timestamp>,
}

impl SigningKey {
    /// Whether it was made to sign at once. Nobody knew it before it signed, so that it has taken over wherever it is
    /// known, also where the clock shows less than the one it was made by.
    pub fn is_at_once(&self) -> bool {
        self.signs_from <= self.created_at
    }

    /// When it takes over from the older ones; `None` if it was revoked before that.
    fn takes_over_at(&self) -> Option<Timestamp> {
        let in_time = |at: &Timestamp| self.is_at_once() || self.revoked_at.is_none_or(|revoked| *at <= revoked);
        Some(self.signs_from).filter(in_time)
    }

    fn has_taken_over_at(&self, now: Timestamp) -> bool {
        self.is_at_once() || self.takes_over_at().is_some_and(|at| at <= now)
    }
}

/// Where keys are kept. Each method is one transaction.
pub trait KeyStore: Send + Sync {
    /// Oldest first.
    fn keys(&self, ctx: &RequestContext) -> PortFuture<Vec<SigningKey>, Fault>;

    /// Adds a key after those that the caller has `seen`. False, and nothing is changed, when someone else has added one
    /// meanwhile.
    fn add(&self, ctx: &RequestContext, key: SigningKey, seen: usize) -> PortFuture<bool, Fault>;

    /// Withdraws the key as of `now`. It stays in the list. False, and nothing is changed, when there is no such key or
    /// it was revoked before.
    fn revoke(&self, ctx: &RequestContext, id: String, now: Timestamp) -> PortFuture<bool, Fault>;
}

/// The key that signs at `now`: the last that was added of those whose time has come; the first if it has come for none.
/// So one that takes over at once also takes the place of those that were still to come.
///
/// In the place of a revoked one signs the next that was to come, at once. An older one never comes back: whoever holds
/// it may be why it was replaced. `None`: a key must be made.
pub fn signing_at(keys: &[SigningKey], now: Timestamp) -> Option<&SigningKey> {
    let last = keys.iter().rposition(|key| key.has_taken_over_at(now)).unwrap_or(0);
    keys.iter().skip(last).find(|key| key.revoked_at.is_none())
}

/// When the key at this position signs for the last time because another takes over; may be yet to come.
pub fn retired_at(keys: &[SigningKey], position: usize) -> Option<Timestamp> {
    keys.iter().skip(position + 1).filter_map(SigningKey::takes_over_at).min()
}

/// The keys that the profile shows at `now`: those that sign, will sign, or signed until recently, but no revoked one.
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

    /// Published for a while before it signs.
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
    fn a_rotated_key_is_known_before_it_signs_and_after_it_signed() {
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
    fn a_key_that_takes_over_at_once_is_not_followed_by_one_that_was_to_come() {
        let hour = Duration::from_secs(60 * 60);
        let keys = [key("old", NOW - hour), key("to come", NOW + hour), at_once("at once", NOW)];
        for at in [NOW, NOW + hour, NOW + hour * 9] {
            assert_eq!(signing_at(&keys, at).map(|key| key.id.as_str()), Some("at once"), "{at}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_the_shop_with_a_key() {
        let keys = [key("only", NOW)];
        assert_eq!(signing_at(&keys, NOW - Duration::from_secs(1)).map(|key| key.id.as_str()), Some("only"));
        assert_eq!(signing_at(&[], NOW), None);
    }

    #[test]
    fn a_revoked_key_neither_signs_nor_is_published_and_brings_no_older_one_back() {
        let (hour, day) = (Duration::from_secs(60 * 60), Duration::from_secs(24 * 60 * 60));
        let (old, past) = (NOW - day * 100, NOW - day);
        for (keys, signs, published) in [
            // The only one: another must be made, and signs.
            (vec![revoked("only", old, NOW)], None, vec![]),
            (vec![revoked("only", old, NOW), key("made", NOW)], Some("made"), vec!["made"]),
            // The one that signs: the one that was to come signs before its time.
            (vec![revoked("stolen", old, NOW), key("next", NOW + hour)], Some("next"), vec!["next"]),
            // It replaced another, which stays known and does not come back.
            (vec![key("retired", old), revoked("stolen", past, NOW)], None, vec!["retired"]),
            (
                vec![key("retired", old), revoked("stolen", past, NOW), key("made", NOW)],
                Some("made"),
                vec!["retired", "made"],
            ),
            // One that was to come: all stays as it was, also when its time has come.
            (vec![key("present", old), revoked("next", NOW + hour, NOW)], Some("present"), vec!["present"]),
            (vec![key("present", old), revoked("next", past, past - hour)], Some("present"), vec!["present"]),
            // One that signs no more.
            (vec![revoked("retired", old, NOW), key("present", past)], Some("present"), vec!["present"]),
            (vec![revoked("one", old, past), revoked("other", past, NOW)], None, vec![]),
        ] {
            let ids = published_at(&keys, NOW).iter().map(|key| key.id.as_str()).collect::<Vec<_>>();
            assert_eq!((signing_at(&keys, NOW).map(|key| key.id.as_str()), ids), (signs, published), "{keys:?}");
        }
    }

    /// Made by a machine whose clock is ahead of the one that revokes it, or that signs.
    #[test]
    fn a_key_that_was_made_at_once_has_taken_over_whatever_another_clock_shows() {
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
    fn a_key_retires_when_another_takes_over_and_not_when_one_was_revoked_before_it_did() {
        let hour = Duration::from_secs(60 * 60);
        let keys = [key("old", NOW - hour), revoked("never", NOW, NOW - hour), key("next", NOW + hour)];
        assert_eq!([0, 1, 2].map(|position| retired_at(&keys, position)), [Some(NOW + hour), Some(NOW + hour), None]);
    }
}
