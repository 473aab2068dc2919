//! Webhooks: each order is sent complete, signed, in sequence, and again until it is delivered, always under the same
//! id.

use std::time::Duration;

use faultkit::{Fault, Port, Proxy};
use serde_json::{Value, json};

use crate::database::{Database, stock};
use crate::kit::basket::{basket, checkout_path, complete_path, id, order_path};
use crate::kit::client::Client;
use crate::kit::command::tuckshop_at;
use crate::kit::{Place, Server, until};
use crate::python::Script;
use crate::receiver::{Arrival, Receiver, Reply};
use crate::shop::{self, ITEMS, Shop, card};

/// Settings with a webhook timeout of one second.
pub const HASTY: &[(&str, &str)] = &[("TUCKSHOP_WEBHOOK_TIMEOUT_MS", "1000")];

/// Starts a shop with free items, so that no test needs the gateway.
pub async fn open(place: &Place) -> Server {
    stock(place, ITEMS);
    place.serve_with(HASTY).await
}

/// Buys something. Returns the order as its platform reads it.
pub async fn buy(platform: &Client) -> Value {
    let checkout = platform.post("/checkout-sessions", &basket(&[("sample", 2)])).await.body(201);
    let done = platform.complete(&checkout, "success_token").await.body(200);
    platform.get(&order_path(&done)).await.body(200)
}

async fn ship(platform: &Client, order: &Value) -> Value {
    platform.post_empty(&format!("/testing/orders/{}/fulfill", id(order))).await.body(200)
}

async fn adjust(platform: &Client, order: &Value) -> Value {
    let body = json!({"line_item_id": order["line_items"][0]["id"], "quantity": 1, "type": "refund"});
    platform.post(&format!("/testing/orders/{}/adjust", id(order)), &body).await.body(200)
}

/// Waits for the first log line of an attempt with this result.
pub async fn attempt_logged(server: &Server, result: &str) -> Value {
    until(&format!("an attempt ended with {result}"), || async {
        let is_outbox = |line: &Value| line["op"] == "outbox.send" || line["op"] == "outbox.claim";
        let is_it = |line: &Value| is_outbox(line) && line["result"] == result;
        server.log().into_iter().find(is_it)
    })
    .await
}

fn event_types(arrivals: &[Arrival]) -> Vec<&str> {
    arrivals.iter().map(|arrival| arrival.header("x-event-type")).collect()
}

/// State, attempts and last error of every message, in the order of the events.
pub fn messages(place: &Place) -> Vec<[String; 3]> {
    Database::open(place).rows(["state", "attempts", "last_error"], "FROM delivery ORDER BY id")
}

pub async fn wait_until_all_are(place: &Place, state: &str) {
    until(&format!("every message is {state}"), || async {
        let messages = messages(place);
        (!messages.is_empty() && messages.iter().all(|[is, ..]| is == state)).then_some(())
    })
    .await;
}

