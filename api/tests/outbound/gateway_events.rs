//! Events that the gateway sends: late, twice, in any order, or forged.

use paysim::{Outcome, Webhooks, signature};
use serde_json::{Value, json};

use crate::database::Database;
use crate::kit::{Answer, Place, until};
use crate::shop::{PRICE, Shop, UNITS};

const SECRET: &str = "whsec_the_present_one";
const NEXT_SECRET: &str = "whsec_the_next_one";
/// Two secrets, as during a rotation.
const SETTINGS: &[(&str, &str)] = &[
    ("TUCKSHOP_PAYMENT_EVENT_SECRETS", "whsec_the_present_one, whsec_the_next_one"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "200"),
];

fn events_url(shop: &Shop) -> String {
    format!("{}/payments/events", shop.server.url())
}

/// The delay of the next lookup; longer than the patience of any test.
const NOT_BEFORE_MS: i64 = 58_000;

/// A payment that the bank has not decided and that the shop does not look up for a minute.
async fn undecided_payment(shop: &Shop, place: &Place) -> (Value, String) {
    let checkout = shop.checkout().await;
    let unknown = shop.pay(&checkout, "pm_sim_processing").await.body(200);
    assert_eq!(unknown["status"], "complete_in_progress");
    let mut database = Database::open(place);
    until("the reconciler has looked and postponed the payment", || async {
        let waits = shop.server.log().into_iter().any(|line| line["msg"] == "payment attempt could not be reconciled");
        waits.then_some(())
    })
    .await;
    let idle = "FROM payment_attempt WHERE state = 'unknown' AND leased_until IS NULL";
    let intent = until("no lease is held", || {
        let row = database.rows(["reference"], idle).pop();
        async { row }
    });
    let [intent] = intent.await;
    let later = time::OffsetDateTime::now_utc().unix_timestamp() * 1_000 + NOT_BEFORE_MS;
    database.execute(&format!("UPDATE payment_attempt SET due_at = {later} WHERE state = 'unknown'"));
    (checkout, intent)
}

/// PAY9. Three shuffled copies of each event arrive. The first copy has its effect, the others have none.
async fn duplicate_and_reordered_events_have_one_effect(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let webhooks = Webhooks { copies: 3, shuffle_ms: 300, seed: 11, ..Webhooks::to(events_url(&shop), SECRET) };
    shop.gateway.send_webhooks(Some(webhooks));
    let mut done = Vec::new();
    for _ in 0..3 {
        let (checkout, intent) = undecided_payment(&shop, &place).await;
        shop.gateway.settle(&intent, Outcome::Succeeded).expect("an undecided payment");
        let settled = shop.wait_until_settled(&checkout).await;
        assert_eq!(settled["status"], "completed");
        done.push(settled);
    }
    let (checkout, intent) = undecided_payment(&shop, &place).await;
    shop.gateway.settle(&intent, Outcome::Failed).expect("an undecided payment");
    let refused = shop.wait_until_settled(&checkout).await;
    assert_eq!(refused["status"], "ready_for_complete");

    until("every copy has arrived", || async { (shop.gateway.deliveries().pending == 0).then_some(()) }).await;
    let deliveries = shop.gateway.deliveries();
    assert_eq!(deliveries.failed, 0);
    // A log line may follow the answer.
    let recorded = until("every delivery is logged", || async {
        let lines = shop.server.log().into_iter().filter(|line| line["msg"] == "gateway event recorded");
        let lines: Vec<Value> = lines.collect();
        (lines.len() as u64 >= deliveries.delivered).then_some(lines)
    })
    .await;
    let of = |result: &str| recorded.iter().filter(|line| line["result"] == result).count();
    assert_eq!((of("new"), recorded.len() as u64), (4, deliveries.delivered));
    assert!(of("duplicate") > 0, "no duplicate was recorded");
    assert_eq!(Database::open(&place).number("count(*)", "FROM gateway_event"), 4);
    assert_eq!((shop.captured(), Database::open(&place).level("bun")), ((3, 3 * PRICE), (100 - 3 * UNITS, 0)));
    shop.assert_sound(&place, &done.iter().collect::<Vec<_>>(), &[&refused]);
}

