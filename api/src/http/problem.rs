//! Error responses: a status, a stable code, one sentence and the request id. The chain of a fault is logged here,
//! once.
//!
//! The storefront answers with problem details (RFC 9457), and a buyer's page answers a browser with a page. All other
//! addresses answer with the error body of UCP.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use askama::Template;
use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};
use serde::Serialize;
use slog::{error, warn};
use utoipa::ToSchema;

use super::html;

/// An error response. `docs/ERRORS.md` lists the codes.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    /// Private, so that a code is always an argument of a function, where `cargo xtask docs` finds it.
    code: &'static str,
    pub content: String,
    /// The members of the body that break a rule.
    pub violations: Vec<Violation>,
    /// Header fields that belong to the status, such as `Retry-After`.
    pub headers: Vec<(HeaderName, String)>,
}

/// A member of a request that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the member, such as `line_items[0].quantity`.
    pub path: String,
    /// What is wrong, without the value.
    pub content: String,
    /// Whether the member is longer than the shop accepts. The shop sets such limits; the protocol has none.
    pub is_limit: bool,
}

impl Violation {
    /// A violation of a rule that the type of the request does not express.
    pub fn new(path: &str, content: &str) -> Self {
        Self { path: path.to_owned(), content: content.to_owned(), is_limit: false }
    }
}

/// The form of the body of an error response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemFormat {
    /// `application/json` with `code`, `content` and `detail`.
    Ucp,
    /// `application/problem+json` (RFC 9457).
    Details,
    /// A page, for the browser of a buyer.
    Page,
}

impl ProblemFormat {
    /// The format at this address, for a client that sends these header fields.
    pub fn of(path: &str, headers: &HeaderMap) -> Self {
        let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default().to_lowercase();
        match path {
            _ if path.starts_with("/store/") => Self::Details,
            _ if path.starts_with("/pages/") && accepts.contains("text/html") => Self::Page,
            _ => Self::Ucp,
        }
    }
}

/// The error body of UCP. `content` is text for people. `detail` has the same text, because the protocol used this name
/// before version 2026-04-08.
#[derive(Serialize)]
struct UcpBody<'a> {
    code: &'a str,
    content: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    title: &'static str,
    content: &'a str,
    request_id: &'a str,
}

/// Problem details (RFC 9457, section 3). The type is `about:blank`, so `title` is the name of the status; clients
/// decide by `code`.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDetails {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    /// The stable code of the problem.
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// The members of the request that break a rule, all at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<MemberError>,
}

/// A member of the request that breaks a rule.
#[derive(Serialize, ToSchema)]
struct MemberError {
    detail: String,
    /// A JSON Pointer as a URI fragment (RFC 6901, section 6), such as `#/items/0/quantity`.
    pointer: String,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, content: impl Into<String>) -> Self {
        Self { status, code, content: content.into(), violations: Vec::new(), headers: Vec::new() }
    }

    pub fn bad_request(code: &'static str, content: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, content)
    }

    pub fn not_found(code: &'static str, content: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, content)
    }

    pub fn conflict(code: &'static str, content: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, content)
    }

    /// The response to a change of a version that is not the current one (RFC 9110, section 15.5.13).
    pub fn stale_version() -> Self {
        let content = "The resource has changed since it was read; read it again";
        Self::new(StatusCode::PRECONDITION_FAILED, "stale_version", content)
    }

    pub const fn code(&self) -> &'static str {
        self.code
    }

    #[must_use]
    pub fn with(mut self, name: HeaderName, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with(RETRY_AFTER, seconds)
    }

    /// The name of the status (RFC 9110, section 15).
    fn title(&self) -> &'static str {
        match self.status {
            // The library has the older names.
            StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable Content",
            StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
            status => status.canonical_reason().unwrap_or_default(),
        }
    }

    /// Builds the response. The request id is in a header as well; see [`super::scope`].
    pub fn respond(&self, format: ProblemFormat, request_id: Option<&str>) -> HttpResponse {
        let (code, content) = (self.code, self.content.as_str());
        let mut response = match format {
            ProblemFormat::Page => {
                let page = ProblemPage { title: self.title(), content, request_id: request_id.unwrap_or_default() };
                // A page that cannot be rendered still names its status.
                html(self.status, page.render().unwrap_or_else(|_| self.title().to_owned()))
            }
            ProblemFormat::Ucp => {
                HttpResponse::build(self.status).json(UcpBody { code, content, detail: content, request_id })
            }
            ProblemFormat::Details => {
                let details = ProblemDetails {
                    kind: "about:blank",
                    title: self.title(),
                    status: self.status.as_u16(),
                    detail: content.to_owned(),
                    code,
                    request_id: request_id.map(str::to_owned),
                    errors: self.violations.iter().map(member_error).collect(),
                };
                HttpResponse::build(self.status).content_type("application/problem+json").json(details)
            }
        };
        self.add_headers(&mut response);
        response
    }

    /// Adds the header fields that belong to the status.
    pub fn add_headers(&self, response: &mut HttpResponse) {
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name.clone(), value);
            }
        }
    }
}

fn member_error(violation: &Violation) -> MemberError {
    let path = violation.path.replace(['.', '['], "/").replace(']', "");
    MemberError { detail: violation.content.clone(), pointer: format!("#/{path}") }
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
        self.respond(ProblemFormat::Ucp, None)
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
