//! One process per SQLite file.

use std::time::Duration;

use domain::checkout::CheckoutStore;
use domain::context::Stopwatch;
use domain::payment::PaymentOutcome;
use persistence::{Database, DatabaseUrl, OpenError};

use crate::kit::data::{alice, settlement, task};
use crate::kit::{Place, Shop, log, until};
use crate::on_sqlite;

on_sqlite!(
    a_file_in_use_is_refused_by_name_until_it_is_closed,
    missing_directory_is_created,
    writes_are_kept_across_a_restart,
    write_that_reads_first_waits_for_the_writer_before_it,
    log_that_grew_during_a_long_read_is_truncated,
    log_does_not_grow_with_reads_and_writes,
);

fn open(place: &Place) -> Result<Database, OpenError> {
    Database::open(place.config(), tokio::runtime::Handle::current(), &log())
}

async fn a_file_in_use_is_refused_by_name_until_it_is_closed(place: Place) {
    let first = open(&place).expect("the first");
    let Err(refused) = open(&place) else { panic!("the file was opened twice") };
    assert!(matches!(&refused, OpenError::InUse(file) if *file == place.sqlite_path().display().to_string()));
    assert!(refused.to_string().contains("shop.db"), "{refused}");
    drop(first);
    open(&place).expect("free again");
}

async fn missing_directory_is_created(place: Place) {
    let path = place.sqlite_path().with_file_name("new").join("deep").join("shop.db");
    let mut config = place.config();
    config.url = DatabaseUrl::parse(&format!("sqlite://{}", path.display()), false).expect("a url");
    let database = crate::kit::open(config);
    database.migrate().expect("a schema");
    assert!(path.is_file());
}

async fn writes_are_kept_across_a_restart(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("song", 1)], "k1").await;
    drop(shop);
    let shop = Shop::on(place.open());
    assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), checkout);
}

/// A settlement reads before it writes. If its transaction began with a read lock, it would fail: another writer would
/// change the data between its read and its write.
async fn write_that_reads_first_waits_for_the_writer_before_it(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    drop(shop);
    let shop = Shop::on(place.open());
    let mut other = place.raw();
    other.execute("BEGIN IMMEDIATE; UPDATE product SET title = 'changed'");
    let ctx = task();
    let settling = shop.checkouts.settle(&ctx, settlement(&attempt, PaymentOutcome::Confirmed));
    let writing = async {
        until("it has a connection", || ctx.timings().connection_wait.microseconds() > 0).await;
        // A correct write succeeds at any time. The pause gives a wrong write the time to read outdated data.
        let watch = Stopwatch::start();
        until("a moment has passed", || watch.elapsed() > Duration::from_millis(100)).await;
        other.execute("COMMIT");
    };
    let (settled, ()) = tokio::join!(settling, writing);
    settled.expect("settled");
    assert_eq!(place.raw().level("song"), (9, 0));
}

const MIB: u64 = 1024 * 1024;

fn log_size(place: &Place) -> u64 {
    let log = place.sqlite_path().with_file_name("shop.db-wal");
    std::fs::metadata(log).map_or(0, |log| log.len())
}

async fn log_that_grew_during_a_long_read_is_truncated(place: Place) {
    let shop = place.shop().await;
    let (mut reader, mut writer) = (place.raw(), place.raw());
    writer.execute("CREATE TABLE ballast (filler BLOB)");
    reader.execute("BEGIN");
    assert_eq!(reader.count("ballast"), 0);
    writer.execute("INSERT INTO ballast VALUES (randomblob(20000000))");
    shop.opened(&[("song", 1)], "k1").await;
    assert!(log_size(&place) > 16 * MIB, "nothing held it back: {}", log_size(&place));
    reader.release();
    // The first write copies the log into the database file (a checkpoint), and the second write restarts the log.
    for key in ["k2", "k3"] {
        shop.opened(&[("song", 1)], key).await;
    }
    assert!(log_size(&place) <= 8 * MIB, "{}", log_size(&place));
}

/// A read transaction of the shop is open only during its request, so it does not keep the log from being restarted.
async fn log_does_not_grow_with_reads_and_writes(place: Place) {
    let shop = place.shop().await;
    let written = std::sync::atomic::AtomicBool::new(false);
    let writing = async {
        for number in 0..600 {
            shop.opened(&[("song", 1)], &format!("k{number}")).await;
        }
        written.store(true, std::sync::atomic::Ordering::Release);
    };
    let reading = async {
        while !written.load(std::sync::atomic::Ordering::Acquire) {
            shop.checkouts
                .read_page(&alice(), domain::id::PageToken::generate(crate::kit::data::noon()))
                .await
                .expect("read");
        }
    };
    tokio::join!(writing, reading);
    assert!((MIB..=8 * MIB).contains(&log_size(&place)), "{}", log_size(&place));
}
