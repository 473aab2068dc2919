//! Provokes on the real engines the error messages by which faults are classified.

use std::time::Duration;

use domain::checkout::{CheckoutId, CheckoutStore};
use domain::context::Stopwatch;
use domain::fault::{Fault, FaultKind};
use tokio::task::JoinSet;

use super::{SOON, THE_SONG};
use crate::kit::data::{alice, begin, create, new_checkout, noon, request};
use crate::kit::raw::Raw;
use crate::kit::{Expected, Place, Shop, until};

pub(super) fn says(fault: &Fault, kind: FaultKind, message: &str) {
    let chain = fault.chain();
    assert_eq!(fault.kind(), kind, "{chain}");
    assert!(chain.to_lowercase().contains(message), "{chain}");
}

mod sqlite_says {
    use super::*;
    crate::on_sqlite!(database_is_locked);

    async fn database_is_locked(place: Place) {
        let shop = place.shop_with(|config| config.lock_timeout = Duration::from_millis(50)).await;
        let mut other = place.raw();
        other.hold(THE_SONG);
        let new = new_checkout(request(&[("song", 1)]));
        let fault = shop.checkouts.create(&alice(), create("k1"), new).await.fault();
        says(&fault, FaultKind::Contention, "database is locked");
        other.release();
    }
}

mod postgres_says {
    use super::*;
    crate::on_postgres!(
        canceling_statement_due_to_lock_timeout,
        canceling_statement_due_to_statement_timeout,
        terminating_connection,
        lost_idle_connection_fails_one_request,
        cannot_execute_in_a_read_only_transaction,
        constraint_violation_keeps_the_connection,
    );

    /// Completes a checkout of a song while another connection holds the song and `meanwhile` runs.
    async fn completing(shop: &Shop, place: &Place, meanwhile: impl FnOnce(&CheckoutId, &mut Raw, &mut Raw)) -> Fault {
        let id = shop.opened(&[("song", 1)], "k1").await.id;
        let before = place.raw().state();
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.hold(THE_SONG);
        let ctx = alice();
        let meanwhile = async {
            until("it waits for the song", || observer.waiting() == 1).await;
            meanwhile(&id, &mut other, &mut observer);
        };
        let (completed, ()) = tokio::join!(shop.checkouts.begin_completion(&ctx, begin(&id, "k2")), meanwhile);
        // This fails if `meanwhile` has ended the session.
        let _ = other.try_execute("ROLLBACK");
        assert_eq!(place.raw().state(), before);
        completed.fault()
    }

    async fn canceling_statement_due_to_lock_timeout(place: Place) {
        let shop = place.shop_with(|config| config.lock_timeout = Duration::from_millis(200)).await;
        let fault = completing(&shop, &place, |_, _, _| ()).await;
        says(&fault, FaultKind::Contention, "canceling statement due to lock timeout");
    }

    async fn canceling_statement_due_to_statement_timeout(place: Place) {
        let shop = place.shop_with(|config| config.statement_timeout = Duration::from_millis(200)).await;
        let fault = completing(&shop, &place, |_, _, _| ()).await;
        says(&fault, FaultKind::Unavailable, "canceling statement due to statement timeout");
    }

    async fn terminating_connection(place: Place) {
        let shop = place.shop().await;
        let fault = completing(&shop, &place, |_, _, observer| assert!(observer.terminate_others() >= 2)).await;
        says(&fault, FaultKind::Unavailable, "terminating connection");
        let id = shop.opened(&[("song", 1)], "k3").await.id;
        shop.begin(&id, "k4").await;
    }

