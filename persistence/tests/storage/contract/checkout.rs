//! Creating, reading, replacing and cancelling a checkout.

use domain::checkout::{
    CheckoutId, CheckoutRefusal, CheckoutRequest, CheckoutStore, MessageCode, NewCheckout, Outcome, Status,
};
use domain::customer::{Buyer, DestinationId, Email};
use domain::fulfillment::{FulfillmentRequest, MethodKind};
use domain::id::PageToken;
use domain::money::Amount;
use domain::payment::PaymentOutcome;

use crate::kit::data::{
    about, alice, bob, cancel, create, hours, new_checkout, noon, request, rich_request, update, usd,
};
use crate::kit::{Place, refusal};
use crate::on_both_engines;

on_both_engines!(
    created_checkout_is_read_as_it_was_returned,
    every_part_of_a_checkout_is_read_as_stored,
    a_checkout_of_another_platform_does_not_exist,
    an_unknown_checkout_does_not_exist,
    page_token_reads_the_page_for_any_caller,
    request_for_unknown_goods_creates_no_checkout,
    sku_with_a_nul_is_not_found,
    an_update_replaces_the_content_and_raises_the_version,
    an_update_that_leaves_nothing_to_sell_changes_nothing,
    canceled_checkout_refuses_changes,
    completed_checkout_refuses_changes,
    an_expired_checkout_cannot_be_changed,
    stored_addresses_are_offered_to_registered_platforms_only,
    address_of_an_order_is_offered_in_the_next_checkout,
);

mod beside_a_lock {
    use super::*;
    crate::on_postgres!(order_to_a_known_address_waits_for_no_other_order);

    async fn order_to_a_known_address_waits_for_no_other_order(place: Place) {
        let shop = place.shop().await;
        let mut wanted = rich_request();
        let fulfillment = wanted.fulfillment.as_mut().expect("a delivery");
        fulfillment.destinations = vec![(Some(DestinationId("home".into())), crate::kit::data::address("2 B St"))];
        fulfillment.selected_destination = Some(DestinationId("home".into()));
        let mut other = place.raw();
        for round in 0..2 {
            let new = new_checkout(wanted.clone());
            let answer = shop.checkouts.create(&alice(), create(&key()), new).await.expect("created");
            let (_, attempt) = shop.begin(&about(&answer.outcome).id, &key()).await;
            if round == 1 {
                // A transaction that writes the order of another checkout holds this lock too.
                other.hold("SELECT id FROM address WHERE id = 'home'");
            }
            // If the settlement waited for this lock, it would fail with a lock timeout.
            shop.settle(&attempt, PaymentOutcome::Confirmed).await;
        }
        other.release();
    }
}

async fn created_checkout_is_read_as_it_was_returned(place: Place) {
    let shop = place.shop().await;
    let new = new_checkout(request(&[("song", 2), ("book", 1)]));
    let answer = shop.checkouts.create(&alice(), create("k1"), new.clone()).await.expect("created");
    assert!(!answer.replayed);
    let created = about(&answer.outcome);
    assert_eq!((created.id.clone(), created.status, created.version), (new.id.clone(), Status::ReadyForComplete, 1));
    assert_eq!((created.created_at, created.expires_at), (noon(), noon() + hours(6)));
    assert_eq!(created.details.totals.total(), Amount::new(2 * 500 + 1_250));
    assert_eq!(shop.checkouts.read(&alice(), new.id).await.expect("read"), *created);
}

