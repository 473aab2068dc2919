//! How a reply is sent: whole, late, slowly, cut, replaced, or not at all.

use std::mem::MaybeUninit;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::dev::Extensions;
use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::stream;
use socket2::{SockRef, Socket};
use tokio::time::{Instant, sleep};

use crate::faults::Fault;
use crate::gateway::Reply;

/// The size of a piece of the fault `Drip`, in bytes.
const PIECE: usize = 10;
const BETWEEN_PIECES: Duration = Duration::from_millis(20);
/// The number of bytes that the fault `Huge` adds to the body.
const HUGE: usize = 10 * 1024 * 1024;
/// The longest time for which a call hangs. A caller usually closes the connection earlier.
const LONGEST_HANG: Duration = Duration::from_secs(600);
/// How often the simulator checks whether the caller of a hanging call has closed the connection.
const HANG_UP_POLL: Duration = Duration::from_millis(100);
/// The pause before a connection is cut, so that the bytes before the cut are sent.
const BEFORE_CUT: Duration = Duration::from_millis(50);
/// The body of the fault `Html`.
const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>It works!</body></html>\n";

/// A second handle of the connection's socket.
struct Connection(Socket);

/// Stores a second handle of the socket with each new connection. A fault uses the handle to reset the connection.
pub(crate) fn keep_socket(connection: &dyn std::any::Any, data: &mut Extensions) {
    let stream = connection.downcast_ref::<TcpStream>();
    if let Some(socket) = stream.and_then(|stream| SockRef::from(stream).try_clone().ok()) {
        data.insert(Connection(socket));
    }
}

pub(crate) async fn send(request: &HttpRequest, reply: Reply) -> HttpResponse {
    let mut response =
        HttpResponse::build(StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    response.content_type("application/json");
    for header in reply.headers {
        response.insert_header(header);
    }
    let body = reply.body;
    match reply.fault {
        Some(Fault::Late { ms }) => sleep(Duration::from_millis(ms)).await,
        Some(Fault::HangAfterEffect | Fault::HangWithoutEffect) => {
            hang(request).await;
            return reset(request, response);
        }
        Some(Fault::ResetAfterEffect | Fault::ResetWithoutEffect) => return reset(request, response),
        Some(Fault::Drip) => return drip(response, body),
        Some(Fault::Truncated) => {
            let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
            return cut(response, body.len(), half);
        }
        Some(Fault::Html) => return HttpResponse::Ok().content_type("text/html; charset=utf-8").body(PAGE),
        Some(Fault::Huge) => {
            let start = body.strip_suffix('}').unwrap_or(&body);
            return response.body(format!("{start},\"padding\":\"{}\"}}", "x".repeat(HUGE)));
        }
        _ => {}
    }
    response.body(body)
}

/// Waits until the caller closes the connection, but at most for `LONGEST_HANG`. Polls the socket, because the server
/// does not notice a closed connection while it writes nothing.
async fn hang(request: &HttpRequest) {
    let until = Instant::now() + LONGEST_HANG;
    while Instant::now() < until && !has_hung_up(request) {
        sleep(HANG_UP_POLL).await;
    }
}

fn has_hung_up(request: &HttpRequest) -> bool {
    let Some(Connection(socket)) = request.conn_data::<Connection>() else { return false };
    match socket.peek(&mut [MaybeUninit::uninit()]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// Returns a response that closes the connection with a TCP reset. With a linger time of zero, closing a socket sends
/// RST instead of FIN.
fn reset(request: &HttpRequest, response: HttpResponseBuilder) -> HttpResponse {
    if let Some(Connection(socket)) = request.conn_data::<Connection>() {
        // If the socket option cannot be set, the connection is closed without a reset.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
    cut(response, 1, Bytes::new())
}

/// Returns a response whose body fails after the piece `first`, so that the server closes the connection. If `first` is
/// empty, the server closes the connection before it sends the head. `promised` is the length that the head states.
fn cut(mut response: HttpResponseBuilder, promised: usize, first: Bytes) -> HttpResponse {
    let cut = || std::io::Error::other("cut on purpose");
    let pieces = stream::unfold(Some(first), move |piece| async move {
        match piece {
            Some(piece) if !piece.is_empty() => Some((Ok(piece), None)),
            // Gives the server time to send the first piece.
            None => {
                sleep(BEFORE_CUT).await;
                Some((Err(cut()), Some(Bytes::new())))
            }
            Some(_) => Some((Err(cut()), None)),
        }
    });
    response.body(SizedStream::new(promised as u64, Box::pin(pieces)))
}

fn drip(mut response: HttpResponseBuilder, body: String) -> HttpResponse {
    let size = body.len() as u64;
    let pieces = stream::unfold(Bytes::from(body), |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        sleep(BETWEEN_PIECES).await;
        let piece = rest.split_to(PIECE.min(rest.len()));
        Some((Ok::<_, std::io::Error>(piece), rest))
    });
    response.body(SizedStream::new(size, Box::pin(pieces)))
}
