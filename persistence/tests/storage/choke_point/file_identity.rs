//! The SQLite file itself is locked and checked, not only its name.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use domain::checkout::CheckoutStore;
use domain::fault::FaultKind;
use persistence::{Database, DatabaseUrl, OpenError};
use tokio::runtime::Handle;

use crate::kit::data::{alice, catalogue, create, new_checkout, request};
use crate::kit::logs::Logs;
use crate::kit::{Expected, Place, Shop, log};

crate::on_sqlite!(
    every_name_of_a_file_in_use_is_refused,
    a_file_that_was_renamed_while_it_is_open_is_still_in_use,
    a_file_with_two_names_is_refused,
    path_that_is_not_a_file_is_refused,
    file_that_is_not_a_database_is_refused_and_left_as_it_is,
    a_symbolic_link_opens_the_file_that_it_names,
    a_file_that_changes_while_it_is_open_takes_no_writes,
    restored_file_takes_writes_again,
    deleted_log_stays_lost_when_another_is_created,
    log_without_its_database_is_refused_and_left_as_it_is,
    files_become_private,
    a_name_with_characters_of_a_url_names_that_file,
);

fn open(place: &Place, path: &Path) -> Result<Database, OpenError> {
    let mut config = place.config();
    config.url = DatabaseUrl::Sqlite(path.to_owned());
    Database::open(config, Handle::current(), &log())
}

fn beside(place: &Place, name: &str) -> PathBuf {
    place.sqlite_path().with_file_name(name)
}

fn link(to: &Path, from: PathBuf) -> PathBuf {
    symlink(to, &from).expect("a link");
    from
}

async fn every_name_of_a_file_in_use_is_refused(place: Place) {
    let file = place.sqlite_path();
    let one = link(&file, beside(&place, "one.db"));
    let directory = link(file.parent().expect("a directory"), beside(&place, "directory"));
    let names = [
        file.clone(),
        one.clone(),
        link(&one, beside(&place, "two.db")),
        link(Path::new("shop.db"), beside(&place, "relative.db")),
        directory.join("shop.db"),
        directory.join("./shop.db"),
    ];
    for first in &names {
        let _first = open(&place, first).expect("the first");
        for second in &names {
            let Err(refused) = open(&place, second) else { panic!("{first:?} and {second:?} were both opened") };
            assert!(matches!(refused, OpenError::InUse(_)), "{first:?}, {second:?}: {refused}");
        }
    }
}

async fn a_file_that_was_renamed_while_it_is_open_is_still_in_use(place: Place) {
    let _first = open(&place, &place.sqlite_path()).expect("the first");
    std::fs::rename(place.sqlite_path(), beside(&place, "moved.db")).expect("renamed");
    let Err(refused) = open(&place, &beside(&place, "moved.db")) else { panic!("opened twice") };
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
}

async fn a_file_with_two_names_is_refused(place: Place) {
    drop(place.shop().await);
    let other = beside(&place, "other.db");
    std::fs::hard_link(place.sqlite_path(), &other).expect("a link");
    for name in [place.sqlite_path(), other.clone(), link(&other, beside(&place, "symbolic.db"))] {
        let Err(refused) = open(&place, &name) else { panic!("{name:?} was opened") };
        assert!(matches!(refused, OpenError::Links(_, 2)), "{refused}");
        let mut config = place.config();
        config.url = DatabaseUrl::Sqlite(name);
        let refused = Database::open_beside(config, Handle::current(), &log()).must_be_current().expect_err("refused");
        assert!(matches!(refused, OpenError::Links(_, 2)), "{refused}");
    }
    std::fs::remove_file(&other).expect("removed");
    open(&place, &place.sqlite_path()).expect("one name");
}

async fn path_that_is_not_a_file_is_refused(place: Place) {
    let directory = beside(&place, "directory");
    std::fs::create_dir(&directory).expect("a directory");
    for path in [directory, PathBuf::from("/dev/null"), PathBuf::from("/dev/zero")] {
        let Err(refused) = open(&place, &path) else { panic!("{path:?} was opened") };
        assert!(matches!(refused, OpenError::NotAFile(_)), "{path:?}: {refused}");
    }
}

