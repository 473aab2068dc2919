//! A port that no other process gets, whether or not something listens on it. `xtask` includes this file by its path.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// Keeps a port of loopback. A connection is refused while nothing listens, and no other process gets the port.
///
/// A listener with `SO_REUSEADDR` can be bound to the address while the port is kept. The listeners of the standard library,
/// of tokio and of Postgres have this option.
pub struct Port {
    _socket: Socket,
    address: SocketAddr,
}

impl Port {
    /// Keeps a port that the system chooses.
    pub fn keep() -> Self {
        let socket = bound((Ipv4Addr::LOCALHOST, 0).into());
        let address = socket.local_addr().expect("bound").as_socket().expect("an IP address");
        Self { _socket: socket, address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A listener on the port. It does not block.
    pub fn listen(&self) -> std::net::TcpListener {
        let socket = bound(self.address);
        socket.listen(128).expect("listens");
        socket.into()
    }
}

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
            drop(TcpListener::bind(port.address()).expect("a listener of the standard library"));
        }
    }
}
