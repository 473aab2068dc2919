//! The configured database: its address, its exclusive use, and the version of its schema.

use crate::kit::Place;
use crate::kit::command::{tuckshop, tuckshop_at};

#[test]
fn mistyped_url_creates_no_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("shop.db").display().to_string();
    for url in
        ["postgress://localhost/shop", "postgres:/localhost/shop", "sqlite:shop.db", "shop.db", "sqlite://", &file]
    {
        for command in ["serve", "migrate"] {
            let finished = tuckshop(&[command], &[("TUCKSHOP_DATABASE_URL", url)]);
            assert_eq!(finished.code, 2, "{url}: {}", finished.err);
            assert!(finished.err.contains("TUCKSHOP_DATABASE_URL: "), "{}", finished.err);
        }
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[test]
fn remote_server_without_encryption_is_refused() {
    let url = ("TUCKSHOP_DATABASE_URL", "postgres://shop@db.example/shop");
    let finished = tuckshop(&["config"], &[url]);
    assert_eq!(finished.code, 2);
    assert!(finished.err.contains("in the clear"), "{}", finished.err);
    assert_eq!(tuckshop(&["config"], &[url, ("TUCKSHOP_DATABASE_ALLOW_PLAINTEXT", "true")]).code, 0);
}

/// The client library would read missing parts of the address from the environment. It would then send the password
/// unencrypted to a host that was not checked. 192.0.2.1 is the address of no host.
async fn environment_of_the_client_library_does_not_choose_the_database(place: Place) {
    let services = place.directory().join("services.conf");
    std::fs::write(&services, "[elsewhere]\nhost=192.0.2.1\nhostaddr=192.0.2.1\n").expect("a file");
    let services = services.display().to_string();
    let elsewhere = [
        &[("PGHOST", "192.0.2.1")][..],
        &[("PGHOSTADDR", "192.0.2.1")],
        &[("PGSERVICE", "elsewhere"), ("PGSERVICEFILE", &services)],
    ];
    for environment in elsewhere {
        let migrated = tuckshop_at(&place, &["migrate"], environment);
        assert_eq!(migrated.code, 0, "{environment:?}: {}", migrated.err);
    }

    // An address without a host means a socket on this machine, also if the environment names a host. No server has port 1,
    // so the attempt fails, and the message names what was tried.
    let url = place.database_url();
    let (_, rest) = url.split_once("://").expect("an address");
    let (authority, name) = rest.split_once('/').expect("a database");
    let (user, server) = authority.split_once('@').expect("a user");
    let (host, _) = server.split_once(':').expect("a port");
    let without_host = format!("postgres://{user}@/{name}");
    let environment = [("TUCKSHOP_DATABASE_URL", without_host.as_str()), ("PGHOST", host), ("PGPORT", "1")];
    let refused = tuckshop_at(&place, &["migrate"], &environment);
    assert_eq!(refused.code, 1, "{}", refused.out);
    assert!(refused.err.contains("socket"), "{}", refused.err);
}

async fn second_process_on_one_file_is_refused_by_path(place: Place) {
    let server = place.serve().await;
    let file = place.sqlite_path().display().to_string();
    let directory = place.directory().join("csv");
    std::fs::create_dir(&directory).expect("a directory");
    std::fs::write(directory.join("customers.csv"), "id,name,email\nc,C,c@example.com\n").expect("a file");
    for command in [&["serve"][..], &["migrate"], &["import", directory.to_str().expect("text")]] {
        let finished = tuckshop_at(&place, command, &[]);
        assert_eq!(finished.code, 1, "{command:?}: {}", finished.out);
        assert!(finished.err.contains(&file) && finished.err.contains("in use by another process"), "{}", finished.err);
    }
    // The first process goes on, and after it another may start.
    server.buy(&[("eraser", 1)]).await;
    let _ = server.kill_and_wait();
    assert_eq!(tuckshop_at(&place, &["migrate"], &[]).code, 0, "the lock has outlived its process");
}

async fn outdated_schema_is_migrated_or_refused(place: Place) {
    let refuse = [("TUCKSHOP_DATABASE_MIGRATE", "refuse")];
    let too_old = tuckshop_at(&place, &["serve"], &refuse);
    assert_eq!(too_old.code, 1, "{}", too_old.out);
    assert!(too_old.err.contains("run `tuckshop migrate`"), "{}", too_old.err);

    let migrated = tuckshop_at(&place, &["migrate"], &[]);
    assert_eq!((migrated.code, migrated.out.contains("migration(s) applied")), (0, true), "{}", migrated.out);
    let again = tuckshop_at(&place, &["migrate"], &[]);
    assert_eq!((again.code, again.out.as_str()), (0, "The schema is current."));
    let server = place.serve_with(&refuse).await;
    server.buy(&[("eraser", 1)]).await;
}

#[test]
fn missing_database_is_named_and_not_created() {
    let directory = tempfile::tempdir().expect("a directory");
    for file in ["shop.db", "nowhere/shop.db"] {
        let file = directory.path().join(file).display().to_string();
        let url = ("TUCKSHOP_DATABASE_URL", format!("sqlite://{file}"));
        for command in ["deliveries", "platforms", "keys"] {
            let finished = tuckshop(&[command, "list"], &[(url.0, &url.1)]);
            assert_eq!(finished.code, 1, "{}", finished.err);
            let expected = format!("there is no database at {file}. ");
            assert!(finished.err.contains(&expected), "{}", finished.err);
        }
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);

    let no_file = directory.path().join("directory");
    std::fs::create_dir(&no_file).expect("a directory");
    let no_file = no_file.display();
    for (url, expected) in [
        (format!("sqlite://{no_file}"), format!("{no_file} is no regular file")),
        (
            "postgres://me:hunter2@127.0.0.1:1/shop".to_owned(),
            "cannot reach the database: postgres://me:***@127.0.0.1:1/shop: ".to_owned(),
        ),
    ] {
        let finished = tuckshop(&["migrate"], &[("TUCKSHOP_DATABASE_URL", &url)]);
        assert_eq!(finished.code, 1, "{}", finished.err);
        assert!(finished.err.contains(&expected), "{}", finished.err);
        assert_eq!(finished.err.lines().count(), 1, "{}", finished.err);
    }
}

async fn address_in_use_is_reported(place: Place) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for variable in ["TUCKSHOP_HTTP_ADDRESS", "TUCKSHOP_OPERATIONS_ADDRESS"] {
        let directory = tempfile::tempdir().expect("a directory");
        let database = directory.path().join("shop.db");
        let url = format!("sqlite://{}", database.display());
        let settings = [("TUCKSHOP_DATABASE_URL", url.as_str()), (variable, &address)];
        let finished = tuckshop_at(&place, &["serve"], &settings);
        assert_eq!(finished.code, 1);
        assert!(finished.err.contains(&format!("cannot listen on {address}: ")), "{}", finished.err);
        assert!(finished.err.contains(&format!(". Set {variable} to another address")), "{}", finished.err);
        assert!(!database.exists(), "the database was opened");
    }
}

