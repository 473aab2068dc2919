//! Signatures, verified by an independent implementation of RFC 9421, and the rotation of keys.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use domain::fault::FaultKind;
use domain::secret::Secret;
use domain::signing::{PUBLISHED_AFTER, PUBLISHED_BEFORE, SigningKey};
use integrations::signatures::{FixedKeys, KeyError, KeyPair, SignedRequest, Signer, content_digest};
use serde_json::{Value, json};
use url::Url;

use crate::kit::python::Script;
use crate::kit::{Keys, NOON, TestClock};
use crate::network::{AMPLE, ctx};

const MINUTE: Duration = Duration::from_secs(60);
const HOOK: &str = "https://platform.example:8443/hooks/a%20b?tenant=7&x=%2F";
const BODY: &str = r#"{"id":"order_1","name":"Gummibärchen"}"#;

fn signer(keys: &Keys, clock: &TestClock) -> Signer {
    Signer::new(Arc::new(keys.clone()), Arc::new(clock.clone()))
}

/// Signs a request like a webhook. Returns it in the input format of `verify.py`.
async fn signed(signer: &Signer, url: &str) -> Value {
    let digest = content_digest(BODY.as_bytes());
    let agent = r#"profile="https://shop.example/.well-known/ucp""#;
    let fields = [("ucp-agent", agent), ("content-digest", digest.as_str()), ("content-type", "application/json")];
    let parsed = Url::parse(url).expect("a url");
    let request = SignedRequest { method: "POST", url: &parsed, fields: &fields };
    let signature = signer.sign(&ctx(AMPLE), request).await.expect("signed");
    let fields = fields.iter().map(|(name, value)| json!([name, value]));
    let more = [json!(["signature-input", signature.input]), json!(["signature", signature.signature])];
    let covers = ["@method", "@authority", "@path", "@query", "ucp-agent", "content-digest", "content-type"];
    let covers: Vec<_> = covers.into_iter().filter(|name| *name != "@query" || parsed.query().is_some()).collect();
    json!({
        "method": "POST", "url": url, "headers": fields.chain(more).collect::<Vec<_>>(), "body": BODY,
        "keys": signer.published(&ctx(AMPLE)).await.expect("published"), "covers": covers,
    })
}

