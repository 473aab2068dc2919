//! Some of many receivers hang or fail. The other receivers get their webhooks as usual, and in the end every webhook
//! is delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::Value;

use crate::database::{Database, stock};
use crate::extent::extent;
use crate::kit::basket::{basket, id};
use crate::kit::{Place, Server};
use crate::python::Script;
use crate::receiver::{Receiver, Reply};
use crate::shop::ITEMS;

const RECEIVERS: usize = 20;
/// The number of receivers that hang. They come first.
const HANGING: usize = 2;
/// The receiver after those. It answers its first webhooks with 500.
const FAILING: usize = 2;
const FAILURES: usize = 4;
/// Concurrent buyers.
const BUYERS: usize = 4;
/// Tolerance for a busy machine, besides twice the usual wait.
const SLACK: Duration = Duration::from_millis(500);

/// A long request deadline, so that a busy machine refuses no buyer.
pub const PATIENT: (&str, &str) = ("TUCKSHOP_HTTP_REQUEST_TIMEOUT_MS", "30000");

/// The orders of each platform by id, with the moment of the answer to each.
type Orders = Vec<BTreeMap<String, Instant>>;

/// Buys `each` times for each platform, in turn.
async fn buy(server: &Server, receivers: &[Receiver], each: usize) -> Orders {
    let turns = (0..each).flat_map(|_| 0..receivers.len());
    let buying = stream::iter(turns).map(|number| async move {
        let platform = server.as_platform(&receivers[number].profile());
        let checkout = platform.post("/checkout-sessions", &basket(&[("sample", 1)])).await.body(201);
        let done = platform.complete(&checkout, "success_token").await.body(200);
        (number, id(&done["order"]).to_owned(), Instant::now())
    });
    let mut orders = vec![BTreeMap::new(); receivers.len()];
    for (number, order, at) in buying.buffer_unordered(BUYERS).collect::<Vec<_>>().await {
        orders[number].insert(order, at);
    }
    orders
}

