//! Reads the body of a request: whole, within its deadline and its size limit, without a content coding.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Data};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use domain::context::RequestContext;
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt, TryFutureExt};

use super::{Field, Problem};

/// The limits of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    pub bytes: usize,
    pub time: Duration,
}

/// The bytes of a JSON body.
pub struct Body(pub Bytes);

impl FromRequest for Body {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        read(req, payload, "application/json").map_ok(Self).boxed_local()
    }
}

/// Reads a body of the given content type. An empty body needs no content type.
pub(super) fn read(
    req: &HttpRequest,
    payload: &mut Payload,
    content_type: &'static str,
) -> impl Future<Output = Result<Bytes, Problem>> + 'static {
    let limits = req.app_data::<Data<BodyLimits>>().map(|limits| ***limits);
    let ctx = req.extensions().get::<RequestContext>().cloned();
    let announced = req.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let is_expected = match Field::of(req.headers(), CONTENT_TYPE) {
        Field::Missing => true,
        field => field.text().is_some_and(|text| {
            text.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(content_type))
        }),
    };
    let is_plain = is_plain(req.headers());
    let payload = payload.take();
    async move {
        let (Some(limits), Some(ctx)) = (limits, ctx) else {
            return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no request scope"));
        };
        if announced.is_some_and(|length| length > limits.bytes) {
            return Err(too_large(limits));
        }
        if !is_plain {
            return Err(encoded());
        }
        // A body of unknown length is checked after it is read.
        if announced.is_some_and(|length| length > 0) && !is_expected {
            return Err(other_type(content_type));
        }
        let deadline = ctx.at_most(limits.time).deadline();
        let body = tokio::time::timeout_at(deadline.instant().into(), collect(payload, limits)).await;
        let body = body.map_err(|_| {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time")
        })??;
        if !body.is_empty() && !is_expected {
            return Err(other_type(content_type));
        }
        Ok(body)
    }
}

async fn collect(mut payload: Payload, limits: BodyLimits) -> Result<Bytes, Problem> {
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

/// Whether the body has no content coding. `identity` is accepted, because it changes nothing (RFC 9110, section
/// 8.4.1).
fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).all(|value| {
        value.to_str().is_ok_and(|codings| {
            codings.split(',').map(str::trim).all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case("identity"))
        })
    })
}

fn other_type(expected: &str) -> Problem {
    let content = format!("The body must be {expected}, with one Content-Type");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", content)
}

/// The response to a body with a content coding (RFC 9110, section 15.5.16). The body is refused before it is read,
/// because a small compressed body can decode to a large one.
fn encoded() -> Problem {
    let content = "The body must be sent without a content coding";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding", content)
        .with(ACCEPT_ENCODING, "identity")
}

fn too_large(limits: BodyLimits) -> Problem {
    let content = format!("The body is larger than {} bytes", limits.bytes);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", content)
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
