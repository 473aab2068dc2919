//! Tests of `shutdown.rs`.

#[cfg(target_os = "linux")]
use std::io::{Read, Write};

use super::*;

#[cfg(target_os = "linux")]
#[test]
fn filter_drops_new_connections_and_keeps_those_in_the_queue() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut early = std::net::TcpStream::connect(address).expect("a connection");
    drop_new_connections(&listener).expect("a filter");
    let late = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100));
    assert_eq!(late.expect_err("dropped").kind(), io::ErrorKind::TimedOut);

    let (mut accepted, _) = listener.accept().expect("the early one");
    early.write_all(b"?").expect("sent");
    let mut received = [0];
    accepted.read_exact(&mut received).expect("received");
    assert_eq!(&received, b"?");
}

#[tokio::test]
async fn late_connection_that_keeps_sending_is_closed_after_a_bounded_number_of_bytes() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let done = CancellationToken::new();
    let flood = async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").await.expect("sent");
        let (mut answer, mut sent) = (vec![0; REFUSAL.len()], 0);
        stream.read_exact(&mut answer).await.expect("an answer");
        while let Ok(more) = stream.write(&[0; 64 * 1024]).await {
            sent += more;
        }
        done.cancel();
        (answer, sent)
    };
    let (refused, (answer, sent)) = tokio::join!(refuse_connections(listener, done.clone()), flood);
    assert_eq!((refused.expect("refused"), answer.as_slice()), (1, REFUSAL));
    // The kernel's buffers of both sides are included.
    assert!(sent < 16 << 20, "{sent} bytes");
}

#[test]
fn refusal_has_the_content_length_that_it_states() {
    let text = std::str::from_utf8(REFUSAL).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
}

/// Accepting on a socket that does not listen always fails. The paused clock advances only while every task waits, so
/// this test would not end if the accept were repeated without a pause.
#[tokio::test(start_paused = true)]
async fn accept_error_that_lasts_is_repeated_after_a_pause_and_reported() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let done = CancellationToken::new();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        done.cancel();
    };
    let (refused, ()) = tokio::join!(refuse_connections(socket.into(), done.clone()), stop);
    assert_eq!(refused.expect_err("the error lasts").kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn connection_behind_a_failed_accept_is_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut clients: Vec<_> = (0..2).map(|_| std::net::TcpStream::connect(address).expect("a connection")).collect();
    let error = |error: rustix::io::Errno| io::Error::from_raw_os_error(error.raw_os_error());
    let mut results = vec![
        Err(error(rustix::io::Errno::MFILE)),
        Ok(listener.accept().expect("a connection").0),
        Err(error(rustix::io::Errno::CONNABORTED)),
        Err(error(rustix::io::Errno::MFILE)),
        Ok(listener.accept().expect("a connection").0),
        Err(io::ErrorKind::WouldBlock.into()),
    ]
    .into_iter();
    let mut refusals = JoinSet::new();
    let refused = refuse_waiting(|| results.next().expect("a result"), &mut refusals).await;
    assert_eq!(refused.expect("every connection was refused"), 2);
    for client in &mut clients {
        std::io::Write::write_all(client, b"GET / HTTP/1.1\r\n\r\n").expect("sent");
        client.shutdown(std::net::Shutdown::Write).expect("sent");
    }
    while refusals.join_next().await.is_some() {}
    for client in &mut clients {
        let mut answer = Vec::new();
        std::io::Read::read_to_end(client, &mut answer).expect("an answer");
        assert_eq!(answer, REFUSAL);
    }
}
