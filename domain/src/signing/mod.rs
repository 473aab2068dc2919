//! The keys that the shop signs with.
//!
//! A key is published before it signs, so that those who cached the profile have it in time, and stays published after
//! the last signature that it made, so that what is under way can still be verified.

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
}

/// Where keys are kept. Each method is one transaction.
pub trait KeyStore: Send + Sync {
    /// Oldest first.
    fn keys(&self, ctx: &RequestContext) -> PortFuture<Vec<SigningKey>, Fault>;

    /// Adds a key after those that the caller has `seen`. False, and nothing is changed, when someone else has added one
    /// meanwhile.
    fn add(&self, ctx: &RequestContext, key: SigningKey, seen: usize) -> PortFuture<bool, Fault>;
}

/// The key that signs at `now`: the last that was added of those whose time has come; the first if it has come for none.
/// So one that takes over at once also takes the place of those that were still to come.
pub fn signing_at(keys: &[SigningKey], now: Timestamp) -> Option<&SigningKey> {
    keys.iter().rev().find(|key| key.signs_from <= now).or_else(|| keys.first())
}

/// The keys that the profile shows at `now`: those that sign, will sign, or signed until recently.
pub fn published_at(keys: &[SigningKey], now: Timestamp) -> Vec<&SigningKey> {
    let retired_at = |position: usize| keys[position + 1..].iter().map(|later| later.signs_from).min();
    let is_shown = |position| retired_at(position).is_none_or(|at: Timestamp| now < at + PUBLISHED_AFTER);
    keys.iter().enumerate().filter(|(position, _)| is_shown(*position)).map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

    fn key(id: &str, signs_from: Timestamp) -> SigningKey {
        SigningKey { id: id.to_owned(), private: Secret::new("x"), created_at: signs_from, signs_from }
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
        let keys = [key("old", NOW - hour), key("to come", NOW + hour), key("at once", NOW)];
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
}
