//! The process is killed during a payment, the gateway is away for long, or idempotency keys expire.

use std::time::{Duration, Instant};

use paysim::{Fault, Operation};
use serde_json::{Value, json};

use crate::database::Database;
use crate::kit::basket::{basket, checkout_path, codes};
use crate::kit::client::fresh_key;
use crate::kit::{Place, until};
use crate::shop::{HASTY, PRICE, Shop, UNITS};

const ALWAYS: u64 = 10_000;
/// Far more than a healthy answer takes, and far less than the wait for a hanging gateway.
const QUICK: Duration = Duration::from_secs(2);

/// Starts a payment, waits for the moment, and kills the process. The caller can come back with the same key.
async fn kill_when(shop: &Shop, checkout: &Value, token: &str, key: &str, moment: impl Fn() -> bool) {
    let paying = shop.payment(checkout, token, key).try_send();
    let killing = async {
        until("the moment for the kill", || async { moment().then_some(()) }).await;
        shop.server.kill();
    };
    let (answer, ()) = tokio::join!(paying, killing);
    assert!(answer.is_err(), "the answer came before the kill");
}

/// PAY11. The process is killed after the charge and before its outcome is recorded.
async fn kill_after_the_charge_places_the_order_after_the_restart(place: Place) {
    let shop = Shop::open(&place, HASTY).await;
    let (checkout, key) = (shop.checkout().await, fresh_key());
    kill_when(&shop, &checkout, "pm_sim_charge_then_hang", &key, || shop.captured() == (1, PRICE)).await;
    assert_eq!(Database::open(&place).level("bun"), (100, UNITS), "held while the outcome is unknown");

    let shop = shop.reopen(&place).await;
    let done = shop.wait_until_settled(&checkout).await;
    assert_eq!(done["status"], "completed");
    assert_eq!(shop.wait_for_log_line("payment attempt reconciled").await["checkout_id"], checkout["id"]);
    assert_eq!((shop.captured(), Database::open(&place).level("bun")), ((1, PRICE), (100 - UNITS, 0)));
    let again = shop.payment(&checkout, "pm_sim_charge_then_hang", &key).await;
    assert!(again.is_replay());
    assert_eq!(again.body(200), done);
    shop.assert_sound(&place, &[&done], &[]);
}

/// PAY11. The process is killed before the charge, after the payment was created at the gateway. The payment is
/// cancelled there before stock is released.
async fn kill_before_the_charge_releases_stock_after_the_restart(place: Place) {
    for operation in [Operation::IntentCreate, Operation::IntentConfirm] {
        let shop = Shop::open(&place, HASTY).await;
        let checkout = shop.checkout().await;
        shop.gateway.fail_next(operation, ALWAYS, Fault::HangWithoutEffect);
        let hangs = || shop.gateway.faults_dealt().contains_key("hang_without_effect");
        kill_when(&shop, &checkout, "pm_card_visa", &fresh_key(), hangs).await;
        shop.gateway.clear_faults();

        let shop = shop.reopen(&place).await;
        let refused = shop.wait_until_settled(&checkout).await;
        assert_eq!(
            (&refused["status"], codes(&refused)),
            (&json!("ready_for_complete"), vec!["payment_not_attempted"])
        );
        let line = shop.wait_for_log_line("payment attempt reconciled").await;
        assert_eq!((&line["checkout_id"], &line["payment"]), (&checkout["id"], &json!("not_attempted")));
        // The reference was recorded before the kill or found after it.
        assert!(line["reference"].as_str().is_some_and(|reference| reference.starts_with("pi_")), "{line}");
        assert_eq!((shop.captured(), Database::open(&place).level("bun")), ((0, 0), (100, 0)), "{operation:?}");
        shop.assert_sound(&place, &[], &[&checkout]);
        let _ = shop.server.stop();
    }
}

/// Kills the shop during the creation of a payment and restarts it a day later, when the gateway has dropped the key.
async fn restarted_a_day_later(place: &Place, fault: Fault) -> (Shop, Value) {
    let shop = Shop::open(place, HASTY).await;
    let checkout = shop.checkout().await;
    shop.gateway.fail_next(Operation::IntentCreate, ALWAYS, fault);
    kill_when(&shop, &checkout, "pm_card_visa", &fresh_key(), || !shop.gateway.faults_dealt().is_empty()).await;
    shop.gateway.clear_faults();
    age_by_a_day(place, &shop);
    (shop.reopen(place).await, checkout)
}

