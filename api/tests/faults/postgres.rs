//! Faults of Postgres: lock contention, a full disk, a read-only server, exhausted connections, and a schema of another
//! version.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use faultkit::SmallDisk;
use faultkit::provided::not_checked;
use rustix::process::Signal;
use serde_json::json;

use crate::database::{Database, Item, stock};
use crate::deadlines::is_idle;
use crate::extent::{PATIENCE, until};
use crate::invariants::violations;
use crate::kit::basket::basket;
use crate::kit::client::fresh_key;
use crate::kit::command::tuckshop_at;
use crate::kit::process::Process;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform, STILL};

const ITEMS: &[Item] = &[("bun", 250, 1_000)];

mod both {
    use super::*;
    crate::on_both_engines!(long_held_lock_answers_503_contention);

    async fn long_held_lock_answers_503_contention(place: Place) {
        stock(&place, ITEMS);
        let server = Server::launch(&place, &[("TUCKSHOP_DATABASE_LOCK_TIMEOUT_MS", "300")]);
        let mut platform = Platform::at(server.address());
        let (id, key) = (platform.checkout("bun", 1), fresh_key());
        let mut database = Database::open(&place);
        let before = database.snapshot();
        database.lock_checkout(&id);
        let complete =
            server.post(&format!("/checkout-sessions/{id}/complete"), &crate::kit::basket::pay("success_token"));
        let complete = complete.key(&key);
        let began = Instant::now();
        let answer = complete.clone().await.problem(503, "contention");
        let waited = began.elapsed();
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!((Duration::from_millis(300)..Duration::from_secs(2)).contains(&waited), "{waited:?}");
        database.unlock();
        assert_eq!(database.snapshot(), before);
        let refused = |line: &&serde_json::Value| line["error_code"] == "contention" && line["msg"] == "request failed";
        until("the line is logged", PATIENCE, || (server.log().iter().filter(refused).count() == 1).then_some(()));
        assert_eq!(complete.await.body(200)["status"], "completed");
        assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
    }
}

crate::on_postgres!(
    serialization_failure_is_retried_unseen_by_the_caller,
    exhausted_pool_sheds_load_and_status_stays_served,
    full_disk_answers_503_to_writes_and_serves_reads,
    read_only_server_is_left_and_not_written_to,
    connection_limit_of_the_server_answers_503_and_recovers,
    signal_ends_a_start_that_waits_for_the_database,
    rejected_login_ends_the_start_without_showing_the_password,
    incomplete_schema_is_refused_at_start_and_makes_a_running_instance_unready,
);

async fn signal_ends_a_start_that_waits_for_the_database(place: Place) {
    let mut database = Database::open(&place);
    // The lock that an instance holds while it migrates.
    database.execute(&format!("SELECT pg_advisory_lock({})", 0x7475_636b_7368_6f70_i64));
    // The server process of Postgres waits on after its client has ended.
    for (waiting, signal) in [(1, Signal::TERM), (2, Signal::INT)] {
        let mut starting = Process::tuckshop(&["serve"], &place.settings());
        let waits = "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        until("the start waits", PATIENCE, || (database.number("COUNT(*)", waits) == waiting).then_some(()));
        starting.signal(signal);
        let status = starting.wait(Duration::from_secs(5));
        assert_eq!(status.code(), Some(0), "{}", starting.output());
        assert!(starting.output().contains("stopped during the start"), "{}", starting.output());
    }
}

async fn serialization_failure_is_retried_unseen_by_the_caller(place: Place) {
    stock(&place, ITEMS);
    let server = Server::launch(&place, &[]);
    let mut platform = Platform::at(server.address());
    place.execute(
        "CREATE SEQUENCE attempts;
         CREATE FUNCTION be_unlucky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('attempts') % 2 = 1 THEN
                 RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
             END IF;
             RETURN NULL;
         END $$;
         CREATE TRIGGER unlucky AFTER INSERT OR UPDATE ON checkout FOR EACH ROW EXECUTE FUNCTION be_unlucky();",
    );
    let id = platform.checkout("bun", 2);
    let bought = platform.reply_to(&Call::complete(&id, &fresh_key(), "success_token")).expect(200);
    assert_eq!(bought.checkout_status(), "completed");
    let retried = |line: &&serde_json::Value| line["msg"] == "transaction retried" && line["reason"] == "serialization";
    // One retry each for the creation, the start and the settlement.
    until("the line is logged", PATIENCE, || (server.log().iter().filter(retried).count() == 3).then_some(()));
    let state = Database::open(&place).state(&place, ITEMS);
    assert_eq!((state.orders.len(), state.charges.len()), (1, 1), "a retried transaction has charged twice");
    assert_eq!(violations(&state), Vec::<String>::new());
}

