//! The request scope: the middleware that creates the context of a request and writes its access line.
//!
//! The context has the request id (`Request-Id` or a new one), the trace (`traceparent` or a new one), the deadline,
//! and a cancellation that fires when the client disconnects. The response has the request id and the trace. Every
//! request gets one access line, also after a panic or a disconnect.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, VARY};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use domain::context::{Caller, Deadline, PlatformId, RequestContext, RequestId, Stopwatch, TraceContext};
use futures_util::FutureExt;
use slog::{Logger, error, info};
use tokio_util::sync::CancellationToken;

use super::routes::MatchedRoute;
use super::{Field, Problem, ProblemFormat};
use crate::config::Networks;
use crate::runtime::Shutdown;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("request-timeout-ms");

/// The state of the process that the request scope needs.
#[derive(Clone)]
pub struct Scope {
    pub log: Logger,
    pub request_timeout: Duration,
    pub shutdown: Shutdown,
    proxies: Networks,
    in_flight: Arc<AtomicUsize>,
}

impl Scope {
    /// Creates the state. The peers in `proxies` are trusted to set `X-Forwarded-For`.
    pub fn new(log: Logger, request_timeout: Duration, shutdown: Shutdown, proxies: Networks) -> Self {
        Self { log, request_timeout, shutdown, proxies, in_flight: Arc::default() }
    }

    /// The number of requests without a response yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// The middleware. It wraps everything else, so that every request has a context and an access line.
pub async fn request_scope(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(scope) = req.app_data::<web::Data<Scope>>().cloned() else {
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no request scope").into());
    };
    let headers = req.headers();
    let request_id = header(headers, &REQUEST_ID).and_then(RequestId::parse).unwrap_or_else(RequestId::generate);
    let trace = header(headers, &TRACEPARENT).and_then(TraceContext::parse);
    let trace = trace.map_or_else(TraceContext::start, TraceContext::child);
    let timeout = timeout(headers, scope.request_timeout);

    let gone = CancellationToken::new();
    let deadline = Deadline::after(*timeout.as_ref().unwrap_or(&scope.request_timeout));
    let ctx = RequestContext::new(&scope.log, request_id, trace, Caller::Anonymous, deadline, gone.clone());
    let mut line = AccessLine::open(&scope, &ctx, &req);
    // Cancels when this future is dropped: the client disconnected, or the response is complete.
    let _gone = gone.drop_guard();
    req.extensions_mut().insert(ctx.clone());
    req.extensions_mut().insert(line.platform.clone());
    req.extensions_mut().insert(line.route.clone());

    if req.method() == Method::HEAD {
        // The handler of GET answers HEAD too. The HTTP library remembers HEAD and sends only the head of the response.
        req.head_mut().method = Method::GET;
    }

    let known = known_versions(req.headers());
    let mut response = match timeout {
        Err(problem) => {
            line.unrouted = req.match_pattern();
            req.into_response(problem.respond(line.format, Some(ctx.request_id().as_str())))
        }
        Ok(_) => match AssertUnwindSafe(next.call(req)).catch_unwind().await {
            Ok(Ok(response)) => unless_known(name_request(response.map_into_boxed_body(), &line), &known),
            // No inner service returns an error. If one does, the error becomes a response.
            Ok(Err(error)) => return Err(line.failed(error.as_error::<Problem>().cloned())),
            Err(_) => {
                error!(ctx.log(), "handler panicked"; "op" => "http.request", "error_code" => "panic");
                return Err(line.failed(None));
            }
        },
    };

    stamp(response.response_mut(), &scope, &ctx, &line.platform);
    line.answered(response.status());
    Ok(response)
}

/// Adds the request id to the body of a problem. The code that creates a problem does not know the id.
fn name_request(response: ServiceResponse<BoxBody>, line: &AccessLine) -> ServiceResponse<BoxBody> {
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>()).cloned();
    match problem {
        Some(problem) => response.into_response(problem.respond(line.format, Some(line.ctx.request_id().as_str()))),
        None => response,
    }
}

/// The versions that the client has (`If-None-Match`; RFC 9110, section 13.1.2). The comparison ignores weakness.
fn known_versions(headers: &HeaderMap) -> Vec<String> {
    let fields = headers.get_all(IF_NONE_MATCH).filter_map(|field| field.to_str().ok());
    let versions = fields.flat_map(|field| field.split(',')).map(|version| version.trim().trim_start_matches("W/"));
    versions.map(str::to_owned).collect()
}

/// Answers a read with 304 if the client has the version that the response has.
fn unless_known(response: ServiceResponse<BoxBody>, known: &[String]) -> ServiceResponse<BoxBody> {
    let is_read = [Method::GET, Method::HEAD].contains(response.request().method());
    let Some(etag) = response.headers().get(ETAG).filter(|_| is_read && response.status() == StatusCode::OK) else {
        return response;
    };
    let etag = etag.clone();
    let is_known = known.iter().any(|known| known == "*" || known.as_bytes() == etag.as_bytes());
    if !is_known {
        return response;
    }
    response.into_response(HttpResponse::NotModified().insert_header((ETAG, etag)).finish())
}