async fn a_symbolic_link_opens_the_file_that_it_names(place: Place) {
    let missing = link(&beside(&place, "real.db"), beside(&place, "shop-link.db"));
    let shop = Shop::on(open(&place, &missing).expect("opened"));
    shop.database.migrate().expect("a schema");
    shop.stock(catalogue()).await;
    shop.opened(&[("song", 1)], "k1").await;
    assert!(beside(&place, "real.db-wal").exists() && !beside(&place, "shop-link.db-wal").exists());
}

/// The name of a change of the file while the shop runs, and the function that makes the change.
type Change = (&'static str, fn(&Place));

const CHANGES: [Change; 7] = [
    ("was deleted or moved", |place| std::fs::remove_file(place.sqlite_path()).expect("deleted")),
    ("was deleted or moved", |place| std::fs::rename(place.sqlite_path(), beside(place, "moved.db")).expect("moved")),
    ("is another file", |place| {
        std::fs::copy(place.sqlite_path(), beside(place, "copy.db")).expect("copied");
        std::fs::rename(beside(place, "copy.db"), place.sqlite_path()).expect("replaced");
    }),
    ("has 2 names", |place| std::fs::hard_link(place.sqlite_path(), beside(place, "other.db")).expect("linked")),
    ("was deleted or moved", |place| std::fs::remove_file(beside(place, "shop.db-wal")).expect("deleted")),
    ("was deleted or moved", |place| std::fs::remove_file(beside(place, "shop.db-shm")).expect("deleted")),
    ("was deleted or moved", |place| {
        let directory = place.sqlite_path().parent().expect("a directory").to_owned();
        std::fs::rename(&directory, directory.with_extension("moved")).expect("moved");
        std::fs::remove_dir_all(directory.with_extension("moved")).expect("deleted");
    }),
];

async fn a_file_that_changes_while_it_is_open_takes_no_writes(_: Place) {
    for (says, change) in CHANGES {
        let place = Place::sqlite();
        drop(place.shop().await);
        let logs = Logs::default();
        let shop = Shop::on(Database::open(place.config(), Handle::current(), &logs.logger()).expect("a database"));
        let checkout = shop.opened(&[("song", 1)], "k1").await;
        shop.database.ready(&alice()).await.expect("ready");
        change(&place);
        for key in ["k2", "k3"] {
            let new = new_checkout(request(&[("song", 1)]));
            let fault = shop.checkouts.create(&alice(), create(key), new).await.fault();
            super::faults::says(&fault, FaultKind::Unavailable, says);
            super::faults::says(&shop.database.ready(&alice()).await.fault(), FaultKind::Unavailable, says);
        }
        assert_eq!(logs.count("the database file changed while it was open"), 1, "{says}");
        assert_eq!(logs.count("error_code=file_changed"), 1, "{says}");
        // Data that could be read before can still be read.
        assert_eq!(shop.checkouts.read(&alice(), checkout.id.clone()).await.expect("read"), checkout);
    }
}

async fn restored_file_takes_writes_again(place: Place) {
    drop(place.shop().await);
    let logs = Logs::default();
    let shop = Shop::on(Database::open(place.config(), Handle::current(), &logs.logger()).expect("a database"));
    shop.opened(&[("song", 1)], "k1").await;
    let (file, moved) = (place.sqlite_path(), beside(&place, "moved.db"));
    for round in 0..2 {
        std::fs::rename(&file, &moved).expect("moved");
        shop.database.ready(&alice()).await.fault();
        std::fs::rename(&moved, &file).expect("moved back");
        shop.opened(&[("song", 1)], &format!("again-{round}")).await;
        shop.database.ready(&alice()).await.expect("ready");
    }
    assert_eq!(logs.count("the database file is in its place again"), 2);
}

/// A new connection creates a new log under the same name, which lacks the content of the deleted log.
async fn deleted_log_stays_lost_when_another_is_created(_: Place) {
    for is_seen_before in [true, false] {
        let place = Place::sqlite();
        drop(place.shop().await);
        let logs = Logs::default();
        let shop = Shop::on(Database::open(place.config(), Handle::current(), &logs.logger()).expect("a database"));
        let checkout = shop.opened(&[("song", 1)], "k1").await;
        let log_file = beside(&place, "shop.db-wal");
        std::fs::remove_file(&log_file).expect("deleted");
        if is_seen_before {
            shop.database.ready(&alice()).await.fault();
        }
        let other = Shop::on(Database::open_beside(place.config(), Handle::current(), &log()));
        // The read may fail, but its connection creates the log file.
        let _ = other.checkouts.read(&alice(), checkout.id.clone()).await;
        assert!(log_file.exists(), "the other made no log");
        for key in ["k2", "k3"] {
            let new = new_checkout(request(&[("song", 1)]));
            let fault = shop.checkouts.create(&alice(), create(key), new).await.fault();
            super::faults::says(&fault, FaultKind::Unavailable, "the log was deleted or moved");
        }
        shop.database.ready(&alice()).await.fault();
        assert_eq!(logs.count("the database file changed while it was open"), 1, "{is_seen_before}");
        assert_eq!(logs.count("the database file is in its place again"), 0, "{is_seen_before}");
    }
}

async fn files_become_private(place: Place) {
    let mode = |path: &Path| std::fs::metadata(path).expect("there").mode() & 0o777;
    let path = beside(&place, "new").join("deep").join("shop.db");
    let shop = Shop::on(open(&place, &path).expect("opened"));
    shop.database.migrate().expect("a schema");
    shop.stock(catalogue()).await;
    let files = ["shop.db", "shop.db.lock", "shop.db-wal", "shop.db-shm"].map(|name| path.with_file_name(name));
    for file in &files {
        assert_eq!(mode(file), 0o600, "{file:?}");
    }
    for directory in ["new", "new/deep"] {
        assert_eq!(mode(&beside(&place, directory)), 0o700, "{directory}");
    }
    // An earlier release left the files with these permissions.
    for file in &files {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).expect("changed");
    }
    drop(shop);
    let logs = Logs::default();
    let mut config = place.config();
    config.url = DatabaseUrl::Sqlite(path.clone());
    let shop = Shop::on(Database::open(config, Handle::current(), &logs.logger()).expect("opened"));
    shop.opened(&[("song", 1)], "k1").await;
    for file in &files {
        assert_eq!(mode(file) & 0o007, 0, "{file:?}");
    }
    assert!(logs.count("a file of the database was open to every user") >= 2);
}

