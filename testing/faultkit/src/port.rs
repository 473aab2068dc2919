//! A port that stays the test's own whether or not something listens on it.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// Keeps a port of loopback: a connection is refused while nothing listens, and no other process gets the port.
///
/// A port that was chosen and given back can be taken by another process before the test uses it.
pub struct Port {
    _socket: Socket,
    address: SocketAddr,
}

impl Port {
    /// One that the system chooses.
    pub fn keep() -> Self {
        let socket = bound((Ipv4Addr::LOCALHOST, 0).into());
        let address = socket.local_addr().expect("bound").as_socket().expect("an IP address");
        Self { _socket: socket, address }
    }

    /// A listener that names this address and has `SO_REUSEADDR`, as those of the standard library and tokio have, can be
    /// bound while the port is kept.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on it, until the listener is dropped.
    pub fn listen(&self) -> std::net::TcpListener {
        let socket = bound(self.address);
        socket.listen(128).expect("listens");
        socket.into()
    }
}

/// It does not block.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.set_nonblocking(true).expect("an option");
    socket.bind(&address.into()).unwrap_or_else(|error| panic!("{address}: {error}"));
    socket
}

#[cfg(test)]
mod tests {
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
            drop(TcpListener::bind(port.address()).expect("a listener of the standard library fits in"));
        }
    }
}
