//! The operator's commands beside a running shop: keys, platforms and deliveries. Exit code 1 is a failure, 2 is wrong
//! usage.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::database::{Database, stock};
use crate::kit::Place;
use crate::kit::Server;
use crate::kit::basket::basket;
use crate::kit::command::{Finished, tuckshop, tuckshop_at};
use crate::python::Script;
use crate::receiver::{Arrival, Receiver};
use crate::shop::{ITEMS, serve};

fn run(place: &Place, arguments: &[&str]) -> Finished {
    tuckshop_at(place, arguments, &[])
}

/// The key ids of the published profile.
async fn published(server: &Server) -> BTreeSet<String> {
    let profile = server.get("/.well-known/ucp").await.body(200);
    let keys = profile["signing_keys"].as_array().expect("keys").iter();
    keys.map(|key| key["kid"].as_str().expect("an id").to_owned()).collect()
}

/// Buys something. Returns the webhook and the id of the key that signed it.
async fn webhook_of_a_purchase(server: &Server, receiver: &Receiver) -> (Arrival, String) {
    let platform = server.as_platform(&receiver.profile());
    let before = receiver.arrivals().len();
    let checkout = platform.post("/checkout-sessions", &basket(&[("sample", 1)])).await.body(201);
    let _ = platform.complete(&checkout, "success_token").await.body(200);
    let arrival = receiver.wait_for(before + 1).await.remove(before);
    let input = arrival.header("signature-input");
    let key = input.rsplit("keyid=").next().expect("a key").trim_matches('"').to_owned();
    (arrival, key)
}

/// The id of the signing key. The signature is verified with the current profile.
async fn signer(server: &Server, receiver: &Receiver) -> String {
    let (arrival, key) = webhook_of_a_purchase(server, receiver).await;
    let profile = server.get("/.well-known/ucp").await.body(200);
    if let Some(mut verifier) = Script::start("verify.py", &[]) {
        assert_eq!(verifier.verify_webhook(&arrival, &profile["signing_keys"]), Value::Null);
    }
    key
}

/// The state of the key in the list.
fn state<'a>(listed: &'a str, id: &str) -> &'a str {
    let line = listed.lines().find_map(|line| line.strip_prefix(id)).unwrap_or_else(|| panic!("{listed}"));
    line.trim_start()
}

fn key_of(output: &str) -> String {
    output.split_whitespace().next().expect("an id").to_owned()
}

/// A new key is published before it signs, and the old key stays published after its last signature.
async fn key_is_published_before_it_signs_and_stays_published_after(place: Place) {
    stock(&place, ITEMS);
    let none = run(&place, &["keys", "list"]);
    assert_eq!((none.code, none.out.as_str()), (0, "0 key(s). The first is created when it is first needed."));
    let (server, receiver) = (serve(&place, &[]).await, Receiver::start().await);
    let first = signer(&server, &receiver).await;
    assert_eq!(published(&server).await, BTreeSet::from([first.clone()]));

    let rotated = run(&place, &["keys", "rotate"]);
    assert_eq!(rotated.code, 0, "{}", rotated.err);
    let second = key_of(&rotated.out);
    assert!(rotated.out.contains(" signs from "), "{}", rotated.out);
    // The shop caches its keys for a minute; a new process reads them at once.
    drop(server);
    let server = serve(&place, &[]).await;
    assert_eq!(published(&server).await, BTreeSet::from([first.clone(), second.clone()]));
    assert_eq!(signer(&server, &receiver).await, first, "the new key does not sign yet");
    let listed = run(&place, &["keys", "list"]);
    let signs_from = rotated.out.trim_end().trim_end_matches('.').split_whitespace().nth(3).expect("an instant");
    assert!(state(&listed.out, &first).starts_with("signs      since "), "{}", listed.out);
    assert!(state(&listed.out, &first).ends_with(&format!(", until {signs_from}")), "{}", listed.out);
    assert_eq!(state(&listed.out, &second), format!("published  signs from {signs_from}"));
    assert!(listed.out.ends_with("2 key(s)."), "{}", listed.out);

    let urgent = run(&place, &["keys", "rotate", "--at-once"]);
    assert_eq!(urgent.code, 0, "{}", urgent.err);
    let third = key_of(&urgent.out);
    drop(server);
    let server = serve(&place, &[]).await;
    assert_eq!(signer(&server, &receiver).await, third);
    assert!(published(&server).await.is_superset(&BTreeSet::from([first.clone(), third.clone()])));
    let listed = run(&place, &["keys", "list"]).out;
    assert!(state(&listed, &first).starts_with("published  signed until "), "{listed}");
    assert!(state(&listed, &second).starts_with("published  never signed, published until "), "{listed}");
    assert!(state(&listed, &third).starts_with("signs      since "), "{listed}");
    assert!(!listed.contains("PRIVATE"));
}

