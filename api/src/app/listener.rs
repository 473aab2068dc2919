//! The socket of a listener.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use super::StartError;

/// The length of the kernel's queue of connections that wait to be accepted. `net.core.somaxconn` may lower it.
const BACKLOG: i32 = 4_096;
/// The kernel's buffer of each connection and direction, in bytes. Linux doubles the value.
const SOCKET_BUFFER: usize = 64 * 1024;

/// Binds the address. The start does this first, so that a port in use is reported before anything is opened.
pub fn bind(variable: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // As in the standard library: a restart does not wait for the connections of the previous process.
        socket.set_reuse_address(true)?;
        // Accepted sockets inherit both sizes.
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    bound().map_err(|error| StartError::Listen { variable, address, error })
}
