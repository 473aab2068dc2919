//! Each fault as a caller sees it, and its effect in the ledger.

mod kit;

use std::io::ErrorKind;
use std::time::Duration;

use kit::{PATIENCE, Shop, now, raw_confirm};
use paysim::{Fault, Mix, Operation, Share};
use serde_json::{Value, json};

const SHORT: Duration = Duration::from_millis(400);

/// Asserts that the card was charged once, and that the key replays the lost response.
async fn is_charged_and_replayed(shop: &Shop, id: &str, key: &str) {
    assert_eq!(shop.gateway.ledger().of_intent(id).captures, 1);
    let again = shop.confirm(id, Some(key)).await;
    assert_eq!((again.replayed, &again.object()["status"]), (true, &json!("succeeded")));
    assert_eq!(shop.gateway.ledger().of_intent(id).captures, 1);
}

async fn lost(shop: &Shop, id: &str, key: &str, patience: Duration) -> reqwest::Error {
    let path = format!("/v1/payment_intents/{id}/confirm");
    shop.try_post(&path, Some(key), &[], patience).await.expect_err("no answer")
}

#[actix_web::test]
async fn response_is_lost_after_the_charge() {
    for card in ["pm_sim_charge_then_hang", "pm_sim_charge_then_reset", "pm_sim_charge_then_truncate"] {
        let shop = Shop::open();
        let id = shop.create(card, &[]).await;
        let error = lost(&shop, &id, "key", Duration::from_secs(2)).await;
        assert_eq!(error.is_timeout(), card == "pm_sim_charge_then_hang", "{card}: {error:?}");
        is_charged_and_replayed(&shop, &id, "key").await;
    }
}

#[actix_web::test]
async fn hang_or_reset_before_the_charge_has_no_effect() {
    for fault in [Fault::HangWithoutEffect, Fault::ResetWithoutEffect] {
        let shop = Shop::open();
        let id = shop.create("pm_card_visa", &[]).await;
        shop.gateway.fail_next(Operation::IntentConfirm, 1, fault);
        lost(&shop, &id, "key", SHORT).await;
        assert_eq!(shop.status(&id).await, "requires_confirmation");
        let again = shop.confirm(&id, Some("key")).await;
        assert_eq!((again.replayed, &again.object()["status"]), (false, &json!("succeeded")));
    }
}

