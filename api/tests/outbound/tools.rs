//! The commands of an operator, beside a shop that is open: keys, platforms, deliveries. 1 is failure, 2 is misuse.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::books::{Books, stock};
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

/// The key ids of the profile.
async fn published(server: &Server) -> BTreeSet<String> {
    let profile = server.get("/.well-known/ucp").await.body(200);
    let keys = profile["signing_keys"].as_array().expect("keys").iter();
    keys.map(|key| key["kid"].as_str().expect("an id").to_owned()).collect()
}

/// Buys something and returns the webhook, and the id of the key that it was signed with.
async fn told(server: &Server, receiver: &Receiver) -> (Arrival, String) {
    let platform = server.as_platform(&receiver.profile());
    let before = receiver.arrivals().len();
    let checkout = platform.post("/checkout-sessions", &basket(&[("sample", 1)])).await.body(201);
    let _ = platform.complete(&checkout, "success_token").await.body(200);
    let told = receiver.told(before + 1).await.remove(before);
    let input = told.header("signature-input");
    let key = input.rsplit("keyid=").next().expect("a key").trim_matches('"').to_owned();
    (told, key)
}

/// The same, verified by others with the profile as it is now.
async fn signer(server: &Server, receiver: &Receiver) -> String {
    let (told, key) = told(server, receiver).await;
    let profile = server.get("/.well-known/ucp").await.body(200);
    if let Some(mut judge) = Script::start("verify.py", &[]) {
        assert_eq!(judge.on_webhook(&told, &profile["signing_keys"]), Value::Null);
    }
    key
}

fn key_of(said: &str) -> String {
    said.split_whitespace().next().expect("an id").to_owned()
}

/// A new key is published first and signs later, and the old one stays published after that.
async fn a_key_is_published_before_it_signs_and_stays_published_after(place: Place) {
    stock(&place, ITEMS);
    let none = run(&place, &["keys", "list"]);
    assert_eq!((none.code, none.out.starts_with("0 key(s).")), (0, true), "{}{}", none.out, none.err);
    let (server, receiver) = (serve(&place, &[]).await, Receiver::start().await);
    let first = signer(&server, &receiver).await;
    assert_eq!(published(&server).await, BTreeSet::from([first.clone()]));

    let rotated = run(&place, &["keys", "rotate"]);
    assert_eq!(rotated.code, 0, "{}", rotated.err);
    let second = key_of(&rotated.out);
    assert!(rotated.out.contains(" signs from "), "{}", rotated.out);
    // The shop remembers its keys for a minute; a new process reads them at once.
    drop(server);
    let server = serve(&place, &[]).await;
    assert_eq!(published(&server).await, BTreeSet::from([first.clone(), second.clone()]));
    assert_eq!(signer(&server, &receiver).await, first, "not yet");
    let listed = run(&place, &["keys", "list"]);
    let state = |id: &str| {
        let line = listed.out.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{}", listed.out));
        line.split_whitespace().nth(1).expect("a state").to_owned()
    };
    assert_eq!((state(&first).as_str(), state(&second).as_str()), ("signs", "published"));

    let urgent = run(&place, &["keys", "rotate", "--at-once"]);
    assert_eq!(urgent.code, 0, "{}", urgent.err);
    let third = key_of(&urgent.out);
    drop(server);
    let server = serve(&place, &[]).await;
    assert_eq!(signer(&server, &receiver).await, third);
    assert!(published(&server).await.is_superset(&BTreeSet::from([first, third])), "{:?}", published(&server).await);
    assert!(!run(&place, &["keys", "list"]).out.contains("PRIVATE"));
}

/// WH7. Whoever keeps a profile for an hour, and a webhook for days, can verify every webhook across a rotation: the
/// new key is in the profile before it signs, and the old one after it has signed.
async fn across_a_rotation_every_webhook_can_be_verified(place: Place) {
    const HOUR_AND_A_BIT_MS: i64 = 61 * 60 * 1_000;
    stock(&place, ITEMS);
    let (server, receiver) = (serve(&place, &[]).await, Receiver::start().await);
    let (first, old) = told(&server, &receiver).await;
    let rotated = run(&place, &["keys", "rotate"]);
    assert_eq!(rotated.code, 0, "{}", rotated.err);
    let new = key_of(&rotated.out);
    // The shop that is open remembers its keys for a minute, in which the old one signs and verifies as before.
    let (second, still) = told(&server, &receiver).await;
    assert_eq!(still, old);
    drop(server);
    let server = serve(&place, &[]).await;
    let kept = server.get("/.well-known/ucp").await.body(200);
    let (third, still) = told(&server, &receiver).await;
    assert_eq!(still, old, "it is not yet time for the new one");

    // An hour passes.
    let passes = format!("UPDATE signing_key SET signs_from = signs_from - {HOUR_AND_A_BIT_MS}");
    Books::open(&place).execute(&passes);
    drop(server);
    let server = serve(&place, &[]).await;
    let (fourth, signs) = told(&server, &receiver).await;
    assert_eq!(signs, new);
    let now = server.get("/.well-known/ucp").await.body(200);
    assert_eq!(published(&server).await, BTreeSet::from([old, new]));
    let Some(mut judge) = Script::start("verify.py", &[]) else { return };
    for profile in [&kept, &now] {
        for told in [&first, &second, &third, &fourth] {
            assert_eq!(judge.on_webhook(told, &profile["signing_keys"]), Value::Null);
        }
    }
    // The judge does judge: without the key that signed there is nothing to verify with.
    let mut others = now["signing_keys"].clone();
    others.as_array_mut().expect("keys").retain(|key| key["kid"] != signs.as_str());
    assert!(judge.on_webhook(&fourth, &others).is_string());
}