/// A revoked key is no longer published, and another key signs.
async fn revoked_key_is_withdrawn_at_once_and_another_signs(place: Place) {
    stock(&place, ITEMS);
    let (server, receiver) = (serve(&place, &[]).await, Receiver::start().await);
    let stolen = signer(&server, &receiver).await;
    let unknown = run(&place, &["keys", "revoke", "another"]);
    assert_eq!((unknown.code, unknown.err.contains("there is no key another")), (1, true), "{}", unknown.err);

    let revoked = run(&place, &["keys", "revoke", &stolen]);
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    assert!(revoked.out.starts_with(&format!("{stolen} is revoked: ")), "{}", revoked.out);
    assert!(revoked.out.contains("Receivers cannot verify webhooks in transit that it signed."), "{}", revoked.out);
    let made = key_of(revoked.out.lines().last().expect("a line"));
    assert!(revoked.out.ends_with(&format!("{made} signs instead; receivers must read the profile again.")));
    // The shop caches its keys for a minute; a new process reads them at once.
    drop(server);
    let server = serve(&place, &[]).await;
    assert_eq!(published(&server).await, BTreeSet::from([made.clone()]));
    assert_eq!(signer(&server, &receiver).await, made);
    let listed = run(&place, &["keys", "list"]).out;
    assert!(state(&listed, &stolen).starts_with("revoked    since "), "{listed}");
    assert!(state(&listed, &made).starts_with("signs      since "), "{listed}");

    // The next key replaces the revoked key before its time, and no older key returns.
    let next = key_of(&run(&place, &["keys", "rotate"]).out);
    let revoked = run(&place, &["keys", "revoke", &made]);
    assert!(revoked.out.contains(&format!("{next} signs instead; receivers")), "{}", revoked.out);
    let listed = run(&place, &["keys", "list"]).out;
    assert_eq!(state(&listed, &next), "signs      instead of a revoked key");
    let again = run(&place, &["keys", "revoke", &stolen]);
    assert_eq!((again.code, again.out.ends_with(&format!("{next} signs, as before."))), (0, true), "{}", again.out);
    drop(server);
    let server = serve(&place, &[]).await;
    assert_eq!(signer(&server, &receiver).await, next);
    assert_eq!(published(&server).await, BTreeSet::from([next]));
}

/// The operator owns keys in a file. The shop does not create, rotate or revoke them, and says what to do instead.
async fn keys_of_a_file_are_replaced_in_the_file(place: Place) {
    stock(&place, ITEMS);
    // RFC 9421, appendix B.1.3.
    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\n\
        MHcCAQEEIFKbhfNZfpDsW43+0+JjUr9K+bTeuxopu653+hBaXGA7oAoGCCqGSM49\n\
        AwEHoUQDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM\n\
        4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n\
        -----END EC PRIVATE KEY-----\n";
    let path = place.directory().join("keys.pem");
    std::fs::write(&path, KEY).expect("written");
    let path = path.display().to_string();
    let keys = |arguments: &[&str]| tuckshop_at(&place, arguments, &[("TUCKSHOP_WEBHOOK_KEYS_PATH", path.as_str())]);
    let listed = keys(&["keys", "list"]);
    let id = key_of(&listed.out);
    assert_eq!(listed.out, format!("{id}  signs\n1 key(s), from the file in TUCKSHOP_WEBHOOK_KEYS_PATH."));
    for (arguments, advice) in [
        (&["keys", "rotate"][..], "add a new one to it, and restart"),
        (&["keys", "revoke", &id], "remove this one from it, and restart every instance"),
    ] {
        let refused = keys(arguments);
        assert_eq!((refused.code, refused.err.contains(advice)), (1, true), "{arguments:?}: {}", refused.err);
    }
}

