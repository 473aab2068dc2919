//! Backups of a running shop, taken by the procedures of docs/OPERATIONS.md, and a shop restored from each. A
//! comparison with the gateway finds the payments that the restored shop lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::{Connection, PgConnection};
use faultkit::PostgresServer;
use faultkit::provided::POSTGRES_PROGRAMS;
use paysim::{Fault, Operation, Paysim};

use crate::database::{Database, Item, stock_with};
use crate::extent::{Chance, PATIENCE, until};
use crate::gateway::{self, VISA};
use crate::invariants::{State, violations};
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform};

const ITEMS: &[Item] = &[("bun", 250, 1_000_000)];
const MANY: u64 = 1_000;
const SETTINGS: &[(&str, &str)] = &[
    ("TUCKSHOP_HTTP_PUBLIC_URL", "http://shop.example"),
    ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "300"),
    ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "1000"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "200"),
];

/// A method of backup and restore. Addresses are database URLs.
trait Method {
    fn url(&self) -> String;
    fn back_up(&mut self);
    /// Waits until a continuous archive has caught up. Returns whether the method has one.
    fn follow(&mut self) -> bool;
    /// Destroys the database and restores it, at the same URL or at another.
    fn lose_and_restore(&mut self);
    fn database(&self) -> Database;
}

crate::on_sqlite!(shop_restored_from_online_copy_settles_open_payments_and_lacks_later_orders);

async fn shop_restored_from_online_copy_settles_open_payments_and_lacks_later_orders(place: Place) {
    let directory = place.directory().to_owned();
    scenario(&place, OnlineCopy { directory });
}

mod postgres {
    use super::{Archive, Dump, Place, programs, scenario};

    #[test]
    fn shop_restored_from_dump_settles_open_payments_and_lacks_later_orders() {
        let Some(bin) = programs(&["pg_dump", "pg_restore"]) else { return };
        crate::kit::run(Place::directory_only(), |place| async move { scenario(&place, Dump::of(&bin)) });
    }

    #[test]
    fn shop_restored_from_archive_has_every_archived_order() {
        let Some(bin) = programs(&["pg_basebackup"]) else { return };
        crate::kit::run(Place::directory_only(), |place| async move { scenario(&place, Archive::of(bin)) });
    }
}

fn programs(names: &[&str]) -> Option<PathBuf> {
    let bin = POSTGRES_PROGRAMS.get().map(PathBuf::from)?;
    if let Some(missing) = names.iter().find(|name| !bin.join(name).is_file()) {
        POSTGRES_PROGRAMS.skip(&format!("there is no {missing}"));
        return None;
    }
    POSTGRES_PROGRAMS.used();
    Some(bin)
}

fn scenario(place: &Place, mut method: impl Method) {
    let gateway = gateway::start();
    let own = gateway::settings(&gateway);
    let launch = |url: &str, stocked: bool| {
        let settings = [&gateway::beside(&own, SETTINGS)[..], &[("TUCKSHOP_DATABASE_URL", url)]].concat();
        if !stocked {
            stock_with(place, &settings, ITEMS);
        }
        Server::launch(place, &settings)
    };
    let server = launch(&method.url(), false);
    let mut platform = Platform::at(server.address());
    let before = buy(&mut platform);
    let open_in_backup = platform.checkout("bun", 3);

    // One purchase is under way with an unknown outcome during the backup. Other buyers complete theirs.
    gateway.fail_next(Operation::IntentConfirm, MANY, Fault::HangAfterEffect);
    gateway.fail_next(Operation::IntentRetrieve, MANY, Fault::HangWithoutEffect);
    let (open, key) = (platform.checkout("bun", 1), fresh_key());
    let open_call = Call::pay(&open, &key, VISA);
    let reply = platform.reply_to(&open_call).expect(200);
    assert_eq!(reply.checkout_status(), "complete_in_progress", "{reply:?}");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (address, done) = (server.address(), &done);
        scope.spawn(move || {
            let mut platform = Platform::at(address);
            while !done.load(Ordering::SeqCst) {
                platform.checkout("bun", 1);
            }
        });
        method.back_up();
        done.store(true, Ordering::SeqCst);
    });
    gateway.clear_faults();
    let settled =
        platform.retry_until_definite(&open_call, &mut Chance::of(1), PATIENCE).expect("an answer").expect(200);
    assert_eq!(settled.checkout_status(), "completed", "{settled:?}");
    let between = buy(&mut platform);
    let follows = method.follow();
    let after = pay(&mut platform, open_in_backup);
    let _ = server.kill_and_wait();

    // The shop stays down until its payments are compared with those of the gateway.
    method.lose_and_restore();
    let mut database = method.database();
    let lost: &[&Bought] = if follows { &[&after] } else { &[&between, &after] };
    let unknown = charged_and_not_recorded(&gateway, &mut database);
    let checkouts: BTreeSet<&String> = unknown.values().collect();
    assert_eq!(checkouts, lost.iter().map(|bought| &bought.checkout).collect());

    // A pass may have leased the open payment for a minute. A real restore takes longer.
    database.end_leases();
    let server = launch(&method.url(), true);
    let mut platform = Platform::at(server.address());
    platform.reply_to(&Call::get("/readyz")).expect(200);
    for known in [&before, &between].into_iter().filter(|bought| !checkouts.contains(&bought.checkout)) {
        let order = platform.reply_to(&Call::get(&format!("/orders/{}", known.order))).expect(200);
        assert_eq!(order.json["id"], known.order.as_str());
        let again = platform.reply_to(&known.call).expect(200);
        assert_eq!(again.order().as_ref(), Some(&known.order), "the key does not replay the answer");
    }
    for lost in lost {
        let order = platform.reply_to(&Call::get(&format!("/orders/{}", lost.order)));
        assert!(order.has_code("not_found"), "{order:?}");
    }
    let settled =
        platform.retry_until_definite(&open_call, &mut Chance::of(1), PATIENCE).expect("an answer").expect(200);
    assert_eq!(settled.checkout_status(), "completed", "the reconciler did not find the charge: {settled:?}");
    buy(&mut platform);
    // The comparison comes first, because a purchase made after the backup can be charged again.
    let again = pay(&mut platform, after.checkout.clone());
    assert_ne!(again.order, after.order);
    until("every payment is settled", PATIENCE, || (database.undecided() == 0).then_some(()));
    let charges = gateway::charges(&gateway).into_iter().filter(|charge| !unknown.contains_key(&charge.attempt));
    let state = State { charges: charges.collect(), ..database.state(place, ITEMS) };
    assert_eq!(violations(&state), Vec::<String>::new());
    drop(database);
    assert!(server.stop().status.success());
}