/// Keys of a file are the operator's: the shop neither makes nor rotates any.
async fn keys_of_a_file_are_not_rotated(place: Place) {
    stock(&place, ITEMS);
    for (text, said) in [(None, "No such file"), (Some("no key"), "")] {
        let path = place.directory().join("keys.pem");
        if let Some(text) = text {
            std::fs::write(&path, text).expect("written");
        }
        let path = path.display().to_string();
        for command in [&["serve"][..], &["keys", "list"], &["keys", "rotate"]] {
            let finished = tuckshop_at(&place, command, &[("TUCKSHOP_WEBHOOK_KEYS_PATH", path.as_str())]);
            assert_eq!(finished.code, 1, "{command:?}: {}", finished.err);
            assert!(finished.err.contains("TUCKSHOP_WEBHOOK_KEYS_PATH: "), "{command:?}: {}", finished.err);
            assert!(finished.err.contains(said), "{command:?}: {}", finished.err);
        }
    }
}

#[test]
fn what_is_asked_for_wrongly_ends_with_two() {
    let platform = "https://platform.example/profile.json";
    for arguments in [
        &["keys"][..],
        &["keys", "burn"],
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
        &["deliveries", "retry", "--all", "--destination", "mail"],
        &["deliveries", "list", "--state", "lost"],
        &["deliveries", "list", "--limit", "0"],
    ] {
        let finished = tuckshop(arguments, &[]);
        assert_eq!(finished.code, 2, "{arguments:?}: {}{}", finished.out, finished.err);
        assert!(!finished.err.is_empty(), "{arguments:?}");
    }
}

/// Nothing happens, and why not is said.
async fn what_cannot_be_done_ends_with_one(place: Place) {
    let early = run(&place, &["platforms", "list"]);
    assert_eq!(early.code, 1, "{}", early.out);
    assert!(early.err.contains("tuckshop migrate"), "{}", early.err);
    stock(&place, ITEMS);
    let server = serve(&place, &[]).await;
    let profile = place.directory().join("profile.json");
    let path = profile.display().to_string();
    let platform = "https://platform.example/profile.json";
    let add = ["platforms", "add", platform, "--profile", &path];
    for (text, said) in [
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
            finished.err.contains("the profile is not usable: ") && finished.err.contains(said),
            "{}",
            finished.err
        );
    }
    let unknown = "msg_0196147f5b887b3a9c1d2e3f4a5b6c7d";
    for (arguments, said) in [
        (&["platforms", "remove", platform][..], "is not pinned"),
        (&["deliveries", "retry", "nonsense"], "is no id of a delivery"),
        (&["deliveries", "retry", unknown], "it was not given up"),
    ] {
        let finished = run(&place, arguments);
        assert_eq!(finished.code, 1, "{arguments:?}: {}", finished.out);
        assert!(finished.err.contains(said), "{arguments:?}: {}", finished.err);
    }
    for (arguments, said) in [
        (&["platforms", "list"][..], "0 pinned."),
        (&["deliveries", "list"], "0 shown."),
        (&["deliveries", "retry", "--all"], "0 to be tried again."),
        (&["deliveries", "retry", "--destination", "webhook:https://nobody.example/"], "0 to be tried again."),
    ] {
        let finished = run(&place, arguments);
        assert_eq!((finished.code, finished.out.as_str()), (0, said), "{arguments:?}: {}", finished.err);
    }
    let _ = server.get("/readyz").await.expect(200);
}

crate::on_both_engines!(
    a_key_is_published_before_it_signs_and_stays_published_after,
    across_a_rotation_every_webhook_can_be_verified,
    what_cannot_be_done_ends_with_one
);

mod on_a_file {
    use super::keys_of_a_file_are_not_rotated;
    crate::on_sqlite!(keys_of_a_file_are_not_rotated);
}
