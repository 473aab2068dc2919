//! Client connections: heads that are slow, too large or not HTTP, pipelined requests, and bodies that wait for `100
//! Continue`.

use serde_json::{Value, json};

use crate::kit::basket::basket;
use crate::kit::raw::{Raw, post};
use crate::kit::{Place, Server, until};

const GET: &str = "GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n";
const CHECKOUTS: &str = "/checkout-sessions";

/// The status of an answer from below the application, which has nothing else to compare.
async fn status_of(raw: &mut Raw) -> u16 {
    raw.receive().await.status
}

async fn trickling_head_is_refused_by_the_deadline(place: Place) {
    // An idle connection is kept for longer than the test waits.
    let settings = [("TUCKSHOP_HTTP_HEADER_TIMEOUT_MS", "500"), ("TUCKSHOP_HTTP_KEEP_ALIVE_MS", "600000")];
    let server = place.serve_with(&settings).await;
    let mut slow = Vec::new();
    for number in 0..50 {
        let mut raw = Raw::connect(server.address()).await;
        // The second head of a connection has the same deadline as the first.
        if number % 2 == 1 {
            raw.send(GET.as_bytes()).await;
            assert_eq!(status_of(&mut raw).await, 200);
        }
        raw.send(b"POST /checkout-sessions HTTP/1.1\r\nhost: shop\r\nx-slow: ").await;
        slow.push(raw);
    }
    // Other clients are served meanwhile.
    server.get("/livez").without("ucp-agent").await.body(200);
    for mut raw in slow {
        assert_eq!(status_of(&mut raw).await, 408);
    }
}

async fn head_with_too_many_or_too_large_headers_is_refused(place: Place) {
    let server = place.serve().await;
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let large = format!("x-large: {}\r\n", "y".repeat(1_000_000));
    for headers in [many, large] {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(post("/checkout-sessions", &headers).as_bytes()).await;
        assert_eq!(status_of(&mut raw).await, 431, "{} bytes", headers.len());
    }
    server.get("/livez").without("ucp-agent").await.body(200);
}

async fn ambiguous_framing_is_refused(place: Place) {
    let server = place.serve().await;
    for headers in [
        "content-length: 2\r\ntransfer-encoding: chunked\r\n",
        "content-length: 2\r\ncontent-length: 3\r\n",
        "x-folded: a\r\n b\r\n",
        "x-nul: a\0b\r\n",
    ] {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(format!("{}{{}}", post("/checkout-sessions", headers)).as_bytes()).await;
        assert_eq!(status_of(&mut raw).await, 400, "{headers:?}");
    }
    server.get("/livez").without("ucp-agent").await.body(200);
}

async fn upgrade_is_ignored_and_the_end_of_the_connection_is_announced(place: Place) {
    let server = place.serve().await;
    for headers in [
        "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\n",
    ] {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(format!("GET /livez HTTP/1.1\r\nhost: shop\r\n{headers}\r\n").as_bytes()).await;
        let answer = raw.receive().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{headers}");
        assert_eq!(raw.read_to_end().await, "");
    }
}

async fn body_of_unclear_length_is_refused_without_a_wait(place: Place) {
    // The longest timeout. A test waits less long for an answer.
    let server = place.serve_with(&[("TUCKSHOP_HTTP_BODY_TIMEOUT_MS", "60000")]).await;
    let write = |headers| create(headers, &basket(&[("gift_card", 1)]).to_string());
    for text in [
        write("connection: upgrade\r\nupgrade: websocket\r\n"),
        write("transfer-encoding: identity\r\n"),
        write("transfer-encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0"),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(text.as_bytes()).await;
        let answer = raw.receive().await;
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{text}");
    }
}

/// A write with these additional headers in its head and these bytes as its body.
fn create(headers: &str, body: &str) -> String {
    post(CHECKOUTS, &format!("{headers}content-length: {}\r\n", body.len())) + body
}

