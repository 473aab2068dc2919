//! Tests of the receiver of webhooks.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;

/// Sends two requests on one connection, and returns the heads of the responses.
fn send_twice(url: &str) -> Vec<String> {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut heads = Vec::new();
    for body in ["{}", "{\"id\":1}"] {
        write!(stream, "POST / HTTP/1.1\r\nhost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        heads.push(String::from_utf8(head).unwrap());
    }
    heads
}

#[test]
fn receiver_answers_every_request_of_a_connection() {
    let taken = send_twice(&Receiver::Takes { after: Duration::ZERO }.start().unwrap());
    assert!(taken.iter().all(|head| head.starts_with("HTTP/1.1 200 ")), "{taken:?}");
    let refused = send_twice(&Receiver::AsksToWait.start().unwrap());
    assert!(refused.iter().all(|head| head.contains(" 503 ") && head.contains("retry-after: 3600")), "{refused:?}");
}