    /// Creates a checkout while a trigger runs `instead` before the insert. Returns the fault, and whether the pool
    /// uses the same connection again afterwards.
    async fn inserting(place: &Place, instead: &str) -> (Fault, bool) {
        let shop = place.shop_with(|config| config.pool_size = 1).await;
        let mut raw = place.raw();
        raw.execute("CREATE TABLE used (pid BIGINT)");
        let before = raw.count("checkout");
        shop.opened(&[("song", 1)], "k1").await;
        let sessions = "SELECT CAST(pid AS TEXT) AS value FROM pg_stat_activity
                        WHERE datname = current_database() AND query = 'COMMIT'";
        let old = raw.texts(sessions);
        raw.execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {instead} RETURN NEW; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON checkout FOR EACH ROW EXECUTE FUNCTION refuse();"
        ));
        let new = new_checkout(request(&[("song", 1)]));
        let fault = shop.checkouts.create(&alice(), create("k2"), new).await.fault();
        raw.execute("DROP TRIGGER refuse ON checkout");
        shop.opened(&[("song", 1)], "k3").await;
        assert_eq!(raw.count("checkout"), before + 2);
        (fault, raw.texts(sessions) == old)
    }

    /// A server that has become a standby reports the same error.
    async fn cannot_execute_in_a_read_only_transaction(place: Place) {
        let instead = "SET LOCAL transaction_read_only = on; INSERT INTO used VALUES (1);";
        let (fault, same_connection) = inserting(&place, instead).await;
        says(&fault, FaultKind::Unavailable, "cannot execute insert in a read-only transaction");
        assert!(!same_connection, "it was used again");
    }

    /// After a violated constraint the connection is still good.
    async fn constraint_violation_keeps_the_connection(place: Place) {
        let (fault, same_connection) = inserting(&place, "RAISE EXCEPTION 'no';").await;
        says(&fault, FaultKind::Internal, "no");
        assert!(same_connection, "it was thrown away");
    }

    /// A connection that was used recently is not checked, so the first request on it may fail. The pool then drops the
    /// connection.
    async fn lost_idle_connection_fails_one_request(place: Place) {
        let shop = std::sync::Arc::new(place.shop_with(|config| config.pool_size = 3).await);
        let mut other = place.raw();
        fill_the_pool(&shop, &place).await;
        // More than three if other connections of the test are still closing.
        assert!(other.terminate_others() >= 3);
        let (watch, mut failed) = (Stopwatch::start(), 0);
        while let Err(fault) = shop.database.ready(&alice()).await {
            assert_eq!(fault.kind(), FaultKind::Unavailable, "{}", fault.chain());
            failed += 1;
            assert!(failed <= 3, "each connection fails once at most");
        }
        assert!(watch.elapsed() < SOON, "{:?}", watch.elapsed());
        for _ in 0..5 {
            shop.checkouts
                .read_page(&alice(), domain::id::PageToken::generate(crate::kit::data::noon()))
                .await
                .expect("works again");
        }
        shop.begun(&[("song", 1)], "k1").await;
    }

    /// Opens every connection of the pool, by making requests on all of them wait.
    async fn fill_the_pool(shop: &std::sync::Arc<Shop>, place: &Place) {
        let (mut other, mut observer) = (place.raw(), place.raw());
        let mut ids = Vec::new();
        for buyer in 0..3 {
            ids.push(shop.opened(&[("song", 1)], &format!("fill-{buyer}")).await.id);
        }
        other.hold(THE_SONG);
        let mut buyers = JoinSet::new();
        for id in ids {
            let shop = shop.clone();
            buyers.spawn(async move { drop(shop.begin(&id, &format!("fill-{id}")).await) });
        }
        until("three connections wait", || observer.waiting() == 3).await;
        other.release();
        buyers.join_all().await;
    }
}

mod on_both {
    use super::*;
    crate::on_both_engines!(constraint_violation_is_internal_and_changes_nothing);

    /// A CHECK in the schema protects the data against a bug in the rules.
    async fn constraint_violation_is_internal_and_changes_nothing(place: Place) {
        let shop = place.shop().await;
        let (_, attempt) = shop.begun(&[("song", 2)], "k1").await;
        place.raw().execute("UPDATE stock SET held = 1 WHERE sku = 'song'");
        let before = place.raw().state();
        let outcome = domain::payment::PaymentOutcome::Confirmed;
        let fault = shop.checkouts.settle(&alice(), crate::kit::data::settlement(&attempt, outcome)).await.fault();
        says(&fault, FaultKind::Internal, "check constraint");
        assert_eq!(place.raw().state(), before);
        assert!(shop.checkouts.read(&alice(), CheckoutId::generate(noon())).await.is_err());
        shop.begun(&[("book", 1)], "k2").await;
    }
}
