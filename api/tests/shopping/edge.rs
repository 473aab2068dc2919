//! The head of a request: too slow, too large, or not HTTP. Each is refused, and the shop goes on selling.

use crate::kit::Place;
use crate::kit::raw::{Raw, post};

/// Answers before the application is reached carry a status and nothing else to go by.
async fn status_of(raw: &mut Raw) -> u16 {
    raw.receive().await.status
}

async fn a_head_that_trickles_is_not_waited_for(place: Place) {
    let server = place.serve_with(&[("TUCKSHOP_HTTP_HEADER_TIMEOUT_MS", "500")]).await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(b"POST /checkout-sessions HTTP/1.1\r\nhost: shop\r\nx-slow: ").await;
        slow.push(raw);
    }
    // Whoever is quick is served meanwhile.
    server.get("/livez").without("ucp-agent").await.body(200);
    for mut raw in slow {
        assert_eq!(status_of(&mut raw).await, 408);
    }
}

async fn a_head_of_too_many_or_too_large_headers_is_refused(place: Place) {
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

async fn what_could_be_read_in_two_ways_is_refused(place: Place) {
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

crate::on_sqlite!(
    a_head_that_trickles_is_not_waited_for,
    a_head_of_too_many_or_too_large_headers_is_refused,
    what_could_be_read_in_two_ways_is_refused,
);
