//! Concurrent completions: many buyers of few units, and many keys for one checkout.

use std::sync::Arc;

use domain::checkout::{CheckoutId, CheckoutRefusal, CheckoutStore, CompletionState, MessageCode, Outcome, Status};
use domain::payment::PaymentOutcome;
use tokio::task::JoinSet;

use crate::kit::data::{COMPLETE, about, alice, begin, new_checkout, request};
use crate::kit::{Place, Shop, is_worth_repeating, refusal};
use crate::on_both_engines;

on_both_engines!(
    concurrent_keys_complete_the_checkout_once,
    forty_buyers_of_ten_units_leave_thirty_refused,
    buyers_of_the_same_goods_in_any_order_do_not_deadlock,
);

async fn forty_buyers_of_ten_units_leave_thirty_refused(place: Place) {
    let shop = Arc::new(place.shop_with(|config| config.pool_size = 8).await);
    let mut ids = Vec::new();
    for buyer in 0..40 {
        let new = new_checkout(request(&[("song", 1)]));
        ids.push(new.id.clone());
        let write = crate::kit::data::create(&format!("open-{buyer}"));
        shop.checkouts.create(&alice(), write, new).await.expect("created");
    }
    let mut buyers = JoinSet::new();
    for (buyer, id) in ids.into_iter().enumerate() {
        let shop = shop.clone();
        buyers.spawn(async move {
            loop {
                let begun = shop.checkouts.begin_completion(&alice(), begin(&id, &format!("pay-{buyer}"))).await;
                if !is_worth_repeating(&begun) {
                    return begun.expect("begun");
                }
            }
        });
    }
    let (mut claimed, mut short) = (Vec::new(), 0);
    for begun in buyers.join_all().await {
        match begun {
            CompletionState::Claimed { attempt, .. } => claimed.push(attempt),
            CompletionState::Answered(answer) => {
                assert_eq!(about(&answer.outcome).details.messages[0].code, MessageCode::OutOfStock);
                short += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((claimed.len(), short), (10, 30));
    assert_eq!(place.raw().level("song"), (10, 10));
    for attempt in &claimed {
        let outcome = shop.settle(attempt, PaymentOutcome::Confirmed).await;
        assert!(matches!(outcome, Outcome::Checkout(_)));
    }
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.count("orders")), ((0, 0), 10));
}

async fn buyers_of_the_same_goods_in_any_order_do_not_deadlock(place: Place) {
    let shop = Arc::new(place.shop_with(|config| config.pool_size = 8).await);
    let goods: [&[(&str, i64)]; 3] = [
        &[("song", 1), ("book", 1), ("gift", 1)],
        &[("gift", 1), ("book", 1), ("song", 1)],
        &[("book", 1), ("song", 1)],
    ];
    let mut buyers = JoinSet::new();
    for buyer in 0..9 {
        let (shop, goods) = (shop.clone(), goods[buyer % 3]);
        let id = shop.opened(goods, &format!("open-{buyer}")).await.id;
        buyers.spawn(async move {
            // There must be no deadlock, so no call is repeated.
            let (_, attempt) = shop.begin(&id, &format!("pay-{buyer}")).await;
            let outcome = if buyer % 2 == 0 { PaymentOutcome::Confirmed } else { PaymentOutcome::NotAttempted };
            shop.settle(&attempt, outcome).await;
        });
    }
    buyers.join_all().await;
    let mut raw = place.raw();
    assert_eq!(raw.count("orders"), 5);
    assert_eq!((raw.level("song"), raw.level("book"), raw.level("gift")), ((5, 0), (5, 0), (7, 0)));
}

/// Six callers complete the checkout, each with a separate key. Returns how many got a claim, and how many got "in
/// progress".
async fn with_many_keys(shop: &Arc<Shop>, id: &CheckoutId) -> (usize, usize) {
    let mut callers = JoinSet::new();
    for caller in 0..6 {
        let (shop, id) = (shop.clone(), id.clone());
        callers.spawn(async move {
            let begun = shop.checkouts.begin_completion(&alice(), begin(&id, &format!("pay-{caller}"))).await;
            match begun {
                Ok(CompletionState::Claimed { .. }) => (1, 0),
                other => {
                    assert_eq!(refusal(other), CheckoutRefusal::InProgress);
                    (0, 1)
                }
            }
        });
    }
    callers.join_all().await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

async fn concurrent_keys_complete_the_checkout_once(place: Place) {
    let shop = Arc::new(place.shop_with(|config| config.pool_size = 6).await);
    let id = shop.opened(&[("song", 1)], "k1").await.id;
    assert_eq!(with_many_keys(&shop, &id).await, (1, 5));
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.count("payment_attempt")), ((10, 1), 1));
}

mod locked {
    use super::*;
    use crate::kit::data::claim;
    use crate::kit::until;

    crate::on_postgres!(
        waiting_keys_complete_the_checkout_once,
        overtaken_buyer_of_the_last_unit_holds_nothing,
        slow_completion_delays_no_buyer_of_the_same_goods,
        hold_waits_for_a_release_that_is_not_committed,
    );

    /// All six requests wait for the same lock before the first of them can continue.
    async fn waiting_keys_complete_the_checkout_once(place: Place) {
        let shop = Arc::new(place.shop_with(|config| config.pool_size = 6).await);
        let id = shop.opened(&[("song", 1)], "k1").await.id;
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.hold("SELECT sku FROM stock");
        let release = async {
            until("all six wait", || observer.waiting() == 6).await;
            other.release();
        };
        let (counts, ()) = tokio::join!(with_many_keys(&shop, &id), release);
        assert_eq!(counts, (1, 5));
        assert_eq!(place.raw().level("song"), (10, 1));
    }

