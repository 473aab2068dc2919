//! How an answer leaves: whole, late, in drops, in half, as something else, or not at all.

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
use crate::gateway::Sent;

const DROP: usize = 10;
const BETWEEN_DROPS: Duration = Duration::from_millis(20);
const HUGE: usize = 10 * 1024 * 1024;
/// A caller without a deadline is let go at last.
const LONGEST_HANG: Duration = Duration::from_secs(600);
const LOOK_FOR_HANG_UP: Duration = Duration::from_millis(100);
/// Long enough for what was written before to be on its way.
const BEFORE_CUT: Duration = Duration::from_millis(50);
const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>It works!</body></html>\n";

/// The socket of a connection, kept beside the server's own handle to it.
struct Line(Socket);

/// Called by the server for each connection.
pub(crate) fn remember(connection: &dyn std::any::Any, data: &mut Extensions) {
    let stream = connection.downcast_ref::<TcpStream>();
    if let Some(socket) = stream.and_then(|stream| SockRef::from(stream).try_clone().ok()) {
        data.insert(Line(socket));
    }
}

pub(crate) async fn send(request: &HttpRequest, sent: Sent) -> HttpResponse {
    let mut answer =
        HttpResponse::build(StatusCode::from_u16(sent.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    answer.content_type("application/json");
    for (name, value) in sent.headers {
        answer.insert_header((name, value));
    }
    let body = sent.body;
    match sent.fault {
        Some(Fault::Late { ms }) => {
            sleep(Duration::from_millis(ms)).await;
            answer.body(body)
        }
        Some(Fault::HangAfterEffect | Fault::HangWithoutEffect) => {
            hang(request).await;
            reset(request, answer)
        }
        Some(Fault::ResetAfterEffect | Fault::ResetWithoutEffect) => reset(request, answer),
        Some(Fault::Drip) => drip(answer, body),
        Some(Fault::Truncated) => truncated(answer, &body),
        Some(Fault::Html) => HttpResponse::Ok().content_type("text/html; charset=utf-8").body(PAGE),
        Some(Fault::Huge) => answer.body(blown_up(&body)),
        _ => answer.body(body),
    }
}

/// Until the caller hangs up: the server does not notice while nothing is written.
async fn hang(request: &HttpRequest) {
    let until = Instant::now() + LONGEST_HANG;
    while Instant::now() < until && !hung_up(request) {
        sleep(LOOK_FOR_HANG_UP).await;
    }
}

fn hung_up(request: &HttpRequest) -> bool {
    let Some(Line(socket)) = request.conn_data::<Line>() else { return false };
    match socket.peek(&mut [MaybeUninit::uninit()]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// Without a linger time, closing a socket sends RST instead of FIN.
fn reset(request: &HttpRequest, answer: HttpResponseBuilder) -> HttpResponse {
    if let Some(Line(socket)) = request.conn_data::<Line>() {
        // A socket that takes no options is closed in some other rude way.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
    cut(answer, 1, Bytes::new(), Duration::ZERO)
}

fn truncated(answer: HttpResponseBuilder, body: &str) -> HttpResponse {
    let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
    cut(answer, body.len(), half, BEFORE_CUT)
}

/// A body that fails where it should go on: the server then closes the connection.
fn cut(mut answer: HttpResponseBuilder, promised: usize, first: Bytes, pause: Duration) -> HttpResponse {
    let pieces = stream::unfold(Some(first), move |piece| async move {
        match piece {
            Some(piece) if !piece.is_empty() => Some((Ok(piece), Some(Bytes::new()))),
            _ => {
                // A wait, however short, lets the head leave.
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                Some((Err(std::io::Error::other("cut on purpose")), None))
            }
        }
    });
    answer.body(SizedStream::new(promised as u64, Box::pin(pieces)))
}

fn drip(mut answer: HttpResponseBuilder, body: String) -> HttpResponse {
    let size = body.len() as u64;
    let pieces = stream::unfold(Bytes::from(body), |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        sleep(BETWEEN_DROPS).await;
        let drop = rest.split_to(DROP.min(rest.len()));
        Some((Ok::<_, std::io::Error>(drop), rest))
    });
    answer.body(SizedStream::new(size, Box::pin(pieces)))
}

/// Still the right answer for whoever reads it all.
fn blown_up(body: &str) -> String {
    let mut huge = String::with_capacity(HUGE + body.len());
    huge.push_str(body.strip_suffix('}').unwrap_or(body));
    huge.push_str(",\"padding\":\"");
    huge.extend(std::iter::repeat_n('x', HUGE));
    huge.push_str("\"}");
    huge
}
