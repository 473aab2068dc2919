//! The receivers of webhooks: platforms without a webhook address, pinned platforms, and profiles with a secret query.

use faultkit::Port;

use crate::kit::Place;
use crate::kit::basket::basket;
use crate::kit::command::tuckshop_at;
use crate::kit::until;
use crate::receiver::{Receiver, Reply};
use crate::webhooks::{attempt_logged, buy, messages, open, wait_until_all_are};

/// A platform whose profile names no webhook address gets no webhook.
async fn platform_without_a_webhook_url_gets_no_webhook(place: Place) {
    let (server, receiver) = (open(&place).await, Receiver::without_webhooks().await);
    let _ = buy(&server.as_platform(&receiver.profile())).await;
    assert_eq!(attempt_logged(&server, "unwanted").await["msg"], "message sent");
    wait_until_all_are(&place, "unwanted").await;
    assert_eq!((receiver.arrivals().len(), receiver.profiles_served()), (0, 1));
}

/// A pinned profile is used and not fetched. A profile pinned while the shop runs applies from the next message on.
async fn platform_pinned_at_run_time_gets_webhooks(place: Place) {
    let (server, receiver) = (open(&place).await, Receiver::start().await);
    // No server serves this profile: it can only be pinned.
    let closed = Port::keep();
    let name = format!("http://{}/agent", closed.address());
    let platform = server.as_platform(&name);
    let first = buy(&platform).await;
    assert_eq!(attempt_logged(&server, "retry").await["reason"], "profile: unreachable");

    let pinned = tuckshop_at(&place, &["platforms", "add", &name, "--webhook-url", &receiver.hook()], &[]);
    assert_eq!(pinned.code, 0, "{}", pinned.err);
    assert_eq!(pinned.out, format!("{name} is pinned; its webhooks go to {}", receiver.hook()));
    let listed = tuckshop_at(&place, &["platforms", "list"], &[]);
    assert_eq!((listed.code, listed.out.contains(&name), listed.out.ends_with("1 pinned.")), (0, true, true));
    assert_eq!(receiver.wait_for(1).await[0].order(), first);
    let second = buy(&platform).await;
    assert_eq!(receiver.wait_for(2).await[1].order(), second);
    assert_eq!(receiver.profiles_served(), 0);

    let removed = tuckshop_at(&place, &["platforms", "remove", &name], &[]);
    assert_eq!((removed.code, removed.out.as_str()), (0, format!("{name} is no longer pinned").as_str()));
    let _ = buy(&platform).await;
    wait_until_all_but_the_last_are_delivered(&place).await;
    assert_eq!(receiver.arrivals().len(), 2);
}

/// A query may hold a secret. Logs and lists show a mark in its place, and the mark names the destination.
async fn query_of_a_profile_is_in_no_log_and_no_list(place: Place) {
    let (server, receiver) = (open(&place).await, Receiver::answering(|_| Reply::Status(500)).await);
    let name = format!("{}?key=sesame", receiver.profile());
    let _ = buy(&server.as_platform(&name)).await;
    let line = attempt_logged(&server, "retry").await;
    let masked = line["destination"].as_str().expect("a name").to_owned();
    assert!(masked.starts_with(&format!("webhook:{}?~", receiver.profile())), "{masked}");
    let pinned = tuckshop_at(&place, &["platforms", "add", &name, "--webhook-url", &receiver.hook()], &[]);
    assert_eq!(pinned.code, 0, "{}", pinned.err);

    let mut shown: Vec<String> = server.log().iter().map(ToString::to_string).collect();
    for arguments in [
        &["platforms", "list"][..],
        &["deliveries", "list"],
        &["deliveries", "list", "--destination", &masked],
        &["deliveries", "destinations"],
    ] {
        let list = tuckshop_at(&place, arguments, &[]);
        assert_eq!(list.code, 0, "{arguments:?}: {}", list.err);
        assert!(list.out.contains(&receiver.profile()), "{arguments:?}: {}", list.out);
        shown.push(list.out);
    }
    let secrets = ["sesame", "tenant=7"];
    let leaks: Vec<_> = shown.iter().filter(|line| secrets.iter().any(|secret| line.contains(secret))).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
    for user in ["ann@", "ann:word@", ":word@"] {
        let name = receiver.profile().replace("http://", &format!("http://{user}"));
        let refused = server.as_platform(&name).post("/checkout-sessions", &basket(&[("sample", 1)])).await;
        let _ = refused.problem(400, "invalid_profile_url");
    }
}

async fn wait_until_all_but_the_last_are_delivered(place: &Place) {
    until("the last message has failed once and the others are delivered", || async {
        let messages = messages(place);
        let (last, others) = messages.split_last()?;
        let is_done = others.iter().all(|[state, ..]| state == "delivered") && last[2] == "profile: unreachable";
        (is_done && last[0] == "pending").then_some(())
    })
    .await;
}

crate::on_both_engines!(platform_pinned_at_run_time_gets_webhooks);

mod sqlite_only {
    use super::*;
    crate::on_sqlite!(platform_without_a_webhook_url_gets_no_webhook, query_of_a_profile_is_in_no_log_and_no_list);
}
