//! Events as a shop receives them: signed, in copies, and out of order.

mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kit::{PATIENCE, Receiving, Shop, now, text};
use paysim::{Deliveries, Webhooks, signature};
use serde_json::{Value, json};

fn event(payload: &str) -> Value {
    serde_json::from_str(payload).expect("JSON")
}

async fn buy(shop: &Shop, card: &str, more: &[(&str, &str)]) -> String {
    let id = shop.create(card, more).await;
    shop.confirm(&id, None).await;
    id
}

#[actix_web::test]
async fn each_change_of_an_intent_sends_an_event() {
    let receiving = Receiving::answering(200);
    let shop = Shop::open();
    shop.gateway.send_webhooks(Some(Webhooks::to(&receiving.url, "whsec_test")));
    let manual = [("capture_method", "manual")];
    let received = || {
        let (_, payload) = receiving.next();
        let event = event(&payload);
        (text(&event["type"]), text(&event["data"]["object"]["id"]))
    };
    let paid = buy(&shop, "pm_card_visa", &[]).await;
    assert_eq!(received(), ("payment_intent.succeeded".to_owned(), paid.clone()));
    let refund = shop.post("/v1/refunds", None, &[("payment_intent", &paid)]).await.object();
    assert_eq!(received(), ("charge.refunded".to_owned(), text(&refund["charge"])));
    let declined = buy(&shop, "pm_card_chargeDeclined", &[]).await;
    assert_eq!(received(), ("payment_intent.payment_failed".to_owned(), declined));
    let waiting = buy(&shop, "pm_card_threeDSecure2Required", &[]).await;
    assert_eq!(received(), ("payment_intent.requires_action".to_owned(), waiting));
    let held = buy(&shop, "pm_card_visa", &manual).await;
    assert_eq!(received(), ("payment_intent.amount_capturable_updated".to_owned(), held.clone()));
    shop.post(&format!("/v1/payment_intents/{held}/cancel"), None, &[]).await.object();
    assert_eq!(received(), ("payment_intent.canceled".to_owned(), held));
}

#[actix_web::test]
async fn event_has_a_signature_of_each_secret() {
    let receiving = Receiving::answering(200);
    let shop = Shop::open();
    let secrets = vec!["whsec_new".to_owned(), "whsec_old".to_owned()];
    let webhooks = Webhooks { secrets: secrets.clone(), ..Webhooks::to(&receiving.url, "") };
    shop.gateway.send_webhooks(Some(webhooks));
    buy(&shop, "pm_card_visa", &[]).await;
    let (header, payload) = receiving.next();
    let at = header.split(',').next().and_then(|part| part.strip_prefix("t=")).expect("a time");
    let at: i64 = at.parse().expect("seconds");
    assert!((shop.gateway.now() - at).abs() < 60);
    assert_eq!(header, signature(&secrets, at, &payload));
    assert_eq!(header.matches("v1=").count(), 2);
    let envelope = event(&payload);
    assert_eq!((&envelope["object"], &envelope["livemode"]), (&json!("event"), &json!(false)));
    assert!(text(&envelope["id"]).starts_with("evt_"));
}

#[actix_web::test]
async fn copies_arrive_out_of_order() {
    let receiving = Receiving::answering(200);
    let shop = Shop::open();
    let shuffled = Webhooks { copies: 3, seed: 5, shuffle_ms: 300, ..Webhooks::to(&receiving.url, "whsec_test") };
    shop.gateway.send_webhooks(Some(shuffled));
    let mut bought = Vec::new();
    for _ in 0..20 {
        bought.push(buy(&shop, "pm_card_visa", &[]).await);
    }
    let begun = now();
    while shop.gateway.deliveries().delivered < 60 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", shop.gateway.deliveries());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    let mut order = Vec::new();
    let payloads: Vec<String> = receiving.received.try_iter().map(|(_, payload)| payload).collect();
    for event in payloads.iter().map(|payload| event(payload)) {
        *copies.entry(text(&event["id"])).or_default() += 1;
        order.push(text(&event["data"]["object"]["id"]));
    }
    assert_eq!(copies.len(), 20);
    assert!(copies.values().all(|copies| *copies == 3), "{copies:?}");
    let mut seen = BTreeSet::new();
    order.retain(|id| seen.insert(id.clone()));
    assert_eq!(seen, bought.iter().cloned().collect());
    assert_ne!(order, bought);
}

#[actix_web::test]
async fn refused_event_is_counted_and_not_sent_again() {
    let receiving = Receiving::answering(500);
    let shop = Shop::open();
    shop.gateway.send_webhooks(Some(Webhooks::to(&receiving.url, "whsec_test")));
    buy(&shop, "pm_card_visa", &[]).await;
    buy(&shop, "pm_card_visa", &[]).await;
    let begun = now();
    let expected = Deliveries { delivered: 1, failed: 1, pending: 0 };
    while shop.gateway.deliveries() != expected {
        assert!(begun.elapsed() < PATIENCE, "{:?}", shop.gateway.deliveries());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
