//! The size of responses is limited, and redirects are not followed. A call without a response reports the reason and
//! the possible effect.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use domain::secret::Secret;
use integrations::outbound::{Call, Destination, Effect, Outbound, OutboundConfig, Reason, Reply};

use crate::kit::{
    AMPLE, Lines, Names, STATUS, Server, Visit, WHOLE, config, ctx, ctx_with, given, limits, outbound, post,
};

async fn send(server: &Server, body_is_needed: bool) -> Result<Reply, (Reason, Effect)> {
    let outbound = outbound();
    let call = post(given(&outbound, server), limits(AMPLE, body_is_needed));
    outbound.send(&ctx(AMPLE), call).await.map_err(|error| (error.reason, error.effect))
}

#[tokio::test]
async fn redirect_is_a_response_and_is_never_followed() {
    let elsewhere = Server::start(|visit: Visit| visit.answer("200 OK", "", "secrets")).await;
    for location in [format!("http://{}/", elsewhere.address), "http://169.254.169.254/latest/meta-data/".to_owned()] {
        for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
            let headers = format!("location: {location}\r\n");
            let server = Server::start(move |visit: Visit| {
                let headers = headers.clone();
                async move { visit.answer(status, &headers, "").await }
            })
            .await;
            let reply = send(&server, STATUS).await.expect("an answer");
            assert!(status.starts_with(&reply.status.to_string()));
            assert!(reply.is_redirect() && !reply.is_success());
            assert_eq!(reply.header("location"), Some(location.as_str()));
            assert_eq!(server.requests().len(), 1);
        }
    }
    assert!(elsewhere.requests().is_empty());
}

/// Starts a server that sends without end. Also returns the count of the bytes that the server has sent.
async fn endless(head: &'static str) -> (Server, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let server = Server::start(move |mut visit: Visit| {
        let count = Arc::clone(&count);
        async move {
            let _ = visit.send(head).await;
            let piece = vec![b'x'; 8192];
            while visit.send(&piece).await.is_ok() {
                count.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    })
    .await;
    (server, written)
}

#[tokio::test]
async fn endless_body_is_read_up_to_the_limit() {
    const UNBOUNDED: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    const ANNOUNCED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
    // The most bytes that the buffers of both sockets can hold.
    const BUFFERS: usize = 32 * 1024 * 1024;
    for (head, read) in [(UNBOUNDED, 1000), (ANNOUNCED, 0)] {
        let (server, written) = endless(head).await;
        let reply = send(&server, STATUS).await.expect("a status");
        assert_eq!((reply.status, reply.body.len()), (200, read));
        assert_eq!(send(&server, WHOLE).await.expect_err("too large"), (Reason::TooLarge, Effect::Unknown));
        assert!(written.load(Ordering::Relaxed) < BUFFERS);
    }
}

#[tokio::test]
async fn body_of_exactly_the_limit_is_complete() {
    let server = Server::start(|visit: Visit| async move { visit.answer("200 OK", "", &"x".repeat(1000)).await }).await;
    let reply = send(&server, WHOLE).await.expect("an answer");
    assert_eq!(reply.body.len(), 1000);
}

#[tokio::test]
async fn broken_body_fails_unless_only_the_status_is_needed() {
    const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
    let cut = Server::start(|mut visit: Visit| async move {
        let _ = visit.send(HALF).await;
    })
    .await;
    let reset = Server::start(|mut visit: Visit| async move {
        let _ = visit.send(HALF).await;
        visit.reset();
    })
    .await;
    for server in [cut, reset] {
        assert_eq!(send(&server, WHOLE).await.expect_err("half"), (Reason::Broken, Effect::Unknown));
        let outcome = send(&server, STATUS).await;
        // A reset may discard the bytes that were sent before it, including the status.
        let is_expected = match &outcome {
            Ok(reply) => reply.status == 200 && reply.body == b"half",
            Err(failure) => *failure == (Reason::Broken, Effect::Unknown),
        };
        assert!(is_expected, "{outcome:?}");
    }
}