async fn exhausted_pool_sheds_load_and_status_stays_served(place: Place) {
    stock(&place, ITEMS);
    let settings = [
        ("TUCKSHOP_DATABASE_POOL_SIZE", "2"),
        ("TUCKSHOP_DATABASE_POOL_WAIT_MS", "500"),
        ("TUCKSHOP_DATABASE_LOCK_TIMEOUT_MS", "20000"),
        ("TUCKSHOP_DATABASE_STATEMENT_TIMEOUT_MS", "20000"),
    ];
    let server = Server::launch(&place, &[STILL, &settings].concat());
    let mut platform = Platform::at(server.address());
    platform.wait_for_first_passes();
    let id = platform.checkout("bun", 1);
    let (mut database, address) = (Database::open(&place), server.address());
    database.lock_checkout(&id);
    let waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut observer = Database::open(&place);
    std::thread::scope(|scope| {
        let updates = [1, 2].map(|units| {
            let call = Call::update(&id, &fresh_key(), "bun", units);
            scope.spawn(move || Platform::at(address).reply_to(&call))
        });
        until("both connections are taken", PATIENCE, || (observer.number("count(*)", waiting) == 2).then_some(()));
        for _ in 0..3 {
            let began = Instant::now();
            let reply = platform.reply_to(&Call::get(&format!("/checkout-sessions/{id}"))).expect(503);
            let took = began.elapsed();
            assert!(reply.has_code("unavailable") && took < Duration::from_secs(2), "{took:?} {reply:?}");
        }
        platform.reply_to(&Call::get("/livez")).expect(200);
        platform.reply_to(&Call::get("/statusz")).expect(200);
        platform.reply_to(&Call::get("/readyz")).expect(503);
        database.unlock();
        for update in updates {
            update.join().expect("an answer").expect(200);
        }
    });
    let refused = |line: &&serde_json::Value| line["error_code"] == "unavailable" && line["msg"] == "request failed";
    until("the line is logged", PATIENCE, || (server.log().iter().filter(refused).count() == 3).then_some(()));
    platform.reply_to(&Call::get("/readyz")).expect(200);
    until("the shop is idle", PATIENCE, || is_idle(&mut platform).then_some(()));
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
}

