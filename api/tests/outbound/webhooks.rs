//! Platforms are told of their orders: all of it, signed, in order, again until they have it, and never twice under two
//! names.

use std::time::Duration;

use faultkit::{Fault, Port, Proxy};
use serde_json::{Value, json};

use crate::books::{Books, stock};
use crate::kit::basket::{basket, checkout_path, complete_path, id, order_path};
use crate::kit::client::Client;
use crate::kit::command::tuckshop_at;
use crate::kit::{Place, Server, until};
use crate::python::Script;
use crate::receiver::{Arrival, Receiver, Say};
use crate::shop::{self, ITEMS, Shop, card};

/// A try is given up after a second.
pub const HASTY: &[(&str, &str)] = &[("TUCKSHOP_WEBHOOK_TIMEOUT_MS", "1000")];

/// A shop that gives things away, so that the gateway is nobody's concern here.
pub async fn open(place: &Place) -> Server {
    stock(place, ITEMS);
    place.serve_with(HASTY).await
}

/// Buys something, and returns the order as its platform reads it.
pub async fn bought(platform: &Client) -> Value {
    let checkout = platform.post("/checkout-sessions", &basket(&[("sample", 2)])).await.body(201);
    let done = platform.complete(&checkout, "success_token").await.body(200);
    platform.get(&order_path(&done)).await.body(200)
}

async fn shipped(platform: &Client, order: &Value) -> Value {
    platform.post_nothing(&format!("/testing/orders/{}/fulfill", id(order))).await.body(200)
}

async fn adjusted(platform: &Client, order: &Value) -> Value {
    let body = json!({"line_item_id": order["line_items"][0]["id"], "quantity": 1, "type": "refund"});
    platform.post(&format!("/testing/orders/{}/adjust", id(order)), &body).await.body(200)
}

/// The first log line of a try that ended like this.
pub async fn tried(server: &Server, result: &str) -> Value {
    until(&format!("a try ended with {result}"), || async {
        let tells = |line: &Value| line["op"] == "outbox.send" || line["op"] == "outbox.claim";
        let is_it = |line: &Value| tells(line) && line["result"] == result;
        server.log().into_iter().find(is_it)
    })
    .await
}

fn kinds(arrivals: &[Arrival]) -> Vec<&str> {
    arrivals.iter().map(|arrival| arrival.header("x-event-type")).collect()
}

/// State, attempts and last error of every message, in the order of the events.
pub fn messages(place: &Place) -> Vec<[String; 3]> {
    Books::open(place).rows(["state", "attempts", "last_error"], "FROM delivery ORDER BY id")
}

pub async fn all_are(place: &Place, state: &str) {
    until(&format!("every message is {state}"), || async {
        let messages = messages(place);
        (!messages.is_empty() && messages.iter().all(|[is, ..]| is == state)).then_some(())
    })
    .await;
}