async fn every_part_of_a_checkout_is_read_as_stored(place: Place) {
    let shop = place.shop().await;
    let new = new_checkout(rich_request());
    let answer = shop.checkouts.create(&alice(), create("k1"), new.clone()).await.expect("created");
    let created = about(&answer.outcome);
    assert_eq!(created.status, Status::ReadyForComplete, "{:?}", created.details.messages);
    let applied: Vec<_> = created.details.discounts.iter().map(|discount| discount.code.as_str()).collect();
    assert_eq!(applied.len(), 2, "{applied:?}");
    let codes: Vec<_> = created.details.messages.iter().map(|message| message.code).collect();
    assert_eq!(codes, [MessageCode::DiscountCodeInvalid]);
    let chosen = created.details.fulfillment.as_ref().and_then(|delivery| delivery.option()).expect("an option");
    assert_eq!(chosen.price, Amount::ZERO, "a rose is shipped free");
    assert_eq!(shop.checkouts.read(&alice(), new.id).await.expect("read"), *created);
}

async fn a_checkout_of_another_platform_does_not_exist(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("song", 1)], "k1").await;
    let id = checkout.id.clone();
    let book = &shop.checkouts;
    assert_eq!(refusal(book.read(&bob(), id.clone()).await), CheckoutRefusal::NotFound);
    assert_eq!(refusal(book.cancel(&bob(), cancel(&id, "b1"), id.clone()).await), CheckoutRefusal::NotFound);
    let wanted = request(&[("book", 1)]);
    let updated = book.update(&bob(), update(&id, "b2"), id.clone(), wanted).await;
    assert_eq!(refusal(updated), CheckoutRefusal::NotFound);
    let begun = book.begin_completion(&bob(), crate::kit::data::begin(&id, "b3")).await;
    assert_eq!(refusal(begun), CheckoutRefusal::NotFound);
    assert_eq!(book.read(&alice(), id).await.expect("hers"), checkout);
}

async fn an_unknown_checkout_does_not_exist(place: Place) {
    let shop = place.shop().await;
    let id = CheckoutId::generate(noon());
    assert_eq!(refusal(shop.checkouts.read(&alice(), id).await), CheckoutRefusal::NotFound);
    assert_eq!(shop.checkouts.read_page(&bob(), PageToken::generate(noon())).await.expect("read"), None);
}

async fn page_token_reads_the_page_for_any_caller(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("song", 1)], "k1").await;
    let page = shop.checkouts.read_page(&bob(), checkout.page.clone()).await.expect("read");
    assert_eq!(page, Some(checkout));
}

async fn request_for_unknown_goods_creates_no_checkout(place: Place) {
    let shop = place.shop().await;
    for (lines, code) in
        [(&[("gone", 1)][..], MessageCode::OutOfStock), (&[("nothing-like-it", 1)][..], MessageCode::ItemUnavailable)]
    {
        let write = create(lines[0].0);
        let answer = shop.checkouts.create(&alice(), write, new_checkout(request(lines))).await.expect("answered");
        let Outcome::NothingToSell(messages) = answer.outcome else { panic!("sold: {answer:?}") };
        assert_eq!(messages.iter().map(|message| message.code).collect::<Vec<_>>(), [code]);
    }
    // In a currency without prices there is nothing to sell either.
    let foreign = NewCheckout {
        currency: domain::money::Currency::parse("EUR").expect("a currency"),
        ..new_checkout(request(&[("song", 1)]))
    };
    assert_ne!(foreign.currency, usd());
    let answer = shop.checkouts.create(&alice(), create("euro"), foreign).await.expect("answered");
    assert!(matches!(answer.outcome, Outcome::NothingToSell(_)));
    assert_eq!(place.raw().count("checkout"), 0);
}

/// Postgres cannot store a text with a NUL. A request with such a text must not look like a failure of the shop.
async fn sku_with_a_nul_is_not_found(place: Place) {
    let shop = place.shop().await;
    let mut wanted = request(&[("song", 1), ("so\0ng", 1)]);
    wanted.codes = Some(vec!["TEN\0OFF".into()]);
    let answer = shop.checkouts.create(&alice(), create("k1"), new_checkout(wanted)).await.expect("created");
    let checkout = about(&answer.outcome);
    assert_eq!(checkout.details.lines.len(), 1);
    let codes: Vec<_> = checkout.details.messages.iter().map(|message| message.code).collect();
    assert_eq!(codes, [MessageCode::ItemUnavailable, MessageCode::DiscountCodeInvalid]);
    assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), *checkout);
}

