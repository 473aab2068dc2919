//! Many receivers, some of which hang or fail: the others are told as if nothing were wrong, and in the end everybody is
//! told of everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::Value;

use crate::books::{Books, stock};
use crate::extent::extent;
use crate::kit::basket::{basket, id};
use crate::kit::{Place, Server};
use crate::python::Script;
use crate::receiver::{Receiver, Say};
use crate::shop::ITEMS;

const RECEIVERS: usize = 20;
/// The first of them.
const HANGING: usize = 2;
/// The one after those: it answers its first webhooks with 500.
const FAILING: usize = 2;
const FAILURES: usize = 4;
/// Buyers at once.
const BUYERS: usize = 4;
/// What a healthy receiver may wait longer beside sick ones, besides twice as long: for a machine that is busy.
const SLACK: Duration = Duration::from_millis(500);

/// Nobody who buys is turned away on a busy machine.
pub const PATIENT: (&str, &str) = ("TUCKSHOP_HTTP_REQUEST_TIMEOUT_MS", "30000");

/// Orders of each platform by id, with the moment at which each was answered.
type Orders = Vec<BTreeMap<String, Instant>>;

/// Buys so many things for each platform, all of them in turn.
async fn bought(server: &Server, receivers: &[Receiver], each: usize) -> Orders {
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

/// From the answer to the buyer until the first arrival at the platform, for every order.
pub async fn waits(receiver: &Receiver, orders: &BTreeMap<String, Instant>, patience: Duration) -> Vec<Duration> {
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
        assert!(began.elapsed() < patience, "{missing} orders were not told to {}", receiver.profile());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Of all receivers together.
async fn all_waits(receivers: &[Receiver], orders: &[BTreeMap<String, Instant>], patience: Duration) -> Vec<Duration> {
    let each = receivers.iter().zip(orders).map(|(receiver, orders)| waits(receiver, orders, patience));
    join_all(each).await.concat()
}

pub fn percentile(waits: &mut [Duration], percent: usize) -> Duration {
    waits.sort_unstable();
    waits[(waits.len() - 1) * percent / 100]
}

/// How long 95 of 100 webhooks take to healthy receivers: when all are healthy, and beside the sick.
struct Measured {
    usual: Duration,
    beside: Duration,
}

impl Measured {
    fn is_fair(&self) -> bool {
        self.beside < 2 * self.usual + SLACK
    }
}

async fn measured(place: &Place, server: &Server, each: usize, patience: Duration) -> Measured {
    let healthy = join_all((0..RECEIVERS).map(|_| Receiver::start())).await;
    let orders = bought(server, &healthy, each).await;
    let mut usual = all_waits(&healthy[HANGING + 1..], &orders[HANGING + 1..], patience).await;
    let _ = all_waits(&healthy, &orders, patience).await;
    drop(healthy);

    let is_sick = Arc::new(AtomicBool::new(true));
    let receivers = join_all((0..RECEIVERS).map(|number| {
        let is_sick = is_sick.clone();
        Receiver::saying(move |webhook| match number {
            0..HANGING if is_sick.load(Ordering::Acquire) => Say::Hold,
            FAILING if webhook < FAILURES => Say::Status(500),
            _ => Say::Status(200),
        })
    }))
    .await;
    let orders = bought(server, &receivers, each).await;
    let mut beside = all_waits(&receivers[HANGING + 1..], &orders[HANGING + 1..], patience).await;
    let held = receivers[..HANGING].iter().map(|receiver| receiver.arrivals().len()).sum::<usize>();
    assert!(held > 0, "nothing was sent to those who hang");
    let measured = Measured { usual: percentile(&mut usual, 95), beside: percentile(&mut beside, 95) };

    is_sick.store(false, Ordering::Release);
    receivers[..HANGING].iter().for_each(Receiver::let_go);
    let _ = all_waits(&receivers, &orders, patience).await;
    let mut books = Books::open(place);
    let began = Instant::now();
    while books.number("count(*)", "FROM delivery WHERE state <> 'delivered'") > 0 {
        assert!(began.elapsed() < patience, "something is still to be delivered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(books.number("count(*)", "FROM delivery"), 2 * i64::try_from(each * RECEIVERS).expect("few"));
    every_event_has_one_name_and_a_good_signature(server, &receivers, &orders).await;
    measured
}

async fn failing_receivers_delay_no_others_and_nothing_is_lost(place: Place) {
    let each = extent(5, 50);
    stock(&place, ITEMS);
    let server = place.serve_with(&[PATIENT]).await;
    let measured = measured(&place, &server, each, Duration::from_secs(extent(60, 600))).await;
    let Measured { usual, beside } = measured;
    println!("{} webhooks to {RECEIVERS} receivers, twice, on Postgres: {}", each * RECEIVERS, place.is_postgres());
    println!("95 of 100 arrive within {usual:?}; within {beside:?} while {HANGING} receivers hang and one fails");
    assert!(measured.is_fair(), "{beside:?} beside sick receivers, {usual:?} without");
}

/// The negative control: with no more places than the sick can take, everybody waits for them, and it is noticed.
async fn failing_receivers_delay_others_if_concurrency_is_too_low(place: Place) {
    stock(&place, ITEMS);
    // Longer than twice what a busy machine takes without sick receivers.
    let few = [
        PATIENT,
        ("TUCKSHOP_WEBHOOK_AT_ONCE", "2"),
        ("TUCKSHOP_WEBHOOK_AT_ONCE_PER_PLATFORM", "1"),
        ("TUCKSHOP_WEBHOOK_TIMEOUT_MS", "8000"),
    ];
    let server = place.serve_with(&few).await;
    let measured = measured(&place, &server, 2, Duration::from_secs(60)).await;
    assert!(!measured.is_fair(), "{:?} beside sick receivers, {:?} without", measured.beside, measured.usual);
}

async fn every_event_has_one_name_and_a_good_signature(server: &Server, receivers: &[Receiver], orders: &Orders) {
    let profile = server.get("/.well-known/ucp").await.body(200);
    let mut judge = Script::start("verify.py", &[]);
    for (receiver, orders) in receivers.iter().zip(orders) {
        if let (Some(judge), Some(sample)) = (&mut judge, receiver.arrivals().pop()) {
            assert_eq!(judge.on_webhook(&sample, &profile["signing_keys"]), Value::Null);
        }
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for arrival in receiver.arrivals() {
            let order = arrival.order()["id"].as_str().expect("an id").to_owned();
            names.entry(order).or_default().insert(arrival.header("webhook-id").to_owned());
        }
        assert_eq!(names.keys().collect::<Vec<_>>(), orders.keys().collect::<Vec<_>>(), "told of others' orders");
        assert!(names.values().all(|names| names.len() == 1), "told twice under different names: {names:?}");
    }
}

crate::on_both_engines!(failing_receivers_delay_no_others_and_nothing_is_lost);

mod on_a_file {
    use super::failing_receivers_delay_others_if_concurrency_is_too_low;
    crate::on_sqlite!(failing_receivers_delay_others_if_concurrency_is_too_low);
}