/// A separate thread writes the log. The reason of a failed start is printed after the last log line, on its own line.
async fn reason_of_a_failed_start_is_the_last_line(place: Place) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for _ in 0..10 {
        let settings = [
            ("TUCKSHOP_HTTP_ADDRESS", address.as_str()),
            ("TUCKSHOP_LOG_FORMAT", "terminal"),
            ("TUCKSHOP_SERVICE_HOST", "10.0.0.1"),
        ];
        let finished = tuckshop_at(&place, &["serve"], &settings);
        let lines: Vec<&str> = finished.err.lines().collect();
        assert!(lines.first().is_some_and(|line| line.contains("service links were ignored")), "{}", finished.err);
        assert!(lines.last().is_some_and(|line| line.starts_with("tuckshop: cannot listen on ")), "{}", finished.err);
    }
}

async fn stopped_server_exits_with_0(place: Place) {
    let server = place.serve().await;
    server.buy(&[("eraser", 1)]).await;
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0));
    let messages: Vec<&str> = stopped.log.iter().filter_map(|line| line["msg"].as_str()).collect();
    let ending: Vec<&str> = messages.into_iter().filter(|message| message.starts_with("shutdown")).collect();
    assert_eq!(ending, ["shutdown begins", "shutdown drained", "shutdown done"]);
}

mod sqlite_only {
    use super::{
        address_in_use_is_reported, reason_of_a_failed_start_is_the_last_line,
        second_process_on_one_file_is_refused_by_path,
    };
    crate::on_sqlite!(
        second_process_on_one_file_is_refused_by_path,
        address_in_use_is_reported,
        reason_of_a_failed_start_is_the_last_line,
    );
}

mod on_a_server {
    use super::environment_of_the_client_library_does_not_choose_the_database;
    crate::on_postgres!(environment_of_the_client_library_does_not_choose_the_database);
}

crate::on_both_engines!(outdated_schema_is_migrated_or_refused, stopped_server_exits_with_0);