/// WH7. A receiver that caches the profile for an hour and keeps webhooks for days can verify every webhook across a
/// rotation: the new key is published before it signs, and the old key after it has signed.
async fn webhooks_across_a_rotation_can_be_verified(place: Place) {
    const HOUR_AND_A_BIT_MS: i64 = 61 * 60 * 1_000;
    stock(&place, ITEMS);
    let (server, receiver) = (serve(&place, &[]).await, Receiver::start().await);
    let (first, old) = webhook_of_a_purchase(&server, &receiver).await;
    let rotated = run(&place, &["keys", "rotate"]);
    assert_eq!(rotated.code, 0, "{}", rotated.err);
    let new = key_of(&rotated.out);
    // The running shop caches its keys for a minute. The old key signs and verifies meanwhile.
    let (second, still) = webhook_of_a_purchase(&server, &receiver).await;
    assert_eq!(still, old);
    drop(server);
    let server = serve(&place, &[]).await;
    let kept = server.get("/.well-known/ucp").await.body(200);
    let (third, still) = webhook_of_a_purchase(&server, &receiver).await;
    assert_eq!(still, old, "the new key does not sign yet");

    // The new key becomes due.
    let passes = format!("UPDATE signing_key SET signs_from = signs_from - {HOUR_AND_A_BIT_MS}");
    Database::open(&place).execute(&passes);
    drop(server);
    let server = serve(&place, &[]).await;
    let (fourth, signs) = webhook_of_a_purchase(&server, &receiver).await;
    assert_eq!(signs, new);
    let now = server.get("/.well-known/ucp").await.body(200);
    assert_eq!(published(&server).await, BTreeSet::from([old, new]));
    let Some(mut verifier) = Script::start("verify.py", &[]) else { return };
    for profile in [&kept, &now] {
        for arrival in [&first, &second, &third, &fourth] {
            assert_eq!(verifier.verify_webhook(arrival, &profile["signing_keys"]), Value::Null);
        }
    }
    // The verifier detects a missing key.
    let mut others = now["signing_keys"].clone();
    others.as_array_mut().expect("keys").retain(|key| key["kid"] != signs.as_str());
    assert!(verifier.verify_webhook(&fourth, &others).is_string());
}

/// A file without usable keys is reported before anything is opened.
async fn file_without_keys_is_a_configuration_error(place: Place) {
    for (text, expected) in [(None, "No such file"), (Some("no key"), "no key given")] {
        let path = place.directory().join("keys.pem");
        if let Some(text) = text {
            std::fs::write(&path, text).expect("written");
        }
        let path = path.display().to_string();
        for command in [&["serve"][..], &["keys", "list"], &["keys", "rotate"]] {
            let finished = tuckshop_at(&place, command, &[("TUCKSHOP_WEBHOOK_KEYS_PATH", path.as_str())]);
            assert_eq!(finished.code, 2, "{command:?}: {}", finished.err);
            assert!(finished.err.contains("TUCKSHOP_WEBHOOK_KEYS_PATH: "), "{command:?}: {}", finished.err);
            assert!(finished.err.contains(expected), "{command:?}: {}", finished.err);
        }
    }
    assert!(!place.sqlite_path().exists());
}

#[test]
fn wrong_arguments_exit_with_2() {
    let platform = "https://platform.example/profile.json";
    for arguments in [
        &["keys"][..],
        &["keys", "burn"],
        &["keys", "revoke"],
        &["keys", "rotate", "--soon"],
        &["platforms"],
        &["platforms", "add"],
        &["platforms", "add", platform],
        &["platforms", "add", "platform", "--webhook-url", platform],
        &["platforms", "add", platform, "--webhook-url", "hook"],
        &["platforms", "add", platform, "--webhook-url", platform, "--profile", "x.json"],
        &["platforms", "remove"],
        &["deliveries"],
        &["deliveries", "retry"],
        &["deliveries", "drop"],
        &["deliveries", "drop", "--all"],
        &["deliveries", "destinations", "--limit", "0"],
        &["deliveries", "retry", "--all", "--destination", "mail"],
        &["deliveries", "list", "--state", "lost"],
        &["deliveries", "list", "--limit", "0"],
    ] {
        let finished = tuckshop(arguments, &[]);
        assert_eq!(finished.code, 2, "{arguments:?}: {}{}", finished.out, finished.err);
        assert!(!finished.err.is_empty(), "{arguments:?}");
    }
}

