//! Signing keys: which key signs, and which keys are published.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::secret::Secret;
use domain::signing::{PUBLISHED_AFTER, PUBLISHED_BEFORE, SigningKey, published_at, retired_at, signing_at};

use crate::kit::NOW;

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
        // The only key is revoked: a new key must be created, and then the new key signs.
        (vec![revoked("only", old, NOW)], None, vec![]),
        (vec![revoked("only", old, NOW), key("made", NOW)], Some("made"), vec!["made"]),
        // The signing key is revoked: the next key signs, even before its time.
        (vec![revoked("stolen", old, NOW), key("next", NOW + hour)], Some("next"), vec!["next"]),
        // The revoked key had replaced another key, which stays published and does not sign again.
        (vec![key("retired", old), revoked("stolen", past, NOW)], None, vec!["retired"]),
        (
            vec![key("retired", old), revoked("stolen", past, NOW), key("made", NOW)],
            Some("made"),
            vec!["retired", "made"],
        ),
        // A key that has not taken over is revoked: the present key signs, even after the time at which the revoked key
        // would sign.
        (vec![key("present", old), revoked("next", NOW + hour, NOW)], Some("present"), vec!["present"]),
        (vec![key("present", old), revoked("next", past, past - hour)], Some("present"), vec!["present"]),
        // A retired key is revoked: the present key signs.
        (vec![revoked("retired", old, NOW), key("present", past)], Some("present"), vec!["present"]),
        (vec![revoked("one", old, past), revoked("other", past, NOW)], None, vec![]),
    ] {
        let ids = published_at(&keys, NOW).iter().map(|key| key.id.as_str()).collect::<Vec<_>>();
        assert_eq!((signing_at(&keys, NOW).map(|key| key.id.as_str()), ids), (signs, published), "{keys:?}");
    }
}

/// The clock of the instance that created the key is ahead of the clock of the instance that revokes the key or signs
/// with it.
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