/// Ages every attempt and the keys of the gateway by a day.
fn age_by_a_day(place: &Place, shop: &Shop) {
    let day = 24 * 60 * 60 * 1_000;
    let aged = format!("UPDATE payment_attempt SET created_at = created_at - {day}, due_at = due_at - {day}");
    Database::open(place).execute(&aged);
    shop.gateway.advance(Duration::from_secs(24 * 60 * 60 + 1));
}

/// The operations that the shop has called since its start.
fn operations_called(shop: &Shop) -> Vec<Value> {
    let calls = shop.server.log().into_iter().filter(|line| line["msg"] == "outbound call");
    calls.map(|line| line["op"].clone()).collect()
}

/// PAY14. An attempt has no reference, and the gateway may have dropped its key. The payment is looked up and never
/// created again.
async fn day_old_gateway_key_is_never_reused(place: Place) {
    for (fault, message, calls) in [
        (
            Fault::HangWithoutEffect,
            "payment is a day old and the gateway does not have it: the attempt is settled as cancelled",
            vec!["payment.find"],
        ),
        (
            Fault::HangAfterEffect,
            "payment without a reference is found at the gateway",
            vec!["payment.find", "payment.look_up", "payment.cancel"],
        ),
    ] {
        let (shop, checkout) = restarted_a_day_later(&place, fault).await;
        let free = shop.wait_until_settled(&checkout).await;
        assert_eq!((&free["status"], codes(&free)), (&json!("ready_for_complete"), vec!["payment_not_attempted"]));
        let line = shop.wait_for_log_line(message).await;
        assert_eq!(line["checkout_id"], checkout["id"], "{fault:?}");
        assert_eq!(operations_called(&shop), calls, "{fault:?}");
        shop.assert_sound(&place, &[], &[&checkout]);
        let _ = shop.server.stop();
    }
}

/// PAY19. The database is a backup from between the creation of a payment and the record of its reference. The payment
/// was charged since. A day later the key has expired, and the gateway still has the payment.
async fn charge_missing_from_a_restored_backup_is_found_a_day_later(place: Place) {
    let shop = Shop::open(&place, HASTY).await;
    let (checkout, key) = (shop.checkout().await, fresh_key());
    kill_when(&shop, &checkout, "pm_sim_charge_then_hang", &key, || shop.captured() == (1, PRICE)).await;
    Database::open(&place).execute("UPDATE payment_attempt SET reference = NULL");
    age_by_a_day(&place, &shop);
    shop.gateway.fail_next(Operation::IntentSearch, ALWAYS, Fault::RateLimited { retry_after_seconds: 0 });

    let shop = shop.reopen(&place).await;
    // While the lookup fails, nothing is released and nothing is charged.
    let line =
        shop.wait_for_log_line("payment is a day old and cannot be searched for: the outcome stays unknown").await;
    assert_eq!((&line["level"], &line["error_code"]), (&json!("error"), &json!("payment.key_expired")));
    assert_eq!(line["checkout_id"], checkout["id"]);
    assert_eq!((shop.captured(), Database::open(&place).level("bun")), ((1, PRICE), (100, UNITS)));
    shop.gateway.clear_faults();

    let done = shop.wait_until_settled(&checkout).await;
    assert_eq!(done["status"], "completed");
    assert_eq!(shop.captured(), (1, PRICE));
    assert_eq!(shop.payment(&checkout, "pm_sim_charge_then_hang", &key).await.body(200), done);
    shop.assert_sound(&place, &[&done], &[]);
}

