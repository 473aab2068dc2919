//! Tests of `PostgresServer`: a standby that is promoted after the loss of its primary, and a recovery from an archive.

use std::path::PathBuf;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use faultkit::PostgresServer;
use faultkit::provided::POSTGRES_PROGRAMS;

fn programs() -> Option<PathBuf> {
    let bin = POSTGRES_PROGRAMS.get().map(PathBuf::from)?;
    if !bin.join("pg_basebackup").is_file() {
        POSTGRES_PROGRAMS.skip("there is no pg_basebackup");
        return None;
    }
    Some(bin)
}

fn run(server: &PostgresServer, sql: &str) -> QueryResult<()> {
    PgConnection::establish(&server.url()).expect("a connection").batch_execute(sql)
}

#[test]
fn standby_has_every_commit_and_accepts_writes_only_after_its_promotion() {
    let Some(bin) = programs() else { return };
    let primary = PostgresServer::create(&bin);
    run(&primary, "CREATE TABLE t (id INT PRIMARY KEY)").expect("done");
    let standby = primary.standby();
    primary.wait_for_standby();
    for id in 0..20 {
        run(&primary, &format!("INSERT INTO t VALUES ({id})")).expect("done");
    }
    let refused = run(&standby, "INSERT INTO t VALUES (100)").expect_err("a standby accepts no writes").to_string();
    assert!(refused.contains("read-only"), "{refused}");
    let address = primary.url();
    drop(primary);
    assert!(PgConnection::establish(&address).is_err(), "the primary is gone");
    standby.promote();
    run(&standby, "INSERT INTO t VALUES (100)").expect("a primary accepts writes without a standby");
    assert_eq!(standby.execute("SELECT count(*) FROM t"), "21");
    POSTGRES_PROGRAMS.used();
}

#[test]
fn server_recovered_from_an_archive_has_what_was_archived() {
    let Some(bin) = programs() else { return };
    let archive = tempfile::tempdir().expect("a directory");
    let server = PostgresServer::create_archiving(&bin, archive.path());
    run(&server, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").expect("done");
    let base = archive.path().join("base");
    server.back_up(&base);
    run(&server, "INSERT INTO t VALUES (2)").expect("done");
    server.archive_log();
    run(&server, "INSERT INTO t VALUES (3)").expect("done, and not archived");
    drop(server);
    let recovered = PostgresServer::recover(&bin, &base, archive.path());
    assert_eq!(recovered.execute("SELECT string_agg(id::text, ',' ORDER BY id) FROM t"), "1,2");
    run(&recovered, "INSERT INTO t VALUES (4)").expect("it accepts writes");
    POSTGRES_PROGRAMS.used();
}
