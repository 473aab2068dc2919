//! Another transaction holds a lock: the caller returns in time, with the right fault, and nothing has happened.

use std::time::Duration;

use domain::checkout::CheckoutStore;
use domain::context::Stopwatch;
use domain::fault::FaultKind;

use super::{SOON, THE_SONG};
use crate::kit::data::{ALICE, alice, begin, caller, create, new_checkout, request};
use crate::kit::race::waits;
use crate::kit::{Expected, Place, until};
use crate::on_both_engines;

on_both_engines!(
    a_deadline_ends_the_wait_for_a_lock,
    long_lock_wait_is_contention,
    caller_that_leaves_ends_the_wait_for_a_lock,
    late_or_gone_caller_begins_no_transaction,
    readers_do_not_wait_for_a_writer,
);

async fn a_deadline_ends_the_wait_for_a_lock(place: Place) {
    let shop = place.shop().await;
    let id = shop.opened(&[("song", 1)], "k1").await.id;
    let before = place.raw().state();
    let mut other = place.raw();
    other.hold(THE_SONG);
    // Tried several times, because the time limit of the engine ends at about the same moment as the deadline.
    for _ in 0..5 {
        let watch = Stopwatch::start();
        let ctx = caller(ALICE, Duration::from_millis(300));
        let fault = shop.checkouts.begin_completion(&ctx, begin(&id, "k2")).await.fault();
        assert_eq!(fault.kind(), FaultKind::DeadlineExceeded, "{}", fault.chain());
        assert_eq!(fault.operation(), "checkout.begin_completion");
        assert!(watch.elapsed() >= Duration::from_millis(300), "{:?}", watch.elapsed());
        assert!(watch.elapsed() < SOON, "{:?}", watch.elapsed());
    }
    other.release();
    until("no job is left behind", || shop.database.abandoned() == 0).await;
    assert_eq!(place.raw().state(), before);
    shop.begin(&id, "k2").await;
}

async fn long_lock_wait_is_contention(place: Place) {
    let shop = place.shop_with(|config| config.lock_timeout = Duration::from_millis(200)).await;
    let id = shop.opened(&[("song", 1)], "k1").await.id;
    let before = place.raw().state();
    let mut other = place.raw();
    other.hold(THE_SONG);
    let watch = Stopwatch::start();
    let fault = shop.checkouts.begin_completion(&alice(), begin(&id, "k2")).await.fault();
    assert_eq!(fault.kind(), FaultKind::Contention, "{}", fault.chain());
    assert!(watch.elapsed() >= Duration::from_millis(200) && watch.elapsed() < SOON, "{:?}", watch.elapsed());
    other.release();
    assert_eq!(place.raw().state(), before);
    shop.begin(&id, "k2").await;
}

async fn caller_that_leaves_ends_the_wait_for_a_lock(place: Place) {
    let shop = place.shop().await;
    let id = shop.opened(&[("song", 1)], "k1").await.id;
    let before = place.raw().state();
    let shop = place_anew(&place, shop);
    let (mut other, mut observer) = (place.raw(), place.raw());
    other.hold(THE_SONG);
    let ctx = alice();
    let completing = shop.checkouts.begin_completion(&ctx, begin(&id, "k2"));
    let leaving = async {
        waits(&mut observer, &ctx).await;
        ctx.cancellation().cancel();
    };
    let watch = Stopwatch::start();
    let (completed, ()) = tokio::join!(completing, leaving);
    let fault = completed.fault();
    assert_eq!(fault.kind(), FaultKind::Cancelled, "{}", fault.chain());
    assert!(watch.elapsed() < SOON, "{:?}", watch.elapsed());
    // The job still waits for the lock, and counts as abandoned until it ends.
    assert_eq!(shop.database.abandoned(), 1);
    other.release();
    until("the job has ended", || shop.database.abandoned() == 0).await;
    assert_eq!(place.raw().state(), before);
}

/// Opens the shop again, so that its pool is empty.
fn place_anew(place: &Place, shop: crate::kit::Shop) -> crate::kit::Shop {
    drop(shop);
    crate::kit::Shop::on(place.open())
}

async fn late_or_gone_caller_begins_no_transaction(place: Place) {
    let shop = place.shop().await;
    let before = place.raw().state();
    let create_as = |ctx| shop.checkouts.create(&ctx, create("k1"), new_checkout(request(&[("song", 1)])));
    let late = create_as(caller(ALICE, Duration::ZERO)).await.fault();
    assert_eq!(late.kind(), FaultKind::DeadlineExceeded);
    let gone = alice();
    gone.cancellation().cancel();
    assert_eq!(create_as(gone).await.fault().kind(), FaultKind::Cancelled);
    assert_eq!(place.raw().state(), before);
}

async fn readers_do_not_wait_for_a_writer(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("song", 1)], "k1").await;
    let mut other = place.raw();
    other.hold("SELECT id FROM checkout");
    let watch = Stopwatch::start();
    assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), checkout);
    assert!(watch.elapsed() < SOON, "{:?}", watch.elapsed());
    other.release();
}
