//! Which database a URL selects, and which part of the URL is shown.

use persistence::{DatabaseUrl, Engine, UrlError};

#[test]
fn the_scheme_decides_and_anything_else_is_refused() {
    for (text, engine) in [
        ("sqlite://shop.db", Some(Engine::Sqlite)),
        ("sqlite:///var/lib/shop.db", Some(Engine::Sqlite)),
        ("postgres://me@localhost/shop", Some(Engine::Postgres)),
        ("postgresql://me@127.0.0.1:5433/shop", Some(Engine::Postgres)),
        ("postgres://me@[::1]/shop", Some(Engine::Postgres)),
        ("postgres:///shop?host=/run/postgresql", Some(Engine::Postgres)),
        ("postgress://me@localhost/shop", None),
        ("shop.db", None),
        ("sqlite://", None),
        ("", None),
    ] {
        assert_eq!(DatabaseUrl::parse(text, false).ok().map(|url| url.engine()), engine, "{text:?}");
    }
}

#[test]
fn a_remote_server_needs_encryption() {
    let remote = "postgres://me@db.example/shop";
    assert_eq!(DatabaseUrl::parse(remote, false).expect_err("plain"), UrlError::Plaintext);
    assert!(DatabaseUrl::parse(remote, true).is_ok());
    assert_eq!(DatabaseUrl::parse(&format!("{remote}?sslmode=prefer"), false).expect_err("weak"), UrlError::Plaintext);
    let encrypted = DatabaseUrl::parse(&format!("{remote}?sslmode=require"), false);
    if cfg!(feature = "pg-tls") {
        assert!(encrypted.is_ok());
    } else {
        assert_eq!(encrypted.expect_err("no TLS"), UrlError::NoTls);
    }
}

#[test]
fn url_is_read_as_the_client_library_reads_it() {
    for (text, local) in [
        ("postgres://me@localhost:1,127.0.0.1:2,[::1]:3/shop", true),
        ("postgres://me@localhost,db.example/shop", false),
        ("postgres://me@db.example,localhost/shop", false),
        ("postgres:///shop?host=localhost,/run/postgresql,::1&port=1,2,3", true),
        ("postgres:///shop?host=localhost,db.example&port=1,2", false),
        ("postgres://localhost/shop?host=db.example", false),
        ("postgres://db.example/shop?host=localhost", true),
        ("postgres://localhost/shop?hostaddr=192.0.2.1", false),
        ("postgres://db.example/shop?hostaddr=127.0.0.1", true),
        ("postgres://one,two/shop?hostaddr=127.0.0.1,192.0.2.1", false),
        ("postgres://%2Frun%2Fpostgresql/shop", true),
        ("postgres://me:p%40ss%2Fword@[2001:db8::1]:5432/shop", false),
        ("postgres:///shop?service=shop", false),
        ("postgres:///shop?servicefile=/tmp/x", false),
        ("postgres://", true),
        ("postgresql://me@localhost?application_name=a%26b", true),
    ] {
        let expected = if local { Ok(Engine::Postgres) } else { Err(UrlError::Plaintext) };
        assert_eq!(DatabaseUrl::parse(text, false).map(|url| url.engine()), expected, "{text}");
        assert!(DatabaseUrl::parse(text, true).is_ok(), "{text}");
    }
}

/// In these URLs the password is `hunter2` with one more character, which breaks the syntax.
#[test]
fn password_of_a_broken_url_is_never_shown() {
    let whole = [
        "postgres://me:hunter2@localhost/shop",
        "postgres://me:hunter2:x@localhost/shop",
        "postgres://me:hunter%32@one:1,two:2/shop",
        "postgres://me@localhost/shop?password=hunter2&sslpassword=hunter2",
        "postgres://localhost/shop?user=me&password=hunter2&options=-c%20x.y%3Dhunter2",
    ];
    for text in whole {
        let url = DatabaseUrl::parse(text, true).expect(text);
        let shown = format!("{url} {url:?} {}", DatabaseUrl::shown(text));
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("***"), "{shown}");
    }
    let broken = [
        "postgres://me:hunter2/x@localhost/shop",
        "postgres://me:hunter2?x@localhost/shop",
        "postgres://me:hunter2#x@localhost/shop",
        "postgres://me:hunter2@x@localhost/shop",
        "postgres://me:hunter2%x@localhost/shop",
        "postgres://me:hunter2 x@localhost/shop",
        "postgres://me:hunter2\n@localhost/shop",
        "postgres://me:5/hunter2@localhost/shop",
        "postgres://me:5?hunter2@localhost/shop",
        "postgres://me:hunter2",
        "postgres://me:hunter2@[::1/shop",
        "postgres://me:hunter2@localhost:many/shop",
        "postgres://me:hunter2@localhost:0/shop",
        "postgres://me:hunter2@a,b,c/shop?port=1,2",
        "postgres://me@localhost/shop?pasword=hunter2",
        "postgres://me@localhost/shop?hunter2",
        "postgres://me@localhost/shop?password=x&hunter2=y",
        "postgres://me@localhost/shop?password=x=hunter2",
        "postgress://me:hunter2@localhost/shop",
        "postgres:/me:hunter2@localhost/shop",
        "me:hunter2@localhost/shop",
        "sqlite://me:hunter2@localhost/shop",
        "sqlite://shop.db?password=hunter2",
        "host=localhost password=hunter2",
    ];
    for text in broken {
        let refused = DatabaseUrl::parse(text, true).expect_err(text);
        let shown = format!("{refused} {refused:?} {}", DatabaseUrl::shown(text));
        assert!(!shown.contains("hunter"), "{text}: {shown}");
    }
}

#[test]
fn sqlite_path_is_taken_literally_or_refused() {
    for path in ["shop.db", "/var/lib/my shop/shop.db", "data/50%.db", "ümlaut.db", "./a@b.db", "a:b.db", "../x"] {
        let url = DatabaseUrl::parse(&format!("sqlite://{path}"), false).expect(path);
        assert!(matches!(&url, DatabaseUrl::Sqlite(found) if found.as_os_str() == path), "{url}");
        assert_eq!(DatabaseUrl::shown(&url.to_string()), url.to_string());
    }
    for path in [
        "my%20shop.db",
        "shop.db?mode=ro",
        "shop.db?mode=memory&cache=shared",
        "shop.db#1",
        ":memory:",
        "file:shop.db",
        "file::memory:",
        "~/shop.db",
        "~me/shop.db",
        "data/",
        "/",
        "shop.db\r",
        "shop.db ",
        " shop.db",
        "sh\0op.db",
        "me:secret@host/shop.db",
    ] {
        let refused = DatabaseUrl::parse(&format!("sqlite://{path}"), false).expect_err(path);
        assert!(matches!(refused, UrlError::Malformed(_)), "{path}: {refused}");
    }
}
