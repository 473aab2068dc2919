//! Tests of `call.rs` and `group.rs`: writes that join the transaction of another on SQLite.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use domain::context::TraceContext;
use slog::{Logger, o};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::{DatabaseConfig, DatabaseUrl, Statement};
use super::*;

/// A database with an empty table, and the calls that were started on it.
struct Shop {
    database: Database,
    _directory: tempfile::TempDir,
}

type Failed = FaultKind;
type Started = JoinHandle<Result<(), Failed>>;

impl Shop {
    fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("shop.db");
        let mut conn = SqliteConnection::establish(path.to_str().expect("a path")).expect("a file");
        let tables = "PRAGMA journal_mode = WAL; CREATE TABLE entry (name TEXT NOT NULL PRIMARY KEY, \
                      of TEXT REFERENCES entry (name) DEFERRABLE INITIALLY DEFERRED)";
        conn.batch_execute(tables).expect("a table");
        let config = DatabaseConfig {
            url: DatabaseUrl::Sqlite(path),
            pool_size: 3,
            pool_wait: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(5),
            commit_grace: Duration::from_secs(5),
        };
        let log = Logger::root(slog::Discard, o!());
        Self { database: Database::open(config, Handle::current(), &log).expect("opened"), _directory: directory }
    }

    /// Starts a write that runs `body` after it has added a row.
    fn start(
        &self,
        name: &'static str,
        body: impl Fn(&mut Tx<'_>) -> QueryResult<()> + Send + Sync + 'static,
    ) -> Started {
        let operation = Operation::repeatable_write("test.write", "the test repeats it");
        self.start_as(operation, name, body)
    }

    #[expect(clippy::disallowed_methods, reason = "the test awaits or aborts it")]
    fn start_as(
        &self,
        operation: Operation,
        name: &'static str,
        body: impl Fn(&mut Tx<'_>) -> QueryResult<()> + Send + Sync + 'static,
    ) -> Started {
        let running = self.database.run(&context(), operation, move |tx| {
            execute(tx, &format!("INSERT INTO entry (name) VALUES ('{name}')"))?;
            body(tx).map_err(TxError::<Fault>::Sql)
        });
        tokio::spawn(async move { running.await.map_err(|fault| fault.kind()) })
    }

    /// Starts a write that leads: its body has begun, and ends when `waiting` other writes wait.
    async fn leader(&self, waiting: usize) -> Started {
        let (database, begun) = (self.database.clone(), Arc::new(AtomicBool::new(false)));
        let begins = begun.clone();
        let leader = self.start("leader", move |_| {
            let is_again = begins.swap(true, Ordering::AcqRel);
            while !is_again && database.0.group.len() < waiting {
                std::thread::yield_now();
            }
            Ok(())
        });
        while !begun.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        leader
    }

    /// Waits until this many writes wait for the leader.
    async fn waiting(&self, count: usize) {
        while self.database.0.group.len() < count {
            tokio::task::yield_now().await;
        }
    }

    /// The committed rows, as another connection sees them.
    fn rows(&self) -> Vec<String> {
        let DatabaseUrl::Sqlite(path) = &self.database.0.config.url else { panic!("not SQLite") };
        let mut conn = SqliteConnection::establish(path.to_str().expect("a path")).expect("a file");
        let names = Statement::<diesel::sql_types::Text>::new("SELECT name FROM entry ORDER BY name");
        names.load(&mut conn).expect("rows")
    }
}

fn context() -> RequestContext {
    let log = Logger::root(slog::Discard, o!());
    let deadline = Deadline::after(Duration::from_secs(20));
    RequestContext::for_task(&log, "test", TraceContext::start(), deadline, CancellationToken::new())
}

fn execute(tx: &mut Tx<'_>, sql: &str) -> QueryResult<()> {
    let Ok(crate::database::TxConn::Sqlite(conn)) = tx.conn() else { panic!("not SQLite") };
    conn.batch_execute(sql)
}

fn count(tx: &mut Tx<'_>) -> QueryResult<i64> {
    let Ok(crate::database::TxConn::Sqlite(conn)) = tx.conn() else { panic!("not SQLite") };
    Statement::<BigInt>::new("SELECT COUNT(*) FROM entry").get_result(*conn)
}

fn is_stored(tx: &mut Tx<'_>, name: &str) -> QueryResult<bool> {
    let Ok(crate::database::TxConn::Sqlite(conn)) = tx.conn() else { panic!("not SQLite") };
    let count = Statement::<BigInt>::new("SELECT COUNT(*) FROM entry WHERE name = $1").text(name);
    Ok(count.get_result::<i64>(*conn)? > 0)
}

async fn kinds(started: Vec<Started>) -> Vec<Option<Failed>> {
    let mut kinds = Vec::new();
    for one in started {
        kinds.push(one.await.expect("no panic").err());
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_writes_are_committed_together() {
    let shop = Arc::new(Shop::open());
    let leader = shop.leader(2).await;
    let second = shop.start("second", |_| Ok(()));
    shop.waiting(1).await;
    let observer = shop.clone();
    let third = shop.start("third", move |tx| {
        assert_eq!((count(tx)?, observer.rows().len()), (3, 0), "no write is committed before the last has run");
        Ok(())
    });
    assert_eq!(kinds(vec![leader, second, third]).await, [None, None, None]);
    assert_eq!(shop.rows(), ["leader", "second", "third"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn body_that_fails_is_rolled_back_alone() {
    let shop = Shop::open();
    let leader = shop.leader(4).await;
    let started = vec![
        leader,
        shop.start("refused", |_| Err(diesel::result::Error::NotFound)),
        shop.start("panicking", |_| panic!("a bug")),
        shop.start("wrong", |tx| execute(tx, "no SQL")),
        shop.start("good", |_| Ok(())),
    ];
    let internal = Some(FaultKind::Internal);
    assert_eq!(kinds(started).await, [None, internal, internal, internal, None]);
    assert_eq!(shop.rows(), ["good", "leader"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_that_gives_up_before_its_body_has_ended_changes_nothing() {
    let shop = Arc::new(Shop::open());
    let leader = shop.leader(3).await;
    let waiting = shop.start("waiting", |_| Ok(()));
    shop.waiting(1).await;
    waiting.abort();
    assert!(waiting.await.is_err());
    let (began, begun) = std::sync::mpsc::sync_channel(1);
    let (go, gone) = std::sync::mpsc::sync_channel(1);
    let gone = Mutex::new(gone);
    let running = shop.start("running", move |_| {
        began.send(()).expect("awaited");
        gone.lock().expect("sound").recv().expect("sent");
        Ok(())
    });
    shop.waiting(1).await;
    let others = [shop.start("second", |_| Ok(())), shop.start("third", |_| Ok(()))];
    while begun.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    running.abort();
    assert!(running.await.is_err());
    assert_eq!(shop.database.abandoned(), 1);
    go.send(()).expect("awaited");
    assert_eq!(leader.await.expect("no panic"), Ok(()));
    for other in others {
        assert_eq!(other.await.expect("no panic"), Ok(()));
    }
    assert_eq!((shop.rows(), shop.database.abandoned()), (vec!["leader".into(), "second".into(), "third".into()], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_that_the_engine_rolled_back_runs_again_for_each_write() {
    let shop = Shop::open();
    let leader = shop.leader(3).await;
    let before = shop.start("before", |_| Ok(()));
    shop.waiting(1).await;
    // SQLite rolls a transaction back after some errors, such as a full disk.
    let is_first = AtomicBool::new(true);
    let ends = move |tx: &mut Tx<'_>| match is_first.swap(false, Ordering::Relaxed) {
        true => execute(tx, "ROLLBACK"),
        false => Ok(()),
    };
    let ending = shop.start("ending", ends);
    shop.waiting(2).await;
    let after = shop.start("later", |_| Ok(()));
    assert_eq!(kinds(vec![leader, before, ending, after]).await, [None; 4]);
    assert_eq!(shop.rows(), ["before", "ending", "later", "leader"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_that_fails_is_resolved_for_each_write() {
    let shop = Shop::open();
    let leader = shop.leader(2).await;
    let operation = Operation::write("test.violate");
    let violating = shop.start_as(operation, "violating", |tx| {
        execute(tx, "INSERT INTO entry (name, of) VALUES ('orphan', 'nothing')")
    });
    let repeatable = shop.start("repeatable", |_| Ok(()));
    assert_eq!(kinds(vec![leader, violating, repeatable]).await, [None, Some(FaultKind::OutcomeUnknown), None]);
    assert_eq!(shop.rows(), ["leader", "repeatable"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_because_of_a_change_that_is_rolled_back_does_not_count() {
    let shop = Shop::open();
    let leader = shop.leader(2).await;
    let operation = Operation::write("test.violate");
    let violating = shop.start_as(operation, "violating", |tx| {
        execute(tx, "INSERT INTO entry (name, of) VALUES ('orphan', 'nothing')")
    });
    shop.waiting(1).await;
    let operation = Operation::repeatable_write("test.write", "the test repeats it");
    let refusing = shop.database.run(&context(), operation, |tx| match is_stored(tx, "orphan")? {
        true => Err(TxError::Refused(Fault::internal("test.write", "refused"))),
        false => execute(tx, "INSERT INTO entry (name) VALUES ('late')").map_err(TxError::Sql),
    });
    let (refused, leader) = tokio::join!(refusing, leader);
    assert_eq!((refused.map_err(|fault| fault.kind()), leader.expect("no panic")), (Ok(()), Ok(())));
    assert_eq!(violating.await.expect("no panic"), Err(FaultKind::OutcomeUnknown));
    assert_eq!(shop.rows(), ["late", "leader"]);
}

/// A joined write that panics when it learns of the commit.
struct PanicsAtEnd;

impl Joins for PanicsAtEnd {
    fn run(&self, _: &mut PooledConn) -> bool {
        true
    }

    fn end(&self, end: &End) {
        assert!(!matches!(end, End::Committed), "a panic after the commit");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_that_panics_after_its_commit_has_an_unknown_outcome() {
    let shop = Shop::open();
    let place = shop.database.0.group.wait(Arc::new(PanicsAtEnd));
    let outcome = shop.start("one", |_| Ok(())).await.expect("no panic of the caller");
    assert_eq!(outcome, Err(FaultKind::OutcomeUnknown));
    assert_eq!(shop.rows(), ["one"]);
    drop(place);
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_that_panics_in_its_body_has_no_effect() {
    let shop = Shop::open();
    let outcome = shop.start("one", |_| panic!("a panic in the body")).await.expect("no panic of the caller");
    assert_eq!(outcome, Err(FaultKind::Internal));
    assert!(shop.rows().is_empty());
}
