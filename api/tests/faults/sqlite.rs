//! Faults of the disk below SQLite: it is full, it fails, or the process is killed during a commit.

use std::process::Command;
use std::time::Duration;

use faultkit::SmallDisk;
use faultkit::provided::not_checked;

use crate::database::{Database, Item, stock};
use crate::extent::{Chance, PATIENCE, extent, until};
use crate::invariants::violations;
use crate::kit::client::fresh_key;
use crate::kit::process::Process;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform};
use crate::postgres::assert_degraded_until;
use crate::recording::strace;

crate::on_sqlite!(
    full_disk_answers_503_to_writes_and_serves_reads,
    process_killed_in_a_commit_leaves_a_sound_file_with_every_acknowledged_write,
    failed_sync_refuses_every_write_until_a_restart,
);

const ITEMS: &[Item] = &[("bun", 250, 1_000)];

async fn full_disk_answers_503_to_writes_and_serves_reads(place: Place) {
    stock(&place, ITEMS);
    let Some(disk) = SmallDisk::mount(place.directory().join("small"), 6) else {
        return not_checked("a full disk (only root may mount a small one)");
    };
    let file = disk.path.join("shop.db");
    std::fs::copy(place.sqlite_path(), &file).expect("room for a shop");
    let url = format!("sqlite://{}", file.display());
    let server = Server::launch(&place, &[("TUCKSHOP_DATABASE_URL", &url)]);
    let mut platform = Platform::at(server.address());
    let id = platform.checkout("bun", 1);
    let ballast = disk.fill();

    let mut acknowledged = vec![id.clone()];
    let refused = until("the disk is full", PATIENCE, || {
        let reply = platform.reply_to(&Call::create(&fresh_key(), "bun", 1));
        if reply.status == 201 {
            acknowledged.push(reply.id());
        }
        (reply.status != 201).then_some(reply)
    });
    assert!(refused.clone().expect(503).has_code("storage_full"), "{refused:?}");
    let complete = Call::complete(&id, &fresh_key(), "success_token");
    assert!(platform.reply_to(&complete).expect(503).has_code("storage_full"));
    assert_degraded_until(&server, "database or disk is full", |platform| {
        for id in &acknowledged {
            platform.read(id);
        }
        std::fs::remove_file(&ballast).expect("removed");
        // The same key succeeds without a restart.
        assert_eq!(platform.reply_to(&complete).expect(200).checkout_status(), "completed");
    })
    .await;
    let mut database = Database::at(&file);
    assert_eq!(database.text("SELECT integrity_check AS value FROM pragma_integrity_check"), "ok");
    let state = database.state(&place, ITEMS);
    assert_eq!((state.checkouts.len(), state.orders.len()), (acknowledged.len(), 1));
    assert_eq!(violations(&state), Vec::<String>::new());
    assert!(server.stop().status.success());
}

async fn process_killed_in_a_commit_leaves_a_sound_file_with_every_acknowledged_write(place: Place) {
    stock(&place, ITEMS);
    let mut acknowledged = Vec::new();
    for round in 0..extent(5, 200) {
        let server = Server::launch(&place, &[]);
        let address = server.address();
        let writers = std::thread::scope(|scope| {
            let writers = [(); 4].map(|()| {
                scope.spawn(move || {
                    let (mut platform, mut done) = (Platform::at(address), Vec::new());
                    while let Ok(reply) = platform.ask(&Call::create(&fresh_key(), "bun", 1)) {
                        done.push(reply.expect(201).id());
                    }
                    done
                })
            });
            // Not a wait for a condition: the moment is the fault.
            std::thread::sleep(Duration::from_millis(Chance::of(round).between(20, 120)));
            server.kill_and_wait();
            writers.map(|writer| writer.join().expect("a writer"))
        });
        acknowledged.extend(writers.into_iter().flatten());
        let mut database = Database::open(&place);
        assert_eq!(database.text("SELECT integrity_check AS value FROM pragma_integrity_check"), "ok", "round {round}");
        let state = database.state(&place, ITEMS);
        let lost = acknowledged.iter().find(|id| !state.checkouts.iter().any(|checkout| checkout.id == **id));
        assert_eq!(lost, None, "round {round}");
        assert_eq!(
            database.number("count(*)", "FROM idempotency_key WHERE outcome IS NULL"),
            0,
            "a key without an outcome was stored"
        );
        assert_eq!(violations(&state), Vec::<String>::new());
    }
    assert!(acknowledged.len() > 10, "the load had no effect");
}

async fn failed_sync_refuses_every_write_until_a_restart(place: Place) {
    let Some(strace) = strace("a disk that cannot sync") else { return };
    stock(&place, ITEMS);
    let server = Server::launch(&place, &[]);
    let mut platform = Platform::at(server.address());
    let id = platform.checkout("bun", 1);
    let process = server.process_id().to_string();
    let syncs = "fsync,fdatasync";
    let mut strace = Process::start(Command::new(&strace).args([
        "-f",
        "-p",
        &process,
        "-e",
        &format!("trace={syncs}"),
        "-e",
        &format!("inject={syncs}:error=EIO"),
    ]));
    if strace.err.first(PATIENCE, |line| line.contains("attached").then_some(())).is_none() {
        return not_checked("a disk that cannot sync (tracing is not permitted)");
    }
    let create = Call::create(&fresh_key(), "bun", 1);
    // Some threads may be traced a moment later. Writes acknowledged until then were synced.
    let unknown = until("a commit fails", PATIENCE, || {
        let reply = platform.reply_to(&Call::create(&fresh_key(), "bun", 1));
        (reply.status != 201).then_some(reply)
    });
    assert!(unknown.clone().expect(503).has_code("outcome_unknown"), "{unknown:?}");
    strace.signal(rustix::process::Signal::INT);
    strace.wait(PATIENCE);

    // The disk works again, but the shop does not write until a restart.
    for _ in 0..3 {
        assert!(platform.reply_to(&create).expect(503).has_code("unavailable"));
    }
    platform.read(&id);
    platform.reply_to(&Call::get("/livez")).expect(200);
    assert_eq!(platform.reply_to(&Call::get("/readyz")).expect(503).json["reason"], "unavailable");
    let failure = |line: &&serde_json::Value| line["error_code"] == "io_error" && line["level"] == "critical";
    let stopped = server.stop();
    assert_eq!(stopped.log.iter().filter(failure).count(), 1);
    assert!(stopped.status.success());

    let server = Server::launch(&place, &[]);
    let mut platform = Platform::at(server.address());
    platform.reply_to(&create).expect(201);
    platform.read(&id);
    let mut database = Database::open(&place);
    assert_eq!(database.text("SELECT integrity_check AS value FROM pragma_integrity_check"), "ok");
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
}
