//! Reading a body: whole, within its deadline, within its limit.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut, Data};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use domain::context::RequestContext;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::Problem;

/// The limits of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    pub bytes: usize,
    pub time: Duration,
}

/// The raw bytes of a request's body.
pub struct Body(pub Bytes);

impl FromRequest for Body {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limits = req.app_data::<Data<BodyLimits>>().map(|limits| ***limits);
        let ctx = req.extensions().get::<RequestContext>().cloned();
        let announced =
            req.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let is_json = match req.headers().get(CONTENT_TYPE) {
            None => true,
            Some(value) => value.to_str().is_ok_and(|text| {
                text.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
            }),
        };
        let payload = payload.take();
        Box::pin(async move {
            let (Some(limits), Some(ctx)) = (limits, ctx) else {
                return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no request scope"));
            };
            if announced.is_some_and(|length| length > limits.bytes) {
                return Err(too_large(limits));
            }
            let deadline = ctx.at_most(limits.time).deadline();
            let body = tokio::time::timeout_at(deadline.instant().into(), read(payload, limits)).await;
            let body = body.map_err(|_| {
                Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time")
            })??;
            if !body.is_empty() && !is_json {
                return Err(Problem::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "unsupported_media_type",
                    "The body must be application/json",
                ));
            }
            Ok(Self(body))
        })
    }
}

async fn read(mut payload: Payload, limits: BodyLimits) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|_| Problem::bad_request("malformed_body", "The body could not be read"))?;
        if body.len() + piece.len() > limits.bytes {
            return Err(too_large(limits));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn too_large(limits: BodyLimits) -> Problem {
    let content = format!("The body is larger than {} bytes", limits.bytes);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", content)
}

/// Reads a JSON document, naming the member that is wrong. Its depth is bounded by the parser (128), and a member that
/// stands twice is refused.
///
/// No text may hold a NUL: Postgres cannot store one, and no name, address or code has one.
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.windows(NUL.len()).any(|piece| piece == NUL) {
        return Err(malformed("The body holds a text with a NUL character".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match path.as_str() {
            "." | "?" => malformed(format!("The body is not valid: {inner}")),
            path => malformed(format!("{path}: {inner}")),
        }
    })?;
    reader.end().map_err(|error| malformed(format!("The body is not valid: {error}")))?;
    Ok(value)
}

/// As a flattened member: the struct is read from an object only. Derived code would also take an array of the members'
/// values in their order, which nobody who sends one means.
#[derive(serde::Deserialize)]
pub struct ObjectOnly {}

/// How JSON writes it; unescaped it is not JSON at all.
const NUL: &[u8] = b"\\u0000";

fn malformed(content: String) -> Problem {
    // The parser quotes what it found; a caller needs to see where, not the whole of it.
    Problem::bad_request("malformed_body", content.chars().take(300).collect::<String>())
}
