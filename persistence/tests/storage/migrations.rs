//! One instance migrates the schema while other instances work. A program never runs on a schema that lacks a step that
//! the program knows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use domain::context::Stopwatch;
use domain::fault::FaultKind;
use domain::order::OrderStore;
use domain::payment::PaymentOutcome;
use persistence::{DatabaseConfig, OpenError};
use tokio::task::JoinSet;

use crate::kit::data::{about, alice};
use crate::kit::{Expected, Place, Shop, until};
use crate::{on_both_engines, on_postgres};

on_both_engines!(
    an_empty_database_is_older_and_not_ready_until_it_is_migrated,
    migrating_again_applies_nothing,
    newer_schema_is_used_until_something_is_removed,
);

async fn an_empty_database_is_older_and_not_ready_until_it_is_migrated(place: Place) {
    let database = place.open();
    assert_eq!(database.ready(&alice()).await.fault().kind(), FaultKind::Unavailable);
    let before = place.raw().tables();
    let older = database.must_be_current().expect_err("older");
    assert!(matches!(older, OpenError::SchemaOlder(1..)), "{older}");
    assert_eq!(database.ready(&alice()).await.fault().kind(), FaultKind::Unavailable);
    assert_eq!(place.raw().tables(), before, "asking changes nothing");
    assert!(database.migrate().expect("a schema") >= 1);
    database.must_be_current().expect("current");
    database.ready(&alice()).await.expect("ready");
}

async fn migrating_again_applies_nothing(place: Place) {
    let database = place.open();
    assert!(database.migrate().expect("a schema") >= 1);
    assert_eq!(database.migrate().expect("the same schema"), 0);
}

