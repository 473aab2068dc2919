//! Beginning to complete: the stock is held, once, and never more of it than there is.

use std::sync::Arc;

use domain::checkout::{Begin, Begun, CheckoutId, CheckoutRefusal, CheckoutStore, MessageCode, Outcome, Status};
use domain::idempotency::{Fingerprint, KeyRefusal};
use domain::money::{Amount, Money};
use domain::payment::{AttemptState, AttemptStore, PaymentOutcome};
use tokio::task::JoinSet;

use crate::kit::data::{COMPLETE, about, alice, begin, cancel, claim, new_checkout, noon, request, task, update, usd};
use crate::kit::{Place, Shop, is_worth_repeating, refusal};
use crate::on_both_engines;

on_both_engines!(
    beginning_holds_the_stock_and_records_the_attempt,
    a_checkout_in_progress_allows_nothing_else,
    the_same_key_waits_for_its_own_attempt,
    a_command_that_is_run_again_goes_on_as_the_owner_of_its_attempt,
    what_ran_out_is_told_and_remembered_and_nothing_is_held,
    a_line_that_is_short_can_be_completed_when_there_is_stock_again,
    what_is_not_ready_is_refused_and_the_key_stays_free,
    how_a_completion_stands_follows_its_attempt,
    key_that_was_given_back_is_free_and_is_claimed_anew,
    attempt_that_its_owner_gives_up_is_due_at_once,
    of_many_keys_at_once_one_completes_the_checkout,
    forty_buyers_of_ten_units_leave_thirty_without,
    buyers_of_the_same_goods_in_any_order_do_not_block_each_other,
);

async fn beginning_holds_the_stock_and_records_the_attempt(place: Place) {
    let shop = place.shop().await;
    let opened = shop.opened(&[("song", 2), ("book", 1), ("song", 1)], "k1").await;
    let wanted = begin(&opened.id, "pay");
    let begun = shop.checkouts.begin_completion(&alice(), wanted.clone()).await.expect("begun");
    let Begun::Claimed { checkout, attempt } = begun else { panic!("not claimed: {begun:?}") };
    assert_eq!((checkout.status, checkout.version), (Status::CompleteInProgress, 2));
    assert_eq!(checkout.attempt, Some(wanted.attempt.clone()));
    assert_eq!(checkout.details.instruments, Vec::from_iter(wanted.instrument));
    assert_eq!(
        (attempt.id, attempt.checkout, attempt.state),
        (wanted.attempt, checkout.id.clone(), AttemptState::Opened)
    );
    assert_eq!(attempt.money, Money { amount: Amount::new(3 * 500 + 1_250), currency: usd() });
    assert_eq!((attempt.reference, attempt.checks), (None, 0));
    assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), checkout);
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.level("book")), ((10, 3), (10, 1)));
}

/// As when the commit of its first run was not heard of.
async fn a_command_that_is_run_again_goes_on_as_the_owner_of_its_attempt(place: Place) {
    let shop = place.shop().await;
    let opened = shop.opened(&[("song", 2)], "k1").await;
    let command = begin(&opened.id, "pay");
    let book = &shop.checkouts;
    let first = book.begin_completion(&alice(), command.clone()).await.expect("begun");
    let state = place.raw().state();
    let again = book.begin_completion(&alice(), command.clone()).await.expect("begun");
    assert_eq!(first, again);
    // Another command under the same key is not the owner.
    let other = book.begin_completion(&alice(), begin(&opened.id, "pay")).await.expect("told");
    assert_eq!(other, Begun::InProgress);
    assert_eq!(place.raw().state(), state);
    // Nor is the command itself any more, once somebody else finds out what became of the payment.
    shop.attempts.record_unknown(&task(), command.attempt.clone(), noon()).await.expect("recorded");
    let late = book.begin_completion(&alice(), command).await.expect("told");
    assert!(matches!(late, Begun::Unknown(_)), "{late:?}");
}

async fn a_checkout_in_progress_allows_nothing_else(place: Place) {
    let shop = place.shop().await;
    let (checkout, _) = shop.begun(&[("song", 1)], "k1").await;
    let (id, book) = (checkout.id.clone(), &shop.checkouts);
    let before = place.raw().state();
    assert_eq!(refusal(book.cancel(&alice(), cancel(&id, "k2"), id.clone()).await), CheckoutRefusal::InProgress);
    let updated = book.update(&alice(), update(&id, "k3"), id.clone(), request(&[("book", 1)])).await;
    assert_eq!(refusal(updated), CheckoutRefusal::InProgress);
    assert_eq!(refusal(book.begin_completion(&alice(), begin(&id, "k4")).await), CheckoutRefusal::InProgress);
    assert_eq!(place.raw().state(), before);
}

