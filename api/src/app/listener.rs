//! The socket of a listener.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use super::StartError;

/// The length of the kernel's queue of connections that wait to be accepted. `net.core.somaxconn` may lower it.
const BACKLOG: i32 = 4_096;
/// The size of the kernel's send buffer and of its receive buffer for each connection, in bytes. Linux doubles the
/// value.
const SOCKET_BUFFER: usize = 64 * 1024;

/// Binds the address and listens. The process does this first at start, so that it reports a port in use before it
/// opens anything else. An error names `variable`, the setting of the address.
pub fn bind(variable: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // The standard library sets this too, so that a restart does not wait until the connections of the previous
        // process expire.
        socket.set_reuse_address(true)?;
        // Accepted sockets inherit both sizes.
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    bound().map_err(|error: io::Error| {
        StartError(format!(
            "cannot listen on {address}: {error}. Set {variable} to another address, or stop the process that listens \
             there"
        ))
    })
}