/// PAY12. Completions wait for a gateway that hangs. Every other request is served as usual.
async fn hanging_gateway_delays_nothing_else(place: Place) {
    const BUYERS: usize = 30;
    let shop = Shop::open(&place, &[("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "4000")]).await;
    let mut checkouts = Vec::new();
    for _ in 0..BUYERS {
        checkouts.push(shop.checkout().await);
    }
    shop.gateway.fail_next(Operation::IntentCreate, ALWAYS, Fault::HangWithoutEffect);
    let paying = futures_util::future::join_all(checkouts.iter().map(|checkout| shop.pay(checkout, "pm_card_visa")));
    let others = async {
        let dealt = || shop.gateway.faults_dealt().get("hang_without_effect").copied().unwrap_or(0);
        until("every payment hangs", || async { (dealt() == BUYERS as u64).then_some(()) }).await;
        let mut slowest = Duration::ZERO;
        for _ in 0..5 {
            for path in ["/readyz", "/livez", "/.well-known/ucp", &checkout_path(&checkouts[0])] {
                let began = Instant::now();
                let _ = shop.server.get(path).await.expect(200);
                slowest = slowest.max(began.elapsed());
            }
            let began = Instant::now();
            let free = shop.server.post("/checkout-sessions", &basket(&[("sample", 1)])).await.body(201);
            let done = shop.pay(&free, "pm_card_visa").await.body(200);
            assert_eq!(done["status"], "completed", "a free checkout needs no gateway");
            slowest = slowest.max(began.elapsed());
        }
        assert!(slowest < QUICK, "{slowest:?}");
        slowest
    };
    let began = Instant::now();
    let (answers, slowest) = tokio::join!(paying, others);
    println!("beside {BUYERS} payments that hang, the slowest answer took {slowest:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for answer in answers {
        let _ = answer.problem(503, "unavailable");
    }
    assert_eq!((shop.captured(), Database::open(&place).level("bun")), ((0, 0), (100, 0)));
    shop.assert_sound(&place, &[], &checkouts.iter().collect::<Vec<_>>());
    shop.gateway.clear_faults();
    assert_eq!(shop.pay(&checkouts[0], "pm_card_visa").await.body(200)["status"], "completed");
}

/// PAY12. While the gateway is unreachable, a budget limits the retries.
async fn unreachable_gateway_is_not_flooded_with_retries(place: Place) {
    const BUYERS: u64 = 40;
    let shop = Shop::open(&place, &[]).await.without_gateway();
    let mut checkouts = Vec::new();
    for _ in 0..BUYERS {
        checkouts.push(shop.checkout().await);
    }
    let began = Instant::now();
    let paying = checkouts.iter().map(|checkout| shop.pay(checkout, "pm_card_visa"));
    for answer in futures_util::future::join_all(paying).await {
        let _ = answer.problem(503, "unavailable");
    }
    let calls = until("every call is logged", || async {
        let log = shop.server.log().into_iter();
        let calls: Vec<Value> = log.filter(|line| line["msg"] == "outbound call").collect();
        (calls.len() as u64 == BUYERS).then_some(calls)
    });
    let calls = calls.await;
    let attempts: u64 = calls.iter().filter_map(|call| call["attempts"].as_u64()).sum();
    assert!(calls.iter().all(|call| call["effect"] == "none"), "{calls:?}");
    let spent = shop.wait_for_log_line("retry budget used up").await;
    assert_eq!((&spent["outcome"], &spent["level"]), (&json!("retry_budget_exhausted"), &json!("warning")));
    // A fifth of the calls, and ten more, of which one is refilled every second.
    let allowed = BUYERS + BUYERS / 5 + 10 + began.elapsed().as_secs() + 1;
    assert!(attempts <= allowed, "{attempts} attempts for {BUYERS} calls");
    assert!(attempts > BUYERS, "nothing was retried");
    assert_eq!(Database::open(&place).level("bun"), (100, 0));
    shop.assert_sound(&place, &[], &checkouts.iter().collect::<Vec<_>>());
}

crate::on_both_engines!(kill_after_the_charge_places_the_order_after_the_restart, hanging_gateway_delays_nothing_else,);

mod sqlite_only {
    use super::*;
    crate::on_sqlite!(
        kill_before_the_charge_releases_stock_after_the_restart,
        day_old_gateway_key_is_never_reused,
        charge_missing_from_a_restored_backup_is_found_a_day_later,
        unreachable_gateway_is_not_flooded_with_retries,
    );
}