async fn pipelined_requests_are_answered_in_order_wherever_they_are_cut(place: Place) {
    let server = place.serve().await;
    let body = basket(&[("gift_card", 1)]).to_string();
    let chunked = post(CHECKOUTS, "transfer-encoding: chunked\r\n");
    let last = "GET /none HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";
    let (first, half) = (create("", &body), body.len() / 2);
    let (one, two) = body.split_at(half);
    let chunks = format!("{:x}\r\n{one}\r\n{:x};x=y\r\n{two}\r\n0\r\nx-sum: 1\r\n\r\n", one.len(), two.len());
    let text = format!("{first}{GET}{chunked}{chunks}{last}");
    for at in (1..text.len()).step_by(31) {
        // Each write needs its own key.
        let text = text.replace("idempotency-key: ", &format!("idempotency-key: cut{at:04}"));
        let mut raw = Raw::connect(server.address()).await;
        raw.send(&text.as_bytes()[..at]).await;
        raw.until_read_by_peer().await;
        raw.send(&text.as_bytes()[at..]).await;
        let answers = raw.read_to_end().await;
        let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        assert_eq!(statuses, ["201", "200", "201", "404"], "cut at {at}: {answers}");
    }
}

/// RFC 9112, section 7.1. The parser of the HTTP library accepts such trailers.
async fn chunked_body_that_is_malformed_is_refused_and_the_last_of_its_connection(place: Place) {
    let server = place.serve().await;
    let body = basket(&[("gift_card", 1)]).to_string();
    let chunk = format!("{:x}\r\n{body}\r\n", body.len());
    for rest in [
        "0\r\nno colon\r\n\r\n",
        "0\r\nx: 1\r\nno colon\r\n\r\n",
        "0\r\nname : 1\r\n\r\n",
        "0\r\n: 1\r\n\r\n",
        "0\r\nx: 1\r\n folded\r\n\r\n",
        "0\r\nx: 1\n\r\n",
        "zero\r\n\r\n",
    ] {
        let chunked = post(CHECKOUTS, "transfer-encoding: chunked\r\n");
        for cut in [0, 4] {
            let mut raw = Raw::connect(server.address()).await;
            let text = format!("{chunked}{chunk}{rest}");
            raw.send(&text.as_bytes()[..text.len() - cut]).await;
            raw.until_read_by_peer().await;
            raw.send(format!("{}{GET}", &text[text.len() - cut..]).as_bytes()).await;
            let answers = raw.read_to_end().await;
            let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
            assert_eq!(statuses, ["400"], "{rest:?}: {answers}");
        }
    }
}

