//! The name of an untrusted destination is looked up once for each call, and the connection goes to a checked address.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::fault::{Fault, FaultKind};
use integrations::outbound::{
    Blocked, Destination, Effect, Lookup, LookupFuture, Outbound, OutboundConfig, Reason, UntrustedPolicy,
};
use tokio::net::TcpListener;

use crate::kit::{AMPLE, Lines, Names, Server, Visit, WHOLE, config, ctx, ctx_with, limits, outbound, post};

fn with_names(lookup: Arc<dyn Lookup>) -> Outbound {
    Outbound::new(OutboundConfig { lookup, ..config() }).expect("a client")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

const REFUSED: [&str; 18] = [
    "127.0.0.1",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "64:ff9b::a00:1",
    "fe80::1",
    "fec0::1",
    "fd00::1",
    "ff02::1",
    "2002:7f00:1::",
];

#[tokio::test]
async fn name_with_a_private_address_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let refused = REFUSED.map(ip);
    // The name is refused even if it has a public address before or after the private address.
    let answers = move |address| [vec![address], vec![ip("1.1.1.1"), address], vec![address, ip("1.1.1.1")]];
    let answers: Vec<_> = refused.into_iter().flat_map(answers).collect();
    let names = Arc::new(Names(move |asked: usize| Ok(answers[asked].clone()), Mutex::default()));
    let outbound = with_names(names.clone());
    for address in refused.into_iter().flat_map(|address| [address; 3]) {
        let lines = Lines::default();
        let to = outbound.untrusted(&format!("https://hooks.example:{port}/")).expect("a name");
        let outcome = outbound.send(&ctx_with(&lines, AMPLE), post(to, limits(AMPLE, WHOLE))).await;
        let error = outcome.expect_err("blocked");
        assert_eq!((error.reason, error.effect), (Reason::Blocked(Blocked::Address(address)), Effect::None));
        assert_eq!(Fault::from(error).kind(), FaultKind::Unavailable);
        let [line] = lines.all().try_into().expect("one line");
        assert!(line.contains("outcome=blocked_address") && line.contains("effect=none"), "{line}");
    }
    assert_eq!(names.1.lock().expect("sound").len(), REFUSED.len() * 3, "one look-up a call");
    let visited = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept()).await;
    assert!(visited.is_err(), "there was a connection");
}

/// A name server that never answers.
struct Hanging;

impl Lookup for Hanging {
    fn look_up(&self, _: String) -> LookupFuture {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn look_up_above_the_limit_is_busy_and_not_a_failure_of_the_destination() {
    let outbound = with_names(Arc::new(Hanging));
    let call = async |number: u32| {
        let to = outbound.untrusted(&format!("https://hooks{number}.example/")).expect("a name");
        let call = post(to, limits(Duration::from_millis(10), WHOLE));
        outbound.send(&ctx(AMPLE), call).await.expect_err("no answer")
    };
    // Each call leaves a look-up behind.
    for number in 0..200 {
        let error = call(number).await;
        if error.reason != Reason::Deadline {
            assert_eq!((error.reason, error.effect), (Reason::Busy, Effect::None), "{number}");
            return;
        }
    }
    panic!("the look-ups are not limited");
}

#[tokio::test]
async fn name_that_changes_between_calls_is_checked_each_time() {
    let names = Arc::new(Names(
        |asked| match asked {
            0 => Err(io::Error::other("not yet")),
            _ => Ok(vec![ip("127.0.0.1")]),
        },
        Mutex::default(),
    ));
    let outbound = with_names(names.clone());
    let to = outbound.untrusted("https://hooks.example/").expect("a name");
    for expected in [Reason::Unreachable, Reason::Blocked(Blocked::Address(ip("127.0.0.1")))] {
        let error = outbound.send(&ctx(AMPLE), post(to.clone(), limits(AMPLE, WHOLE))).await.expect_err("refused");
        assert_eq!((error.reason, error.effect), (expected, Effect::None));
    }
    assert_eq!(names.1.lock().expect("sound").len(), 2);
}

#[tokio::test]
async fn connection_goes_to_the_checked_address() {
    // A second look-up would return the address of the other server.
    let first = Server::start(|visit: Visit| visit.answer("200 OK", "", "")).await;
    let port = first.address.port();
    let second = TcpListener::bind(("127.0.0.2", port)).await.expect("the same port");
    let names =
        Arc::new(Names(|asked| Ok(vec![ip(if asked == 0 { "127.0.0.1" } else { "127.0.0.2" })]), Mutex::default()));
    let outbound = with_names(names.clone());
    let to = Destination::trusted(&format!("https://gateway.internal:{port}/")).expect("allowed");
    let error = outbound.send(&ctx(AMPLE), post(to, limits(AMPLE, WHOLE))).await.expect_err("no TLS there");
    assert_eq!(error.reason, Reason::Unreachable);
    assert_eq!(names.1.lock().expect("sound").len(), 1);
    let visited = tokio::time::timeout(std::time::Duration::from_millis(50), second.accept()).await;
    assert!(visited.is_err(), "there was a connection");
}

#[tokio::test]
async fn loopback_is_allowed_only_in_development() {
    let server = Server::start(|visit: Visit| visit.answer("200 OK", "", "")).await;
    let port = server.address.port();
    let production = Outbound::new(OutboundConfig::new(UntrustedPolicy::Public)).expect("a client");
    for host in ["127.0.0.1", "localhost", "[::1]", "2130706433"] {
        assert!(production.untrusted(&format!("http://{host}:{port}/")).is_err(), "{host}");
        assert!(production.untrusted(&format!("https://{host}:{port}/")).is_err(), "{host}");
    }
    let development = outbound();
    for host in ["127.0.0.1", "localhost", "LocalHost", "2130706433"] {
        let to = development.untrusted(&format!("http://{host}:{port}/")).expect("allowed");
        let reply = development.send(&ctx(AMPLE), post(to, limits(AMPLE, WHOLE))).await.expect("an answer");
        assert_eq!(reply.status, 200, "{host}");
    }
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn connection_to_untrusted_destination_is_not_reused() {
    let server = Server::start(|mut visit: Visit| async move {
        let _ = visit.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        visit.hang().await;
    })
    .await;
    let outbound = outbound();
    for _ in 0..2 {
        let to = outbound.untrusted(&server.url()).expect("allowed");
        outbound.send(&ctx(AMPLE), post(to, limits(AMPLE, WHOLE))).await.expect("an answer");
    }
    // The server answers only one request for each connection, so two requests mean two connections.
    assert_eq!(server.requests().len(), 2);
}
