//! Tests of the framing: tables, and a property test against the parser of actix-http.

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Head {
    head(text.as_bytes())
}

#[test]
fn headers_decide_where_a_request_ends() {
    for (headers, expected) in [
        ("", Body::Whole),
        ("content-length: 0\r\n", Body::Whole),
        ("Content-Length: 12\r\n", Body::Length(12)),
        ("content-length:  12 \r\n", Body::Length(12)),
        ("transfer-encoding: chunked\r\n", Body::Chunked(Chunk::SizeFirst)),
        ("Transfer-Encoding: CHUNKED\r\n", Body::Chunked(Chunk::SizeFirst)),
        ("upgrade: h2c\r\nconnection: upgrade\r\n", Body::Whole),
        // The length of each request below is ambiguous.
        ("content-length: 2\r\ncontent-length: 2\r\n", Body::Doubtful),
        ("content-length: 2, 2\r\n", Body::Doubtful),
        ("content-length: +2\r\n", Body::Doubtful),
        ("content-length: -2\r\n", Body::Doubtful),
        ("content-length: 0x2\r\n", Body::Doubtful),
        ("content-length: 2 2\r\n", Body::Doubtful),
        ("content-length:\r\n", Body::Doubtful),
        ("content-length: 18446744073709551616\r\n", Body::Doubtful),
        ("content-length: 2\r\ntransfer-encoding: chunked\r\n", Body::Doubtful),
        ("transfer-encoding: chunked\r\ncontent-length: 0\r\n", Body::Doubtful),
        ("transfer-encoding: gzip, chunked\r\n", Body::Doubtful),
        ("transfer-encoding: chunked, identity\r\n", Body::Doubtful),
        ("transfer-encoding: identity\r\n", Body::Doubtful),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", Body::Doubtful),
        ("transfer-encoding: \"chunked\"\r\n", Body::Doubtful),
        ("upgrade: websocket\r\n", Body::Doubtful),
        ("upgrade: h2c, WebSocket\r\ncontent-length: 2\r\n", Body::Doubtful),
    ] {
        let text = format!("POST / HTTP/1.1\r\nhost: shop\r\n{headers}\r\n");
        let expected = Head::Whole { length: text.len(), body: expected, expects_continue: false };
        assert_eq!(read(&text), expected, "{headers:?}");
        assert_eq!(read(&text[..text.len() - 1]), Head::Partial, "{headers:?}");
    }
    let old = read("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n");
    assert!(matches!(old, Head::Whole { body: Body::Doubtful, .. }), "{old:?}");
    let tunnel = read("CONNECT shop:80 HTTP/1.1\r\nhost: shop\r\n\r\n");
    assert!(matches!(tunnel, Head::Whole { body: Body::Doubtful, .. }), "{tunnel:?}");
}

#[test]
fn a_head_that_is_not_http_is_refused() {
    for text in [
        "\x16\x03\x01\x02\x00",
        "GET / HTTP/3.7\r\n",
        "GET / HTTP/1.1\r\nname : value\r\n",
        "GET / HTTP/1.1\r\nx-folded: a\r\n b\r\n",
        "GET / HTTP/1.1\r\nx-nul: a\0b\r\n",
    ] {
        assert_eq!(read(text), Head::Malformed, "{text:?}");
    }
    let many = |count: usize| "x: y\r\n".repeat(count);
    assert_eq!(read(&format!("GET / HTTP/1.1\r\n{}", many(MAX_HEADERS + 1))), Head::TooLarge);
    assert!(matches!(read(&format!("GET / HTTP/1.1\r\n{}\r\n", many(MAX_HEADERS))), Head::Whole { .. }));
}

#[test]
fn an_expectation_is_read_from_http_1_1_only() {
    let expects = |text: &str| matches!(read(text), Head::Whole { expects_continue: true, .. });
    assert!(expects("POST / HTTP/1.1\r\nexpect: 100-Continue\r\ncontent-length: 5\r\n\r\n"));
    assert!(!expects("POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n"));
    assert!(!expects("POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"));
    assert!(expects("GET / HTTP/1.1\r\nexpect: x, 100-continue\r\n\r\n"));
    assert!(!expects("POST / HTTP/1.1\r\nexpect: 200-ok\r\ncontent-length: 5\r\n\r\n"));
}

