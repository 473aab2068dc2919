//! Calls every method of every port at least once, so that each statement of the product is sent.

use std::sync::Arc;
use std::time::Duration;

use crate::kit::Shop;
use crate::kit::data::{
    COMPLETE, alice, begin, cancel, claim, create, hours, instrument, new_checkout, noon, product, rich_request, stock,
    task, update, usd,
};
use domain::checkout::{CheckoutStore, LineId};
use domain::context::PlatformId;
use domain::idempotency::IdempotencyStore;
use domain::import::{Batch, Import, ImportedAddress};
use domain::money::Amount;
use domain::order::{Adjustment, AdjustmentStatus, ExpectedLine, OrderChange, OrderChangeKind, OrderStore, Shipment};
use domain::outbox::{
    Channel, ClaimTerms, Endpoint, EndpointHealth, Finality, MessageFilter, MessageState, OutboxStore, Receipt,
    Selection, SendError, SendOutcome,
};
use domain::page::Limit;
use domain::payment::{
    AttemptStore, GatewayEvent, PaymentChoice, PaymentOutcome, PaymentReference, RefundId, RefundState, RefundStore,
    RefundWanted,
};
use domain::platform::{PinnedPlatform, PlatformStore};
use domain::secret::Secret;
use domain::signing::{KeyStore, SigningKey};

/// Calls every method of every port.
pub async fn tour(shop: &Shop) {
    sell(shop).await;
    deliver(shop).await;
    refund(shop).await;
    approve_and_sign(shop).await;
}

/// Ends messages in each possible way.
async fn deliver(shop: &Shop) {
    let (book, ctx) = (&shop.deliveries, task());
    let terms =
        ClaimTerms { now: noon() + hours(1), lease: Duration::ZERO, per_endpoint: 4, reach: EndpointHealth::Failing };
    let now = terms.now;
    for key in ["t1", "t2", "t3"] {
        shop.bought(&[("song", 1)], key).await;
    }
    let failed = |finality| SendOutcome::Failed(SendError { reason: "no".into(), finality });
    for outcome in [
        SendOutcome::Interrupted,
        SendOutcome::Received(Receipt::Accepted),
        failed(Finality::Again { after: None }),
        SendOutcome::Received(Receipt::Accepted),
        failed(Finality::Refused),
        failed(Finality::Gone),
    ] {
        let claimed = book.claim(&ctx, Channel::Webhook, terms).await.expect("asked");
        let claimed = claimed.message.expect("something is due");
        book.record(&ctx, &claimed, outcome, now).await.expect("recorded");
    }
    for destination in [None, Some(Endpoint("mail".into()))] {
        for state in [None, Some(MessageState::Dead)] {
            let filter = MessageFilter { state, endpoint: destination.clone() };
            book.list(&ctx, filter, None, Limit::new(10)).await.expect("listed");
        }
    }
    book.endpoint(&ctx, Endpoint("mail".into())).await.expect("found");
    book.endpoints(&ctx, None, Limit::new(10)).await.expect("listed");
    let waiting = MessageFilter { state: Some(MessageState::Pending), endpoint: None };
    let waiting = book.list(&ctx, waiting, None, Limit::new(1)).await.expect("listed").items.remove(0).id;
    let one = Selection::One(waiting);
    for which in [one, Selection::Of(Endpoint("mail".into())), Selection::All] {
        book.give_up(&ctx, which.clone(), now, 10).await.expect("given up");
        book.retry(&ctx, which, now, 10).await.expect("tried again");
    }
    // These attempts never end: their results are not recorded.
    let claims = async || book.claim(&ctx, Channel::Webhook, terms).await.expect("asked").message;
    while claims().await.is_some() {}
    book.forget(&ctx, now + hours(1), now + hours(1), 10).await.expect("forgotten");
}

async fn refund(shop: &Shop) {
    let (_, attempt) = shop.begun(&[("book", 1)], "g1").await;
    let (attempts, refunds, ctx) = (&shop.attempts, &shop.refunds, task());
    attempts.record_reference(&ctx, attempt.id.clone(), PaymentReference("r2".into())).await.expect("recorded");
    let outcome = shop.settle(&attempt, PaymentOutcome::Authorized).await;
    let order = crate::kit::data::about(&outcome).order.clone().expect("an order");
    let lines = vec![ExpectedLine { line: LineId("li_1".into()), quantity: 1 }];
    let (tracking_number, tracking_url, carrier, description) = (None, None, None, None);
    let kind = "shipped".into();
    let shipment = Shipment { kind, lines, tracking_number, tracking_url, carrier, description };
    let change = OrderChange { id: "event".into(), occurred_at: noon(), kind: OrderChangeKind::Shipped(shipment) };
    shop.orders.append(&ctx, order.id, vec![change], noon()).await.expect("appended");
    let hour = Duration::from_secs(3_600);
    assert!(!attempts.claim_authorized(&ctx, noon(), hour, 10).await.expect("claimed").is_empty());
    attempts.record_captured(&ctx, attempt.id.clone(), true).await.expect("recorded");
    let wanted =
        RefundWanted { id: RefundId::generate(noon()), attempt: attempt.id, amount: Amount::new(1), now: noon() };
    refunds.request(&ctx, wanted).await.expect("requested");
    let claimed = refunds.claim_due(&ctx, noon(), hour, 10).await.expect("claimed");
    refunds.record(&ctx, &claimed[0], RefundState::Pending, noon() + hours(2)).await.expect("recorded");
    let claimed = refunds.claim_due(&ctx, noon(), hour, 10).await.expect("brought back");
    refunds.record(&ctx, &claimed[0], RefundState::Succeeded, noon()).await.expect("recorded");
}

