//! Messages are stored in the transaction of their event, or not at all.

use domain::checkout::CheckoutStore;
use domain::fault::FaultKind;
use domain::order::OrderStore;
use domain::outbox::{Channel, Content, MessageState, OutboxStore};
use domain::payment::PaymentOutcome;

use super::{alice, at, failed, on_its_way, states};
use crate::kit::data::{about, create, new_checkout, noon, rich_request, settlement, task};
use crate::kit::{Expected, Place};
use crate::on_both_engines;

on_both_engines!(
    order_notifies_its_platform_and_its_buyer,
    failed_settlement_stores_no_message,
    repeated_settlement_stores_messages_once,
    message_contains_the_order_as_of_its_event,
    trace_of_an_event_is_known_on_each_attempt,
    known_event_stores_no_message,
    refused_change_stores_no_message,
    message_to_a_disabled_endpoint_is_a_dead_letter,
);

async fn order_notifies_its_platform_and_its_buyer(place: Place) {
    let shop = place.shop().await;
    let new = new_checkout(rich_request());
    shop.checkouts.create(&crate::kit::data::alice(), create("k1"), new.clone()).await.expect("created");
    let (_, attempt) = shop.begin(&new.id, "k2").await;
    assert!(shop.listed().await.is_empty());
    let outcome = shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    let order = about(&outcome).order.clone().expect("an order").id;

    let listed = shop.listed().await;
    let mut messages: Vec<_> = listed.iter().map(|message| message.endpoint.0.as_str()).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["mail", &alice()]);
    for message in &listed {
        assert_eq!(
            (&message.order, message.event.as_str(), message.state),
            (&order, "order_changed", MessageState::Pending)
        );
        assert_eq!((message.occurred_at, message.due_at, message.attempts), (noon(), noon(), 0));
    }
    let webhook = shop.claimed(at(noon())).await;
    let Content::Webhook { platform, document } = &webhook.content else { panic!("{webhook:?}") };
    assert_eq!(platform.0, crate::kit::data::ALICE);
    assert_eq!(*document, format!("{order} evt_placed of 1"));
    assert_eq!((&webhook.order, webhook.occurred_at, webhook.attempts), (&order, noon(), 1));
    let mail = shop.deliveries.claim(&task(), Channel::Mail, at(noon())).await.expect("asked");
    let mail = mail.message.expect("an email message");
    let Content::Mail(email) = &mail.content else { panic!("{mail:?}") };
    assert_eq!((email.to.as_str(), email.subject.clone()), ("ada@example.com", format!("Order {order}")));
}

async fn failed_settlement_stores_no_message(place: Place) {
    let shop = place.shop().await;
    let (_, declined) = shop.begun(&[("song", 1)], "k1").await;
    shop.settle(&declined, PaymentOutcome::Declined("no".into())).await;
    let (_, attempt) = shop.begun(&[("song", 2)], "k2").await;
    // The settlement stores its messages, and after that violates a CHECK on the stock.
    place.raw().execute("UPDATE stock SET held = 1 WHERE sku = 'song'");
    let before = place.raw().state();
    let settlement = settlement(&attempt, PaymentOutcome::Confirmed);
    assert_eq!(shop.checkouts.settle(&task(), settlement).await.fault().kind(), FaultKind::Internal);
    assert_eq!(place.raw().state(), before);
}

async fn repeated_settlement_stores_messages_once(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    tokio::join!(
        shop.settle(&attempt, PaymentOutcome::Confirmed),
        shop.settle(&attempt, PaymentOutcome::Confirmed),
        shop.settle(&attempt, PaymentOutcome::Authorized),
    );
    assert_eq!(place.raw().count("delivery"), 1);
}

async fn message_contains_the_order_as_of_its_event(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    shop.news(&order, &["one", "two"]).await;
    shop.news(&order, &["three"]).await;
    let bodies = place.raw().texts("SELECT body AS value FROM delivery ORDER BY sequence");
    let expected = ["evt_placed of 1", "one of 2", "two of 3", "three of 4"].map(|event| format!("{order} {event}"));
    assert_eq!(bodies, expected);
}

/// Even days later and in another process, the trace leads to the request that caused the event.
async fn trace_of_an_event_is_known_on_each_attempt(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    let placed = shop.claimed(at(noon())).await;
    shop.record(&placed, super::ACCEPTED, noon()).await;
    let ctx = task();
    shop.orders.append(&ctx, order, vec![on_its_way("one")], noon()).await.expect("appended");
    for _ in 0..2 {
        let claimed = shop.claimed(super::lapsing(noon())).await;
        assert_eq!(claimed.caused_by, Some(*ctx.trace()));
    }
    assert_ne!(placed.caused_by, Some(*ctx.trace()));
    assert!(placed.caused_by.is_some());
}

async fn known_event_stores_no_message(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    shop.news(&order, &["one"]).await;
    let before = place.raw().state();
    shop.news(&order, &["one", "one"]).await;
    assert_eq!(place.raw().state(), before);
    shop.news(&order, &["one", "two", "two"]).await;
    assert_eq!(place.raw().count("delivery"), 3);
}

async fn refused_change_stores_no_message(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    let mut bad = on_its_way("bad");
    if let domain::order::OrderChangeKind::Shipped(shipment) = &mut bad.kind {
        let line = domain::checkout::LineId("li_9".into());
        shipment.lines = vec![domain::order::ExpectedLine { line, quantity: 1 }];
    }
    let changes = vec![on_its_way("good"), bad];
    shop.orders.append(&task(), order, changes, noon()).await.expect_err("refused");
    assert_eq!(place.raw().count("delivery"), 1);
}

async fn message_to_a_disabled_endpoint_is_a_dead_letter(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    let messages = shop.claimed(at(noon())).await;
    shop.record(&messages, failed(domain::outbox::Finality::Gone), noon()).await;
    shop.news(&order, &["one"]).await;
    assert_eq!(states(&mut place.raw(), &alice()), ["dead 2"]);
    assert_eq!(shop.listed().await[0].last_error.as_deref(), Some("the destination is disabled"));
    assert_eq!(shop.claim(at(noon())).await, None);
}