async fn an_update_replaces_the_content_and_raises_the_version(place: Place) {
    let shop = place.shop().await;
    let before = shop.opened(&[("song", 2)], "k1").await;
    let id = before.id.clone();
    let answer = shop.checkouts.update(&alice(), update(&id, "k2"), id.clone(), request(&[("book", 3)])).await;
    let answer = answer.expect("updated");
    let after = about(&answer.outcome);
    assert_eq!((after.version, after.page.clone(), after.created_at), (2, before.page, before.created_at));
    assert_eq!(after.details.lines.iter().map(|line| line.sku.as_str()).collect::<Vec<_>>(), ["book"]);
    assert_eq!(after.details.totals.total(), Amount::new(3 * 1_250));
    assert_eq!(shop.checkouts.read(&alice(), id).await.expect("read"), *after);
}

async fn an_update_that_leaves_nothing_to_sell_changes_nothing(place: Place) {
    let shop = place.shop().await;
    let before = shop.opened(&[("song", 2)], "k1").await;
    let id = before.id.clone();
    let unknown = request(&[("nothing-like-it", 1)]);
    let answer = shop.checkouts.update(&alice(), update(&id, "k2"), id.clone(), unknown).await.expect("answered");
    assert!(matches!(answer.outcome, Outcome::NothingToSell(_)));
    assert_eq!(shop.checkouts.read(&alice(), id).await.expect("read"), before);
}

async fn canceled_checkout_refuses_changes(place: Place) {
    let shop = place.shop().await;
    let id = shop.opened(&[("song", 1)], "k1").await.id;
    let answer = shop.checkouts.cancel(&alice(), cancel(&id, "k2"), id.clone()).await.expect("canceled");
    let canceled = about(&answer.outcome);
    assert_eq!((canceled.status, canceled.version), (Status::Canceled, 2));
    refuses_every_change(&shop, &id, Status::Canceled).await;
    assert_eq!(shop.checkouts.read(&alice(), id).await.expect("read"), *canceled);
}

async fn completed_checkout_refuses_changes(place: Place) {
    let shop = place.shop().await;
    let completed = shop.bought(&[("song", 1)], "k1").await;
    assert_eq!(completed.status, Status::Completed);
    refuses_every_change(&shop, &completed.id, Status::Completed).await;
    assert_eq!(shop.checkouts.read(&alice(), completed.id.clone()).await.expect("read"), completed);
}

async fn an_expired_checkout_cannot_be_changed(place: Place) {
    let shop = place.shop().await;
    let id = shop.opened_at(noon() - hours(6), &[("song", 1)], "k1").await.id;
    let before = place.raw().state();
    refuses_every_change(&shop, &id, Status::Canceled).await;
    assert_eq!(place.raw().state(), before);
}

async fn refuses_every_change(shop: &crate::kit::Shop, id: &CheckoutId, status: Status) {
    let refused = CheckoutRefusal::NotModifiable(status);
    let book = &shop.checkouts;
    assert_eq!(refusal(book.cancel(&alice(), cancel(id, "late-1"), id.clone()).await), refused);
    let updated = book.update(&alice(), update(id, "late-2"), id.clone(), request(&[("book", 1)])).await;
    assert_eq!(refusal(updated), refused);
    assert_eq!(refusal(book.begin_completion(&alice(), crate::kit::data::begin(id, "late-3")).await), refused);
}

fn shipped_to_nobody_yet() -> domain::checkout::CheckoutRequest {
    domain::checkout::CheckoutRequest {
        buyer: Some(Buyer { email: Some(Email::parse(" ADA@example.com ").expect("an address")), ..Buyer::default() }),
        fulfillment: Some(FulfillmentRequest { kinds: vec![MethodKind::Shipping], ..FulfillmentRequest::default() }),
        ..request(&[("rose", 1)])
    }
}

