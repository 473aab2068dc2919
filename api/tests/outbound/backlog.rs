//! WH9. A large backlog for a receiver that hangs delays neither purchases nor the webhooks of other platforms.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::database::{Database, stock};
use crate::extent::extent;
use crate::kit::{Place, Server, until};
use crate::receiver::{Receiver, Reply};
use crate::shop::ITEMS;
use crate::webhooks::buy;

/// The age of the backlog.
const AGE: Duration = Duration::from_secs(60 * 60);
/// Tolerance for a busy machine, besides twice the usual time.
const SLACK: Duration = Duration::from_secs(3);
/// The backlog stays in the database and does not fill the memory of the server.
const MAX_GROWTH_KIB: u64 = 64 * 1024;

/// Inserts pending messages to this platform, each for an order of its own.
fn preload(place: &Place, platform: &str, count: usize) {
    let mut database = Database::open(place);
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    let name = format!("'00000000000000000000' || CAST({} + i AS TEXT)", 100_000_000_000_u64);
    let due = (time::OffsetDateTime::now_utc() - AGE).unix_timestamp() * 1_000;
    database.execute(&format!(
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
    /// The time of a whole purchase.
    purchase: Duration,
    /// The time from the answer to the buyer to the arrival of the webhook.
    webhook: Duration,
}

/// The 95th percentiles of this many purchases in sequence.
async fn measure(server: &Server, receiver: &Receiver, purchases: usize) -> Measured {
    let platform = server.as_platform(&receiver.profile());
    let (mut purchases_took, mut webhooks_took) = (Vec::new(), Vec::new());
    for _ in 0..purchases {
        let before = receiver.arrivals().len();
        let began = Instant::now();
        let order = buy(&platform).await;
        let answered = Instant::now();
        let arrival = receiver.wait_for(before + 1).await.remove(before);
        assert_eq!(arrival.order(), order);
        purchases_took.push(answered - began);
        webhooks_took.push(arrival.at.saturating_duration_since(answered));
    }
    let slow = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[(times.len() - 1) * 95 / 100]
    };
    Measured { purchase: slow(purchases_took), webhook: slow(webhooks_took) }
}

async fn backlog_at_a_hanging_receiver_delays_no_one_else(place: Place) {
    let (waiting, purchases) = (extent(5_000, 100_000), extent(20, 100));
    stock(&place, ITEMS);
    let (server, well) = (place.serve().await, Receiver::start().await);
    let usual = measure(&server, &well, purchases).await;
    let usual_peak = server.peak_memory_kib();
    assert!(server.stop().status.success());

    let hung = Receiver::answering(|_| Reply::Hold).await;
    preload(&place, &hung.profile(), waiting);
    let server = place.serve().await;
    // Several attempts hang at the same time.
    let _ = hung.wait_for(4).await;
    let beside = measure(&server, &well, purchases).await;
    println!("beside {waiting} messages, on Postgres: {}", place.is_postgres());
    println!("95 of 100 buy within {:?}, get webhooks within {:?}", beside.purchase, beside.webhook);
    println!("without: {:?}, {:?}", usual.purchase, usual.webhook);
    for (beside, usual) in [(beside.purchase, usual.purchase), (beside.webhook, usual.webhook)] {
        assert!(beside < 2 * usual + SLACK, "{beside:?} beside a backlog, {usual:?} without");
    }
    assert_eq!(well.arrivals().len(), 2 * purchases);
    let mut database = Database::open(&place);
    let of_hung = format!("FROM delivery WHERE destination = 'webhook:{}'", hung.profile());
    let all = i64::try_from(waiting).expect("few");
    assert_eq!(database.number("count(*)", &format!("{of_hung} AND state = 'pending'")), all);
    assert!(hung.arrivals().len() < 100, "{} attempts at a receiver that hangs", hung.arrivals().len());
    let more = server.peak_memory_kib().saturating_sub(usual_peak);
    assert!(more < MAX_GROWTH_KIB, "{more} KiB more memory");

    // The receiver answers again. The log shows the age of the message.
    hung.release();
    let line = until("one of the backlog is sent", || async {
        let of_backlog = |line: &Value| line["destination"] == format!("webhook:{}", hung.profile());
        server.log().into_iter().find(|line| line["msg"] == "message sent" && of_backlog(line))
    });
    let age = line.await["age_s"].as_u64();
    assert!(age >= Some(AGE.as_secs()), "{age:?}");
    let delivered = format!("{of_hung} AND state = 'delivered'");
    until("the backlog shrinks", || async {
        (Database::open(&place).number("count(*)", &delivered) > 50).then_some(())
    })
    .await;
}

crate::on_both_engines!(backlog_at_a_hanging_receiver_delays_no_one_else);
