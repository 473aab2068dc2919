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
#[path = "port_tests.rs"]
mod tests;