async fn newer_schema_is_used_until_something_is_removed(place: Place) {
    let database = place.open();
    database.migrate().expect("a schema");
    let later = "99991231000000";
    place.raw().execute(&format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{later}')"));
    database.must_be_current().expect("all that this program knows is there");
    assert_eq!(database.migrate().expect("nothing is missing"), 0);
    database.ready(&alice()).await.expect("ready");

    // A release that removes something from the schema stores the step that a program must know. First that is the
    // newest step that this program knows, and then a step that it does not know.
    let known =
        place.raw().texts("SELECT max(version) AS value FROM __diesel_schema_migrations WHERE version < '9999'");
    place.raw().execute(&format!("INSERT INTO schema_floor (version) VALUES ('{}')", known[0]));
    database.must_be_current().expect("this program knows the floor");
    database.ready(&alice()).await.expect("ready");
    place.raw().execute(&format!("INSERT INTO schema_floor (version) VALUES ('{later}')"));
    for refused in [database.must_be_current().expect_err("newer"), database.migrate().map(drop).expect_err("newer")] {
        assert!(matches!(&refused, OpenError::SchemaNewer(version) if version == later), "{refused}");
    }
    assert_eq!(database.ready(&alice()).await.fault().kind(), FaultKind::Unavailable);
}

mod several_instances {
    use super::*;

    on_postgres!(
        a_release_that_adds_to_the_schema_fails_no_request,
        a_step_changes_at_most_one_table_that_is_in_use,
        concurrent_migrations_all_succeed,
        concurrent_checks_of_an_empty_database_agree,
        an_instance_waits_for_the_one_that_migrates,
    );

    async fn concurrent_migrations_all_succeed(place: Place) {
        let mut instances = JoinSet::new();
        for database in [place.open(), place.open(), place.open(), place.open()] {
            instances.spawn_blocking(move || database.migrate().expect("a schema"));
        }
        let mut applied = instances.join_all().await;
        applied.sort_unstable();
        assert_eq!(applied[..3], [0, 0, 0], "one did all of the work");
        assert!(applied[3] >= 1);
        place.open().must_be_current().expect("current");
    }

    async fn concurrent_checks_of_an_empty_database_agree(place: Place) {
        let mut instances = JoinSet::new();
        for _ in 0..8 {
            let database = place.open();
            instances.spawn_blocking(move || database.must_be_current().expect_err("older"));
        }
        for refused in instances.join_all().await {
            assert!(matches!(refused, OpenError::SchemaOlder(1..)), "{refused}");
        }
    }

    async fn an_instance_waits_for_the_one_that_migrates(place: Place) {
        let mut first = place.raw();
        first.execute(&format!("SELECT pg_advisory_lock({})", 0x7475_636b_7368_6f70_i64));
        let database = place.open();
        let waiting = tokio::task::spawn_blocking(move || database.migrate());
        let mut observer = place.raw();
        crate::kit::until("it waits for its turn", || observer.waiting() == 1).await;
        assert_eq!(observer.number("SELECT count(*) FROM pg_tables WHERE tablename = 'checkout'"), 0);
        let watch = Stopwatch::start();
        drop(first);
        assert!(waiting.await.expect("joined").expect("a schema") >= 1);
        assert!(watch.elapsed() < Duration::from_secs(20), "{:?}", watch.elapsed());
    }

    /// Returns the SQL of the Postgres steps of this program by name, in the order in which they are applied.
    fn own_steps() -> BTreeMap<String, String> {
        let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let steps = std::fs::read_dir(own).expect("the steps").map(|entry| {
            let path = entry.expect("a step").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path.join("up.sql")).expect("a step"))
        });
        steps.collect()
    }

    /// Transactions lock tables in no common order. Assume that a step holds one table while it waits for another. It
    /// then blocks transactions that hold the other table and wait for the first. On a busy shop such a step may fail
    /// at each attempt.
    async fn a_step_changes_at_most_one_table_that_is_in_use(place: Place) {
        let mut raw = place.raw();
        for (name, sql) in own_steps() {
            raw.execute(&format!("CREATE TEMP TABLE before AS SELECT oid FROM pg_class; BEGIN; {sql}"));
            let changed = raw.texts(
                "SELECT DISTINCT relation::regclass::text AS value
                 FROM pg_locks JOIN before ON before.oid = relation JOIN pg_class ON pg_class.oid = relation
                 WHERE pid = pg_backend_pid() AND relkind = 'r' AND relnamespace = 'public'::regnamespace
                   AND mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')",
            );
            raw.execute("COMMIT; DROP TABLE before");
            // The first step that can be applied while the shop sells has this date.
            let while_closed = name.as_str() < "2026-11-28";
            assert!(while_closed || changed.len() <= 1, "{name} changes {changed:?}: make it a step for each table");
        }
    }

    /// Writes a directory with the steps of this program and the steps that a later release adds: one step for each
    /// table, see docs/UPGRADES.md.
    fn later_release() -> tempfile::TempDir {
        let later = [
            "ALTER TABLE checkout ADD COLUMN note TEXT",
            "ALTER TABLE stock ADD COLUMN reserved BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE idempotency_key ADD COLUMN seen BIGINT",
            "ALTER TABLE orders ADD COLUMN channel TEXT NOT NULL DEFAULT 'web';
             CREATE INDEX orders_by_channel ON orders (channel);
             CREATE TABLE gift_card (code TEXT NOT NULL PRIMARY KEY)",
        ];
        let later = later.into_iter().enumerate().map(|(n, sql)| (format!("9999-12-31-00000{n}_more"), sql.to_owned()));
        let steps = tempfile::tempdir().expect("a directory");
        for (name, sql) in own_steps().into_iter().chain(later) {
            let step = steps.path().join(name);
            std::fs::create_dir(&step).expect("a directory");
            std::fs::write(step.join("up.sql"), sql).expect("written");
        }
        steps
    }

    async fn buy(shop: &Shop, key: &str) {
        let (_, attempt) = shop.begun(&[("gift", 1)], key).await;
        let outcome = shop.settle(&attempt, PaymentOutcome::Confirmed).await;
        let order = about(&outcome).order.clone().expect("an order");
        shop.orders.read(&alice(), order.id).await.expect("read").expect("an order");
        shop.database.ready(&alice()).await.expect("ready");
    }

    /// Two instances of this release sell while a later release changes the schema, and continue to sell beside the
    /// later release.
    async fn a_release_that_adds_to_the_schema_fails_no_request(place: Place) {
        // The default lock timeout: a request fails if a table is not available for that long.
        drop(place.shop().await);
        let instance =
            || Shop::on(crate::kit::open(DatabaseConfig { lock_timeout: Duration::from_secs(2), ..place.config() }));
        let old = [instance(), instance()].map(Arc::new);
        place.raw().execute("UPDATE stock SET on_hand = 1000000 WHERE sku = 'gift'");
        let (stop, bought) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut buyers = JoinSet::new();
        for buyer in 0..6 {
            let (shop, stop, bought) = (old[buyer % 2].clone(), stop.clone(), bought.clone());
            buyers.spawn(async move {
                for purchase in 0.. {
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                    buy(&shop, &format!("b{buyer}-{purchase}")).await;
                    bought.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        let sold = || bought.load(Ordering::Acquire);
        until("they sell", || sold() >= 10).await;
        // During a long read of a table that a step changes, the step waits, pauses and is tried again. It succeeds
        // after the read has ended.
        let (mut reader, mut observer) = (place.raw(), place.raw());
        reader.execute("BEGIN; SELECT count(*) FROM checkout");
        let steps = later_release();
        let new = place.open();
        let migrating = tokio::task::spawn_blocking(move || {
            let applied = new.migrate_from(steps.path());
            (new, applied)
        });
        until("the step waits for the table", || {
            observer.number("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'") > 0
        })
        .await;
        let before = sold();
        until("they sell beside a step that waits", || sold() >= before + 20).await;
        reader.release();
        let (new, applied) = migrating.await.expect("joined");
        assert_eq!(applied.expect("migrated"), 4);
        let before = sold();
        until("they sell on the new schema", || sold() >= before + 20).await;
        // Two programs work on the new schema: one in place of the new release, and this release started again after a
        // rollback.
        new.must_be_current().expect("current");
        buy(&Shop::on(new), "new").await;
        buy(&instance(), "rolled-back").await;
        stop.store(true, Ordering::Release);
        buyers.join_all().await;
    }
}