/// PAY9. Events for a settled payment or for a payment of another shop change nothing.
async fn events_for_settled_or_unknown_payments_change_nothing(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let done = shop.pay(&shop.checkout().await, "pm_card_visa").await.body(200);
    // Each event is recorded, in a table of its own.
    let recorded = |row: &String| row.starts_with("gateway_event ");
    let others = || Database::open(&place).snapshot().into_iter().filter(|row| !recorded(row)).collect::<Vec<_>>();
    let before = others();
    let [intent] = Database::open(&place).rows(["reference"], "FROM payment_attempt").remove(0);
    for (number, intent) in [intent.as_str(), "pi_of_another_shop"].into_iter().enumerate() {
        let event = event(&format!("evt_{number}"), intent);
        let at = shop.gateway.now();
        let _ = send_event(&shop, &event, &signature(&[SECRET.to_owned()], at, &event)).await.expect(200);
    }
    assert_eq!(others(), before);
    shop.assert_sound(&place, &[&done], &[]);
}

fn event(id: &str, intent: &str) -> String {
    json!({"id": id, "object": "event", "type": "payment_intent.canceled", "created": 1,
        "data": {"object": {"id": intent, "object": "payment_intent", "status": "canceled"}}})
    .to_string()
}

async fn send_event(shop: &Shop, body: &str, signature: &str) -> Answer {
    let request = shop.server.post_empty("/payments/events").without("ucp-agent").without("idempotency-key");
    request.header("stripe-signature", signature).raw(body).await
}

/// PAY10. An event without a valid and recent signature is refused.
async fn forged_expired_and_unknown_events_are_refused_and_change_nothing(place: Place) {
    let shop = Shop::open(&place, SETTINGS).await;
    let (checkout, intent) = undecided_payment(&shop, &place).await;
    let due = || Database::open(&place).rows(["due_at"], "FROM payment_attempt");
    let (before, due_before) = (Database::open(&place).snapshot(), due());
    let event = event("evt_forged", &intent);
    let signed = |secret: &str, age: i64| signature(&[secret.to_owned()], shop.gateway.now() - age, &event);
    let good = signed(SECRET, 0);
    for (what, header) in [
        ("another secret", signed("whsec_of_another_shop", 0)),
        ("ten minutes old", signed(SECRET, 600)),
        ("from the future", signed(SECRET, -600)),
        ("of another body", signature(&[SECRET.to_owned()], shop.gateway.now(), "{}")),
        ("without a signature", good.split(",v1=").next().unwrap_or_default().to_owned()),
        ("without a time", good.split_once(',').expect("two parts").1.to_owned()),
        ("cut short", good[..good.len() - 2].to_owned()),
        ("nothing", String::new()),
        ("nonsense", "t=x,v1=y".to_owned()),
    ] {
        let answer = send_event(&shop, &event, &header).await;
        assert_eq!(answer.status, 401, "{what}");
        let answer = answer.problem(401, "bad_signature");
        assert!(!answer.text().contains("evt_forged") && !answer.text().contains(&intent), "{what}");
    }
    let twice = shop.server.post_empty("/payments/events").header("stripe-signature", &good);
    twice.and_header("stripe-signature", &good).raw(event.clone()).await.problem(401, "bad_signature");
    let unreadable = "not an event";
    let header = signature(&[SECRET.to_owned()], shop.gateway.now(), unreadable);
    send_event(&shop, unreadable, &header).await.problem(400, "malformed_event");
    assert_eq!(Database::open(&place).snapshot(), before);
    assert_eq!((due(), Database::open(&place).number("count(*)", "FROM gateway_event")), (due_before, 0));
    let refused = shop.wait_for_log_line("gateway event refused").await;
    assert_eq!((&refused["level"], &refused["error_code"]), (&json!("warning"), &json!("bad_signature")));

    // Either secret is accepted.
    shop.gateway.settle(&intent, Outcome::Succeeded).expect("an undecided payment");
    let _ = send_event(&shop, &event, &signed(NEXT_SECRET, 0)).await.expect(200);
    assert_eq!(shop.wait_until_settled(&checkout).await["status"], "completed");
}

/// Without a secret no event can be authenticated, so the route does not exist.
async fn events_without_a_configured_secret_are_not_accepted(place: Place) {
    let shop = Shop::open(&place, &[]).await;
    let event = event("evt_1", "pi_1");
    let header = signature(&[SECRET.to_owned()], shop.gateway.now(), &event);
    send_event(&shop, &event, &header).await.problem(404, "no_such_route");
}

crate::on_both_engines!(
    duplicate_and_reordered_events_have_one_effect,
    forged_expired_and_unknown_events_are_refused_and_change_nothing,
);

mod sqlite_only {
    use super::*;
    crate::on_sqlite!(
        events_for_settled_or_unknown_payments_change_nothing,
        events_without_a_configured_secret_are_not_accepted
    );
}
