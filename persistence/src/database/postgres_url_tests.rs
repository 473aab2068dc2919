//! Tests of `postgres_url.rs`.

use super::*;

fn parse(text: &str) -> PostgresUrl {
    PostgresUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The settings leave no host to `PGHOST`, `PGHOSTADDR` or the service of `PGSERVICE`.
#[test]
fn url_overrides_hosts_of_the_environment() {
    for (text, expected) in [
        ("postgres:///shop", "dbname='shop' host='' hostaddr=''"),
        ("postgres://", "host='' hostaddr=''"),
        ("postgres://me@:5433/shop", "dbname='shop' host='' hostaddr='' port='5433' user='me'"),
        ("postgres://me@localhost/shop", "dbname='shop' host='localhost' hostaddr='' user='me'"),
        ("postgres://me@[::1]:5433/shop", "dbname='shop' host='::1' hostaddr='' port='5433' user='me'"),
        ("postgres://one,two:2/shop?user=me", "dbname='shop' host='one,two' hostaddr='' port=',2' user='me'"),
        ("postgres:///shop?host=/run/pg", "dbname='shop' host='/run/pg' hostaddr=''"),
        ("postgres://db/shop?hostaddr=127.0.0.1", "dbname='shop' host='db' hostaddr='127.0.0.1'"),
        ("postgres:///shop?hostaddr=127.0.0.1", "dbname='shop' host='' hostaddr='127.0.0.1'"),
        // The service in the URL decides on the host.
        ("postgres:///shop?service=shop", "dbname='shop' service='shop'"),
    ] {
        assert_eq!(parse(text).to_conninfo(), expected, "{text}");
    }
}

#[test]
fn values_are_decoded_and_quoted() {
    let url = parse(r"postgres://me:p%40ss%27%5C+%20x@localhost/shop?application_name=a%26b&ssl=true");
    let expected = r"application_name='a&b' dbname='shop' host='localhost' hostaddr='' password='p@ss\'\\+ x'";
    assert_eq!(url.to_conninfo(), format!("{expected} sslmode='require' user='me'"));
    let commas = "dbname='shop' host='localhost' hostaddr='' password=',,' user='me'";
    assert_eq!(parse("postgres://me:,,@localhost/shop").to_conninfo(), commas);
}

#[test]
fn setting_of_the_url_wins_over_a_default() {
    let mut url = parse("postgres:///shop?host=%2Frun%2Fpg&connect_timeout=9");
    for (name, value) in [("connect_timeout", "2"), ("keepalives_idle", "15")] {
        url.or_set(name, value);
    }
    let expected = "connect_timeout='9' dbname='shop' host='/run/pg' hostaddr='' keepalives_idle='15'";
    assert_eq!(url.to_conninfo(), expected);
}

#[test]
fn empty_host_address_hides_no_host() {
    assert!(!parse("postgres://localhost,db.example/shop?hostaddr=").is_local());
    assert!(!parse("postgres://db.example/shop?hostaddr=").is_local());
    assert!(parse("postgres://localhost/shop?hostaddr=").is_local());
}

#[test]
fn message_of_the_client_library_is_shown_without_secrets() {
    for text in [
        "postgres://me:hunter2@localhost/shop",
        "postgres://me:hunter2:x@localhost/shop",
        "postgres://me:hunter%32@one:1,two:2/shop",
        "postgres://me@localhost/shop?password=hunter2&sslpassword=hunter2",
        "postgres://localhost/shop?user=me&password=hunter2&options=-c%20x.y%3Dhunter2",
    ] {
        let url = parse(text);
        let shown = url.without_secrets(format!("{text} or {} is wrong", url.to_conninfo()));
        assert!(!shown.contains("hunter") && shown.contains("***"), "{shown}");
    }
}