async fn approve_and_sign(shop: &Shop) {
    let ctx = task();
    let id = PlatformId("https://a.example/".into());
    let pinned = PinnedPlatform { id: id.clone(), profile: "{}".into(), pinned_at: noon() };
    shop.platforms.pin(&ctx, pinned).await.expect("pinned");
    shop.platforms.find(&ctx, &id).await.expect("found");
    shop.platforms.list(&ctx, None, Limit::new(10)).await.expect("listed");
    assert!(shop.platforms.remove(&ctx, &id).await.expect("removed"));
    let private = Secret::new("x");
    let key = SigningKey { id: "k".into(), private, created_at: noon(), signs_from: noon(), revoked_at: None };
    assert!(shop.signing.add(&ctx, key, 0).await.expect("added"));
    shop.signing.keys(&ctx).await.expect("read");
    assert!(shop.signing.revoke(&ctx, "k".to_owned(), noon()).await.expect("revoked"));
}

/// Imports a catalogue and sells from it, up to the order.
async fn sell(shop: &Shop) {
    let (book, keys) = (&shop.checkouts, &shop.keys);
    shop.database.ready(&alice()).await.expect("ready");
    assert!(!shop.import.is_empty(&task()).await.expect("asked"));
    let address = ImportedAddress {
        id: domain::customer::DestinationId("addr_2".into()),
        customer: "cust_1".into(),
        address: crate::kit::data::address("3 Far St"),
    };
    let batch = Batch { stock: vec![stock("song", 10)], addresses: vec![address], ..Batch::empty(usd()) };
    shop.import.import(&task(), batch, Arc::new(|_| ())).await.expect("imported");
    // An import this large is first checked in a separate transaction.
    let many: Vec<_> = (0..=Batch::ATOMIC_ROWS).map(|number| product(&format!("part-{number}"), 1, false)).collect();
    let batch = Batch { products: many, ..Batch::empty(usd()) };
    shop.import.import(&task(), batch, Arc::new(|_| ())).await.expect("imported");

    let new = new_checkout(rich_request());
    let id = new.id.clone();
    book.create(&alice(), create("k1"), new.clone()).await.expect("created");
    book.create(&alice(), create("k1"), new.clone()).await.expect("replayed");
    book.update(&alice(), update(&id, "k2"), id.clone(), rich_request()).await.expect("updated");
    book.read(&alice(), id.clone()).await.expect("read");
    book.read_page(&alice(), new.page).await.expect("read");
    let given_up = shop.opened(&[("song", 1)], "k3").await.id;
    book.cancel(&alice(), cancel(&given_up, "k4"), given_up.clone()).await.expect("canceled");

    let choice = PaymentChoice { instrument: instrument(), credential: None };
    shop.instruments.credential(&alice(), &choice).await.expect("read");
    let (_, attempt) = shop.begin(&id, "k5").await;
    book.begin_completion(&alice(), begin(&id, "k5")).await.expect("state");
    let attempts = &shop.attempts;
    attempts.record_reference(&task(), attempt.id.clone(), PaymentReference("r".into())).await.expect("recorded");
    attempts.record_unknown(&task(), attempt.id.clone(), noon()).await.expect("recorded");
    book.completion(&alice(), claim(COMPLETE, id.as_str(), "k5"), id.clone()).await.expect("state");
    let hour = Duration::from_secs(3_600);
    let claimed = attempts.claim_due(&task(), noon(), hour, 10).await.expect("claimed");
    attempts.postpone(&task(), &claimed[0], noon() + hours(1)).await.expect("postponed");
    assert_eq!(attempts.claim_due(&task(), noon(), Duration::ZERO, 10).await.expect("brought back").len(), 1);
    attempts.claim_authorized(&task(), noon(), hour, 10).await.expect("claimed");
    let event = GatewayEvent { id: "event".into(), reference: Some(PaymentReference("r".into())) };
    attempts.record_event(&task(), event, noon()).await.expect("recorded");
    let outcome = shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    let (_, never) = shop.begun(&[("song", 1)], "k6").await;
    shop.settle(&never, PaymentOutcome::NotAttempted).await;

    let order = crate::kit::data::about(&outcome).order.clone().expect("an order");
    let adjustment = Adjustment {
        kind: "refund".into(),
        status: AdjustmentStatus::Pending,
        lines: Vec::new(),
        amount: None,
        description: None,
    };
    let change = OrderChange { id: "event".into(), occurred_at: noon(), kind: OrderChangeKind::Adjusted(adjustment) };
    shop.orders.append(&task(), order.id.clone(), vec![change], noon()).await.expect("appended");
    shop.orders.read(&task(), order.id).await.expect("read");
    shop.orders.read_page(&task(), order.page).await.expect("read");

    keys.age(&task(), "k1".into(), 48).await.expect("aged");
    shop.opened(&[("song", 1)], "k1").await;
    keys.purge(&task(), noon() + hours(1), 10).await.expect("purged");
    book.expire(&task(), noon() + hours(10), noon() + hours(9), 10).await.expect("expired");
}