async fn order_webhook_is_complete_and_signed_with_a_published_key(place: Place) {
    let (server, receiver) = (open(&place).await, Receiver::start().await);
    let platform = server.as_platform(&receiver.profile());
    let order = bought(&platform).await;
    let told = receiver.told(1).await.remove(0);
    assert_eq!(told.order(), order);
    assert_eq!(told.target(), "/hook?tenant=7&x=%2F");
    for (name, expected) in [
        ("x-event-type", "order_placed".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("ucp-agent", format!("profile=\"{}/.well-known/ucp\"", server.url())),
        ("idempotency-key", told.header("webhook-id").to_owned()),
    ] {
        assert_eq!(told.header(name), expected, "{name}");
    }
    assert!(told.header("webhook-id").starts_with("msg_"), "{told:?}");
    let [[placed_at]] = Books::open(&place).rows(["occurred_at"], "FROM delivery").try_into().expect("one");
    let placed_at: i64 = placed_at.parse().expect("a number");
    assert_eq!(told.header("webhook-timestamp"), (placed_at / 1_000).to_string());
    assert!(told.header("content-digest").starts_with("sha-256=:"), "{told:?}");
    let line = tried(&server, "delivered").await;
    assert_eq!(
        (&line["event"], &line["order_id"], &line["attempt"]),
        (&json!("order_placed"), &order["id"], &json!(1))
    );
    assert_eq!(line["delivery_id"], told.header("webhook-id"));
    all_are(&place, "delivered").await;

    let profile = server.get("/.well-known/ucp").await.body(200);
    assert!(profile["ucp"]["capabilities"]["dev.ucp.shopping.order"].is_array(), "it is advertised");
    let Some(mut judge) = Script::start("verify.py", &[]) else { return };
    assert_eq!(judge.on_webhook(&told, &profile["signing_keys"]), Value::Null);
    let forged = told.changed("sample", "bundle");
    assert!(judge.on_webhook(&forged, &profile["signing_keys"]).is_string());
}

/// WH2. The first answer is 500: soon told again, the same in everything but the signature.
async fn webhook_answered_500_is_retried_within_five_seconds(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::saying(|number| Say::Status(if number == 0 { 500 } else { 200 })).await;
    let order = bought(&server.as_platform(&receiver.profile())).await;
    let told = receiver.told(2).await;
    let waited = told[1].at - told[0].at;
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    for name in ["webhook-id", "webhook-timestamp", "x-event-type", "content-digest", "idempotency-key"] {
        assert_eq!(told[0].header(name), told[1].header(name), "{name}");
    }
    assert_eq!((&told[0].body(), told[1].order()), (&told[1].body(), order));
    assert_ne!(told[0].header("signature"), told[1].header("signature"));
    let line = tried(&server, "retry").await;
    assert_eq!((&line["reason"], &line["level"]), (&json!("answered 500"), &json!("warning")));
    all_are(&place, "delivered").await;
    assert_eq!((receiver.arrivals().len(), receiver.profiles_served()), (2, 1), "the profile was remembered");
    let profile = server.get("/.well-known/ucp").await.body(200);
    let Some(mut judge) = Script::start("verify.py", &[]) else { return };
    assert_eq!(judge.on_webhook(&told[1], &profile["signing_keys"]), Value::Null);
}

/// WH2. The last try of the schedule fails like the others: a dead letter. The days before it are not waited for.
async fn webhook_failing_every_attempt_becomes_a_dead_letter(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::saying(|_| Say::Status(503)).await;
    let order = bought(&server.as_platform(&receiver.profile())).await;
    let _ = tried(&server, "retry").await;
    // Days pass, as soon as nobody works on it.
    let passes = "UPDATE delivery SET attempts = 10, due_at = 0 WHERE leased_until IS NULL AND attempts < 10";
    until("it has one try left", || async {
        let mut books = Books::open(&place);
        books.execute("UPDATE destination SET rest_until = 0");
        books.execute(passes);
        (books.number("count(*)", "FROM delivery WHERE attempts >= 10") == 1).then_some(())
    })
    .await;
    let line = tried(&server, "dead").await;
    assert_eq!(
        (&line["msg"], &line["level"], &line["reason"], &line["attempt"], &line["order_id"]),
        (&json!("message given up"), &json!("warning"), &json!("answered 503"), &json!(11), &order["id"])
    );
    assert_eq!(messages(&place), [["dead", "11", "answered 503"].map(str::to_owned)]);
    let names: std::collections::BTreeSet<_> =
        receiver.arrivals().iter().map(|told| told.header("webhook-id").to_owned()).collect();
    assert_eq!(names.len(), 1);
}

/// Within an order the newer snapshot waits for the older, also when that one fails first.
async fn events_of_an_order_arrive_in_order_if_the_first_fails(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::saying(|number| Say::Status(if number == 0 { 503 } else { 200 })).await;
    let platform = server.as_platform(&receiver.profile());
    let placed = bought(&platform).await;
    let _ = receiver.told(1).await;
    let adjusted = adjusted(&platform, &placed).await;
    let shipped = shipped(&platform, &placed).await;
    let told = receiver.told(4).await;
    assert_eq!(kinds(&told), ["order_placed", "order_placed", "order_updated", "order_shipped"]);
    assert_eq!([&told[1], &told[2], &told[3]].map(Arrival::order), [placed, adjusted, shipped]);
    all_are(&place, "delivered").await;
    assert_eq!(receiver.arrivals().len(), 4);
}

/// WH2. Nobody listens there, and then somebody does.
async fn receiver_that_was_down_gets_the_webhook_after_its_return(place: Place) {
    let port = Port::keep();
    let (server, receiver) = (open(&place).await, Receiver::on(&port).await);
    let platform = server.as_platform(&receiver.profile());
    let _ = bought(&platform).await;
    let _ = receiver.told(1).await;
    drop(receiver);
    let order = bought(&platform).await;
    assert_eq!(tried(&server, "retry").await["reason"], "unreachable");
    let receiver = Receiver::on(&port).await;
    assert_eq!(receiver.told(1).await[0].order(), order);
    all_are(&place, "delivered").await;
}

/// WH2. The connection breaks, before an answer or within it.
async fn broken_connection_is_retried(place: Place) {
    let (server, receiver) = (open(&place).await, Receiver::start().await);
    let way = Proxy::start(receiver.address());
    let name = "http://localhost:9/agent";
    let hook = format!("http://{}/hook?x=1", way.address());
    assert_eq!(tuckshop_at(&place, &["platforms", "add", name, "--webhook-url", &hook], &[]).code, 0);
    for fault in [Fault::Reset, Fault::CutAfter(10)] {
        way.set(fault.clone());
        let before = retries(&server);
        let order = bought(&server.as_platform(name)).await;
        let line = until("it was tried in vain", || async { retries(&server).get(before.len()).cloned() }).await;
        // A reset that comes at once may be seen before the connection is.
        assert!(line["reason"] == "broken" || line["reason"] == "unreachable", "{fault:?}: {line}");
        assert_eq!(line["order_id"], order["id"]);
        way.set(Fault::Pass);
        all_are(&place, "delivered").await;
        assert_eq!(receiver.arrivals().last().map(Arrival::order), Some(order), "{fault:?}");
    }
}

/// The lines of tries that are made again.
fn retries(server: &Server) -> Vec<Value> {
    server.log().into_iter().filter(|line| line["msg"] == "message not handed over").collect()
}

/// WH1. A receiver that takes the connection and never answers is left after the deadline, and told again.
async fn hanging_receiver_times_out_and_is_retried(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::saying(|number| if number == 0 { Say::Hold } else { Say::Status(204) }).await;
    let _ = bought(&server.as_platform(&receiver.profile())).await;
    let told = receiver.told(2).await;
    assert_eq!(told[0].header("webhook-id"), told[1].header("webhook-id"));
    let line = tried(&server, "retry").await;
    assert_eq!(line["reason"], "timeout");
    // The request that it all began with can be found from any try.
    let log = server.log();
    let cause = log.iter().find(|other| other["op"] == "http.request" && other["trace_id"] == line["caused_by"]);
    assert!(
        cause.is_some_and(|cause| cause["route"].as_str().is_some_and(|route| route.ends_with("/complete"))),
        "{line}"
    );
    all_are(&place, "delivered").await;
}

/// WH4. A redirect is a failure, wherever it leads.
async fn redirect_is_not_followed(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::saying(|number| Say::Status(if number == 0 { 307 } else { 200 })).await;
    let _ = bought(&server.as_platform(&receiver.profile())).await;
    assert_eq!(tried(&server, "retry").await["reason"], "redirect 307");
    all_are(&place, "delivered").await;
    assert_eq!(receiver.arrivals().len(), 2);
}

/// WH3. 410: nothing more is sent there, until an operator has it tried again.
async fn receiver_answering_410_is_disabled_until_an_operator_enables_it(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::saying(|number| Say::Status(if number == 0 { 410 } else { 200 })).await;
    let platform = server.as_platform(&receiver.profile());
    let first = bought(&platform).await;
    let line = tried(&server, "disabled").await;
    assert_eq!((&line["msg"], &line["reason"]), (&json!("destination disabled"), &json!("answered 410")));
    assert_eq!((&line["given_up"], &tried(&server, "dead").await["msg"]), (&json!(1), &json!("message given up")));
    all_are(&place, "dead").await;
    let second = bought(&platform).await;
    all_are(&place, "dead").await;
    assert_eq!(receiver.arrivals().len(), 1, "nothing was sent to a disabled destination");

    // Beside the server, which goes on.
    let listed = tuckshop_at(&place, &["deliveries", "list", "--state", "dead"], &[]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    for part in [id(&first), id(&second), "dead", "order_placed", &receiver.profile(), "2 shown."] {
        assert!(listed.out.contains(part), "no {part} in\n{}", listed.out);
    }
    let destination = format!("webhook:{}", receiver.profile());
    let fares = tuckshop_at(&place, &["deliveries", "destinations"], &[]);
    for part in [destination.as_str(), "pending 0  dead 2  in delivery 0", "disabled at ", "1 shown."] {
        assert!(fares.out.contains(part), "no {part} in\n{}{}", fares.out, fares.err);
    }
    let retried = tuckshop_at(&place, &["deliveries", "retry", "--destination", &destination], &[]);
    assert_eq!(
        (retried.code, retried.out.as_str()),
        (0, "2 to be retried, at the next poll of a running server."),
        "{}",
        retried.err
    );
    let told: Vec<Value> = receiver.told(3).await[1..].iter().map(Arrival::order).collect();
    assert!(told.contains(&first) && told.contains(&second), "{told:?}");
    all_are(&place, "delivered").await;
    let third = bought(&platform).await;
    assert_eq!(receiver.told(4).await[3].order(), third);
}

/// WH8. Killed after the receiver got it and before that was written down: told again, under the same id.
async fn kill_between_receipt_and_record_repeats_the_webhook_with_the_same_id(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::saying(|number| if number == 0 { Say::Hold } else { Say::Status(200) }).await;
    let order = bought(&server.as_platform(&receiver.profile())).await;
    let _ = receiver.told(1).await;
    let _ = server.kill9();
    receiver.let_go();
    assert_eq!(messages(&place), [["pending", "1", ""].map(str::to_owned)], "the try was counted before it was made");

    // The lease of the dead process lasts a while. Nobody lives here now, so that it may as well be over.
    Books::open(&place).execute("UPDATE delivery SET leased_until = 1");
    let server = place.serve_with(HASTY).await;
    let told = receiver.told(2).await;
    for name in ["webhook-id", "webhook-timestamp", "content-digest"] {
        assert_eq!(told[0].header(name), told[1].header(name), "{name}");
    }
    assert_eq!((told[1].order(), &told[0].body()), (order, &told[1].body()));
    assert_eq!(tried(&server, "delivered").await["attempt"], 2);
    all_are(&place, "delivered").await;
}

/// WH6. An answer without end: its status counts, and of the rest as much is read as is bearable.
async fn endless_answer_counts_by_its_status(place: Place) {
    /// What both ends of a connection may hold besides what was read.
    const BUFFERED: usize = 16 * 1024 * 1024;
    const BEARABLE_KIB: u64 = 32 * 1024;
    let server = open(&place).await;
    let receiver = Receiver::saying(|number| Say::Endless(if number == 0 { 500 } else { 200 })).await;
    let platform = server.as_platform(&receiver.profile());
    let before = server.peak_memory_kib();
    let order = bought(&platform).await;
    let (retried, done) = (tried(&server, "retry").await, tried(&server, "delivered").await);
    assert_eq!((&retried["reason"], &done["attempt"]), (&json!("answered 500"), &json!(2)));
    assert_eq!(done["order_id"], order["id"]);
    all_are(&place, "delivered").await;
    let poured = until("nobody takes any more", || async { Some(receiver.poured()).filter(|taken| taken.len() == 2) });
    let poured = poured.await;
    assert!(poured.iter().all(|taken| *taken < BUFFERED), "{poured:?} bytes were taken");
    let more = server.peak_memory_kib() - before;
    assert!(more < BEARABLE_KIB, "{more} KiB more");
    let calls = server.log().into_iter().filter(|line| line["msg"] == "outbound call" && line["op"] == "webhook.send");
    let calls: Vec<_> = calls.map(|line| (line["status"].clone(), line["outcome"].clone())).collect();
    assert_eq!(calls, [500, 200].map(|status| (json!(status), json!("answered"))));
}

/// A platform that says nothing about webhooks wants none.
async fn platform_without_a_webhook_url_gets_no_webhook(place: Place) {
    let (server, receiver) = (open(&place).await, Receiver::without_webhooks().await);
    let _ = bought(&server.as_platform(&receiver.profile())).await;
    assert_eq!(tried(&server, "unwanted").await["msg"], "message handed over");
    all_are(&place, "unwanted").await;
    assert_eq!((receiver.arrivals().len(), receiver.profiles_served()), (0, 1));
}

/// A pinned profile is believed, and not fetched; pinned while the shop is open, it counts from the next message on.
async fn platform_pinned_at_run_time_gets_webhooks(place: Place) {
    let (server, receiver) = (open(&place).await, Receiver::start().await);
    // Nobody serves this profile: it can only be pinned.
    let closed = Port::keep();
    let name = format!("http://{}/agent", closed.address());
    let platform = server.as_platform(&name);
    let first = bought(&platform).await;
    assert_eq!(tried(&server, "retry").await["reason"], "profile: unreachable");

    let pinned = tuckshop_at(&place, &["platforms", "add", &name, "--webhook-url", &receiver.hook()], &[]);
    assert_eq!(pinned.code, 0, "{}", pinned.err);
    assert_eq!(pinned.out, format!("{name} is pinned; its webhooks go to {}", receiver.hook()));
    let listed = tuckshop_at(&place, &["platforms", "list"], &[]);
    assert_eq!((listed.code, listed.out.contains(&name), listed.out.ends_with("1 pinned.")), (0, true, true));
    assert_eq!(receiver.told(1).await[0].order(), first);
    let second = bought(&platform).await;
    assert_eq!(receiver.told(2).await[1].order(), second);
    assert_eq!(receiver.profiles_served(), 0);

    let removed = tuckshop_at(&place, &["platforms", "remove", &name], &[]);
    assert_eq!((removed.code, removed.out.as_str()), (0, format!("{name} is no longer pinned").as_str()));
    let _ = bought(&platform).await;
    all_but_the_last_are_delivered(&place).await;
    assert_eq!(receiver.arrivals().len(), 2);
}

/// A query may hold a secret: logs and lists show a mark in its place, by which the destination can be named.
async fn query_of_a_profile_is_in_no_log_and_no_list(place: Place) {
    let (server, receiver) = (open(&place).await, Receiver::saying(|_| Say::Status(500)).await);
    let name = format!("{}?key=sesame", receiver.profile());
    let _ = bought(&server.as_platform(&name)).await;
    let line = tried(&server, "retry").await;
    let shown = line["destination"].as_str().expect("a name").to_owned();
    assert!(shown.starts_with(&format!("webhook:{}?~", receiver.profile())), "{shown}");
    let pinned = tuckshop_at(&place, &["platforms", "add", &name, "--webhook-url", &receiver.hook()], &[]);
    assert_eq!(pinned.code, 0, "{}", pinned.err);

    let mut told: Vec<String> = server.log().iter().map(ToString::to_string).collect();
    for arguments in [
        &["platforms", "list"][..],
        &["deliveries", "list"],
        &["deliveries", "list", "--destination", &shown],
        &["deliveries", "destinations"],
    ] {
        let list = tuckshop_at(&place, arguments, &[]);
        assert_eq!(list.code, 0, "{arguments:?}: {}", list.err);
        assert!(list.out.contains(&receiver.profile()), "{arguments:?}: {}", list.out);
        told.push(list.out);
    }
    let secrets = ["sesame", "tenant=7"];
    let leaks: Vec<_> = told.iter().filter(|line| secrets.iter().any(|secret| line.contains(secret))).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
    for user in ["ann@", "ann:word@", ":word@"] {
        let name = receiver.profile().replace("http://", &format!("http://{user}"));
        let refused = server.as_platform(&name).post("/checkout-sessions", &basket(&[("sample", 1)])).await;
        let _ = refused.problem(400, "invalid_profile_url");
    }
}

/// An order that nobody waits for any more is told like any other, and as soon: the reconciler wakes the courier.
async fn reconciled_order_is_sent_as_a_webhook(place: Place) {
    let seldom = [shop::HASTY, &[("TUCKSHOP_TASKS_WEBHOOK_DELIVERY_MS", "600000")]].concat();
    let (shop, receiver) = (Shop::open(&place, &seldom).await, Receiver::start().await);
    let platform = shop.server.as_platform(&receiver.profile());
    let checkout = platform.post("/checkout-sessions", &basket(&[("bun", 2)])).await.body(201);
    let unknown = platform.post(&complete_path(&checkout), &card("pm_sim_charge_then_hang")).await.body(200);
    assert_eq!(unknown["status"], "complete_in_progress");
    let told = receiver.told(1).await.remove(0);
    let done = platform.get(&checkout_path(&checkout)).await.body(200);
    assert_eq!((told.header("x-event-type"), &done["status"]), ("order_placed", &json!("completed")));
    assert_eq!(told.order(), platform.get(&order_path(&done)).await.body(200));
    all_are(&place, "delivered").await;
    assert_eq!(receiver.arrivals().len(), 1);
}

async fn all_but_the_last_are_delivered(place: &Place) {
    until("the last is tried in vain", || async {
        let messages = messages(place);
        let (last, others) = messages.split_last()?;
        let is_done = others.iter().all(|[state, ..]| state == "delivered") && last[2] == "profile: unreachable";
        (is_done && last[0] == "pending").then_some(())
    })
    .await;
}

crate::on_both_engines!(
    order_webhook_is_complete_and_signed_with_a_published_key,
    webhook_answered_500_is_retried_within_five_seconds,
    events_of_an_order_arrive_in_order_if_the_first_fails,
    receiver_answering_410_is_disabled_until_an_operator_enables_it,
    kill_between_receipt_and_record_repeats_the_webhook_with_the_same_id,
    platform_pinned_at_run_time_gets_webhooks,
);

mod on_a_file {
    use super::*;
    crate::on_sqlite!(
        receiver_that_was_down_gets_the_webhook_after_its_return,
        broken_connection_is_retried,
        webhook_failing_every_attempt_becomes_a_dead_letter,
        hanging_receiver_times_out_and_is_retried,
        redirect_is_not_followed,
        endless_answer_counts_by_its_status,
        reconciled_order_is_sent_as_a_webhook,
        platform_without_a_webhook_url_gets_no_webhook,
        query_of_a_profile_is_in_no_log_and_no_list,
    );
}
