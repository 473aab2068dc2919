//! The addresses of the gateway, who may call them, and the headers that every answer has.

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use uuid::Uuid;

use crate::faults::Operation;
use crate::form::Parameters;
use crate::gateway::{Call, Gateway, Sent};
use crate::refusal::Refusal;
use crate::wire;

/// The account's version, used where a call names none.
pub(crate) const API_VERSION: &str = "2026-10-28.endive";

/// Anything under `/v1`.
pub(crate) async fn call(request: HttpRequest, body: String, gateway: web::Data<Gateway>) -> HttpResponse {
    let gateway = gateway.into_inner();
    let sent = match recognised(&request, &body, &gateway) {
        Ok(call) => Arc::clone(&gateway).answer(call).await,
        Err(refusal) => Sent::refusal(&refusal),
    };
    let mut answer = wire::send(&request, sent).await;
    let headers = answer.headers_mut();
    let header = |name| request.headers().get(name).cloned();
    let version = header("stripe-version").unwrap_or(HeaderValue::from_static(API_VERSION));
    headers.insert(HeaderName::from_static("stripe-version"), version);
    if let Some(key) = header("idempotency-key") {
        headers.insert(HeaderName::from_static("idempotency-key"), key);
    }
    if let Ok(id) = HeaderValue::from_str(&format!("req_{}", Uuid::new_v4().simple())) {
        headers.insert(HeaderName::from_static("request-id"), id);
    }
    answer
}

fn recognised(request: &HttpRequest, body: &str, gateway: &Gateway) -> Result<Call, Refusal> {
    authorised(request, &gateway.api_key)?;
    let (method, path) = (request.method().as_str(), request.path());
    let Some((operation, id)) = operation(method, path) else {
        return Err(Refusal::unknown_address(method, path));
    };
    let changes = method == "POST";
    let parameters = Parameters::parse(if changes { body } else { request.query_string() });
    let fingerprint = format!("{method} {path} {}", parameters.fingerprint());
    let key = request.headers().get("idempotency-key").filter(|_| changes);
    let key = key.map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned()).filter(|key| !key.is_empty());
    Ok(Call { operation, id: id.map(str::to_owned), parameters, key, fingerprint })
}

fn operation<'a>(method: &str, path: &'a str) -> Option<(Operation, Option<&'a str>)> {
    use Operation::*;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    Some(match (method, parts.as_slice()) {
        ("POST", ["v1", "payment_intents"]) => (IntentCreate, None),
        ("GET", ["v1", "payment_intents"]) => (IntentList, None),
        ("GET", ["v1", "payment_intents", "search"]) => (IntentSearch, None),
        ("GET", ["v1", "payment_intents", id]) => (IntentRetrieve, Some(*id)),
        ("POST", ["v1", "payment_intents", id, "confirm"]) => (IntentConfirm, Some(*id)),
        ("POST", ["v1", "payment_intents", id, "capture"]) => (IntentCapture, Some(*id)),
        ("POST", ["v1", "payment_intents", id, "cancel"]) => (IntentCancel, Some(*id)),
        ("POST", ["v1", "refunds"]) => (RefundCreate, None),
        ("GET", ["v1", "refunds"]) => (RefundList, None),
        ("GET", ["v1", "refunds", id]) => (RefundRetrieve, Some(*id)),
        _ => return None,
    })
}

/// The key as a bearer token, or as the user of basic authentication with no password.
fn authorised(request: &HttpRequest, api_key: &str) -> Result<(), Refusal> {
    let Some(header) = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        let message =
            "You did not provide an API key. Send it in the Authorization header: 'Authorization: Bearer KEY'.";
        return Err(Refusal::unauthorised(message));
    };
    let given = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim() == api_key,
        Some((scheme, user)) if scheme.eq_ignore_ascii_case("basic") => user.trim() == basic(api_key),
        _ => false,
    };
    if given { Ok(()) } else { Err(Refusal::unauthorised("Invalid API Key provided.")) }
}

/// `KEY:` in base 64. One encoder of a dozen lines is less than a dependency.
fn basic(api_key: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = format!("{api_key}:").into_bytes();
    let mut encoded = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let index = (group >> (18 - 6 * place)) as usize & 63;
            encoded.push(if place <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    encoded
}
