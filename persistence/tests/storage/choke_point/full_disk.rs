//! A full disk causes a fault of a separate kind, and is reported until a write finds space again.

use std::time::Duration;

use domain::checkout::CheckoutStore;
use domain::fault::FaultKind;
use domain::idempotency::IdempotencyStore;
use domain::outbox::{Channel, ClaimTerms, EndpointHealth, MessageFilter, OutboxStore, Receipt, Recorded, SendOutcome};
use domain::page::Limit;
use faultkit::SmallDisk;
use persistence::{Database, Degraded};
use tokio::runtime::Handle;

use crate::kit::data::{alice, catalogue, create, new_checkout, noon, request, task};
use crate::kit::logs::Logs;
use crate::kit::raw::Raw;
use crate::kit::{Expected, Place, Shop, config};

crate::on_sqlite!(full_disk_is_reported_until_a_write_with_space_is_committed);

mod postgres_says {
    use super::*;
    crate::on_postgres!(
        read_without_space_or_shared_memory_does_not_degrade,
        transaction_that_only_locks_does_not_end_degradation,
    );

    /// After this call, reading messages or adding a checkout fails with this message.
    fn refuse(raw: &mut Raw, message: &str) {
        raw.execute(&format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS boolean LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION '{message}'; END $$; \
             CREATE OR REPLACE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM refuse(); RETURN NEW; END $$;"
        ));
    }

    async fn read_without_space_or_shared_memory_does_not_degrade(place: Place) {
        let shop = place.shop().await;
        shop.bought(&[("song", 1)], "k1").await;
        let mut raw = place.raw();
        refuse(&mut raw, "");
        raw.execute("ALTER TABLE delivery RENAME TO real; CREATE VIEW delivery AS SELECT * FROM real WHERE refuse()");
        let shared = "could not resize shared memory segment \"/PostgreSQL.1\" to 8 bytes: No space left on device";
        let sorting = "could not write to file \"base/pgsql_tmp/pgsql_tmp1.0\": No space left on device";
        for (message, kind) in [(shared, FaultKind::Unavailable), (sorting, FaultKind::StorageFull)] {
            refuse(&mut raw, message);
            let fault = shop
                .deliveries
                .list(&task(), MessageFilter::default(), None, Limit::new(9))
                .await
                .expect_err("refused");
            super::super::faults::says(&fault, kind, "no space left on device");
            assert_eq!(shop.database.degraded(), None);
        }
    }

    async fn transaction_that_only_locks_does_not_end_degradation(place: Place) {
        let shop = place.shop().await;
        shop.bought(&[("song", 1)], "k1").await;
        let terms =
            ClaimTerms { now: noon(), lease: Duration::from_secs(60), per_endpoint: 1, reach: EndpointHealth::Failing };
        let claimed = shop.deliveries.claim(&task(), Channel::Webhook, terms).await.expect("asked").message;
        let claimed = claimed.expect("something was due");
        let received = SendOutcome::Received(Receipt::Accepted);
        let record = || shop.deliveries.record(&task(), &claimed, received.clone(), noon());
        record().await.expect("recorded");

        let mut raw = place.raw();
        refuse(&mut raw, "could not extend file \"base/1/2\": No space left on device");
        raw.execute("CREATE TRIGGER refuse BEFORE INSERT ON checkout FOR EACH ROW EXECUTE FUNCTION refuse_row()");
        let song = new_checkout(request(&[("song", 1)]));
        let fault = shop.checkouts.create(&alice(), create("k2"), song).await.fault();
        super::super::faults::says(&fault, FaultKind::StorageFull, "no space left on device");
        raw.execute("DROP TRIGGER refuse ON checkout");

        assert!(matches!(record().await, Ok(Recorded::Stale(_))));
        assert_eq!(shop.database.degraded(), Some(Degraded::StorageFull));
        shop.opened(&[("song", 1)], "k3").await;
        assert_eq!(shop.database.degraded(), None);
    }
}

async fn full_disk_is_reported_until_a_write_with_space_is_committed(place: Place) {
    let Some(disk) = SmallDisk::mount(place.sqlite_path().with_file_name("small"), 6) else {
        return faultkit::provided::not_checked("a full disk (only root may mount a small one)");
    };
    let logs = Logs::default();
    let settings = config(&format!("sqlite://{}", disk.path.join("shop.db").display()));
    let shop = Shop::on(Database::open(settings, Handle::current(), &logs.logger()).expect("a database"));
    shop.database.migrate().expect("a schema");
    shop.stock(catalogue()).await;
    let logged = || {
        let lines =
            ["the disk of the database is full error_code=storage_full", "the disk of the database has room again"];
        lines.map(|line| logs.count(line))
    };
    assert_eq!((shop.database.degraded(), logged()), (None, [0, 0]));

    let ballast = disk.fill();
    let (mut created, mut refused) = (0, Vec::new());
    // SQLite's log has some space left, which is soon used up. The failure then happens for each request, and is logged
    // once.
    for buyer in 0.. {
        let song = new_checkout(request(&[("song", 1)]));
        match shop.checkouts.create(&alice(), create(&format!("k{buyer}")), song).await {
            Ok(_) => created += 1,
            failed => refused.push(failed.fault()),
        }
        if refused.len() == 3 {
            break;
        }
    }
    for fault in &refused {
        super::faults::says(fault, FaultKind::StorageFull, "database or disk is full");
    }
    // Neither a read nor a task without work shows that the disk has space.
    let nothing_to_do = || async {
        shop.database.ready(&alice()).await.expect("it can be read");
        assert_eq!(shop.keys.purge(&task(), noon() - time::Duration::weeks(52), 10).await.expect("purged"), 0);
        assert_eq!((shop.database.degraded(), logged()), (Some(Degraded::StorageFull), [1, 0]));
    };
    nothing_to_do().await;
    assert_eq!(checkouts_on(&disk), created);

    std::fs::remove_file(&ballast).expect("removed");
    nothing_to_do().await;
    shop.opened(&[("song", 1)], "room").await;
    assert_eq!((shop.database.degraded(), logged()), (None, [1, 1]));
    assert_eq!(checkouts_on(&disk), created + 1);
}

fn checkouts_on(disk: &SmallDisk) -> i64 {
    crate::kit::raw::Raw::connect(&format!("sqlite://{}", disk.path.join("shop.db").display())).count("checkout")
}
