//! The HTTP server: its routes, the check of the API key, and the headers of every response.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

use crate::call::{Call, Parameters, new_id};
use crate::error::ApiError;
use crate::faults::Operation;
use crate::gateway::{Gateway, Reply};
use crate::wire;

/// How long the server keeps an idle connection open. Callers drop idle connections earlier.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The most bytes that the body of a call may have.
const MAX_BODY: usize = 64 * 1024;

pub(crate) fn serve(listener: TcpListener, gateway: Arc<Gateway>) -> io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(Arc::clone(&gateway)))
            .app_data(web::PayloadConfig::new(MAX_BODY))
            .default_service(web::to(call))
    });
    Ok(server
        .workers(2)
        .disable_signals()
        .shutdown_timeout(0)
        .keep_alive(KEEP_ALIVE)
        .on_connect(wire::keep_socket)
        .listen(listener)?
        .run())
}

async fn call(request: HttpRequest, body: String, gateway: web::Data<Gateway>) -> HttpResponse {
    let gateway = gateway.into_inner();
    let mut reply = match read(&request, &body, &gateway.api_key) {
        Ok(call) => gateway.answer(call).await,
        Err(error) => Reply::error(&error),
    };
    reply.headers.push(("Request-Id", new_id("req")));
    wire::send(&request, reply).await
}

fn read(request: &HttpRequest, body: &str, api_key: &str) -> Result<Call, ApiError> {
    let authorization = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    if authorization != Some(format!("Bearer {api_key}").as_bytes()) {
        return Err(ApiError::new(401, "invalid_request_error", "Invalid API Key provided."));
    }
    let (method, path) = (request.method().as_str(), request.path());
    let Some((operation, id)) = operation(method, path) else {
        let message = format!("Unrecognized request URL ({method}: {path}).");
        return Err(ApiError::new(404, "invalid_request_error", message));
    };
    let is_post = method == "POST";
    let parameters = Parameters::parse(if is_post { body } else { request.query_string() });
    let fingerprint = format!("{path} {parameters:?}");
    let key = request.headers().get("idempotency-key").filter(|_| is_post);
    let key = key.map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    Ok(Call { operation, id: id.to_owned(), parameters, key, fingerprint })
}

/// Returns the operation and the id in the path, or `None` if there is no such operation. The id is empty if the path
/// has none.
fn operation<'a>(method: &str, path: &'a str) -> Option<(Operation, &'a str)> {
    use Operation::*;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    Some(match (method, parts.as_slice()) {
        ("POST", ["v1", "payment_intents"]) => (IntentCreate, ""),
        ("GET", ["v1", "payment_intents", "search"]) => (IntentSearch, ""),
        ("GET", ["v1", "payment_intents", id]) => (IntentRetrieve, *id),
        ("POST", ["v1", "payment_intents", id, "confirm"]) => (IntentConfirm, *id),
        ("POST", ["v1", "payment_intents", id, "capture"]) => (IntentCapture, *id),
        ("POST", ["v1", "payment_intents", id, "cancel"]) => (IntentCancel, *id),
        ("POST", ["v1", "refunds"]) => (RefundCreate, ""),
        ("GET", ["v1", "refunds"]) => (RefundList, ""),
        _ => return None,
    })
}
