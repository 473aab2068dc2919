//! Error responses: a status, a stable code, one sentence and the request id. The chain of a fault is logged here,
//! once.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};
use serde::Serialize;
use slog::{error, warn};

/// An error response. `docs/ERRORS.md` lists the codes.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub content: String,
    /// The value of `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// The value of `Allow`, for a method that the path does not have.
    pub allow: Option<String>,
    /// The value of `Accept-Encoding`, for a body with a content coding.
    pub accept_encoding: Option<&'static str>,
}

/// The body of an error response. `content` is text for people. `detail` has the same text, because the protocol used
/// this name before version 2026-04-08.
#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    content: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, content: impl Into<String>) -> Self {
        Self { status, code, content: content.into(), retry_after: None, allow: None, accept_encoding: None }
    }

    pub fn bad_request(code: &'static str, content: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, content)
    }

    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    #[must_use]
    pub fn allow(self, methods: &str) -> Self {
        Self { allow: Some(methods.to_owned()), ..self }
    }

    /// Builds the response. The request id is in a header as well; see [`super::scope`].
    pub fn respond(&self, request_id: Option<&str>) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        if let Some(methods) = &self.allow {
            response.insert_header((ALLOW, methods.as_str()));
        }
        if let Some(coding) = self.accept_encoding {
            response.insert_header((ACCEPT_ENCODING, coding));
        }
        response.insert_header((CONTENT_TYPE, "application/json"));
        let body = Body { code: self.code, content: &self.content, detail: &self.content, request_id };
        response.json(body)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.content)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }
    fn error_response(&self) -> HttpResponse {
        self.respond(None)
    }
}

/// The response to a fault, the same on every surface. Logs the fault.
pub fn fault_problem(ctx: &RequestContext, fault: &Fault) -> Problem {
    let kind = fault.kind();
    match kind {
        FaultKind::Internal | FaultKind::OutcomeUnknown => {
            error!(ctx.log(), "request failed"; "op" => fault.operation(), "error_code" => kind.into_str(),
                "error" => fault.chain());
        }
        FaultKind::DeadlineExceeded
        | FaultKind::Cancelled
        | FaultKind::Unavailable
        | FaultKind::StorageFull
        | FaultKind::Contention => {
            warn!(ctx.log(), "request failed"; "op" => fault.operation(), "error_code" => kind.into_str(),
                "error" => fault.chain());
        }
    }
    let unavailable = |code, content: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, content);
    match kind {
        FaultKind::DeadlineExceeded => {
            Problem::new(StatusCode::GATEWAY_TIMEOUT, kind.into_str(), "The deadline passed before anything happened")
        }
        FaultKind::Cancelled => unavailable(kind.into_str(), "The request was cancelled before anything happened"),
        FaultKind::Unavailable => {
            unavailable(kind.into_str(), "The shop cannot do this now; nothing happened").retry_after(1)
        }
        FaultKind::StorageFull => {
            unavailable(kind.into_str(), "The shop has no storage space left; nothing happened").retry_after(1)
        }
        FaultKind::Contention => {
            unavailable(kind.into_str(), "Other requests held the same data; nothing happened").retry_after(1)
        }
        FaultKind::OutcomeUnknown => {
            let content = "The outcome is not known; repeat the request with the same idempotency key to find out";
            unavailable(kind.into_str(), content).retry_after(2)
        }
        FaultKind::Internal => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, kind.into_str(), "Internal error"),
    }
}