async fn the_same_key_waits_for_its_own_attempt(place: Place) {
    let shop = place.shop().await;
    let (checkout, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let (id, book) = (checkout.id.clone(), &shop.checkouts);
    let before = place.raw().state();
    assert_eq!(book.begin_completion(&alice(), begin(&id, "k1")).await.expect("standing"), Begun::InProgress);
    let mut other = begin(&id, "k1");
    other.write.claim.fingerprint = Fingerprint("another body".into());
    let reused = CheckoutRefusal::Key(KeyRefusal::Reused);
    assert_eq!(refusal(book.begin_completion(&alice(), other).await), reused);
    assert_eq!(place.raw().state(), before);

    let outcome = shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    let begun = book.begin_completion(&alice(), begin(&id, "k1")).await.expect("replayed");
    let Begun::Answered(answer) = begun else { panic!("not answered: {begun:?}") };
    assert_eq!((answer.outcome, answer.replayed), (outcome, true));
}

async fn what_ran_out_is_told_and_remembered_and_nothing_is_held(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("song", 6), ("book", 1)], "k1").await;
    shop.begun(&[("song", 6)], "k2").await;
    let begun = shop.checkouts.begin_completion(&alice(), begin(&checkout.id, "k3")).await.expect("answered");
    let Begun::Answered(answer) = begun else { panic!("not answered: {begun:?}") };
    let short = about(&answer.outcome);
    assert!(!answer.replayed);
    assert_eq!((short.status, short.version, short.attempt.clone()), (Status::Incomplete, 2, None));
    let codes: Vec<_> = short.details.messages.iter().map(|message| message.code).collect();
    assert_eq!(codes, [MessageCode::OutOfStock]);
    assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), *short);
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.level("book"), raw.count("payment_attempt")), ((10, 6), (10, 0), 1));

    let again = shop.checkouts.begin_completion(&alice(), begin(&checkout.id, "k3")).await.expect("replayed");
    let Begun::Answered(again) = again else { panic!("not answered: {again:?}") };
    assert_eq!((again.outcome, again.replayed), (answer.outcome, true));
}

async fn a_line_that_is_short_can_be_completed_when_there_is_stock_again(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("song", 6)], "k1").await;
    let (_, rival) = shop.begun(&[("song", 6)], "k2").await;
    let short = shop.checkouts.begin_completion(&alice(), begin(&checkout.id, "k3")).await.expect("answered");
    assert!(matches!(short, Begun::Answered(_)));
    shop.settle(&rival, PaymentOutcome::Declined("no".into())).await;
    let (checkout, _) = shop.begin(&checkout.id, "k4").await;
    assert_eq!(checkout.details.messages, []);
    assert_eq!(place.raw().level("song"), (10, 6));
}

async fn what_is_not_ready_is_refused_and_the_key_stays_free(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("rose", 1)], "k1").await;
    assert_eq!(checkout.status, Status::Incomplete);
    let before = place.raw().state();
    let refused = refusal(shop.checkouts.begin_completion(&alice(), begin(&checkout.id, "pay")).await);
    assert!(
        matches!(&refused, CheckoutRefusal::NotReady(missing) if missing.code == MessageCode::Missing),
        "{refused:?}"
    );
    assert_eq!(place.raw().state(), before);
    // The same key completes it once the platform gave what was missing.
    let id = checkout.id;
    let wanted = request(&[("song", 1)]);
    shop.checkouts.update(&alice(), update(&id, "k2"), id.clone(), wanted).await.expect("updated");
    shop.begin(&id, "pay").await;
}

