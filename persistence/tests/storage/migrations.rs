//! The schema is brought up to date by one instance at a time, and a program never works on one it does not know.

use std::time::Duration;

use domain::context::Stopwatch;
use domain::fault::FaultKind;
use persistence::OpenError;
use tokio::task::JoinSet;

use crate::kit::data::alice;
use crate::kit::{Expected, Place};
use crate::{on_both_engines, on_postgres};

on_both_engines!(
    an_empty_database_is_older_and_not_ready_until_it_is_migrated,
    migrating_again_applies_nothing,
    a_schema_that_is_newer_is_refused,
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

async fn a_schema_that_is_newer_is_refused(place: Place) {
    let database = place.open();
    database.migrate().expect("a schema");
    place.raw().execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000')");
    for refused in [database.must_be_current().expect_err("newer"), database.migrate().map(drop).expect_err("newer")] {
        assert!(matches!(&refused, OpenError::SchemaNewer(version) if version == "99991231000000"), "{refused}");
    }
    assert_eq!(database.ready(&alice()).await.fault().kind(), FaultKind::Unavailable);
}

mod several_instances {
    use super::*;

    on_postgres!(
        instances_that_start_together_all_succeed,
        instances_that_check_an_empty_database_together_all_say_the_same,
        an_instance_waits_for_the_one_that_migrates,
    );

    async fn instances_that_start_together_all_succeed(place: Place) {
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

    async fn instances_that_check_an_empty_database_together_all_say_the_same(place: Place) {
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
}