/// An acknowledged purchase.
struct Bought {
    checkout: String,
    call: Call,
    order: String,
}

fn buy(platform: &mut Platform) -> Bought {
    let checkout = platform.checkout("bun", 2);
    pay(platform, checkout)
}

fn pay(platform: &mut Platform, checkout: String) -> Bought {
    let call = Call::pay(&checkout, &fresh_key(), VISA);
    let reply = platform.retry_until_definite(&call, &mut Chance::of(2), PATIENCE).expect("an answer").expect(200);
    Bought { order: reply.order().expect("an order"), checkout, call }
}

/// Compares the payments: the attempts that were charged at the gateway and are missing in the shop, with their
/// checkouts.
fn charged_and_not_recorded(gateway: &Paysim, database: &mut Database) -> BTreeMap<String, String> {
    let recorded: BTreeSet<String> = database.rows(["id"], "FROM payment_attempt").into_iter().flatten().collect();
    let entries = gateway.ledger().entries.into_iter();
    let named = entries.filter_map(|entry| {
        Some((entry.metadata.get("attempt_id")?.clone(), entry.metadata.get("checkout_id")?.clone()))
    });
    named.filter(|(attempt, _)| !recorded.contains(attempt)).collect()
}

/// SQLite: `VACUUM INTO` over a separate connection.
struct OnlineCopy {
    directory: PathBuf,
}

impl OnlineCopy {
    fn file(&self) -> PathBuf {
        self.directory.join("shop.db")
    }
}

impl Method for OnlineCopy {
    fn url(&self) -> String {
        format!("sqlite://{}", self.file().display())
    }

    fn back_up(&mut self) {
        let copy = self.directory.join("copy.db");
        Database::at(&self.file()).execute(&format!("VACUUM INTO '{}'", copy.display()));
        let mut copy = Database::at(&copy);
        assert_eq!(copy.text("SELECT integrity_check AS value FROM pragma_integrity_check"), "ok");
    }

    fn follow(&mut self) -> bool {
        false
    }

    fn lose_and_restore(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.file().display()));
        }
        std::fs::copy(self.directory.join("copy.db"), self.file()).expect("restored");
    }

    fn database(&self) -> Database {
        Database::at(&self.file())
    }
}

/// Postgres: `pg_dump`, and `pg_restore` into an empty database.
struct Dump {
    server: PostgresServer,
    database: &'static str,
}

impl Dump {
    fn of(bin: &Path) -> Self {
        Self { server: PostgresServer::create(bin), database: "postgres" }
    }
}

impl Method for Dump {
    fn url(&self) -> String {
        format!("postgres://postgres@{}/{}", self.server.address(), self.database)
    }

    fn back_up(&mut self) {
        self.server.run("pg_dump", &["--format=custom", "--file=shop.dump", "--dbname", &self.url()]);
    }

    fn follow(&mut self) -> bool {
        false
    }

    fn lose_and_restore(&mut self) {
        self.server.execute("CREATE DATABASE restored TEMPLATE template0");
        self.database = "restored";
        let options = ["--exit-on-error", "--single-transaction", "--dbname", &self.url(), "shop.dump"];
        self.server.run("pg_restore", &options);
    }

    fn database(&self) -> Database {
        Database::Postgres(PgConnection::establish(&self.url()).expect("a connection"))
    }
}

/// Postgres: a base backup and an archive of the later write-ahead log.
struct Archive {
    bin: PathBuf,
    server: Option<PostgresServer>,
    kept: tempfile::TempDir,
}

impl Archive {
    fn of(bin: PathBuf) -> Self {
        let kept = tempfile::tempdir().expect("a directory");
        let server = PostgresServer::create_archiving(&bin, kept.path());
        Self { server: Some(server), bin, kept }
    }

    fn server(&self) -> &PostgresServer {
        self.server.as_ref().expect("the server runs")
    }
}

impl Method for Archive {
    fn url(&self) -> String {
        self.server().url()
    }

    fn back_up(&mut self) {
        self.server().back_up(&self.kept.path().join("base"));
    }

    fn follow(&mut self) -> bool {
        self.server().archive_log();
        true
    }

    fn lose_and_restore(&mut self) {
        drop(self.server.take());
        let recovered = PostgresServer::recover(&self.bin, &self.kept.path().join("base"), self.kept.path());
        self.server = Some(recovered);
    }

    fn database(&self) -> Database {
        Database::Postgres(PgConnection::establish(&self.url()).expect("a connection"))
    }
}