/// A command that cannot succeed changes nothing and prints the reason.
async fn impossible_commands_exit_with_1(place: Place) {
    let early = run(&place, &["platforms", "list"]);
    assert_eq!(early.code, 1, "{}", early.out);
    assert!(early.err.contains("tuckshop migrate"), "{}", early.err);
    stock(&place, ITEMS);
    let server = serve(&place, &[]).await;
    let profile = place.directory().join("profile.json");
    let path = profile.display().to_string();
    let platform = "https://platform.example/profile.json";
    let add = ["platforms", "add", platform, "--profile", &path];
    for (text, expected) in [
        (None, "No such file"),
        (Some("{}".to_owned()), "ucp is missing"),
        (Some("not JSON".to_owned()), "not JSON"),
        (Some(" ".repeat(300_000)), "larger than"),
    ] {
        if let Some(text) = text {
            std::fs::write(&profile, text).expect("written");
        }
        let finished = run(&place, &add);
        assert_eq!(finished.code, 1, "{}", finished.out);
        assert!(
            finished.err.contains("the profile is not usable: ") && finished.err.contains(expected),
            "{}",
            finished.err
        );
    }
    for (hook, reason) in [
        ("http://platform.example/orders", "the scheme must be https"),
        ("http://10.0.0.1/orders", "the scheme must be https"),
        ("https://10.0.0.1/orders", "10.0.0.1 is not a public address"),
        ("https://0x0a.1/orders", "10.0.0.1 is not a public address"),
        ("https://ann:word@platform.example/orders", "a URL with a user name or password"),
    ] {
        let order = serde_json::json!([{"version": "2026-04-08", "config": {"webhook_url": hook}}]);
        let capabilities = serde_json::json!({"dev.ucp.shopping.order": order});
        let document = serde_json::json!({"ucp": {"version": "2026-04-08", "capabilities": capabilities}});
        std::fs::write(&profile, document.to_string()).expect("written");
        for arguments in [add, ["platforms", "add", platform, "--webhook-url", hook]] {
            let finished = run(&place, &arguments);
            assert_eq!((finished.code, finished.out.as_str()), (1, ""), "{arguments:?}");
            let expected = format!("no webhook could be sent to its webhook_url: {reason}");
            assert!(finished.err.contains(&expected), "{arguments:?}: {}", finished.err);
        }
    }
    let (unknown, elsewhere) = ("msg_0196147f5b887b3a9c1d2e3f4a5b6c7d", "webhook:https://other.example/");
    for (arguments, expected) in [
        (&["platforms", "remove", platform][..], "is not pinned"),
        (&["platforms", "add", "http://platform.example/", "--webhook-url", platform], "must be an https URL"),
        (&["keys", "revoke", "-another"], "there is no key -another"),
        (&["deliveries", "retry", "nonsense"], "is not the id of a message"),
        (&["deliveries", "retry", unknown], "there is no such message"),
        (&["deliveries", "drop", unknown], "there is no such message"),
        (&["deliveries", "list", "--destination", elsewhere], elsewhere),
        (&["deliveries", "retry", "--destination", elsewhere], elsewhere),
        (&["deliveries", "drop", "--destination", elsewhere], elsewhere),
    ] {
        let finished = run(&place, arguments);
        assert_eq!(finished.code, 1, "{arguments:?}: {}", finished.out);
        assert!(finished.err.contains(expected), "{arguments:?}: {}", finished.err);
    }
    for (arguments, expected) in [
        (&["platforms", "list"][..], "0 pinned."),
        (&["deliveries", "list"], "0 shown."),
        (&["deliveries", "destinations"], "0 shown."),
        (&["deliveries", "retry", "--all"], "0 to be retried, at the next poll of a running server."),
    ] {
        let finished = run(&place, arguments);
        assert_eq!((finished.code, finished.out.as_str()), (0, expected), "{arguments:?}: {}", finished.err);
    }
    let _ = server.get("/readyz").await.expect(200);
}

crate::on_both_engines!(
    key_is_published_before_it_signs_and_stays_published_after,
    webhooks_across_a_rotation_can_be_verified,
    revoked_key_is_withdrawn_at_once_and_another_signs,
    impossible_commands_exit_with_1
);

mod sqlite_only {
    use super::*;
    crate::on_sqlite!(file_without_keys_is_a_configuration_error, keys_of_a_file_are_replaced_in_the_file);
}