#[test]
fn a_chunked_body_ends_after_its_trailers() {
    for (text, taken, whole) in [
        ("0\r\n\r\nGET", 5, true),
        ("3\r\nabc\r\n0\r\n\r\n", 13, true),
        ("A;name=\"v\"\r\n0123456789\r\n0 \t\r\n\r\n", 31, true),
        ("0\r\nx-sum: 1\r\ny: 2\r\n\r\nGET", 21, true),
        ("0\r\nx:\r\nX_1:\t\u{e4} :\r\n\r\nGET", 20, true),
        ("3\r\nab", 5, false),
        ("0\r\n\r", 4, false),
    ] {
        let mut body = Body::Chunked(Chunk::SizeFirst);
        assert_eq!((body.take(text.as_bytes()), body.is_whole()), (taken, whole), "{text:?}");
    }
}

#[test]
fn a_byte_that_breaks_the_chunked_coding_is_the_last_one() {
    for (text, taken) in [
        ("\r\n0\r\n\r\n", 1),
        ("g\r\n", 1),
        ("3\nabc\r\n", 2),
        ("3 4\r\n", 3),
        ("3\r\nabcd\r\n", 7),
        ("3\r\nabc\n0\r\n\r\n", 7),
        ("3\r\nabc\rx", 8),
        ("10000000000000000\r\n", 17),
        ("1;a\0\r\n", 4),
        ("0\r\n\rx", 5),
        ("0\r\nx: 1\rx", 9),
        ("0\r\nx\r\n\r\n", 6),
        ("0\r\n: 1\r\n\r\n", 8),
        ("0\r\nx : 1\r\n\r\n", 10),
        ("0\r\nx: 1\r\n y\r\n\r\n", 13),
        ("0\r\nx: a\0b\r\n\r\n", 11),
    ] {
        let mut body = Body::Chunked(Chunk::SizeFirst);
        assert_eq!((body.take(text.as_bytes()), body), (taken, Body::Doubtful), "{text:?}");
    }
}

