//! How many messages an operation sends to Postgres, and that none of its statements is prepared again.

use domain::checkout::CheckoutStore;
use domain::outbox::{Channel, ClaimTerms, EndpointHealth, OutboxStore, Receipt, SendOutcome};
use domain::payment::{AttemptStore, PaymentOutcome, PaymentReference};
use std::time::Duration;

use crate::kit::data::{about, alice, create, new_checkout, noon, rich_request, task, update};
use crate::kit::recording::Recording;
use crate::kit::{Place, Shop};

crate::on_postgres!(operations_of_a_purchase_send_few_messages, repeated_statements_stay_prepared);

/// The messages of each operation of a purchase of two SKUs with an address and a code by a known buyer, and of one
/// outbox message. `BEGIN` and `COMMIT` are one message each.
const MESSAGES: &[(&str, usize)] = &[
    ("checkout.create", 6),
    ("checkout.update", 7),
    ("checkout.begin_completion", 7),
    ("payment.record_reference", 1),
    ("checkout.settle", 7),
    ("outbox.claim", 5),
    ("outbox.record", 4),
];

async fn purchase(shop: &Shop, key: &str) {
    let ctx = alice();
    let created = shop.checkouts.create(&ctx, create(&format!("c{key}")), new_checkout(rich_request()));
    let id = about(&created.await.expect("created").outcome).id.clone();
    shop.checkouts.update(&ctx, update(&id, &format!("u{key}")), id.clone(), rich_request()).await.expect("updated");
    let (_, attempt) = shop.begin(&id, &format!("p{key}")).await;
    let reference = PaymentReference(format!("r{key}"));
    shop.attempts.record_reference(&ctx, attempt.id.clone(), reference).await.expect("recorded");
    shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    let terms =
        ClaimTerms { now: noon(), lease: Duration::from_secs(9), per_endpoint: 4, reach: EndpointHealth::Failing };
    let message = shop.deliveries.claim(&task(), Channel::Webhook, terms).await.expect("asked").message.expect("due");
    let sent = SendOutcome::Received(Receipt::Accepted);
    shop.deliveries.record(&task(), &message, sent, noon()).await.expect("recorded");
}

async fn operations_of_a_purchase_send_few_messages(place: Place) {
    let shop = place.shop().await;
    for key in ["1", "2", "3"] {
        purchase(&shop, key).await;
    }
    let recording = Recording::current().expect("a recording");
    let recorded = recording.recorded();
    let messages: Vec<_> = MESSAGES.iter().map(|(operation, _)| (*operation, recorded.messages[*operation])).collect();
    assert_eq!(messages, MESSAGES, "left: the messages that were sent");
}

async fn repeated_statements_stay_prepared(place: Place) {
    let shop = place.shop().await;
    let recording = Recording::current().expect("a recording");
    recording.recorded().sent.clear();
    for key in ["1", "2"] {
        purchase(&shop, key).await;
    }
    let recorded = recording.recorded();
    let anew: Vec<_> = recorded.sent.difference(&recorded.prepared).collect();
    assert!(anew.is_empty(), "prepared again for each run: {anew:#?}");
}
