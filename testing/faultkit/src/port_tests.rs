//! Tests of `port.rs`.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};

use super::*;

#[test]
fn kept_port_refuses_connections_while_nothing_listens_and_can_be_listened_on_again() {
    let port = Port::keep();
    for _ in 0..2 {
        let refused = TcpStream::connect(port.address()).expect_err("nothing listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let listener = port.listen();
        TcpStream::connect(port.address()).expect("something listens");
        drop(listener);
        drop(TcpListener::bind(port.address()).expect("a listener of the standard library"));
    }
}