async fn refusal_decided_by_the_head_comes_without_100_continue(place: Place) {
    let server = place.serve().await;
    let head = |path: &str, more: &str| post(path, &format!("expect: 100-continue\r\n{more}"));
    let body = "content-length: 5\r\n";
    let without = |name: &str| {
        let head = head(CHECKOUTS, body);
        head.split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect::<String>()
    };
    for (head, status, code) in [
        (head("/none", body), 404, "no_such_route"),
        (head("/livez", body), 405, "method_not_allowed"),
        (without("ucp-agent"), 400, "invalid_profile_url"),
        (without("idempotency-key"), 400, "missing_idempotency_key"),
        (
            without("content-type").replace("expect", "content-type: text/plain\r\nexpect"),
            415,
            "unsupported_media_type",
        ),
        (head(CHECKOUTS, "content-length: 5000000\r\n"), 413, "body_too_large"),
        (head(CHECKOUTS, &format!("content-encoding: gzip\r\n{body}")), 415, "unsupported_content_encoding"),
        (
            head(CHECKOUTS, "content-encoding: gzip\r\ntransfer-encoding: chunked\r\n"),
            415,
            "unsupported_content_encoding",
        ),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(head.as_bytes()).await;
        let refused = raw.receive().await.problem(status, code);
        assert_eq!(refused.header("connection"), Some("close"), "{head}");
        let identity = (code == "unsupported_content_encoding").then_some("identity");
        assert_eq!(refused.header("accept-encoding"), identity, "{head}");
        assert_eq!(raw.read_to_end().await, "", "{head}");
    }
    let body = basket(&[("gift_card", 1)]).to_string();
    for framing in ["content-length", "transfer-encoding"] {
        let (more, sent) = match framing {
            "content-length" => (format!("content-length: {}\r\n", body.len()), body.clone()),
            _ => ("transfer-encoding: chunked\r\n".to_owned(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
        };
        let mut raw = Raw::connect(server.address()).await;
        raw.send(head(CHECKOUTS, &more).as_bytes()).await;
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(raw.read_exactly(interim.len()).await, interim);
        raw.send(sent.as_bytes()).await;
        assert_eq!(raw.receive().await.status, 201, "{framing}");
    }
}

async fn body_in_a_content_coding_is_refused(place: Place) {
    let server = place.serve().await;
    let body = basket(&[("gift_card", 1)]);
    for coding in ["gzip", "br", "deflate", "zstd", "identity, gzip", "x-unknown"] {
        let request = server.post(CHECKOUTS, &body).header("content-encoding", coding);
        let refused = request.await.problem(415, "unsupported_content_encoding");
        assert_eq!(refused.header("accept-encoding"), Some("identity"), "{coding}");
    }
    let _ = server.post(CHECKOUTS, &body).header("content-encoding", "identity").await.expect(201);
}

/// Closing a socket with unread bytes resets its connection, and the client may lose the answer.
async fn closing_answer_is_not_followed_by_a_reset(place: Place) {
    let settings = [
        ("TUCKSHOP_HTTP_HEADER_TIMEOUT_MS", "500"),
        ("TUCKSHOP_HTTP_BODY_TIMEOUT_MS", "500"),
        ("TUCKSHOP_HTTP_WORKERS", "1"),
        ("TUCKSHOP_HTTP_MAX_CONNECTIONS", "16"),
    ];
    let server = place.serve_with(&settings).await;
    let (ahead, chunk) = (GET.repeat(100), "4\r\nabcd\r\n".repeat(100));
    let closing = GET.replace("host: shop", "host: shop\r\nconnection: close");
    let old = GET.replace("HTTP/1.1", "HTTP/1.0");
    let malformed = post(CHECKOUTS, "x-nul: a\0b\r\n");
    let doubtful = post(CHECKOUTS, "content-length: 2\r\ntransfer-encoding: chunked\r\n");
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let announced = |path: &str, bytes: usize| post(path, &format!("content-length: {bytes}\r\n"));
    let chunked = |path: &str| post(path, "transfer-encoding: chunked\r\n");
    let mut reset = Vec::new();
    for (case, sent, status) in [
        ("the client asks for the close", format!("{closing}{ahead}"), 200),
        ("HTTP/1.0", format!("{old}{ahead}"), 200),
        ("a part of another head", format!("{closing}GET /li"), 200),
        ("a malformed head", format!("{malformed}{ahead}"), 400),
        ("a body of two lengths", format!("{doubtful}{chunk}"), 400),
        ("too many headers", format!("{}{ahead}", post(CHECKOUTS, &many)), 431),
        ("a slow head", format!("{GET}GET /livez HTTP/1.1\r\nx: "), 408),
        ("a body that is announced too large", format!("{}{chunk}", announced(CHECKOUTS, 5_000_000)), 413),
        ("a body that no handler reads", format!("{}{chunk}", chunked("/none")), 404),
        ("a slow body", format!("{}{chunk}", announced(CHECKOUTS, 5_000)), 408),
        ("a method without a route", format!("{}{chunk}", chunked("/livez")), 405),
        ("a tunnel", format!("CONNECT shop:1 HTTP/1.1\r\nhost: shop\r\n\r\n{ahead}"), 404),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(sent.as_bytes()).await;
        if case == "a slow head" {
            assert_eq!(status_of(&mut raw).await, 200, "{case}");
        }
        assert_eq!(status_of(&mut raw).await, status, "{case}");
        // The client has not seen the end of the connection yet and sends more.
        raw.send(b"more").await;
        raw.finish().await;
        assert_eq!(raw.read_to_end().await, "", "{case}");
        until("the shop has closed the connection", async || (open_connections(&server).await == 1).then_some(()))
            .await;
        reset.extend(raw.was_reset().then_some(case));
    }
    assert_eq!(reset, [""; 0]);
    // The shop closes idle connections when few are left.
    let mut idle = Vec::new();
    for _ in 0..13 {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(GET.as_bytes()).await;
        assert_eq!(status_of(&mut raw).await, 200);
        idle.push(raw);
    }
    let mut raw = Raw::connect(server.address()).await;
    raw.send(ahead.as_bytes()).await;
    let answer = raw.receive().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    raw.finish().await;
    assert_eq!(raw.read_to_end().await, "");
    drop(idle);
    until("the shop has closed every idle connection", async || (open_connections(&server).await == 1).then_some(()))
        .await;
    assert!(!raw.was_reset());
}

/// The open connections of the shop, including the one of this request. Every call uses a new connection, because a
/// client may keep several.
async fn open_connections(server: &Server) -> Value {
    server.get("/statusz").without("ucp-agent").header("connection", "close").await.json["connections"]["open"].clone()
}

async fn held_bytes(server: &Server) -> Value {
    server.get("/statusz").without("ucp-agent").await.json["connections"]["held_bytes"].clone()
}

/// Bodies of up to 8 KiB are not counted against the buffer, so that a client with large bodies cannot keep small ones
/// out.
async fn small_body_is_read_while_large_bodies_fill_the_buffer(place: Place) {
    let settings = [("TUCKSHOP_HTTP_HELD_BYTES", "1048576"), ("TUCKSHOP_HTTP_BODY_TIMEOUT_MS", "20000")];
    let server = place.serve_with(&settings).await;
    let mut large = Vec::new();
    for _ in 0..6 {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(post(CHECKOUTS, "content-length: 262144\r\n").as_bytes()).await;
        // The shop stops reading when the buffer is full. The kernels hold the rest.
        raw.send(" ".repeat(220_000).as_bytes()).await;
        large.push(raw);
    }
    let full = json!(1_048_576);
    until("the buffer is full", async || (held_bytes(&server).await == full).then_some(())).await;
    let body = basket(&[("gift_card", 1)]).to_string();
    let padded = format!("{body}{}", " ".repeat(8_192 - body.len()));
    for framing in ["content-length", "transfer-encoding"] {
        let request = match framing {
            "content-length" => create("", &padded),
            _ => {
                post(CHECKOUTS, "transfer-encoding: chunked\r\n") + &format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
            }
        };
        let mut raw = Raw::connect(server.address()).await;
        raw.send(request.as_bytes()).await;
        assert_eq!(raw.receive().await.status, 201, "{framing}");
    }
    assert_eq!(held_bytes(&server).await, full, "the buffer was not full all the time");
    drop(large);
    until("the buffer is empty", async || (held_bytes(&server).await == 0).then_some(())).await;
}

crate::on_sqlite!(
    trickling_head_is_refused_by_the_deadline,
    head_with_too_many_or_too_large_headers_is_refused,
    ambiguous_framing_is_refused,
    body_of_unclear_length_is_refused_without_a_wait,
    upgrade_is_ignored_and_the_end_of_the_connection_is_announced,
    pipelined_requests_are_answered_in_order_wherever_they_are_cut,
    chunked_body_that_is_malformed_is_refused_and_the_last_of_its_connection,
    refusal_decided_by_the_head_comes_without_100_continue,
    body_in_a_content_coding_is_refused,
    closing_answer_is_not_followed_by_a_reset,
    small_body_is_read_while_large_bodies_fill_the_buffer,
);
