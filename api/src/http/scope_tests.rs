//! Tests of `scope.rs`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::log::Kept;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer};

#[test]
fn forwarded_address_is_used_from_trusted_proxies_only() {
    let proxies = Networks::parse("10.0.0.0/8, 192.0.2.7, fd00::/8").expect("networks");
    for (peer, forwarded, expected) in [
        ("203.0.113.5", &["198.51.100.1"][..], "203.0.113.5"),
        ("10.1.2.3", &[], "10.1.2.3"),
        ("10.1.2.3", &["198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.1.2.3", &["198.51.100.1"], "198.51.100.1"),
        ("fd00::1", &["2001:db8::5"], "2001:db8::5"),
        // The trusted proxy wrote only the last address; the caller sent the rest.
        ("10.1.2.3", &["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", &["127.0.0.1", "198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", &["198.51.100.1, 192.0.2.7"], "198.51.100.1"),
        ("10.1.2.3", &["198.51.100.1", "10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", &["198.51.100.1:4711"], "198.51.100.1"),
        ("10.1.2.3", &["[2001:db8::5]:4711"], "2001:db8::5"),
        ("10.1.2.3", &["[2001:db8::5]"], "2001:db8::5"),
        ("10.1.2.3", &["[2001:db8::5"], "10.1.2.3"),
        ("10.1.2.3", &["198.51.100.1, unknown"], "10.1.2.3"),
        ("10.1.2.3", &["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
    ] {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            let name = HeaderName::from_static("x-forwarded-for");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let peer: IpAddr = peer.parse().expect("an address");
        assert_eq!(client(peer, &headers, &proxies).to_string(), expected, "{peer} {forwarded:?}");
    }
    assert_eq!(Networks::parse("10.0.0.0/33"), None);
    assert_eq!(Networks::parse("proxy.example"), None);
}

async fn panics() -> HttpResponse {
    panic!("on purpose")
}

async fn works() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Sends a request and returns its response, which arrives in one piece.
fn ask(connection: &mut TcpStream, path: &str) -> String {
    write!(connection, "GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n").expect("sent");
    let mut bytes = [0; 4096];
    let read = connection.read(&mut bytes).expect("an answer");
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

#[actix_web::test]
async fn handler_that_panics_is_answered_with_500_and_its_connection_stays_open() {
    let log = Kept::default();
    let scope = Scope::new(log.logger(), Duration::from_secs(5), Shutdown::default(), Networks::default());
    let data = web::Data::new(scope.clone());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = move || {
        let app = App::new().wrap(from_fn(request_scope)).app_data(data.clone());
        app.route("/panics", web::get().to(panics)).route("/works", web::get().to(works))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).expect("listens").run();
    let handle = server.handle();
    let (answered, answers) = tokio::sync::oneshot::channel();
    let client = std::thread::Builder::new().name("client".to_owned()).spawn(move || {
        let mut connection = TcpStream::connect(address).expect("a connection");
        let paths = ["/panics", "/works", "/panics", "/works"];
        answered.send(paths.map(|path| ask(&mut connection, path))).expect("a receiver");
    });
    client.expect("a thread");
    let answers = async {
        let answers = tokio::time::timeout(Duration::from_secs(10), answers).await;
        handle.stop(false).await;
        answers.expect("in time").expect("answers")
    };
    let (served, [first, second, third, fourth]) = tokio::join!(server, answers);
    served.expect("served");
    for panicked in [first, third] {
        assert!(panicked.starts_with("HTTP/1.1 500 ") && panicked.contains("request-id: "), "{panicked}");
        assert!(panicked.contains("application/problem+json") || panicked.contains("\"code\""), "{panicked}");
        assert!(!panicked.contains("on purpose"), "{panicked}");
    }
    for worked in [second, fourth] {
        assert!(worked.starts_with("HTTP/1.1 200 "), "{worked}");
    }
    assert_eq!(scope.in_flight(), 0);
    let lines = log.lines();
    let logged = |field: &str, value: &str| lines.iter().filter(|line| line[field] == value).count();
    assert_eq!(
        (logged("msg", "handler panicked"), logged("error_code", "panic"), logged("outcome", "failed")),
        (2, 2, 2)
    );
}
