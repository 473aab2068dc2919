//! The shop's signing keys, which all its instances share.

use domain::secret::Secret;
use domain::signing::{KeyStore, PUBLISHED_BEFORE, SigningKey, signing_at};

use crate::kit::data::{noon, task};
use crate::kit::{Expected, Place};
use crate::on_both_engines;

on_both_engines!(
    keys_are_stored_exactly_and_listed_in_insertion_order,
    concurrent_key_additions_add_one_key,
    key_addition_without_all_keys_seen_is_refused,
    rotated_key_signs_from_its_time,
    a_key_is_revoked_once_and_stays_in_the_list,
    key_beyond_the_list_limit_is_refused,
);

fn key(id: &str) -> SigningKey {
    let private = Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{id}\n-----END PRIVATE KEY-----\n"));
    SigningKey { id: id.to_owned(), private, created_at: noon(), signs_from: noon(), revoked_at: None }
}

async fn keys_are_stored_exactly_and_listed_in_insertion_order(place: Place) {
    let signing = place.shop().await.signing;
    assert!(signing.keys(&task()).await.expect("read").is_empty());
    let keys = [key("zebra"), key("apple"), key("mango")];
    for (seen, key) in keys.iter().enumerate() {
        assert!(signing.add(&task(), key.clone(), seen).await.expect("added"));
    }
    assert_eq!(signing.keys(&task()).await.expect("read"), keys);
}

async fn concurrent_key_additions_add_one_key(place: Place) {
    let signing = place.shop().await.signing;
    let ctx = task();
    for seen in 0..5 {
        let [one, other] = ["one", "other"].map(|name| signing.add(&ctx, key(&format!("{name}-{seen}")), seen));
        let (one, other) = tokio::join!(one, other);
        assert_ne!(one.expect("asked"), other.expect("asked"));
    }
    assert_eq!(signing.keys(&ctx).await.expect("read").len(), 5);
}

async fn key_addition_without_all_keys_seen_is_refused(place: Place) {
    let signing = place.shop().await.signing;
    assert!(signing.add(&task(), key("first"), 0).await.expect("added"));
    assert!(!signing.add(&task(), key("second"), 0).await.expect("asked"));
    assert_eq!(signing.keys(&task()).await.expect("read"), [key("first")]);
}

async fn rotated_key_signs_from_its_time(place: Place) {
    let signing = place.shop().await.signing;
    signing.add(&task(), key("old"), 0).await.expect("added");
    let new = SigningKey { signs_from: noon() + PUBLISHED_BEFORE, ..key("new") };
    signing.add(&task(), new.clone(), 1).await.expect("added");
    let keys = signing.keys(&task()).await.expect("read");
    let signer = |at| signing_at(&keys, at).map(|key| key.id.as_str());
    let last = new.signs_from - time::Duration::milliseconds(1);
    assert_eq!((signer(noon()), signer(last), signer(new.signs_from)), (Some("old"), Some("old"), Some("new")));
}

async fn a_key_is_revoked_once_and_stays_in_the_list(place: Place) {
    let signing = place.shop().await.signing;
    for (seen, id) in ["first", "second"].into_iter().enumerate() {
        assert!(signing.add(&task(), key(id), seen).await.expect("added"));
    }
    let revoke = |id: &str, at| signing.revoke(&task(), id.to_owned(), at);
    assert!(!revoke("third", noon()).await.expect("asked"));
    assert!(revoke("first", noon()).await.expect("revoked"));
    let later = noon() + time::Duration::hours(1);
    assert!(!revoke("first", later).await.expect("asked"), "it was revoked before");
    let revoked = SigningKey { revoked_at: Some(noon()), ..key("first") };
    assert_eq!(signing.keys(&task()).await.expect("read"), [revoked, key("second")]);
    // A caller can add a key only if it has seen all existing keys.
    assert!(!signing.add(&task(), key("third"), 1).await.expect("asked"));
    assert!(signing.add(&task(), key("third"), 2).await.expect("added"));
}

/// With one key more, every read of the keys would fail.
async fn key_beyond_the_list_limit_is_refused(place: Place) {
    let signing = place.shop().await.signing;
    for seen in 0..400 {
        assert!(signing.add(&task(), key(&format!("key-{seen}")), seen).await.expect("added"));
    }
    let fault = signing.add(&task(), key("one-more"), 400).await.fault();
    assert!(fault.chain().contains("there are 400 signing keys already"), "{}", fault.chain());
    let keys = signing.keys(&task()).await.expect("read");
    assert_eq!((keys.len(), keys[399].id.as_str()), (400, "key-399"));
}