async fn stored_addresses_are_offered_to_registered_platforms_only(place: Place) {
    let shop = place.shop().await;
    for (ctx, offered) in [(alice(), &["addr_1"][..]), (bob(), &[][..])] {
        let mut write = create("k1");
        if let domain::context::Caller::Platform(platform) = ctx.caller() {
            write.claim.principal = platform.id.0.clone();
        }
        let answer = shop.checkouts.create(&ctx, write, new_checkout(shipped_to_nobody_yet())).await.expect("created");
        let delivery = about(&answer.outcome).details.fulfillment.clone().expect("a delivery");
        let ids: Vec<_> = delivery.destinations.iter().map(|destination| destination.id.0.as_str()).collect();
        assert_eq!(ids, offered);
    }
}

async fn address_of_an_order_is_offered_in_the_next_checkout(place: Place) {
    let shop = place.shop().await;
    let offered = || async {
        let answer = shop.checkouts.create(&alice(), create(&key()), new_checkout(shipped_to_nobody_yet())).await;
        let delivery = about(&answer.expect("created").outcome).details.fulfillment.clone().expect("a delivery");
        let offered = delivery.destinations.into_iter().map(|one| (one.id.0, one.address.street.unwrap_or_default()));
        offered.collect::<Vec<_>>()
    };
    let buy = |wanted: CheckoutRequest, outcome: PaymentOutcome| {
        let shop = &shop;
        async move {
            let answer = shop.checkouts.create(&alice(), create(&key()), new_checkout(wanted)).await.expect("created");
            let (_, attempt) = shop.begin(&about(&answer.outcome).id, &key()).await;
            shop.settle(&attempt, outcome).await;
        }
    };
    let known = |more: &[(&str, &str)]| -> Vec<(String, String)> {
        let all = [("addr_1", "1 Main St")].into_iter().chain(more.iter().copied());
        all.map(|(id, street)| (id.to_owned(), street.to_owned())).collect()
    };
    let to = |id: &str, street: &str| {
        let mut wanted = rich_request();
        let fulfillment = wanted.fulfillment.as_mut().expect("a delivery");
        fulfillment.destinations = vec![(Some(DestinationId(id.into())), crate::kit::data::address(street))];
        fulfillment.selected_destination = Some(DestinationId(id.into()));
        wanted
    };
    shop.checkouts.create(&alice(), create(&key()), new_checkout(rich_request())).await.expect("created");
    buy(to("home", "2 B St"), PaymentOutcome::Declined("no".into())).await;
    buy(to("home", "2 B St"), PaymentOutcome::NotAttempted).await;
    assert_eq!(offered().await, known(&[]), "nothing was bought");
    // A newer address replaces the earlier address with the same id.
    for street in ["2 B St", "3 C St"] {
        buy(to("home", street), PaymentOutcome::Confirmed).await;
        assert_eq!(offered().await, known(&[("home", street)]));
    }

    // The orders of a new buyer create one customer, even if the email address is written in other letter case.
    for email in ["eve@example.com", "EVE@example.com"] {
        let mut wanted = to("lair", "9 Z St");
        wanted.buyer = Some(Buyer { email: Email::parse(email), ..Buyer::default() });
        buy(wanted, PaymentOutcome::Authorized).await;
    }
    assert_eq!(place.raw().number("SELECT count(*) FROM customer WHERE email = 'eve@example.com'"), 1);
    assert_eq!(place.raw().number("SELECT count(*) FROM address WHERE id = 'lair'"), 1);
    // A purchase needs no address.
    let (_, attempt) = shop.begun(&[("song", 1)], &key()).await;
    shop.settle(&attempt, PaymentOutcome::Confirmed).await;
}

/// Returns an idempotency key that no other call has.
fn key() -> String {
    CheckoutId::generate(noon()).to_string()
}
