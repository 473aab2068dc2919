//! The socket of a listener.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use super::StartError;

/// Connections that the kernel holds before they are accepted. It may hold fewer: `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;
/// What the kernel holds of each connection in each direction. Linux doubles it.
const SOCKET_BUFFER: usize = 64 * 1024;

/// Binds the address, so that a port that is taken is told before anything else is opened.
pub fn bind(variable: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // As the standard library does: a restart need not wait for connections of the process before it.
        socket.set_reuse_address(true)?;
        // Accepted sockets inherit both.
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    bound().map_err(|error| StartError::Listen { variable, address, error })
}