#[actix_web::test]
async fn reset_and_truncated_body_appear_on_the_connection() {
    let shop = Shop::open();
    let id = shop.create("pm_sim_charge_then_reset", &[]).await;
    let raw = raw_confirm(&shop.gateway, &id, PATIENCE);
    assert_eq!(raw.ended.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(raw.head, "");

    let id = shop.create("pm_sim_charge_then_truncate", &[]).await;
    let raw = raw_confirm(&shop.gateway, &id, PATIENCE);
    raw.ended.expect("an orderly end");
    let length = raw.head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    assert_eq!(raw.body.len(), length.parse::<usize>().expect("a number") / 2);
    assert!(raw.body.starts_with(b"{\"") && serde_json::from_slice::<Value>(&raw.body).is_err());
}

#[actix_web::test]
async fn dripped_body_arrives_slowly_and_whole() {
    let shop = Shop::open();
    let id = shop.create("pm_card_visa", &[]).await;
    shop.gateway.fail_next(Operation::IntentConfirm, 1, Fault::Drip);
    let raw = raw_confirm(&shop.gateway, &id, Duration::from_millis(500));
    raw.ended.expect("each piece came in time");
    let intent: Value = serde_json::from_slice(&raw.body).expect("all of it");
    assert_eq!(intent["status"], "succeeded");
    let pieces = u32::try_from(raw.body.len() / 10).expect("small");
    assert!(raw.took >= pieces * Duration::from_millis(20), "{:?} for {pieces} pieces", raw.took);
}

#[actix_web::test]
async fn html_and_huge_responses_have_status_200() {
    let shop = Shop::open();
    let id = shop.create("pm_sim_charge_then_html", &[]).await;
    let page = shop.confirm(&id, Some("html")).await;
    assert_eq!(
        (page.status.as_u16(), page.headers["content-type"].as_bytes()),
        (200, &b"text/html; charset=utf-8"[..])
    );
    is_charged_and_replayed(&shop, &id, "html").await;

    let id = shop.create("pm_sim_charge_then_huge", &[]).await;
    let huge = shop.confirm(&id, Some("huge")).await;
    assert!(huge.text.len() > 10_000_000);
    assert_eq!(huge.object()["status"], "succeeded");
    is_charged_and_replayed(&shop, &id, "huge").await;
}

#[actix_web::test]
async fn late_charges_happen_without_their_caller() {
    let shop = Shop::open();
    for (fault, captures) in [(Fault::Late { ms: 2_000 }, 1), (Fault::LateEffect { ms: 2_000 }, 0)] {
        let id = shop.create("pm_card_visa", &[]).await;
        shop.gateway.fail_next(Operation::IntentConfirm, 1, fault);
        let begun = now();
        assert!(lost(&shop, &id, fault.name(), SHORT).await.is_timeout());
        assert_eq!(shop.gateway.ledger().of_intent(&id).captures, captures);
        while shop.status(&id).await != "succeeded" {
            assert!(begun.elapsed() < PATIENCE, "{fault:?} is never charged");
        }
        assert_eq!(shop.gateway.ledger().of_intent(&id).captures, 1);
    }
}

#[actix_web::test]
async fn script_fails_the_next_calls_of_one_operation() {
    let shop = Shop::open();
    let id = shop.create("pm_card_visa", &[]).await;
    shop.gateway.fail_next(Operation::IntentRetrieve, 2, Fault::ErrorWithoutEffect);
    let path = format!("/v1/payment_intents/{id}");
    for status in [500, 500, 200] {
        assert_eq!(shop.get(&path).await.status, status);
    }
    let cases = [
        (Operation::IntentCreate, "/v1/payment_intents".to_owned()),
        (Operation::IntentCancel, format!("{path}/cancel")),
        (Operation::RefundCreate, "/v1/refunds".to_owned()),
        (Operation::IntentCapture, format!("{path}/capture")),
    ];
    for (operation, path) in cases {
        shop.gateway.fail_next(operation, 1, Fault::RateLimited { retry_after_seconds: 1 });
        assert_eq!(shop.post(&path, None, &[]).await.status, 429, "{operation:?}");
        assert_ne!(shop.post(&path, None, &[]).await.status, 429, "{operation:?}");
    }
    assert_eq!(shop.gateway.faults_dealt(), [("error_without_effect", 2), ("rate_limited", 4)].into());
}

#[actix_web::test]
async fn mix_with_the_same_seed_fails_the_same_calls() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let shop = Shop::open();
        let shares = vec![
            Share { per_mille: 50, fault: Fault::RateLimited { retry_after_seconds: 1 } },
            Share { per_mille: 30, fault: Fault::ErrorAfterEffect },
            Share { per_mille: 20, fault: Fault::ErrorWithoutEffect },
        ];
        shop.gateway.mix(Mix { seed, operation: Operation::IntentCreate, shares });
        let mut statuses = Vec::new();
        for _ in 0..1_000 {
            let form = [("amount", "1200"), ("currency", "gbp")];
            statuses.push(shop.post("/v1/payment_intents", None, &form).await.status.as_u16());
        }
        let dealt = shop.gateway.faults_dealt();
        for (fault, around) in [("rate_limited", 50), ("error_after_effect", 30), ("error_without_effect", 20)] {
            assert!((around / 2..around * 2).contains(&dealt[fault]), "{dealt:?}");
        }
        shop.gateway.clear_faults();
        shop.create("pm_card_visa", &[]).await;
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

/// If the simulator waited for calls that hang, a test could not drop it.
#[actix_web::test]
async fn simulator_ends_while_calls_hang() {
    let shop = Shop::open();
    let address = shop.gateway.address();
    let id = shop.create("pm_sim_charge_then_hang", &[]).await;
    let silent = raw_confirm(&shop.gateway, &id, SHORT);
    assert_eq!(silent.ended.expect_err("nothing came").kind(), ErrorKind::WouldBlock);
    let begun = now();
    drop(shop);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    std::net::TcpStream::connect(address).expect_err("no listener");
}