/// Sets the headers that every response has.
fn stamp(response: &mut HttpResponse, scope: &Scope, ctx: &RequestContext, platform: &NamedPlatform) {
    let headers = response.headers_mut();
    if !headers.contains_key(CACHE_CONTROL) {
        // A response that may be cached sets the header itself.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    if platform.decides_response() {
        headers.append(VARY, HeaderValue::from_static("UCP-Agent"));
    }
    insert(headers, REQUEST_ID, ctx.request_id().as_str());
    insert(headers, TRACEPARENT, &ctx.trace().to_string());
    if scope.shutdown.has_begun() {
        // A kept connection would be cut off when the server closes.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    Field::of(headers, name).text()
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The timeout of the request: the one in the header if it is shorter than `ours`, else `ours`. A value that is not
/// valid is a problem.
fn timeout(headers: &HeaderMap, ours: Duration) -> Result<Duration, Problem> {
    let field = Field::of(headers, &REQUEST_TIMEOUT);
    if field == Field::Missing {
        return Ok(ours);
    }
    let digits = field.text().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let millis = digits.and_then(|text| text.parse::<u64>().ok()).filter(|millis| *millis > 0);
    let millis = millis.ok_or_else(|| {
        Problem::bad_request(
            "invalid_request_timeout",
            "Request-Timeout-Ms must be given once, as a whole number of milliseconds above 0",
        )
    })?;
    Ok(ours.min(Duration::from_millis(millis)))
}

/// The platform that a request names, for the access line. The request and its line share it, so that the line has the
/// platform even if the client disconnects. The query of the platform's URL may contain a secret and is left out.
#[derive(Clone, Default)]
pub struct NamedPlatform(Arc<Named>);

#[derive(Default)]
struct Named {
    decides_response: AtomicBool,
    platform: OnceLock<String>,
}

impl NamedPlatform {
    /// Notes that the response depends on the platform (`Vary`).
    pub fn vary(extensions: &Extensions) {
        if let Some(named) = extensions.get::<Self>() {
            named.0.decides_response.store(true, Ordering::Relaxed);
        }
    }

    /// Notes the platform of the request that `extensions` belong to.
    pub fn note(extensions: &Extensions, platform: &PlatformId) {
        if let Some(named) = extensions.get::<Self>() {
            let url = platform.0.split(['?', '#']).next().unwrap_or_default();
            let _ = named.0.platform.set(url.to_owned());
        }
    }

    fn text(&self) -> &str {
        self.0.platform.get().map_or("none", String::as_str)
    }

    fn decides_response(&self) -> bool {
        self.0.decides_response.load(Ordering::Relaxed)
    }
}

fn text(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "none".to_owned(), |address| address.to_string())
}

/// The most addresses of `X-Forwarded-For` that are read.
const MOST_HOPS: usize = 16;

/// The address of the client: the peer, or, if the peer is a trusted proxy, the last address of `X-Forwarded-For` that
/// is not a trusted proxy. A client can forge the addresses that are listed before that one.
fn client(peer: IpAddr, headers: &HeaderMap, proxies: &Networks) -> IpAddr {
    let values: Vec<&str> = headers.get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
    let hops = values.iter().rev().flat_map(|value| value.rsplit(',')).take(MOST_HOPS);
    let mut client = peer;
    for hop in hops {
        if !proxies.contain(client) {
            break;
        }
        let hop = hop.trim();
        // An IPv6 address may have brackets, with and without a port.
        let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
        let address = bare.parse().ok().or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()));
        let Some(address): Option<IpAddr> = address else { break };
        client = address.to_canonical();
    }
    client
}

/// Writes the access line when it is dropped, also for a request whose client disconnected.
struct AccessLine {
    scope: Scope,
    ctx: RequestContext,
    watch: Stopwatch,
    format: ProblemFormat,
    method: String,
    /// The matched pattern. The line does not have the path, because the path of a page contains the token that grants
    /// access.
    route: MatchedRoute,
    /// The pattern of a request that is refused before it is routed.
    unrouted: Option<String>,
    status: Option<StatusCode>,
    peer: Option<IpAddr>,
    client: Option<IpAddr>,
    platform: NamedPlatform,
}

impl AccessLine {
    fn open(scope: &Scope, ctx: &RequestContext, req: &ServiceRequest) -> Self {
        scope.in_flight.fetch_add(1, Ordering::Relaxed);
        let peer = req.peer_addr().map(|peer| peer.ip().to_canonical());
        Self {
            scope: scope.clone(),
            ctx: ctx.clone(),
            watch: Stopwatch::start(),
            format: ProblemFormat::of(req.path(), req.headers()),
            method: req.method().to_string(),
            route: MatchedRoute::default(),
            unrouted: None,
            status: None,
            peer,
            client: peer.map(|peer| client(peer, req.headers(), &scope.proxies)),
            platform: NamedPlatform::default(),
        }
    }

    fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Builds the response to a request that ended with an error or a panic, and notes its status.
    fn failed(&mut self, problem: Option<Problem>) -> Error {
        let internal = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error");
        let problem = problem.unwrap_or_else(internal);
        self.status = Some(problem.status);
        let mut answer = problem.respond(self.format, Some(self.ctx.request_id().as_str()));
        stamp(&mut answer, &self.scope, &self.ctx, &self.platform);
        InternalError::from_response(problem, answer).into()
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        self.scope.in_flight.fetch_sub(1, Ordering::Relaxed);
        let timings = self.ctx.timings();
        let outcome = match self.status {
            None => "client_gone",
            Some(status) if status.is_server_error() => "failed",
            Some(status) if status.is_client_error() => "refused",
            Some(_) => "ok",
        };
        info!(self.ctx.log(), "request"; "op" => "http.request",
            "method" => &self.method, "route" => self.route.pattern().or(self.unrouted.as_deref()).unwrap_or("none"),
            "status" => self.status.map_or(0, |status| status.as_u16()), "outcome" => outcome,
            "peer" => text(self.peer), "client" => text(self.client), "platform" => self.platform.text(),
            "elapsed_us" => self.watch.elapsed_us(),
            "connection_wait_us" => timings.connection_wait.microseconds(), "storage_us" => timings.storage.microseconds(),
            "gateway_us" => timings.gateway.microseconds());
    }
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
