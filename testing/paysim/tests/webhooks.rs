//! Events as a shop receives them: signed, and as often and as late as was asked for.

mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kit::{PATIENCE, Receiving, Shop, now, text};
use paysim::{Webhooks, signature};
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
async fn each_turn_of_an_intent_is_told() {
    let receiving = Receiving::answering(&[]);
    let shop = Shop::open();
    shop.gateway.send_webhooks(Some(Webhooks::to(&receiving.url, "whsec_test")));
    let manual = [("capture_method", "manual")];
    let told = || {
        let (_, payload) = receiving.next();
        let event = event(&payload);
        (text(&event["type"]), text(&event["data"]["object"]["id"]))
    };
    let paid = buy(&shop, "pm_card_visa", &[]).await;
    assert_eq!(told(), ("payment_intent.succeeded".to_owned(), paid.clone()));
    let refund = shop.post("/v1/refunds", None, &[("payment_intent", &paid)]).await.object();
    assert_eq!(told(), ("charge.refunded".to_owned(), text(&refund["charge"])));
    let declined = buy(&shop, "pm_card_chargeDeclined", &[]).await;
    assert_eq!(told(), ("payment_intent.payment_failed".to_owned(), declined));
    let waiting = buy(&shop, "pm_card_threeDSecure2Required", &[]).await;
    assert_eq!(told(), ("payment_intent.requires_action".to_owned(), waiting));
    let held = buy(&shop, "pm_card_visa", &manual).await;
    assert_eq!(told(), ("payment_intent.amount_capturable_updated".to_owned(), held.clone()));
    shop.post(&format!("/v1/payment_intents/{held}/cancel"), None, &[]).await.object();
    assert_eq!(told(), ("payment_intent.canceled".to_owned(), held));
}

#[actix_web::test]
async fn a_signature_is_of_each_secret_over_time_and_payload() {
    let receiving = Receiving::answering(&[]);
    let shop = Shop::open();
    let secrets = vec!["whsec_new".to_owned(), "whsec_old".to_owned()];
    let webhooks = Webhooks { url: receiving.url.clone(), secrets: secrets.clone(), ..Webhooks::default() };
    shop.sim("/_sim/webhooks", &json!(webhooks)).await.object();
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
async fn copies_come_up_to_as_often_as_asked_and_out_of_order() {
    let receiving = Receiving::answering(&[]);
    let shop = Shop::open();
    let badly = Webhooks { most_copies: 3, seed: 5, shuffle_ms: 300, ..Webhooks::to(&receiving.url, "whsec_test") };
    shop.gateway.send_webhooks(Some(badly));
    let mut bought = Vec::new();
    for _ in 0..20 {
        bought.push(buy(&shop, "pm_card_visa", &[]).await);
    }
    let begun = now();
    while shop.gateway.deliveries().delivered < 20 || shop.gateway.deliveries().pending > 0 {
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
    assert_eq!(copies.values().copied().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3]));
    let mut seen = BTreeSet::new();
    order.retain(|id| seen.insert(id.clone()));
    assert_eq!(seen, bought.iter().cloned().collect());
    assert_ne!(order, bought);
}

#[actix_web::test]
async fn an_event_that_is_refused_is_sent_again_as_it_was() {
    let receiving = Receiving::answering(&[500, 302]);
    let shop = Shop::open();
    shop.gateway.send_webhooks(Some(Webhooks::to(&receiving.url, "whsec_test")));
    buy(&shop, "pm_card_visa", &[]).await;
    let payloads: BTreeSet<String> = (0..3).map(|_| receiving.next().1).collect();
    assert_eq!(payloads.len(), 1);
}