/// Splits bytes into pieces, as the network does.
fn cut(bytes: &[u8], mut at: Vec<usize>) -> Vec<Vec<u8>> {
    at.iter_mut().for_each(|at| *at %= bytes.len() + 1);
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

fn bodies() -> impl Strategy<Value = (Body, Vec<u8>)> {
    let length = (0..300_u64, prop::collection::vec(any::<u8>(), 0..400))
        .prop_map(|(length, bytes)| (if length == 0 { Body::Whole } else { Body::Length(length) }, bytes));
    let valid = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6).prop_map(|chunks| {
        let mut bytes = Vec::new();
        for chunk in chunks {
            bytes.extend_from_slice(format!("{:x};a=b\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(&chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        (Body::Chunked(Chunk::SizeFirst), bytes)
    });
    let wild = prop::collection::vec(prop::sample::select(b"0123af;\r\n x".to_vec()), 0..60)
        .prop_map(|bytes| (Body::Chunked(Chunk::SizeFirst), bytes));
    prop_oneof![length, valid, wild]
}

proptest! {
    #[test]
    fn a_body_in_pieces_ends_where_it_ends_in_one((body, bytes) in bodies(), at in prop::collection::vec(any::<usize>(), 0..8)) {
        let mut once = body;
        let taken = once.take(&bytes);
        let (mut pieces, mut sum) = (body, 0);
        for piece in cut(&bytes, at) {
            let here = pieces.take(&piece);
            sum += here;
            if here < piece.len() {
                break;
            }
        }
        prop_assert_eq!((taken, once), (sum, pieces));
    }

    #[test]
    fn a_head_in_pieces_is_what_it_is_in_one(more in "[a-z]{1,9}: [ -~]{0,30}\r\n", at in any::<usize>()) {
        let text = format!("\r\nPOST /a HTTP/1.1\r\nhost: shop\r\n{more}content-length: 7\r\n\r\n0123456");
        let whole = head(text.as_bytes());
        let end = match &whole { Head::Whole { length, .. } => *length, _ => text.len() };
        let part = head(&text.as_bytes()[..at % end]);
        prop_assert!(part == Head::Partial || (part == Head::Malformed && whole == Head::Malformed), "{:?}", part);
    }
}

/// How many bytes the parser of actix-http takes for one request. `None` if it refuses the request or waits for more
/// bytes.
fn taken_by_the_service(bytes: &[u8]) -> Option<usize> {
    use actix_codec::Decoder;
    use actix_http::h1::{Codec, Message, MessageType};
    let (mut codec, mut rest) = (Codec::default(), bytes::BytesMut::from(bytes));
    loop {
        match codec.decode(&mut rest).ok()?? {
            Message::Item(_) if matches!(codec.message_type(), MessageType::None) => break,
            Message::Chunk(None) => break,
            Message::Item(_) | Message::Chunk(Some(_)) => {}
        }
    }
    Some(bytes.len() - rest.len())
}

/// How many bytes the guard takes for one request. `None` if the guard passes no other request after it. `usize::MAX`
/// if the guard waits for more bytes.
fn taken_by_the_guard(bytes: &[u8]) -> Option<usize> {
    let (length, mut body) = match head(bytes) {
        Head::Whole { length, body, .. } => (length, body),
        Head::Partial => return Some(usize::MAX),
        Head::TooLarge | Head::Malformed => return None,
    };
    let taken = length + body.take(&bytes[length..]);
    match body {
        Body::Whole => Some(taken),
        Body::Doubtful => None,
        Body::Length(_) | Body::Chunked(_) => Some(usize::MAX),
    }
}

/// Requests that HTTP implementations read differently.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec!["GET", "POST", "HEAD", "CONNECT", "get"]);
    let version = prop::sample::select(vec!["1.1", "1.1", "1.1", "1.0"]);
    let header = prop::sample::select(vec![
        "content-length: 5",
        "Content-Length:5 ",
        "content-length: 05",
        "content-length: 0",
        "content-length: 5, 5",
        "content-length: +5",
        "content-length: 0x5",
        "content-length: 5\t",
        "content-length:",
        "content-length : 5",
        "content_length: 5",
        "transfer-encoding: chunked",
        "Transfer-Encoding: Chunked ",
        "transfer-encoding: identity",
        "transfer-encoding: identity, chunked",
        "transfer-encoding:\x0bchunked",
        "transfer-encoding: x\u{a0}chunked",
        "upgrade: websocket",
        "upgrade: h2c",
        "connection: upgrade",
        "connection: close",
        "expect: 100-continue",
        "x: y",
    ]);
    let end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r\r\n"]);
    let headers = prop::collection::vec((header, end.clone()), 0..4);
    let body = prop_oneof![
        Just("hello".to_owned()),
        Just("5\r\nhello\r\n0\r\n\r\n".to_owned()),
        Just("5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n".to_owned()),
        "[05a;\r\n x]{0,20}",
    ];
    (method, version, headers, end, body).prop_map(|(method, version, headers, end, body)| {
        let lines: String = headers.iter().map(|(header, end)| format!("{header}{end}")).collect();
        let next = "GET /next HTTP/1.1\r\nhost: shop\r\n\r\n";
        format!("{method} / HTTP/{version}\r\nhost: shop\r\n{lines}{end}{body}{next}").into_bytes()
    })
}

/// The guard sees the same end as the service, or is stricter.
#[test]
fn request_ends_where_the_service_sees_its_end() {
    actix_web::rt::System::new().block_on(async {
        let agree = std::cell::Cell::new(0);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(20_000));
        let ran = runner.run(&requests(), |bytes| {
            let (guard, service) = (taken_by_the_guard(&bytes), taken_by_the_service(&bytes));
            agree.set(agree.get() + usize::from(guard.is_some() && guard == service));
            let text = String::from_utf8_lossy(&bytes);
            prop_assert!(
                guard.is_none() || service.is_none() || guard == service,
                "{:?} {:?} {}",
                guard,
                service,
                text
            );
            Ok(())
        });
        ran.unwrap_or_else(|error| panic!("{error}"));
        assert!(agree.get() > 2_000, "only {} requests were whole", agree.get());
    });
}