    /// The completion has read ten units, and waits for the row. Then another buyer takes all of them.
    async fn overtaken_buyer_of_the_last_unit_holds_nothing(place: Place) {
        let shop = place.shop().await;
        let checkout = shop.opened(&[("song", 1), ("book", 1)], "k1").await;
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.execute("BEGIN; UPDATE stock SET held = 10 WHERE sku = 'song'");
        let ctx = alice();
        let overtaking = async {
            until("it waits for the song", || observer.waiting() == 1).await;
            other.execute("COMMIT");
        };
        let beginning = shop.checkouts.begin_completion(&ctx, begin(&checkout.id, "k2"));
        let (begun, ()) = tokio::join!(beginning, overtaking);
        let CompletionState::Answered(answer) = begun.expect("answered") else { panic!("not answered") };
        let short = about(&answer.outcome);
        assert_eq!((short.status, short.version, short.attempt.clone()), (Status::Incomplete, 2, None));
        assert_eq!(short.details.messages[0].code, MessageCode::OutOfStock);
        assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), *short);
        let mut raw = place.raw();
        assert_eq!((raw.level("song"), raw.level("book"), raw.count("payment_attempt")), ((10, 10), (10, 0), 0));
        let state = shop.checkouts.completion(&alice(), claim(COMPLETE, checkout.id.as_str(), "k2"), checkout.id);
        assert!(matches!(state.await.expect("state"), CompletionState::Answered(_)));
    }

    /// Stock is locked last, so a transaction that waits for another row does not block buyers of the same goods.
    async fn slow_completion_delays_no_buyer_of_the_same_goods(place: Place) {
        drop(place);
        for (table, event, slow) in [
            ("payment_attempt", "INSERT", "NEW.claim_key = 'slow-begin'"),
            ("checkout", "UPDATE", "NEW.status = 'complete_in_progress' AND NEW.version = 2"),
            ("orders", "INSERT", "true"),
            ("delivery", "INSERT", "true"),
            ("payment_attempt", "UPDATE", "NEW.state = 'confirmed'"),
            ("checkout", "UPDATE", "NEW.status = 'completed'"),
            ("idempotency_key", "UPDATE", "NEW.operation = 'checkout.complete'"),
        ] {
            let place = Place::postgres().expect("a server");
            let shop = place.shop().await;
            let (_, attempt) = shop.begun(&[("song", 1)], "paid").await;
            let (first, second) =
                (shop.opened(&[("song", 1)], "k1").await.id, shop.opened(&[("song", 1)], "k2").await.id);
            let mut raw = place.raw();
            // The gate stops only the first buyer. The second buyer passes.
            raw.execute(&format!(
                "CREATE SEQUENCE passed;
                 CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     IF {slow} AND nextval('passed') = 1 THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN NEW;
                 END $$;
                 CREATE TRIGGER gate BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION gate();"
            ));
            let mut gate = place.raw();
            gate.execute("SELECT pg_advisory_lock(1)");
            let (ctx, settles) = (
                alice(),
                ["orders", "delivery", "idempotency_key"].contains(&table)
                    || slow.contains("confirmed")
                    || slow.contains("completed"),
            );
            let slow_one = async {
                match settles {
                    true => drop(shop.settle(&attempt, PaymentOutcome::Confirmed).await),
                    false => drop(shop.begin(&first, "slow-begin").await),
                }
            };
            let other_one = async {
                until("the first one waits at the gate", || raw.waiting() == 1).await;
                let begun = shop.checkouts.begin_completion(&ctx, begin(&second, "quick")).await;
                assert!(matches!(begun, Ok(CompletionState::Claimed { .. })), "{event} {table}: {begun:?}");
                assert_eq!(raw.waiting(), 1, "{event} {table}");
                gate.execute("SELECT pg_advisory_unlock(1)");
            };
            tokio::join!(slow_one, other_one);
        }
    }

    /// A hold that decided by the row as it was before the wait would find no unit, and a read afterwards would find one.
    async fn hold_waits_for_a_release_that_is_not_committed(place: Place) {
        let shop = place.shop().await;
        let id = shop.opened(&[("song", 1)], "k1").await.id;
        let (mut raw, mut gate, mut other) = (place.raw(), place.raw(), place.raw());
        other.execute("UPDATE stock SET held = on_hand - 1 WHERE sku = 'song'");
        raw.execute(
            "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$;
             CREATE TRIGGER gate BEFORE INSERT ON payment_attempt FOR EACH ROW EXECUTE FUNCTION gate();",
        );
        gate.execute("SELECT pg_advisory_lock(1)");
        let others = async {
            until("the buyer has seen the last unit", || raw.waiting() == 1).await;
            other.execute("UPDATE stock SET held = on_hand WHERE sku = 'song'");
            other.execute("BEGIN; UPDATE stock SET held = on_hand - 1 WHERE sku = 'song'");
            gate.execute("SELECT pg_advisory_unlock(1)");
            let for_a_row = "SELECT count(*) AS value FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
            until("the buyer waits for the release", || raw.number(for_a_row) == 1).await;
            other.execute("COMMIT");
        };
        let (begun, ()) = tokio::join!(shop.begin(&id, "k2"), others);
        assert_eq!(begun.0.status, Status::CompleteInProgress);
        assert_eq!(place.raw().level("song"), (10, 10));
    }
}