/// Checks a shop that has just refused a write because the disk is full. The log names the cause once for each time the
/// disk became full, whatever the number of refused writes, and readiness is degraded. After the next committed write
/// that needs space, the log reports the recovery once for each of these times, and the shop is ready.
pub async fn assert_degraded_until(server: &Server, cause: &str, free_space: impl FnOnce(&mut Platform)) {
    let mut platform = Platform::at(server.address());
    let logged = |what: &str| {
        let lines = server.log().into_iter().filter(|line| line["msg"] == what);
        lines.map(|line| (line["error_code"].to_string(), line["error"].to_string())).collect::<Vec<_>>()
    };
    let refused =
        || logged("request failed").iter().any(|(code, error)| code == r#""storage_full""# && error.contains(cause));
    until("the line is logged", PATIENCE, || refused().then_some(()));
    let full = logged("the disk of the database is full");
    let is_named = |(code, error): &(String, String)| code == r#""storage_full""# && error.contains(cause);
    assert!(!full.is_empty() && full.iter().all(is_named), "{full:?}");
    let refused = server.post("/checkout-sessions", &basket(&[("bun", 1)])).await.problem(503, "storage_full");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let is_ready = |platform: &mut Platform| platform.reply_to(&Call::get("/readyz")).expect(200).json;
    assert_eq!(is_ready(&mut platform), json!({"status": "degraded", "reason": "storage_full"}));
    platform.reply_to(&Call::get("/livez")).expect(200);
    free_space(&mut platform);
    assert_eq!(is_ready(&mut platform), json!({"status": "ok"}));
    let recovered = || logged("the disk of the database has room again").len();
    until("the line is logged", PATIENCE, || (recovered() == full.len()).then_some(()));
    assert_eq!(logged("the disk of the database is full").len(), full.len());
}

async fn full_disk_answers_503_to_writes_and_serves_reads(place: Place) {
    // The test needs a server on this machine with access to its files.
    let mut database = Database::open(&place);
    let data = PathBuf::from(database.text("SELECT setting AS value FROM pg_settings WHERE name = 'data_directory'"));
    let Ok(owner) = std::fs::metadata(&data).map(|data| data.uid()) else {
        return not_checked("a full disk below Postgres (its server is elsewhere)");
    };
    let path = std::env::temp_dir().join(format!("tuckshop-full-{}", std::process::id()));
    let Some(disk) = SmallDisk::mount(path, 48) else {
        return not_checked("a full disk (only root may mount a small one)");
    };
    std::os::unix::fs::chown(&disk.path, Some(owner), None).expect("root may");
    let space = format!("full_{}", uuid::Uuid::new_v4().simple());
    database.execute(&format!("CREATE TABLESPACE {space} LOCATION '{}'", disk.path.display()));
    database.execute(&format!("CREATE TABLE ballast (filler TEXT) TABLESPACE {space}"));
    database.execute("ALTER TABLE ballast ALTER filler SET STORAGE EXTERNAL");
    stock(&place, ITEMS);
    for table in ["checkout", "idempotency_key", "payment_attempt", "orders", "order_line", "order_event", "stock"] {
        database.execute(&format!("ALTER TABLE {table} SET TABLESPACE {space}"));
    }
    let server = Server::launch(&place, &[]);
    let mut platform = Platform::at(server.address());
    let id = platform.checkout("bun", 1);
    database.fill("INSERT INTO ballast SELECT repeat('x', 8000) FROM generate_series(1, 100)");

    // The pages have some free space, and each connection knows other pages. The space is used up when many consecutive
    // writes are refused.
    let mut in_a_row = 0;
    let refused = until("the disk is full", PATIENCE, || {
        let reply = platform.reply_to(&Call::create(&fresh_key(), "bun", 1));
        in_a_row = if reply.status == 201 { 0 } else { in_a_row + 1 };
        (in_a_row == 50).then_some(reply)
    });
    assert!(refused.clone().expect(503).has_code("storage_full"), "{refused:?}");
    assert_degraded_until(&server, "No space left on device", |platform| {
        platform.read(&id);
        assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
        database.execute("DROP TABLE ballast");
        let bought = until("the resource is available again", PATIENCE, || {
            let id = platform.reply_to(&Call::create(&fresh_key(), "bun", 1));
            (id.status == 201).then(|| platform.reply_to(&Call::complete(&id.id(), &fresh_key(), "success_token")))
        });
        assert_eq!(bought.expect(200).checkout_status(), "completed");
    })
    .await;
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
    assert!(server.stop().status.success());
    for table in ["checkout", "idempotency_key", "payment_attempt", "orders", "order_line", "order_event", "stock"] {
        database.execute(&format!("DROP TABLE {table} CASCADE"));
    }
    database.execute(&format!("DROP TABLESPACE {space}"));
}

async fn read_only_server_is_left_and_not_written_to(place: Place) {
    stock(&place, ITEMS);
    let server = Server::launch(&place, &[STILL, &[("TUCKSHOP_DATABASE_POOL_WAIT_MS", "500")]].concat());
    let mut platform = Platform::at(server.address());
    platform.wait_for_first_passes();
    let id = platform.checkout("bun", 1);
    let mut database = Database::open(&place);
    let before = database.snapshot();
    // As after a switchover: sessions end, and new sessions are read-only.
    let name = database.text("SELECT CAST(current_database() AS TEXT) AS value");
    database.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    end_other_sessions(&mut database);
    let refused = |platform: &mut Platform| {
        let reply = platform.reply_to(&Call::update(&id, &fresh_key(), "bun", 5));
        assert!(reply.clone().expect(503).has_code("unavailable"), "{reply:?}");
    };
    let loss = logged_loss(&server, || refused(&mut platform));
    assert!(loss.contains("read-only"), "{loss}");
    assert_eq!(database.snapshot(), before);
    database.execute(&format!("ALTER DATABASE {name} RESET default_transaction_read_only"));
    until("the database accepts writes again", PATIENCE, || {
        (platform.reply_to(&Call::update(&id, &fresh_key(), "bun", 5)).status == 200).then_some(())
    });
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
}

/// Sends failing requests until the loss of the database is logged, and some more. Asserts that the loss is logged
/// once. Requests may first meet pooled connections that are dead.
fn logged_loss(server: &Server, mut ask: impl FnMut()) -> String {
    let losses = || {
        let lines = server.log().into_iter().filter(|line| line["msg"] == "the database cannot be reached");
        lines.map(|line| line["error"].to_string()).collect::<Vec<_>>()
    };
    until("the loss is logged", PATIENCE, || {
        ask();
        (!losses().is_empty()).then_some(())
    });
    (0..5).for_each(|_| ask());
    let losses = losses();
    assert_eq!(losses.len(), 1, "{losses:?}");
    losses.concat()
}

fn end_other_sessions(database: &mut Database) {
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
}

async fn connection_limit_of_the_server_answers_503_and_recovers(place: Place) {
    stock(&place, ITEMS);
    let mut database = Database::open(&place);
    let name = database.text("SELECT CAST(current_database() AS TEXT) AS value");
    let role = format!("few_{}", uuid::Uuid::new_v4().simple());
    database.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'an-open-secret'"));
    database.execute(&format!("GRANT ALL ON DATABASE {name} TO {role}; GRANT ALL ON SCHEMA public TO {role}"));
    database.execute(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"));
    let mut url = url::Url::parse(&place.database_url()).expect("a url");
    url.set_username(&role).expect("a name");
    url.set_password(Some("an-open-secret")).expect("a password");
    let settings = [("TUCKSHOP_DATABASE_URL", url.as_str()), ("TUCKSHOP_DATABASE_POOL_WAIT_MS", "500")];
    let server = Server::launch(&place, &[STILL, &settings].concat());
    let mut platform = Platform::at(server.address());
    platform.wait_for_first_passes();
    let id = platform.checkout("bun", 1);
    database.execute(&format!("ALTER ROLE {role} CONNECTION LIMIT 0"));
    end_other_sessions(&mut database);
    let refused = |platform: &mut Platform| {
        let reply = platform.reply_to(&Call::update(&id, &fresh_key(), "bun", 2));
        assert!(reply.clone().expect(503).has_code("unavailable"), "{reply:?}");
    };
    let loss = logged_loss(&server, || refused(&mut platform));
    assert!(loss.contains("too many"), "{loss}");
    database.execute(&format!("ALTER ROLE {role} CONNECTION LIMIT 20"));
    until("the resource is available again", PATIENCE, || {
        (platform.reply_to(&Call::update(&id, &fresh_key(), "bun", 2)).status == 200).then_some(())
    });
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
    let stopped = server.stop();
    assert!(stopped.status.success());
    assert!(stopped.log.iter().all(|line| !line.to_string().contains("an-open-secret")));
    database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

async fn rejected_login_ends_the_start_without_showing_the_password(place: Place) {
    let mut url = url::Url::parse(&place.database_url()).expect("a url");
    url.set_username("missing_user").expect("a name");
    url.set_password(Some("an-open-secret")).expect("a password");
    let began = Instant::now();
    let finished = tuckshop_at(&place, &["serve"], &[("TUCKSHOP_DATABASE_URL", url.as_str())]);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(finished.code, 1, "{}\n{}", finished.out, finished.err);
    let lines = finished.err.lines().filter(|line| line.contains("cannot reach the database"));
    let lines: Vec<&str> = lines.collect();
    assert!(lines.len() == 1 && lines[0].contains("missing_user"), "{}", finished.err);
    assert!(!format!("{}{}", finished.out, finished.err).contains("an-open-secret"), "{}", finished.err);
}

async fn incomplete_schema_is_refused_at_start_and_makes_a_running_instance_unready(place: Place) {
    stock(&place, ITEMS);
    let server = Server::launch(&place, &[]);
    let mut platform = Platform::at(server.address());
    platform.reply_to(&Call::get("/readyz")).expect(200);
    let mut database = Database::open(&place);
    // An additional migration of a later release is accepted. A missing one is not.
    database.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000')");
    platform.reply_to(&Call::get("/readyz")).expect(200);
    database.execute("INSERT INTO schema_floor (version) VALUES ('99991231000000')");
    for migrate in ["apply", "refuse"] {
        let finished = tuckshop_at(&place, &["serve"], &[("TUCKSHOP_DATABASE_MIGRATE", migrate)]);
        assert_eq!(finished.code, 1, "{}", finished.out);
        assert!(finished.err.contains("newer than this program"), "{}", finished.err);
    }
    // The running instance reports to the load balancer that it is not ready, and finishes its requests.
    let ready = platform.reply_to(&Call::get("/readyz")).expect(503);
    assert_eq!(ready.json["reason"], "unavailable");
    let id = platform.checkout("bun", 1);
    platform.reply_to(&Call::complete(&id, &fresh_key(), "success_token")).expect(200);
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
}