#[tokio::test]
async fn independent_implementation_verifies_signatures_and_detects_changes() {
    let Some(mut judge) = Script::start("verify.py", &[]) else { return };
    let signer = signer(&Keys::default(), &TestClock::at(NOON));
    for url in [HOOK, "https://platform.example/", "http://127.0.0.1:9000/hook", "https://platform.example/h?"] {
        assert_eq!(judge.ask(&signed(&signer, url).await), Value::Null, "{url}");
    }
    let good = signed(&signer, HOOK).await;
    let other_key = self::signer(&Keys::default(), &TestClock::at(NOON)).published(&ctx(AMPLE)).await.expect("a key");
    let mut disguised = other_key.clone();
    disguised[0]["kid"] = good["keys"][0]["kid"].clone();
    for (pointer, value) in [
        ("/method", json!("PUT")),
        ("/url", json!(HOOK.replace("tenant=7", "tenant=8"))),
        ("/url", json!(HOOK.replace("platform", "platform2"))),
        ("/url", json!(HOOK.replace("8443", "8444"))),
        ("/url", json!(HOOK.replace("hooks", "hook"))),
        ("/body", json!(BODY.replace("order_1", "order_2"))),
        ("/headers/0/1", json!(r#"profile="https://other.example/.well-known/ucp""#)),
        ("/headers/1/1", json!(content_digest(b"other"))),
        ("/headers/2/1", json!("text/plain")),
        ("/headers/3/1", json!(good["headers"][3][1].as_str().expect("text").replace("1775649600", "1775649601"))),
        ("/headers/4/1", json!(format!("sig1=:{}==:", "A".repeat(86)))),
        ("/keys", json!(other_key)),
        ("/keys", json!(disguised)),
        ("/covers/0", json!("@scheme")),
    ] {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).expect("there") = value;
        assert_ne!(changed, good, "{pointer}");
        assert!(judge.ask(&changed).is_string(), "not detected: {changed}");
    }
}

#[tokio::test]
async fn first_key_is_made_and_stored() {
    let (keys, clock) = (Keys::default(), TestClock::at(NOON));
    let signer = signer(&keys, &clock);
    let first = signer.published(&ctx(AMPLE)).await.expect("published");
    assert_eq!(first.len(), 1);
    let request = signed(&signer, HOOK).await;
    let input = request["headers"][3][1].as_str().expect("text");
    assert!(input.ends_with(&format!(r#";created=1775649600;keyid="{}""#, first[0]["kid"].as_str().expect("text"))));
    assert!(!input.contains("alg"), "{input}");
    assert_eq!(keys.stored.lock().expect("sound").len(), 1);
    assert_eq!(self::signer(&keys, &clock).published(&ctx(AMPLE)).await.expect("published"), first);
    assert!(!first[0].to_string().contains("\"d\""), "a private key was published");
}

#[tokio::test]
async fn concurrent_instances_sign_with_the_same_first_key() {
    let (keys, clock) = (Keys::default(), TestClock::at(NOON));
    let rival = KeyPair::generate().expect("a key");
    let private = rival.to_pem().expect("a text");
    let rival = SigningKey { id: rival.id().to_owned(), private, created_at: NOON, signs_from: NOON, revoked_at: None };
    keys.rivals.lock().expect("sound").push(rival.clone());
    let published = signer(&keys, &clock).published(&ctx(AMPLE)).await.expect("published");
    assert_eq!(published.iter().map(|key| key["kid"].clone()).collect::<Vec<_>>(), [json!(rival.id)]);
}

#[tokio::test]
async fn new_key_is_published_before_it_signs_and_old_key_after() {
    let (keys, clock) = (Keys::default(), TestClock::at(NOON));
    let (here, elsewhere) = (signer(&keys, &clock), signer(&keys, &clock));
    let old = published(&elsewhere).await.remove(0);
    let rotated = here.rotate(&ctx(AMPLE), false).await.expect("rotated");
    assert_eq!(rotated.signs_from, NOON + PUBLISHED_BEFORE);
    let new = rotated.id;
    assert_eq!((published(&here).await, signing(&here).await), (vec![old.clone(), new.clone()], old.clone()));
    assert_eq!(published(&elsewhere).await, std::slice::from_ref(&old), "cached");
    clock.advance(MINUTE);
    assert_eq!(published(&elsewhere).await, [old.clone(), new.clone()]);
    clock.advance(PUBLISHED_BEFORE);
    assert_eq!((published(&elsewhere).await, signing(&elsewhere).await), (vec![old.clone(), new.clone()], new.clone()));
    clock.advance(PUBLISHED_AFTER);
    assert_eq!(published(&elsewhere).await, std::slice::from_ref(&new));

    let urgent = here.rotate(&ctx(AMPLE), true).await.expect("rotated");
    assert_eq!((signing(&here).await, urgent.signs_from), (urgent.id, clock.now()));
}

/// The ids of the published keys.
async fn published(signer: &Signer) -> Vec<String> {
    let keys = signer.published(&ctx(AMPLE)).await.expect("published");
    keys.iter().map(|key| key["kid"].as_str().expect("text").to_owned()).collect()
}

/// The id of the key that signs.
async fn signing(signer: &Signer) -> String {
    let request = signed(signer, HOOK).await;
    let input = request["headers"][3][1].as_str().expect("text").to_owned();
    input.rsplit("keyid=").next().expect("a key id").trim_matches('"').to_owned()
}

#[tokio::test]
async fn revoked_key_is_withdrawn_at_once_here_and_within_a_minute_elsewhere() {
    let (keys, clock) = (Keys::default(), TestClock::at(NOON));
    let (here, elsewhere) = (signer(&keys, &clock), signer(&keys, &clock));
    let stolen = signing(&elsewhere).await;
    assert_eq!(here.revoke(&ctx(AMPLE), "another").await.expect("asked"), None);
    let revoked = here.revoke(&ctx(AMPLE), &stolen).await.expect("revoked").expect("there");
    assert!(revoked.took_over && revoked.signs != stolen);
    assert_eq!((published(&here).await, signing(&here).await), (vec![revoked.signs.clone()], revoked.signs.clone()));

    clock.advance(MINUTE - Duration::from_secs(1));
    assert_eq!(signing(&elsewhere).await, stolen, "cached");
    clock.advance(Duration::from_secs(1));
    let after = (published(&elsewhere).await, signing(&elsewhere).await);
    assert_eq!(after, (vec![revoked.signs.clone()], revoked.signs.clone()));

    // A second revocation changes nothing.
    let again = here.revoke(&ctx(AMPLE), &stolen).await.expect("asked").expect("there");
    assert_eq!((again.signs, again.took_over), (revoked.signs.clone(), false));
    assert_eq!(keys.stored.lock().expect("sound").len(), 2);

    // After a revocation, the next key signs at once, before the time that was planned for it.
    let next = here.rotate(&ctx(AMPLE), false).await.expect("rotated").id;
    let revoked = here.revoke(&ctx(AMPLE), &revoked.signs).await.expect("revoked").expect("there");
    assert_eq!((revoked.signs.as_str(), revoked.took_over), (next.as_str(), true));
    assert_eq!((published(&here).await, signing(&here).await), (vec![next.clone()], next));
}

#[tokio::test]
async fn missing_signing_key_is_replaced() {
    let (keys, clock) = (Keys::default(), TestClock::at(NOON));
    let stolen = signing(&signer(&keys, &clock)).await;
    // As if the process that revoked the key had ended before it created another key.
    keys.stored.lock().expect("sound")[0].revoked_at = Some(NOON);
    let made = signing(&signer(&keys, &clock)).await;
    assert_ne!(made, stolen);
    assert_eq!(published(&signer(&keys, &clock)).await, [made]);
}

#[tokio::test]
async fn keys_are_cached_for_a_minute_and_longer_while_the_store_fails() {
    let (keys, clock) = (Keys::default(), TestClock::at(NOON));
    let signer = signer(&keys, &clock);
    *keys.is_down.lock().expect("sound") = true;
    let fault = signer.published(&ctx(AMPLE)).await.expect_err("nothing is known");
    assert_eq!(fault.kind(), FaultKind::Unavailable);
    *keys.is_down.lock().expect("sound") = false;
    let known = signer.published(&ctx(AMPLE)).await.expect("published");
    let reads = *keys.reads.lock().expect("sound");
    clock.advance(MINUTE - Duration::from_secs(1));
    assert_eq!(signer.published(&ctx(AMPLE)).await.expect("published"), known);
    assert_eq!(*keys.reads.lock().expect("sound"), reads);
    clock.advance(Duration::from_secs(1));
    *keys.is_down.lock().expect("sound") = true;
    assert_eq!(signer.published(&ctx(AMPLE)).await.expect("published"), known);
    assert_eq!(*keys.reads.lock().expect("sound"), reads + 1);
    // The cached keys are used for a limited time, because a key may have been revoked in the meantime.
    clock.advance(MINUTE * 9 - Duration::from_secs(1));
    assert_eq!(signer.published(&ctx(AMPLE)).await.expect("published"), known);
    clock.advance(Duration::from_secs(1));
    let fault = signer.published(&ctx(AMPLE)).await.expect_err("too old");
    assert_eq!(fault.kind(), FaultKind::Unavailable);
    *keys.is_down.lock().expect("sound") = false;
    assert_eq!(signer.published(&ctx(AMPLE)).await.expect("published"), known);
}

#[tokio::test]
async fn first_configured_key_signs_and_all_are_published() {
    let pairs = [(); 3].map(|()| KeyPair::generate().expect("a key"));
    let pems: Vec<_> = pairs.iter().map(|pair| pair.to_pem().expect("a text")).collect();
    let joined = |pems: &[&Secret]| pems.iter().map(|pem| pem.expose()).collect::<String>();
    let fixed = FixedKeys::read(&joined(&[&pems[0], &pems[1], &pems[2]])).expect("keys");
    let signer = Signer::new(Arc::new(fixed), Arc::new(TestClock::at(NOON)));
    let published = signer.published(&ctx(AMPLE)).await.expect("published");
    assert_eq!(published, pairs.iter().map(|pair| pair.jwk(pair.id())).collect::<Vec<_>>());
    let request = signed(&signer, HOOK).await;
    assert!(request["headers"][3][1].as_str().expect("text").contains(pairs[0].id()));
    assert!(signer.rotate(&ctx(AMPLE), true).await.is_err(), "configured keys cannot be replaced");
    assert!(signer.revoke(&ctx(AMPLE), pairs[0].id()).await.is_err(), "configured keys cannot be revoked");
    let again = joined(&[&pems[0], &pems[1], &pems[0]]);
    assert_eq!(FixedKeys::read(&again).err(), Some(KeyError::Twice));
}

#[tokio::test]
async fn key_file_may_contain_both_formats_and_comments() {
    // The key of RFC 9421, appendix B.1.3, in the format of OpenSSL.
    const OF_OPENSSL: &str = "-----BEGIN EC PARAMETERS-----\n\
        BggqhkjOPQMBBw==\n\
        -----END EC PARAMETERS-----\n\
        -----BEGIN EC PRIVATE KEY-----\n\
        MHcCAQEEIFKbhfNZfpDsW43+0+JjUr9K+bTeuxopu653+hBaXGA7oAoGCCqGSM49\n\
        AwEHoUQDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM\n\
        4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n\
        -----END EC PRIVATE KEY-----\n";
    let pair = KeyPair::generate().expect("a key");
    let pem = pair.to_pem().expect("a text");
    let file = format!("the new one\n{OF_OPENSSL}\n# until Sunday:\n{}# the end\n", pem.expose());
    let fixed = FixedKeys::read(&file).expect("two keys");
    let signer = Signer::new(Arc::new(fixed), Arc::new(TestClock::at(NOON)));
    let published = signer.published(&ctx(AMPLE)).await.expect("published");
    assert_eq!(published.len(), 2);
    assert_eq!(published[0]["x"], "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA");
    assert_eq!(published[1]["kid"], pair.id());
    let broken = file.replace("-----END PRIVATE KEY-----", "");
    for file in ["", "no key", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", &broken] {
        assert!(FixedKeys::read(file).is_err(), "{file}");
    }
}