#[tokio::test]
async fn request_without_response_may_have_had_an_effect() {
    let closed = Server::start(|_| async {}).await;
    let reset = Server::start(|visit: Visit| async { visit.reset() }).await;
    let garbage = Server::start(|mut visit: Visit| async move {
        let _ = visit.send("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    })
    .await;
    for server in [closed, reset, garbage] {
        assert_eq!(send(&server, WHOLE).await.expect_err("no answer"), (Reason::Broken, Effect::Unknown));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn unreachable_destination_has_no_effect() {
    let nowhere = Arc::new(Names(|_| Err(io::Error::other("no such name")), Mutex::default()));
    let outbound = Outbound::new(OutboundConfig { lookup: nowhere, ..config() }).expect("a client");
    let closed = faultkit::Port::keep();
    let refused = outbound.untrusted(&format!("http://{}/", closed.address())).expect("allowed");
    let plain = Server::start(|visit: Visit| visit.answer("200 OK", "", "")).await;
    let no_tls = outbound.untrusted(&format!("https://{}/", plain.address)).expect("allowed");
    let hopeless = Destination::trusted("https://gateway.internal/").expect("allowed");
    for to in [refused, no_tls, hopeless] {
        let error = outbound.send(&ctx(AMPLE), post(to, limits(AMPLE, WHOLE))).await.expect_err("unreachable");
        assert_eq!((error.reason, error.effect), (Reason::Unreachable, Effect::None));
    }
    assert!(plain.requests().is_empty());
}

#[tokio::test]
async fn invalid_header_is_refused_before_sending() {
    let server = Server::start(|visit: Visit| visit.answer("200 OK", "", "")).await;
    let outbound = outbound();
    let call = post(given(&outbound, &server), limits(AMPLE, WHOLE)).header("webhook-id", "one\r\nx-other: two");
    let error = outbound.send(&ctx(AMPLE), call).await.expect_err("no header");
    assert_eq!((error.reason, error.effect), (Reason::BadRequest, Effect::None));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn request_has_no_trace_no_deadline_and_no_cookie() {
    let server = Server::start(|visit: Visit| visit.answer("200 OK", "set-cookie: a=b\r\n", "")).await;
    let outbound = outbound();
    let ctx = ctx(AMPLE);
    for _ in 0..2 {
        let call = post(given(&outbound, &server), limits(AMPLE, WHOLE)).header("webhook-id", "evt_1");
        outbound.send(&ctx, call).await.expect("an answer");
    }
    for request in server.requests() {
        assert!(request.starts_with("post /hook?token=hidden http/1.1\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\na body"), "{request}");
        let header = |name: &str| {
            let lines = request.lines().filter_map(|line| line.split_once(": "));
            let found: Vec<_> = lines.filter(|(key, _)| *key == name).map(|(_, value)| value).collect();
            found
        };
        assert_eq!(header("accept-encoding"), ["identity"]);
        assert_eq!(header("user-agent"), [format!("tuckshop/{}", env!("CARGO_PKG_VERSION"))]);
        assert_eq!(header("content-length"), ["6"]);
        assert_eq!(header("webhook-id"), ["evt_1"]);
        // Headers for use inside the shop are not sent to destinations.
        for absent in
            ["traceparent", "tracestate", "request-timeout-ms", "request-id", "cookie", "referer", "transfer-encoding"]
        {
            assert!(header(absent).is_empty(), "{request}");
        }
    }
}

#[tokio::test]
async fn compressed_body_is_returned_as_received() {
    let server =
        Server::start(|visit: Visit| visit.answer("200 OK", "content-encoding: gzip\r\n", "not gzip at all")).await;
    assert_eq!(send(&server, WHOLE).await.expect("an answer").body, b"not gzip at all");
}

#[tokio::test]
async fn call_writes_one_log_line_without_secrets() {
    let server = Server::start(|visit: Visit| async move {
        match visit.number {
            0 => visit.answer("200 OK", "", "private").await,
            1 => visit.answer("500 Oops", "", "private").await,
            _ => visit.reset(),
        }
    })
    .await;
    let outbound = outbound();
    for expected in [
        ["INFO outbound call", "status=200", "outcome=answered"],
        ["WARN outbound call", "status=500", "outcome=answered"],
        ["WARN outbound call", "outcome=broken", "effect=unknown"],
    ] {
        let lines = Lines::default();
        let call = Call::post("test.post", given(&outbound, &server), limits(AMPLE, WHOLE))
            .bearer(&Secret::new("hidden"))
            .form([("card", "hidden")]);
        let debug = format!("{call:?} {:?}", outbound.send(&ctx_with(&lines, AMPLE), call.clone()).await);
        let [line] = lines.all().try_into().expect("one line");
        for part in expected.into_iter().chain(["op=test.post", "attempts=1", "elapsed_ms=", "request_id=req-1"]) {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(line.contains(&format!("host={}", server.address)), "{line}");
        for secret in ["hidden", "hook", "private"] {
            assert!(!line.contains(secret) && !debug.contains(secret), "{line} {debug}");
        }
    }
    assert!(server.requests()[0].contains("authorization: bearer hidden"));
}

/// The next test runs this test again, in a process whose environment has proxies.
#[tokio::test]
async fn call_connects_directly_to_its_destination() {
    let server = Server::start(|visit: Visit| visit.answer("200 OK", "", "")).await;
    assert_eq!(send(&server, WHOLE).await.expect("an answer").status, 200);
    assert!(server.requests()[0].starts_with("post /hook?token=hidden "), "the request is in the form for proxies");
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let mut again = std::process::Command::new(std::env::current_exe().expect("this test"));
    again.args(["--exact", "answers::call_connects_directly_to_its_destination"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        again.env(name, "http://127.0.0.1:1");
    }
    again.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = again.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
