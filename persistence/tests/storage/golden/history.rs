//! What a shop has stored after it was used.

use std::time::Duration;

use domain::checkout::CheckoutStore;
use domain::context::PlatformId;
use domain::money::Amount;
use domain::order::{Adjustment, AdjustmentStatus, ExpectedLine, OrderChange, OrderChangeKind, OrderStore, Shipment};
use domain::outbox::{Channel, ClaimTerms, EndpointHealth, Finality, OutboxStore, Receipt, SendError, SendOutcome};
use domain::payment::{
    AttemptStore, GatewayEvent, PaymentOutcome, PaymentReference, RefundId, RefundStore, RefundWanted,
};
use domain::platform::{PinnedPlatform, PlatformStore};
use domain::secret::Secret;
use domain::signing::{KeyStore, SigningKey};

use crate::kit::Shop;
use crate::kit::data::{
    about, alice, begin, cancel, create, hours, new_checkout, noon, request, rich_request, task, update,
};
use crate::kit::golden::Golden;

/// Uses the shop until it has stored rows in every table, every kind of document, and an outcome of every keyed write.
pub async fn history(shop: &Shop) {
    let checkouts = &shop.checkouts;
    let rich = |key| {
        let new = new_checkout(rich_request());
        async move { about(&checkouts.create(&alice(), create(key), new).await.expect("created").outcome).clone() }
    };
    // An order that is paid and shipped, with an adjustment.
    let paid = rich("paid").await;
    checkouts.update(&alice(), update(&paid.id, "again"), paid.id.clone(), rich_request()).await.expect("updated");
    let (paid, attempt) = shop.begin(&paid.id, "pay").await;
    let reference = PaymentReference("gateway-1".into());
    shop.attempts.record_reference(&task(), attempt.id.clone(), reference.clone()).await.expect("recorded");
    let order = about(&shop.settle(&attempt, PaymentOutcome::Confirmed).await).order.clone().expect("an order").id;
    let shipment = Shipment {
        kind: "shipped".into(),
        lines: vec![ExpectedLine { line: paid.details.lines[0].id.clone(), quantity: 1 }],
        tracking_number: Some("T-1".into()),
        tracking_url: Some("https://carrier.example/T-1".into()),
        carrier: Some("Pigeon".into()),
        description: Some("At the door".into()),
    };
    let adjustment = Adjustment {
        kind: "refund".into(),
        status: AdjustmentStatus::Completed,
        lines: Vec::new(),
        amount: Some(Amount::new(-100)),
        description: Some("Late".into()),
    };
    let changes = vec![
        OrderChange { id: "sent".into(), occurred_at: noon() + hours(1), kind: OrderChangeKind::Shipped(shipment) },
        OrderChange {
            id: "refunded".into(),
            occurred_at: noon() + hours(2),
            kind: OrderChangeKind::Adjusted(adjustment),
        },
    ];
    shop.orders.append(&task(), order.clone(), changes, noon() + hours(2)).await.expect("appended");
    let wanted =
        RefundWanted { id: RefundId::generate(noon()), attempt: attempt.id, amount: Amount::new(100), now: noon() };
    shop.refunds.request(&task(), wanted).await.expect("requested");
    let event = GatewayEvent { id: "event-1".into(), reference: Some(reference) };
    shop.attempts.record_event(&task(), event, noon()).await.expect("recorded");
    let mut modules: Vec<&Golden> = inventory::iter::<Golden>.into_iter().collect();
    modules.sort_by_key(|golden| golden.module);
    for module in modules {
        (module.history)(shop, &order).await;
    }
    // A message that was delivered, and one that was not.
    let terms = ClaimTerms {
        now: noon() + hours(2),
        lease: Duration::from_secs(3_600),
        per_endpoint: 4,
        reach: EndpointHealth::Failing,
    };
    let refused = SendError { reason: "status 400".into(), finality: Finality::Refused };
    for outcome in [SendOutcome::Received(Receipt::Accepted), SendOutcome::Failed(refused)] {
        let claimed = shop.deliveries.claim(&task(), Channel::Webhook, terms).await.expect("asked").message;
        let claimed = claimed.expect("a message");
        shop.deliveries.record(&task(), &claimed, outcome, terms.now).await.expect("recorded");
    }
    // Checkouts whose payment is authorized, declined, escalated or never attempted.
    for (key, outcome) in [
        ("held", PaymentOutcome::Authorized),
        ("declined", PaymentOutcome::Declined("no".into())),
        ("escalated", PaymentOutcome::ActionRequired),
        ("never", PaymentOutcome::NotAttempted),
    ] {
        let checkout = rich(key).await;
        let (_, attempt) = shop.begin(&checkout.id, &format!("pay-{key}")).await;
        shop.settle(&attempt, outcome).await;
    }
    // Checkouts with nothing to sell, with a line that is short of stock, and with a shortage at the payment.
    let unsold = new_checkout(request(&[("unheard-of", 1)]));
    checkouts.create(&alice(), create("unsold"), unsold).await.expect("refused in-band");
    let some = new_checkout(request(&[("song", 1), ("gone", 1), ("rose", 1)]));
    checkouts.create(&alice(), create("some"), some).await.expect("created");
    let much = shop.opened(&[("gift", 8)], "much").await;
    let short = shop.opened(&[("gift", 8)], "short").await;
    shop.begin(&much.id, "pay-much").await;
    checkouts.begin_completion(&alice(), begin(&short.id, "pay-short")).await.expect("answered");
    let canceled = shop.opened(&[("song", 1)], "canceled").await.id;
    checkouts.cancel(&alice(), cancel(&canceled, "cancel"), canceled.clone()).await.expect("canceled");
    // A payment that is still under way when the program ends.
    let under_way = rich("under-way").await;
    shop.begin(&under_way.id, "pay-under-way").await;
    let pinned =
        PinnedPlatform { id: PlatformId("https://a.example/".into()), profile: "{}".into(), pinned_at: noon() };
    shop.platforms.pin(&task(), pinned).await.expect("pinned");
    let private = Secret::new("x");
    let key = SigningKey { id: "key-1".into(), private, created_at: noon(), signs_from: noon(), revoked_at: None };
    assert!(shop.signing.add(&task(), key, 0).await.expect("added"));
}