async fn order_webhook_is_complete_and_signed_with_a_published_key(place: Place) {
    let (server, receiver) = (open(&place).await, Receiver::start().await);
    let platform = server.as_platform(&receiver.profile());
    let order = buy(&platform).await;
    let arrival = receiver.wait_for(1).await.remove(0);
    assert_eq!(arrival.order(), order);
    assert_eq!(arrival.target(), "/hook?tenant=7&x=%2F");
    for (name, expected) in [
        ("x-event-type", "order_placed".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("ucp-agent", format!("profile=\"{}/.well-known/ucp\"", server.url())),
        ("idempotency-key", arrival.header("webhook-id").to_owned()),
    ] {
        assert_eq!(arrival.header(name), expected, "{name}");
    }
    assert!(arrival.header("webhook-id").starts_with("msg_"), "{arrival:?}");
    let [[placed_at]] = Database::open(&place).rows(["occurred_at"], "FROM delivery").try_into().expect("one");
    let placed_at: i64 = placed_at.parse().expect("a number");
    assert_eq!(arrival.header("webhook-timestamp"), (placed_at / 1_000).to_string());
    assert!(arrival.header("content-digest").starts_with("sha-256=:"), "{arrival:?}");
    let line = attempt_logged(&server, "delivered").await;
    assert_eq!(
        (&line["event"], &line["order_id"], &line["attempt"]),
        (&json!("order_placed"), &order["id"], &json!(1))
    );
    assert_eq!(line["delivery_id"], arrival.header("webhook-id"));
    wait_until_all_are(&place, "delivered").await;

    let profile = server.get("/.well-known/ucp").await.body(200);
    assert!(profile["ucp"]["capabilities"]["dev.ucp.shopping.order"].is_array(), "the capability is advertised");
    let Some(mut judge) = Script::start("verify.py", &[]) else { return };
    assert_eq!(judge.verify_webhook(&arrival, &profile["signing_keys"]), Value::Null);
    let forged = arrival.changed("sample", "bundle");
    assert!(judge.verify_webhook(&forged, &profile["signing_keys"]).is_string());
}

/// WH2. The first answer is 500. The webhook is soon sent again, and only its signature differs.
async fn webhook_answered_500_is_retried_within_five_seconds(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::answering(|number| Reply::Status(if number == 0 { 500 } else { 200 })).await;
    let order = buy(&server.as_platform(&receiver.profile())).await;
    let arrivals = receiver.wait_for(2).await;
    let waited = arrivals[1].at - arrivals[0].at;
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    for name in ["webhook-id", "webhook-timestamp", "x-event-type", "content-digest", "idempotency-key"] {
        assert_eq!(arrivals[0].header(name), arrivals[1].header(name), "{name}");
    }
    assert_eq!((&arrivals[0].body(), arrivals[1].order()), (&arrivals[1].body(), order));
    assert_ne!(arrivals[0].header("signature"), arrivals[1].header("signature"));
    let line = attempt_logged(&server, "retry").await;
    assert_eq!((&line["reason"], &line["level"]), (&json!("answered 500"), &json!("warning")));
    wait_until_all_are(&place, "delivered").await;
    assert_eq!((receiver.arrivals().len(), receiver.profiles_served()), (2, 1), "the profile was cached");
    let profile = server.get("/.well-known/ucp").await.body(200);
    let Some(mut judge) = Script::start("verify.py", &[]) else { return };
    assert_eq!(judge.verify_webhook(&arrivals[1], &profile["signing_keys"]), Value::Null);
}

/// WH2. The last attempt of the schedule fails too, and the message becomes a dead letter. The test does not wait for
/// the days before it.
async fn webhook_failing_every_attempt_becomes_a_dead_letter(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::answering(|_| Reply::Status(503)).await;
    let order = buy(&server.as_platform(&receiver.profile())).await;
    let _ = attempt_logged(&server, "retry").await;
    // Ages the message when no pass has leased it.
    let age = "UPDATE delivery SET attempts = 10, due_at = 0 WHERE leased_until IS NULL AND attempts < 10";
    until("the message has one attempt left", || async {
        let mut database = Database::open(&place);
        database.execute("UPDATE destination SET rest_until = 0");
        database.execute(age);
        (database.number("count(*)", "FROM delivery WHERE attempts >= 10") == 1).then_some(())
    })
    .await;
    let line = attempt_logged(&server, "dead").await;
    assert_eq!(
        (&line["msg"], &line["level"], &line["reason"], &line["attempt"], &line["order_id"]),
        (&json!("message given up"), &json!("warning"), &json!("answered 503"), &json!(11), &order["id"])
    );
    assert_eq!(messages(&place), [["dead", "11", "answered 503"].map(str::to_owned)]);
    let names: std::collections::BTreeSet<_> =
        receiver.arrivals().iter().map(|arrival| arrival.header("webhook-id").to_owned()).collect();
    assert_eq!(names.len(), 1);
}

/// The newer snapshot of an order waits for the older, also when the older fails first.
async fn events_of_an_order_arrive_in_order_if_the_first_fails(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::answering(|number| Reply::Status(if number == 0 { 503 } else { 200 })).await;
    let platform = server.as_platform(&receiver.profile());
    let placed = buy(&platform).await;
    let _ = receiver.wait_for(1).await;
    let adjusted = adjust(&platform, &placed).await;
    let shipped = ship(&platform, &placed).await;
    let arrivals = receiver.wait_for(4).await;
    assert_eq!(event_types(&arrivals), ["order_placed", "order_placed", "order_updated", "order_shipped"]);
    assert_eq!([&arrivals[1], &arrivals[2], &arrivals[3]].map(Arrival::order), [placed, adjusted, shipped]);
    wait_until_all_are(&place, "delivered").await;
    assert_eq!(receiver.arrivals().len(), 4);
}

/// WH2. The receiver is down, and later up again.
async fn receiver_that_was_down_gets_the_webhook_after_its_return(place: Place) {
    let port = Port::keep();
    let (server, receiver) = (open(&place).await, Receiver::on(&port).await);
    let platform = server.as_platform(&receiver.profile());
    let _ = buy(&platform).await;
    let _ = receiver.wait_for(1).await;
    drop(receiver);
    let order = buy(&platform).await;
    assert_eq!(attempt_logged(&server, "retry").await["reason"], "unreachable");
    let receiver = Receiver::on(&port).await;
    assert_eq!(receiver.wait_for(1).await[0].order(), order);
    wait_until_all_are(&place, "delivered").await;
}

/// WH2. The connection breaks before an answer or within it.
async fn broken_connection_is_retried(place: Place) {
    let (server, receiver) = (open(&place).await, Receiver::start().await);
    let proxy = Proxy::start(receiver.address());
    let name = "http://localhost:9/agent";
    let hook = format!("http://{}/hook?x=1", proxy.address());
    assert_eq!(tuckshop_at(&place, &["platforms", "add", name, "--webhook-url", &hook], &[]).code, 0);
    for fault in [Fault::Reset, Fault::CutAfter(10)] {
        proxy.set(fault.clone());
        let before = retries(&server);
        let order = buy(&server.as_platform(name)).await;
        let line = until("an attempt has failed", || async { retries(&server).get(before.len()).cloned() }).await;
        // An immediate reset may be seen before the connection is.
        assert!(line["reason"] == "broken" || line["reason"] == "unreachable", "{fault:?}: {line}");
        assert_eq!(line["order_id"], order["id"]);
        proxy.set(Fault::Pass);
        wait_until_all_are(&place, "delivered").await;
        assert_eq!(receiver.arrivals().last().map(Arrival::order), Some(order), "{fault:?}");
    }
}

/// The log lines of attempts that will be repeated.
fn retries(server: &Server) -> Vec<Value> {
    server.log().into_iter().filter(|line| line["msg"] == "message not sent").collect()
}

/// WH1. The receiver accepts the connection and never answers. The attempt ends at the deadline and is repeated.
async fn hanging_receiver_times_out_and_is_retried(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::answering(|number| if number == 0 { Reply::Hold } else { Reply::Status(204) }).await;
    let _ = buy(&server.as_platform(&receiver.profile())).await;
    let arrivals = receiver.wait_for(2).await;
    assert_eq!(arrivals[0].header("webhook-id"), arrivals[1].header("webhook-id"));
    let line = attempt_logged(&server, "retry").await;
    assert_eq!(line["reason"], "timeout");
    // Every attempt leads to the request that caused the webhook.
    let log = server.log();
    let cause = log.iter().find(|other| other["op"] == "http.request" && other["trace_id"] == line["caused_by"]);
    assert!(
        cause.is_some_and(|cause| cause["route"].as_str().is_some_and(|route| route.ends_with("/complete"))),
        "{line}"
    );
    wait_until_all_are(&place, "delivered").await;
}

/// WH4. A redirect is a failure, wherever it leads.
async fn redirect_is_not_followed(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::answering(|number| Reply::Status(if number == 0 { 307 } else { 200 })).await;
    let _ = buy(&server.as_platform(&receiver.profile())).await;
    assert_eq!(attempt_logged(&server, "retry").await["reason"], "redirect 307");
    wait_until_all_are(&place, "delivered").await;
    assert_eq!(receiver.arrivals().len(), 2);
}

/// WH3. After 410 nothing more is sent to the receiver until an operator retries its messages.
async fn receiver_answering_410_is_disabled_until_an_operator_enables_it(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::answering(|number| Reply::Status(if number == 0 { 410 } else { 200 })).await;
    let platform = server.as_platform(&receiver.profile());
    let first = buy(&platform).await;
    let line = attempt_logged(&server, "disabled").await;
    assert_eq!((&line["msg"], &line["reason"]), (&json!("destination disabled"), &json!("answered 410")));
    assert_eq!(
        (&line["given_up"], &attempt_logged(&server, "dead").await["msg"]),
        (&json!(1), &json!("message given up"))
    );
    wait_until_all_are(&place, "dead").await;
    let second = buy(&platform).await;
    wait_until_all_are(&place, "dead").await;
    assert_eq!(receiver.arrivals().len(), 1, "nothing was sent to a disabled destination");

    // The operator's commands run beside the server.
    let listed = tuckshop_at(&place, &["deliveries", "list", "--state", "dead"], &[]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    for part in [id(&first), id(&second), "dead", "order_placed", &receiver.profile(), "2 shown."] {
        assert!(listed.out.contains(part), "no {part} in\n{}", listed.out);
    }
    let destination = format!("webhook:{}", receiver.profile());
    let destinations = tuckshop_at(&place, &["deliveries", "destinations"], &[]);
    for part in [destination.as_str(), "pending 0  dead 2  in delivery 0", "disabled at ", "1 shown."] {
        assert!(destinations.out.contains(part), "no {part} in\n{}{}", destinations.out, destinations.err);
    }
    let retried = tuckshop_at(&place, &["deliveries", "retry", "--destination", &destination], &[]);
    assert_eq!(
        (retried.code, retried.out.as_str()),
        (0, "2 to be retried, at the next poll of a running server."),
        "{}",
        retried.err
    );
    let orders: Vec<Value> = receiver.wait_for(3).await[1..].iter().map(Arrival::order).collect();
    assert!(orders.contains(&first) && orders.contains(&second), "{orders:?}");
    wait_until_all_are(&place, "delivered").await;
    let third = buy(&platform).await;
    assert_eq!(receiver.wait_for(4).await[3].order(), third);
}

/// WH8. The process is killed after the receiver got the webhook and before the receipt was recorded. The webhook is
/// sent again under the same id.
async fn kill_between_receipt_and_record_repeats_the_webhook_with_the_same_id(place: Place) {
    let server = open(&place).await;
    let receiver = Receiver::answering(|number| if number == 0 { Reply::Hold } else { Reply::Status(200) }).await;
    let order = buy(&server.as_platform(&receiver.profile())).await;
    let _ = receiver.wait_for(1).await;
    let _ = server.kill_and_wait();
    receiver.release();
    assert_eq!(
        messages(&place),
        [["pending", "1", ""].map(str::to_owned)],
        "the attempt was counted before it was made"
    );

    // The lease of the killed process lasts a while. No process holds it now, so the test ends it.
    Database::open(&place).execute("UPDATE delivery SET leased_until = 1");
    let server = place.serve_with(HASTY).await;
    let arrivals = receiver.wait_for(2).await;
    for name in ["webhook-id", "webhook-timestamp", "content-digest"] {
        assert_eq!(arrivals[0].header(name), arrivals[1].header(name), "{name}");
    }
    assert_eq!((arrivals[1].order(), &arrivals[0].body()), (order, &arrivals[1].body()));
    assert_eq!(attempt_logged(&server, "delivered").await["attempt"], 2);
    wait_until_all_are(&place, "delivered").await;
}

/// WH6. Of an answer without an end the status counts, and only a bounded part of the body is read.
async fn endless_answer_counts_by_its_status(place: Place) {
    /// The most that both ends of a connection may buffer.
    const BUFFERED: usize = 16 * 1024 * 1024;
    const MAX_GROWTH_KIB: u64 = 32 * 1024;
    let server = open(&place).await;
    let receiver = Receiver::answering(|number| Reply::Endless(if number == 0 { 500 } else { 200 })).await;
    let platform = server.as_platform(&receiver.profile());
    let before = server.peak_memory_kib();
    let order = buy(&platform).await;
    let (retried, done) = (attempt_logged(&server, "retry").await, attempt_logged(&server, "delivered").await);
    assert_eq!((&retried["reason"], &done["attempt"]), (&json!("answered 500"), &json!(2)));
    assert_eq!(done["order_id"], order["id"]);
    wait_until_all_are(&place, "delivered").await;
    let endless_bytes_sent = until("both endless bodies were cut off", || async {
        Some(receiver.endless_bytes_sent()).filter(|taken| taken.len() == 2)
    });
    let endless_bytes_sent = endless_bytes_sent.await;
    assert!(endless_bytes_sent.iter().all(|taken| *taken < BUFFERED), "{endless_bytes_sent:?} bytes were taken");
    let more = server.peak_memory_kib() - before;
    assert!(more < MAX_GROWTH_KIB, "{more} KiB more memory");
    let calls = server.log().into_iter().filter(|line| line["msg"] == "outbound call" && line["op"] == "webhook.send");
    let calls: Vec<_> = calls.map(|line| (line["status"].clone(), line["outcome"].clone())).collect();
    assert_eq!(calls, [500, 200].map(|status| (json!(status), json!("answered"))));
}

/// An order that the reconciler places is sent like any other and as soon: the reconciler wakes the sender.
async fn reconciled_order_is_sent_as_a_webhook(place: Place) {
    let seldom = [shop::HASTY, &[("TUCKSHOP_TASKS_WEBHOOK_DELIVERY_MS", "600000")]].concat();
    let (shop, receiver) = (Shop::open(&place, &seldom).await, Receiver::start().await);
    let platform = shop.server.as_platform(&receiver.profile());
    let checkout = platform.post("/checkout-sessions", &basket(&[("bun", 2)])).await.body(201);
    let unknown = platform.post(&complete_path(&checkout), &card("pm_sim_charge_then_hang")).await.body(200);
    assert_eq!(unknown["status"], "complete_in_progress");
    let arrival = receiver.wait_for(1).await.remove(0);
    let done = platform.get(&checkout_path(&checkout)).await.body(200);
    assert_eq!((arrival.header("x-event-type"), &done["status"]), ("order_placed", &json!("completed")));
    assert_eq!(arrival.order(), platform.get(&order_path(&done)).await.body(200));
    wait_until_all_are(&place, "delivered").await;
    assert_eq!(receiver.arrivals().len(), 1);
}

crate::on_both_engines!(
    order_webhook_is_complete_and_signed_with_a_published_key,
    webhook_answered_500_is_retried_within_five_seconds,
    events_of_an_order_arrive_in_order_if_the_first_fails,
    receiver_answering_410_is_disabled_until_an_operator_enables_it,
    kill_between_receipt_and_record_repeats_the_webhook_with_the_same_id,
);

mod sqlite_only {
    use super::*;
    crate::on_sqlite!(
        receiver_that_was_down_gets_the_webhook_after_its_return,
        broken_connection_is_retried,
        webhook_failing_every_attempt_becomes_a_dead_letter,
        hanging_receiver_times_out_and_is_retried,
        redirect_is_not_followed,
        endless_answer_counts_by_its_status,
        reconciled_order_is_sent_as_a_webhook,
    );
}