/// The time from the answer to the buyer to the first arrival at the platform, for every order.
pub async fn delivery_waits(
    receiver: &Receiver,
    orders: &BTreeMap<String, Instant>,
    patience: Duration,
) -> Vec<Duration> {
    let began = Instant::now();
    loop {
        let mut arrived: BTreeMap<String, Instant> = BTreeMap::new();
        for arrival in receiver.arrivals() {
            arrived.entry(arrival.order()["id"].as_str().expect("an id").to_owned()).or_insert(arrival.at);
        }
        let missing = orders.keys().filter(|order| !arrived.contains_key(*order)).count();
        if missing == 0 {
            return orders.iter().map(|(order, at)| arrived[order].saturating_duration_since(*at)).collect();
        }
        assert!(began.elapsed() < patience, "{missing} orders did not arrive at {}", receiver.profile());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The waits of all receivers together.
async fn all_waits(receivers: &[Receiver], orders: &[BTreeMap<String, Instant>], patience: Duration) -> Vec<Duration> {
    let each = receivers.iter().zip(orders).map(|(receiver, orders)| delivery_waits(receiver, orders, patience));
    join_all(each).await.concat()
}

pub fn percentile(waits: &mut [Duration], percent: usize) -> Duration {
    waits.sort_unstable();
    waits[(waits.len() - 1) * percent / 100]
}

/// The 95th percentiles of the waits of healthy receivers: with only healthy receivers, and beside failing ones.
struct Measured {
    usual: Duration,
    beside: Duration,
}

impl Measured {
    fn is_fair(&self) -> bool {
        self.beside < 2 * self.usual + SLACK
    }
}

async fn measure(place: &Place, server: &Server, each: usize, patience: Duration) -> Measured {
    let healthy = join_all((0..RECEIVERS).map(|_| Receiver::start())).await;
    let orders = buy(server, &healthy, each).await;
    let mut usual = all_waits(&healthy[HANGING + 1..], &orders[HANGING + 1..], patience).await;
    let _ = all_waits(&healthy, &orders, patience).await;
    drop(healthy);

    let is_failing = Arc::new(AtomicBool::new(true));
    let receivers = join_all((0..RECEIVERS).map(|number| {
        let is_failing = is_failing.clone();
        Receiver::answering(move |webhook| match number {
            0..HANGING if is_failing.load(Ordering::Acquire) => Reply::Hold,
            FAILING if webhook < FAILURES => Reply::Status(500),
            _ => Reply::Status(200),
        })
    }))
    .await;
    let orders = buy(server, &receivers, each).await;
    let mut beside = all_waits(&receivers[HANGING + 1..], &orders[HANGING + 1..], patience).await;
    let held = receivers[..HANGING].iter().map(|receiver| receiver.arrivals().len()).sum::<usize>();
    assert!(held > 0, "nothing was sent to the receivers that hang");
    let measured = Measured { usual: percentile(&mut usual, 95), beside: percentile(&mut beside, 95) };

    is_failing.store(false, Ordering::Release);
    receivers[..HANGING].iter().for_each(Receiver::release);
    let _ = all_waits(&receivers, &orders, patience).await;
    let mut database = Database::open(place);
    let began = Instant::now();
    while database.number("count(*)", "FROM delivery WHERE state <> 'delivered'") > 0 {
        assert!(began.elapsed() < patience, "not every message is delivered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(database.number("count(*)", "FROM delivery"), 2 * i64::try_from(each * RECEIVERS).expect("few"));
    assert_one_id_per_event_and_valid_signatures(server, &receivers, &orders).await;
    measured
}

async fn failing_receivers_delay_no_others_and_nothing_is_lost(place: Place) {
    let each = extent(5, 50);
    stock(&place, ITEMS);
    let server = place.serve_with(&[PATIENT]).await;
    let measured = measure(&place, &server, each, Duration::from_secs(extent(60, 600))).await;
    let Measured { usual, beside } = measured;
    println!("{} webhooks to {RECEIVERS} receivers, twice, on Postgres: {}", each * RECEIVERS, place.is_postgres());
    println!("95 of 100 arrive within {usual:?}; within {beside:?} while {HANGING} receivers hang and one fails");
    assert!(measured.is_fair(), "{beside:?} beside failing receivers, {usual:?} without");
}

/// The negative control: if the failing receivers can use all the concurrency, the others wait, and the test detects
/// it.
async fn failing_receivers_delay_others_if_concurrency_is_too_low(place: Place) {
    stock(&place, ITEMS);
    // Longer than twice the wait on a busy machine without failing receivers.
    let few = [
        PATIENT,
        ("TUCKSHOP_WEBHOOK_AT_ONCE", "2"),
        ("TUCKSHOP_WEBHOOK_AT_ONCE_PER_PLATFORM", "1"),
        ("TUCKSHOP_WEBHOOK_TIMEOUT_MS", "8000"),
    ];
    let server = place.serve_with(&few).await;
    let measured = measure(&place, &server, 2, Duration::from_secs(60)).await;
    assert!(!measured.is_fair(), "{:?} beside failing receivers, {:?} without", measured.beside, measured.usual);
}

async fn assert_one_id_per_event_and_valid_signatures(server: &Server, receivers: &[Receiver], orders: &Orders) {
    let profile = server.get("/.well-known/ucp").await.body(200);
    let mut verifier = Script::start("verify.py", &[]);
    for (receiver, orders) in receivers.iter().zip(orders) {
        if let (Some(verifier), Some(sample)) = (&mut verifier, receiver.arrivals().pop()) {
            assert_eq!(verifier.verify_webhook(&sample, &profile["signing_keys"]), Value::Null);
        }
        let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for arrival in receiver.arrivals() {
            let order = arrival.order()["id"].as_str().expect("an id").to_owned();
            ids.entry(order).or_default().insert(arrival.header("webhook-id").to_owned());
        }
        assert_eq!(
            ids.keys().collect::<Vec<_>>(),
            orders.keys().collect::<Vec<_>>(),
            "orders of other platforms arrived"
        );
        assert!(ids.values().all(|ids| ids.len() == 1), "one order arrived under several ids: {ids:?}");
    }
}

crate::on_both_engines!(failing_receivers_delay_no_others_and_nothing_is_lost);

mod sqlite_only {
    use super::failing_receivers_delay_others_if_concurrency_is_too_low;
    crate::on_sqlite!(failing_receivers_delay_others_if_concurrency_is_too_low);
}
