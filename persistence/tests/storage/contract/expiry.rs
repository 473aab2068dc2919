//! Unfinished checkouts expire, and checkouts that ended long ago are deleted. Orders are never deleted.

use domain::checkout::{CheckoutRefusal, CheckoutStore, Expired, Status};
use domain::order::OrderStore;
use domain::payment::PaymentOutcome;

use crate::kit::data::{alice, cancel, hours, new_checkout, noon, request, task};
use crate::kit::{Place, refusal};
use crate::on_both_engines;

on_both_engines!(
    only_expired_open_checkouts_are_canceled,
    checkout_in_progress_never_expires,
    ended_checkouts_are_deleted_and_their_orders_stay,
    expiry_pass_is_bounded,
);

async fn only_expired_open_checkouts_are_canceled(place: Place) {
    let shop = place.shop().await;
    let old = shop.opened_at(noon() - hours(6), &[("song", 1)], "k1").await;
    let incomplete = shop.opened_at(noon() - hours(6), &[("rose", 1)], "k2").await;
    let young = shop.opened_at(noon() - hours(6) + time::Duration::milliseconds(1), &[("song", 1)], "k3").await;
    assert_eq!(incomplete.status, Status::Incomplete);
    let expired = shop.checkouts.expire(&task(), noon(), noon() - hours(100), 10).await.expect("expired");
    assert_eq!(expired, Expired { canceled: 2, deleted: 0 });
    for checkout in [old, incomplete] {
        let now = shop.checkouts.read(&alice(), checkout.id).await.expect("read");
        assert_eq!((now.status, now.version, now.updated_at), (Status::Canceled, 2, noon()));
    }
    assert_eq!(shop.checkouts.read(&alice(), young.id.clone()).await.expect("read"), young);
    let again = shop.checkouts.expire(&task(), noon(), noon() - hours(100), 10).await.expect("expired");
    assert_eq!(again, Expired { canceled: 0, deleted: 0 });
}

async fn checkout_in_progress_never_expires(place: Place) {
    let shop = place.shop().await;
    let (checkout, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let years_later = noon() + hours(24 * 1_000);
    let before = place.raw().state();
    let expired = shop.checkouts.expire(&task(), years_later, years_later, 10).await.expect("expired");
    assert_eq!(expired, Expired { canceled: 0, deleted: 0 });
    assert_eq!(place.raw().state(), before);
    // The outcome of the payment counts at any later time.
    shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    assert_eq!(shop.checkouts.read(&alice(), checkout.id).await.expect("read").status, Status::Completed);
}

async fn ended_checkouts_are_deleted_and_their_orders_stay(place: Place) {
    let shop = place.shop().await;
    let bought = shop.bought(&[("song", 1)], "k1").await;
    let given_up = shop.opened(&[("song", 1)], "k2").await;
    shop.checkouts.cancel(&alice(), cancel(&given_up.id, "k3"), given_up.id.clone()).await.expect("canceled");
    let open = {
        let mut new = new_checkout(request(&[("song", 1)]));
        new.expires_at = noon() + hours(1_000);
        shop.checkouts.create(&alice(), crate::kit::data::create("k4"), new.clone()).await.expect("created");
        new.id
    };
    let now = noon() + hours(100);
    let kept = shop.checkouts.expire(&task(), now, noon(), 10).await.expect("expired");
    assert_eq!(kept, Expired { canceled: 0, deleted: 0 }, "they changed at that very moment, not before it");
    let forgotten = shop.checkouts.expire(&task(), now, noon() + hours(1), 10).await.expect("expired");
    assert_eq!(forgotten, Expired { canceled: 0, deleted: 2 });
    for id in [bought.id, given_up.id] {
        assert_eq!(refusal(shop.checkouts.read(&alice(), id).await), CheckoutRefusal::NotFound);
    }
    shop.checkouts.read(&alice(), open).await.expect("still there");
    let order = bought.order.expect("an order");
    assert!(shop.orders.read(&task(), order.id).await.expect("read").is_some());
    assert!(shop.orders.read_page(&task(), order.page).await.expect("read").is_some());
}

async fn expiry_pass_is_bounded(place: Place) {
    let shop = place.shop().await;
    for round in 0..3 {
        shop.opened_at(noon() - hours(6), &[("song", 1)], &format!("k{round}")).await;
    }
    let pass = || shop.checkouts.expire(&task(), noon(), noon() + hours(1), 2);
    // A pass may delete a checkout that it has just cancelled. It cancels at most `limit` checkouts and deletes at most
    // `limit`.
    assert_eq!(pass().await.expect("expired"), Expired { canceled: 2, deleted: 2 });
    assert_eq!(pass().await.expect("expired"), Expired { canceled: 1, deleted: 1 });
    assert_eq!(pass().await.expect("expired"), Expired { canceled: 0, deleted: 0 });
}