async fn how_a_completion_stands_follows_its_attempt(place: Place) {
    let shop = place.shop().await;
    let (checkout, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let claim = || claim(COMPLETE, checkout.id.as_str(), "k1");
    let standing = |claim| shop.checkouts.completion(&alice(), claim, checkout.id.clone());
    assert_eq!(standing(claim()).await.expect("standing"), Begun::InProgress);
    let mut other = claim();
    other.fingerprint = Fingerprint("another body".into());
    assert_eq!(refusal(standing(other).await), CheckoutRefusal::Key(KeyRefusal::Reused));

    shop.attempts.record_unknown(&task(), attempt.id.clone(), noon()).await.expect("recorded");
    assert_eq!(standing(claim()).await.expect("standing"), Begun::Unknown(checkout.clone()));
    let again = shop.checkouts.begin_completion(&alice(), begin(&checkout.id, "k1")).await.expect("standing");
    assert_eq!(again, Begun::Unknown(checkout.clone()));

    let outcome = shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    let answered = standing(claim()).await.expect("standing");
    let Begun::Answered(answer) = answered else { panic!("not answered: {answered:?}") };
    assert_eq!((answer.outcome, answer.replayed), (outcome, true));
    let free = self::claim(COMPLETE, checkout.id.as_str(), "k9");
    assert_eq!(standing(free).await.expect("standing"), Begun::Free);
    // It asks and never claims.
    assert_eq!(place.raw().count("idempotency_key"), 2);
    let foreign = crate::kit::data::bob();
    let asked = shop.checkouts.completion(&foreign, self::claim(COMPLETE, "", "k9"), checkout.id.clone()).await;
    assert_eq!(refusal(asked), CheckoutRefusal::NotFound);
}

async fn key_that_was_given_back_is_free_and_is_claimed_anew(place: Place) {
    let shop = place.shop().await;
    let (checkout, attempt) = shop.begun(&[("song", 1)], "k1").await;
    shop.settle(&attempt, PaymentOutcome::NotAttempted).await;
    let claim = claim(COMPLETE, checkout.id.as_str(), "k1");
    let standing = shop.checkouts.completion(&alice(), claim, checkout.id.clone()).await;
    assert_eq!(standing.expect("standing"), Begun::Free);
    let (_, second) = shop.begin(&checkout.id, "k1").await;
    let outcome = shop.settle(&second, PaymentOutcome::Confirmed).await;
    // The first attempt, told late, changes nothing and is answered like the second.
    assert_eq!(shop.settle(&attempt, PaymentOutcome::Confirmed).await, outcome);
    assert_eq!((place.raw().level("song"), place.raw().count("orders")), ((9, 0), 1));
}

async fn attempt_that_its_owner_gives_up_is_due_at_once(place: Place) {
    let shop = place.shop().await;
    let id = shop.opened(&[("song", 1)], "open").await.id;
    let begin = Begin { owned_for: std::time::Duration::from_secs(60), ..begin(&id, "k1") };
    let begun = shop.checkouts.begin_completion(&alice(), begin).await.expect("begun");
    let Begun::Claimed { attempt, .. } = begun else { panic!("not claimed: {begun:?}") };
    let claim_due = || shop.attempts.claim_due(&task(), noon(), std::time::Duration::from_secs(60), 5);
    assert_eq!(claim_due().await.expect("claimed").len(), 0);
    shop.attempts.postpone(&task(), &attempt, noon()).await.expect("given up");
    let claimed = claim_due().await.expect("claimed");
    assert_eq!(claimed.iter().map(|one| &one.id).collect::<Vec<_>>(), [&attempt.id]);
    // The claim that has it now keeps it.
    shop.attempts.postpone(&task(), &attempt, noon()).await.expect("given up");
    assert_eq!(claim_due().await.expect("claimed").len(), 0);
}

async fn forty_buyers_of_ten_units_leave_thirty_without(place: Place) {
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
            Begun::Claimed { attempt, .. } => claimed.push(attempt),
            Begun::Answered(answer) => {
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

async fn buyers_of_the_same_goods_in_any_order_do_not_block_each_other(place: Place) {
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
            // Not one deadlock, so nothing needs to be repeated.
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

/// Six callers, each with a key of its own: who claimed it, and who was told that another did.
async fn with_many_keys(shop: &Arc<Shop>, id: &CheckoutId) -> (usize, usize) {
    let mut callers = JoinSet::new();
    for caller in 0..6 {
        let (shop, id) = (shop.clone(), id.clone());
        callers.spawn(async move {
            let begun = shop.checkouts.begin_completion(&alice(), begin(&id, &format!("pay-{caller}"))).await;
            match begun {
                Ok(Begun::Claimed { .. }) => (1, 0),
                other => {
                    assert_eq!(refusal(other), CheckoutRefusal::InProgress);
                    (0, 1)
                }
            }
        });
    }
    callers.join_all().await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

async fn of_many_keys_at_once_one_completes_the_checkout(place: Place) {
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
        of_many_keys_that_wait_together_one_completes_the_checkout,
        a_buyer_who_is_overtaken_at_the_last_unit_holds_nothing,
        a_completion_that_is_slow_elsewhere_holds_up_no_buyer_of_the_same_goods,
    );

    /// All of them are on their way before the first can go on.
    async fn of_many_keys_that_wait_together_one_completes_the_checkout(place: Place) {
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

    /// It saw ten units, and waits for the row of the one who takes them.
    async fn a_buyer_who_is_overtaken_at_the_last_unit_holds_nothing(place: Place) {
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
        let Begun::Answered(answer) = begun.expect("answered") else { panic!("not answered") };
        let short = about(&answer.outcome);
        assert_eq!((short.status, short.version, short.attempt.clone()), (Status::Incomplete, 2, None));
        assert_eq!(short.details.messages[0].code, MessageCode::OutOfStock);
        assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), *short);
        let mut raw = place.raw();
        assert_eq!((raw.level("song"), raw.level("book"), raw.count("payment_attempt")), ((10, 10), (10, 0), 0));
        let standing = shop.checkouts.completion(&alice(), claim(COMPLETE, checkout.id.as_str(), "k2"), checkout.id);
        assert!(matches!(standing.await.expect("standing"), Begun::Answered(_)));
    }

    /// Stock is locked last: at every other row a transaction may wait without its goods being out of reach.
    async fn a_completion_that_is_slow_elsewhere_holds_up_no_buyer_of_the_same_goods(place: Place) {
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
            // The second buyer passes: the gate is for the one who comes first.
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
                assert!(matches!(begun, Ok(Begun::Claimed { .. })), "{event} {table}: {begun:?}");
                assert_eq!(raw.waiting(), 1, "{event} {table}");
                gate.execute("SELECT pg_advisory_unlock(1)");
            };
            tokio::join!(slow_one, other_one);
        }
    }
}