async fn file_that_is_not_a_database_is_refused_and_left_as_it_is(place: Place) {
    let path = beside(&place, "notes.txt");
    std::fs::write(&path, "x\n").expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
    let refused = open(&place, &path).map(drop).expect_err("refused");
    assert!(matches!(refused, OpenError::NotADatabase(_)), "{refused}");
    assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o644);
    assert!(!beside(&place, "notes.txt.lock").exists());
}

async fn a_name_with_characters_of_a_url_names_that_file(place: Place) {
    for name in ["with space.db", "100%.db", "a%20b.db", "what?mode=memory.db", "no#1.db", "ümlaut.db", "file:x.db"] {
        let path = beside(&place, name);
        let database = open(&place, &path).expect("opened");
        database.migrate().expect("a schema");
        assert!(std::fs::metadata(&path).expect(name).len() > 0, "{name}");
        assert_eq!(open(&place, &path).err().map(|refused| refused.to_string().contains("in use")), Some(true));
    }
}

/// SQLite would delete the log when it creates a database, and with it the newest commits of the file that was moved.
async fn log_without_its_database_is_refused_and_left_as_it_is(place: Place) {
    drop(place.shop().await);
    let (file, log) = (place.sqlite_path(), beside(&place, "shop.db-wal"));
    std::fs::rename(&file, beside(&place, "moved.db")).expect("moved");
    std::fs::write(&log, "the newest commits").expect("a log");
    let mut config = place.config();
    config.url = DatabaseUrl::Sqlite(file.clone());
    for empty_file in [false, true] {
        if empty_file {
            std::fs::write(&file, "").expect("an empty file");
        }
        let Err(refused) = open(&place, &file) else { panic!("a new database was created") };
        assert!(matches!(refused, OpenError::LogWithoutDatabase(..)), "{refused}");
        let refused = Database::open_beside(config.clone(), Handle::current(), &crate::kit::log()).must_be_current();
        assert!(matches!(refused, Err(OpenError::LogWithoutDatabase(..))), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&log).expect("the log"), "the newest commits");
        assert_eq!(file.exists(), empty_file);
    }
    std::fs::write(&log, "").expect("an empty log");
    open(&place, &file).expect("a new database");
}
