//! Tests of each fault of the proxy. An echo server or Postgres is behind the proxy. Most tests also send requests
//! without the fault.

#![allow(clippy::disallowed_methods, reason = "tests own threads, measure time, and read where Postgres is")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use faultkit::provided::POSTGRES;
use faultkit::{Commit, Fault, Proxy};

/// The longest wait for an expected event.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a test waits before it concludes that nothing arrives. It is also the delay of the fault `Latency`.
const MOMENT: Duration = Duration::from_millis(200);

/// A server that sends everything back that it receives.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut from = stream.try_clone().expect("a clone");
                let _ = std::io::copy(&mut from, &mut stream);
                let _ = stream.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    address
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).expect("accepted");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream
}

/// Sends a text and receives it back.
fn ask(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<()> {
    stream.write_all(text)?;
    let mut received = vec![0; text.len()];
    stream.read_exact(&mut received)?;
    assert_eq!(received, text);
    Ok(())
}

fn is_reset(stream: &mut TcpStream) -> bool {
    let error = ask(stream, b"anyone?").expect_err("a broken connection");
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

#[test]
fn proxy_without_fault_passes_everything_on_and_ends_in_order() {
    let proxy = Proxy::start(echo());
    let mut stream = connect(&proxy);
    ask(&mut stream, &vec![7; 300_000]).expect("passed on");
    stream.shutdown(std::net::Shutdown::Write).expect("an end");
    assert_eq!(stream.read(&mut [0; 10]).expect("an end in order"), 0);
    assert_eq!((proxy.accepted(), proxy.fired()), (1, 0));
}

#[test]
fn refuse_resets_open_connections_and_refuses_new_ones_until_another_fault_is_set() {
    let proxy = Proxy::start(echo());
    let mut stream = connect(&proxy);
    ask(&mut stream, b"hello").expect("passed on");
    proxy.set(Fault::Refuse);
    assert!(is_reset(&mut stream));
    assert_eq!(TcpStream::connect(proxy.address()).expect_err("refused").kind(), ErrorKind::ConnectionRefused);
    assert_eq!(proxy.open(), 0);
    proxy.set(Fault::Pass);
    ask(&mut connect(&proxy), b"hello").expect("passed on again");
}

#[test]
fn reset_resets_open_and_new_connections() {
    let proxy = Proxy::start(echo());
    let mut stream = connect(&proxy);
    ask(&mut stream, b"hello").expect("passed on");
    proxy.set(Fault::Reset);
    assert!(is_reset(&mut stream));
    assert!(is_reset(&mut connect(&proxy)));
}

#[test]
fn blackhole_holds_everything_back_until_it_ends() {
    let proxy = Proxy::start(echo());
    let mut old = connect(&proxy);
    ask(&mut old, b"hello").expect("passed on");
    proxy.set(Fault::Blackhole);
    let mut new = connect(&proxy);
    for stream in [&mut old, &mut new] {
        stream.write_all(b"anyone?").expect("acknowledged");
        stream.set_read_timeout(Some(MOMENT)).expect("an option");
        assert_eq!(stream.read(&mut [0; 7]).expect_err("silence").kind(), ErrorKind::WouldBlock);
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    }
    proxy.set(Fault::Pass);
    for stream in [&mut old, &mut new] {
        let mut received = [0; 7];
        stream.read_exact(&mut received).expect("delivered");
        assert_eq!(&received, b"anyone?");
    }
}

#[test]
fn forget_blocks_open_connections_and_passes_new_ones() {
    let proxy = Proxy::start(echo());
    let mut old = connect(&proxy);
    ask(&mut old, b"hello").expect("passed on");
    proxy.set(Fault::Forget);
    ask(&mut connect(&proxy), b"hello").expect("passed on");
    proxy.set(Fault::Pass);
    old.write_all(b"anyone?").expect("acknowledged");
    old.set_read_timeout(Some(MOMENT)).expect("an option");
    assert_eq!(old.read(&mut [0; 7]).expect_err("silence").kind(), ErrorKind::WouldBlock);
    proxy.set(Fault::Reset);
    assert!(is_reset(&mut old));
}

#[test]
fn latency_and_drip_slow_a_connection_down() {
    let proxy = Proxy::start(echo());
    let mut stream = connect(&proxy);
    let mut time = |fault: Fault, text: &[u8]| {
        proxy.set(fault);
        let began = Instant::now();
        ask(&mut stream, text).expect("passed on");
        began.elapsed()
    };
    assert!(time(Fault::Pass, &[1; 100]) < MOMENT);
    assert!(time(Fault::Latency(MOMENT), b"there and back") >= 2 * MOMENT);
    let drip = Fault::Drip { bytes: 10, every: Duration::from_millis(20) };
    assert!(time(drip, &[1; 200]) >= MOMENT);
    assert!(time(Fault::Pass, &[1; 400]) < MOMENT);
}

#[test]
fn cut_ends_a_connection_after_so_many_bytes_of_the_server() {
    let proxy = Proxy::start(echo());
    proxy.set(Fault::CutAfter(5));
    let mut stream = connect(&proxy);
    stream.write_all(b"123").expect("sent");
    let mut received = [0; 3];
    stream.read_exact(&mut received).expect("within the limit");
    stream.write_all(b"456789").expect("sent");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an end in order");
    assert_eq!((&rest[..], proxy.fired()), (&b"45"[..], 1));
}

/// A table for one test on the provided server, and a proxy in front of the server.
struct Postgres {
    proxy: Proxy,
    direct: PgConnection,
    through: String,
    table: String,
}

impl Postgres {
    fn given(table: &str) -> Option<Self> {
        let admin = POSTGRES.get()?;
        let address = admin.split('@').nth(1).and_then(|rest| rest.split('/').next()).expect("a host");
        let upstream = address.to_socket_addrs().expect("resolves").next().expect("an address");
        let proxy = Proxy::start(upstream);
        let through = admin.replace(address, &proxy.address().to_string());
        let mut direct = PgConnection::establish(&admin).expect("a connection");
        POSTGRES.used();
        let table = format!("faultkit_{table}_{}", std::process::id());
        direct.batch_execute(&format!("CREATE TABLE {table} (name TEXT)")).expect("a table");
        Some(Self { proxy, direct, through, table })
    }

    /// Stores a name in a transaction, on a new connection through the proxy.
    fn store(&self, name: &str) -> QueryResult<()> {
        let mut conn = PgConnection::establish(&self.through).expect("a connection");
        let insert = format!("INSERT INTO {} VALUES ($1)", self.table);
        conn.transaction(|conn| {
            diesel::sql_query(&insert).bind::<diesel::sql_types::Text, _>(name).execute(conn).map(drop)
        })
    }

    fn stored(&mut self, name: &str) -> usize {
        let select = format!("SELECT 1 FROM {} WHERE name = $1", self.table);
        diesel::sql_query(select).bind::<diesel::sql_types::Text, _>(name).execute(&mut self.direct).expect("rows")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.direct.batch_execute(&format!("DROP TABLE {}", self.table));
    }
}

#[test]
fn reset_before_the_commit_stores_nothing() {
    let Some(mut postgres) = Postgres::given("before") else { return };
    postgres.store("control").expect("stored");
    postgres.proxy.set(Fault::ResetBeforeCommit(Commit::naming("second")));
    postgres.store("first").expect("another");
    postgres.store("second").expect_err("broken");
    postgres.store("second, again").expect("once only");
    let stored = ["control", "first", "second", "second, again"].map(|name| postgres.stored(name));
    assert_eq!((stored, postgres.proxy.fired()), ([1, 1, 0, 1], 1));
}

#[test]
fn reset_after_the_commit_stores_it() {
    let Some(mut postgres) = Postgres::given("after") else { return };
    postgres.proxy.set(Fault::ResetAfterCommit(Commit::naming("").nth(2)));
    postgres.store("first").expect("another");
    postgres.store("second").expect_err("broken");
    postgres.store("third").expect("once only");
    let stored = ["first", "second", "third"].map(|name| postgres.stored(name));
    assert_eq!((stored, postgres.proxy.fired()), ([1, 1, 1], 1));
}

#[test]
fn commit_that_dies_is_followed_by_refused_connections() {
    let Some(mut postgres) = Postgres::given("last") else { return };
    postgres.proxy.set(Fault::ResetAfterCommit(Commit::naming("first").and_die()));
    postgres.store("first").expect_err("broken");
    let refused = TcpStream::connect(postgres.proxy.address()).expect_err("refused");
    assert_eq!((refused.kind(), postgres.stored("first")), (ErrorKind::ConnectionRefused, 1));
    postgres.proxy.set(Fault::Pass);
    postgres.store("second").expect("stored");
}

#[test]
fn new_upstream_serves_new_connections_and_open_ones_stay() {
    let (proxy, other) = (Proxy::start(echo()), TcpListener::bind("127.0.0.1:0").expect("a listener"));
    let mut before = connect(&proxy);
    ask(&mut before, b"first").expect("passed on");
    proxy.set_upstream(other.local_addr().expect("bound"));
    let mut after = connect(&proxy);
    after.write_all(b"second").expect("passed on");
    let (mut accepted, _) = other.accept().expect("a connection");
    let mut received = [0; 6];
    accepted.read_exact(&mut received).expect("passed on");
    assert_eq!(&received, b"second");
    ask(&mut before, b"first").expect("still passed on");
}
