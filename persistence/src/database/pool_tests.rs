//! Tests of `pool.rs`.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::*;

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text)]
    value: String,
}

#[test]
fn every_connection_of_the_pool_is_durable() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("shop.db");
    std::fs::File::create(&path).expect("a file");
    let config = DatabaseConfig {
        url: DatabaseUrl::Sqlite(path),
        pool_size: 2,
        pool_wait: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(5),
        lock_timeout: Duration::from_secs(5),
        commit_grace: Duration::from_secs(5),
    };
    let pool = ConnectionPool::open(&config, None, &Logger::root(slog::Discard, o!()));
    let connections = [pool.get(config.pool_wait).expect("one"), pool.get(config.pool_wait).expect("another")];
    for mut tracked in connections {
        let mut tx = tracked.conn.tx();
        let Ok(super::super::TxConn::Sqlite(conn)) = tx.conn() else { panic!("not SQLite") };
        #[expect(clippy::disallowed_methods, reason = "it runs once")]
        let mut setting = |pragma: &str| {
            let sql = format!("SELECT CAST({pragma} AS TEXT) AS value FROM pragma_{pragma}");
            let setting: Setting = diesel::sql_query(sql).get_result(*conn).expect("a setting");
            setting.value
        };
        let full = "2";
        assert_eq!((setting("journal_mode").as_str(), setting("synchronous").as_str()), ("wal", full));
        assert_eq!(setting("foreign_keys"), "1");
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl slog::Drain for Lines {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record.msg().to_string());
        Ok(())
    }
}

#[test]
fn outage_with_alternating_attempts_logs_two_lines() {
    let lines = Lines::default();
    let hour = Duration::from_secs(3_600);
    let mut reachable = Reachable { lasts: hour, ..Reachable::new(&Logger::root(lines.clone(), o!())) };
    for outage in 1..=2 {
        for _ in 0..20 {
            reachable.fails(&"refused");
            reachable.works();
        }
        assert_eq!(lines.0.lock().expect("lines").len(), 2 * outage - 1, "it does not last yet");
        reachable.lasts = Duration::ZERO;
        reachable.works();
        reachable.works();
        reachable.lasts = hour;
    }
    let logged = ["the database cannot be reached", "the database is reached again"];
    assert_eq!(*lines.0.lock().expect("lines"), [logged, logged].concat());
}
