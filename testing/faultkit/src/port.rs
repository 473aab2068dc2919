//! Reserves a port, so that no other process gets it even while nothing listens on it. `xtask` compiles this file too,
//! by its path.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A reserved port of loopback. While nothing listens on the port, connections to it are refused, but no other process
/// gets the port.
///
/// A listener with the option `SO_REUSEADDR` can be bound to the port while it is reserved. The listeners of the
/// standard library, of tokio and of Postgres have this option.
pub struct Port {
    _socket: Socket,
    address: SocketAddr,
}

impl Port {
    /// Reserves a free port that the system chooses.
    pub fn keep() -> Self {
        let socket = bound((Ipv4Addr::LOCALHOST, 0).into());
        let address = socket.local_addr().expect("bound").as_socket().expect("an IP address");
        Self { _socket: socket, address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a non-blocking listener on the port.
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
