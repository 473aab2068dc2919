//! Receivers that hang on purpose, each under many profile names. A proven receiver waits no longer than usual, and a
//! new receiver is served.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};

use crate::database::stock;
use crate::fan_out::{PATIENT, delivery_waits, percentile};
use crate::kit::basket::{basket, id};
use crate::kit::{Place, Server};
use crate::receiver::Receiver;
use crate::shop::ITEMS;

/// The number of servers that hang. Each has its own address.
const HOSTILE: u8 = 60;
/// The default number of concurrent passes.
const PASSES: usize = 64;
/// The number of orders by which a proven receiver is measured.
const ORDERS: usize = 20;
/// Tolerance for a busy machine, besides twice the usual wait.
const SLACK: Duration = Duration::from_millis(500);
/// Within this time a new receiver is served although others are as new: each first attempt is short, and at least a
/// quarter of the passes makes first attempts.
const SERVED: Duration = Duration::from_secs(30);

/// Buys for the platform of each profile in turn, four at a time. Returns each order and the moment of its answer.
async fn buy(server: &Server, profiles: &[String]) -> Vec<(String, Instant)> {
    let buying = stream::iter(profiles).map(|profile| async move {
        let platform = server.as_platform(profile);
        let checkout = platform.post("/checkout-sessions", &basket(&[("sample", 1)])).await.body(201);
        let done = platform.complete(&checkout, "success_token").await.body(200);
        (id(&done["order"]).to_owned(), Instant::now())
    });
    buying.buffer_unordered(4).collect().await
}

/// The 95th percentile of the waits for webhooks to this receiver.
async fn usual_wait(server: &Server, receiver: &Receiver) -> Duration {
    let orders = buy(server, &vec![receiver.profile(); ORDERS]).await.into_iter().collect();
    percentile(&mut delivery_waits(receiver, &orders, SERVED).await, 95)
}

/// Measures a proven receiver beside servers that hang under this many names each.
async fn measure_beside_hanging_names(place: Place, names: u32) {
    stock(&place, ITEMS);
    let server = place.serve_with(&[PATIENT]).await;
    let proven = Receiver::start().await;
    let _ = usual_wait(&server, &proven).await;
    let alone = usual_wait(&server, &proven).await;

    let hostile = join_all((1..=HOSTILE).map(Receiver::hanging_at)).await;
    let named = |receiver: &Receiver| (0..names).map(|name| format!("{}?name={name}", receiver.profile())).collect();
    let profiles: Vec<String> = hostile.iter().flat_map(|receiver| -> Vec<_> { named(receiver) }).collect();
    buy(&server, &profiles).await;
    let beside = usual_wait(&server, &proven).await;

    let new = Receiver::start().await;
    let orders = buy(&server, &[new.profile()]).await.into_iter().collect();
    let served = percentile(&mut delivery_waits(&new, &orders, SERVED).await, 95);
    let held: usize = hostile.iter().map(|receiver| receiver.arrivals().len()).sum();
    println!(
        "alone {alone:?}, beside {} names that hang {beside:?}; a new one {served:?}; {held} held",
        profiles.len()
    );
    assert!(held >= PASSES / 4, "only {held} webhooks were held");
    assert!(beside < 2 * alone + SLACK, "{beside:?} beside servers that hang, {alone:?} alone");
}

async fn sixty_hanging_servers_do_not_delay_a_proven_receiver(place: Place) {
    measure_beside_hanging_names(place, 1).await;
}

async fn two_hundred_hanging_names_do_not_delay_a_proven_receiver(place: Place) {
    measure_beside_hanging_names(place, 4).await;
}

crate::on_both_engines!(
    sixty_hanging_servers_do_not_delay_a_proven_receiver,
    two_hundred_hanging_names_do_not_delay_a_proven_receiver,
);
