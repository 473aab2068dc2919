//! WH9. Very much waits for a receiver that hangs. Whoever buys and whoever else is told notices nothing of it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::books::{Books, stock};
use crate::extent::extent;
use crate::kit::{Place, Server, until};
use crate::receiver::{Receiver, Say};
use crate::shop::ITEMS;
use crate::webhooks::bought;

/// Since when it has waited.
const AGE: Duration = Duration::from_secs(60 * 60);
/// What a purchase or a webhook may take longer beside a backlog, besides twice as long: for a machine that is busy.
const SLACK: Duration = Duration::from_secs(3);
/// A backlog is in the database, and not in the memory of whoever works on it.
const BEARABLE_KIB: u64 = 64 * 1024;

/// Messages to this platform, each of an order of its own.
fn preload(place: &Place, platform: &str, count: usize) {
    let mut books = Books::open(place);
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    let name = format!("'00000000000000000000' || CAST({} + i AS TEXT)", 100_000_000_000_u64);
    let due = (time::OffsetDateTime::now_utc() - AGE).unix_timestamp() * 1_000;
    books.execute(&format!(
        "BEGIN; \
         INSERT INTO orders (id, checkout_id, owner, page, currency, expectations, totals, attribution, placed_at) \
         {numbers} SELECT 'ord_' || {name}, 'chk_' || {name}, 'x', 'page_' || {name}, 'USD', '[]', '[]', '{{}}', {due} \
         FROM n; \
         INSERT INTO destination (id, channel, served_at, rest_until, failures) \
         VALUES ('webhook:{platform}', 'webhook', 0, 0, 0); \
         INSERT INTO delivery (id, channel, destination, order_id, sequence, event, body, state, occurred_at, due_at, \
         attempts) {numbers} SELECT 'msg_' || {name}, 'webhook', 'webhook:{platform}', 'ord_' || {name}, 0, \
         'order_placed', '{{}}', 'pending', {due}, {due}, 0 FROM n; \
         COMMIT"
    ));
}

struct Measured {
    /// Of a whole purchase.
    purchase: Duration,
    /// From the answer to the buyer to the arrival at the platform.
    told: Duration,
}

/// The slowest but one in twenty of so many purchases, one after the other.
async fn measured(server: &Server, receiver: &Receiver, purchases: usize) -> Measured {
    let platform = server.as_platform(&receiver.profile());
    let (mut buying, mut telling) = (Vec::new(), Vec::new());
    for _ in 0..purchases {
        let before = receiver.arrivals().len();
        let began = Instant::now();
        let order = bought(&platform).await;
        let answered = Instant::now();
        let told = receiver.told(before + 1).await.remove(before);
        assert_eq!(told.order(), order);
        buying.push(answered - began);
        telling.push(told.at.saturating_duration_since(answered));
    }
    let slow = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[(times.len() - 1) * 95 / 100]
    };
    Measured { purchase: slow(buying), told: slow(telling) }
}

async fn backlog_at_a_hanging_receiver_delays_no_one_else(place: Place) {
    let (waiting, purchases) = (extent(5_000, 100_000), extent(20, 100));
    stock(&place, ITEMS);
    let (server, well) = (place.serve().await, Receiver::start().await);
    let usual = measured(&server, &well, purchases).await;
    let usual_peak = server.peak_memory_kib();
    assert!(server.stop().status.success());

    let hung = Receiver::saying(|_| Say::Hold).await;
    preload(&place, &hung.profile(), waiting);
    let server = place.serve().await;
    // All that it is given at one time.
    let _ = hung.told(4).await;
    let beside = measured(&server, &well, purchases).await;
    println!("beside {waiting} messages, on Postgres: {}", place.is_postgres());
    println!("95 of 100 buy within {:?}, are told within {:?}", beside.purchase, beside.told);
    println!("without: {:?}, {:?}", usual.purchase, usual.told);
    for (beside, usual) in [(beside.purchase, usual.purchase), (beside.told, usual.told)] {
        assert!(beside < 2 * usual + SLACK, "{beside:?} beside a backlog, {usual:?} without");
    }
    assert_eq!(well.arrivals().len(), 2 * purchases);
    let mut books = Books::open(&place);
    let of_hung = format!("FROM delivery WHERE destination = 'webhook:{}'", hung.profile());
    let all = i64::try_from(waiting).expect("few");
    assert_eq!(books.number("count(*)", &format!("{of_hung} AND state = 'pending'")), all);
    assert!(hung.arrivals().len() < 100, "{} tries at a receiver that hangs", hung.arrivals().len());
    let more = server.peak_memory_kib().saturating_sub(usual_peak);
    assert!(more < BEARABLE_KIB, "{more} KiB more");

    // It answers again: how far behind it is stands in the log.
    hung.let_go();
    let line = until("one of the backlog is handed over", || async {
        let of_backlog = |line: &Value| line["destination"] == format!("webhook:{}", hung.profile());
        server.log().into_iter().find(|line| line["msg"] == "message handed over" && of_backlog(line))
    });
    let age = line.await["age_s"].as_u64();
    assert!(age >= Some(AGE.as_secs()), "{age:?}");
    let delivered = format!("{of_hung} AND state = 'delivered'");
    until("it catches up", || async { (Books::open(&place).number("count(*)", &delivered) > 50).then_some(()) }).await;
}

crate::on_both_engines!(backlog_at_a_hanging_receiver_delays_no_one_else);
