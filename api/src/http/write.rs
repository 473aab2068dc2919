//! Writes: how a handler changes something exactly once. [`KeyedWrite`] is for a request with an idempotency key,
//! [`KeyedForm`] for a form of a page, and [`VersionedWrite`] for a change of a version that the client has read.
//!
//! Each runs its command detached from the client. No other code reads a key or creates its claim. Exception:
//! `complete` of a checkout calls [`KeyedWrite::read`] and starts its command itself, because its handler can answer
//! before the command ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::Payload;
use actix_web::http::header::{ETAG, IF_MATCH};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use domain::clock::Clock;
use domain::context::RequestContext;
use domain::fault::{Failure, Fault};
use domain::idempotency::{Fingerprint, Key, KeyClaim, KeyRefusal, Write};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::body::read;
use super::page::url_encoded;
use super::{Body, Field, Problem, fault_problem};
use crate::runtime::Commands;

/// The caller of a request, as an extractor: a request without a valid caller is a problem.
pub trait Authenticated: FromRequest<Error = Problem> + 'static {
    /// The context of the request, with the caller.
    fn ctx(&self) -> &RequestContext;
}

/// Runs the writes of the handlers.
#[derive(Clone)]
pub struct Writes {
    pub commands: Commands,
    pub clock: Arc<dyn Clock>,
    /// A simulated outage of the idempotency records. Never on in production.
    pub outage: SimulatedKeyOutage,
}

impl Writes {
    /// Runs a command detached from the client, and returns its outcome.
    pub async fn run<T, R, F>(
        &self,
        ctx: &RequestContext,
        operation: &'static str,
        command: impl FnOnce(RequestContext) -> F,
    ) -> Result<T, Failure<R>>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Future<Output = Result<T, Failure<R>>> + Send + 'static,
    {
        self.commands.run(ctx, operation, command).await.unwrap_or_else(|fault| Err(Failure::Fault(fault)))
    }
}

/// Whether a test simulates an outage of the idempotency records.
#[derive(Clone, Debug, Default)]
pub struct SimulatedKeyOutage(Arc<AtomicBool>);

impl SimulatedKeyOutage {
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Release);
    }
    fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Reads the caller, then the header that makes a repetition harmless, and only then the JSON body.
async fn parts<A: Authenticated, H>(
    req: &HttpRequest,
    mut payload: Payload,
    header: fn(&HttpRequest) -> Result<H, Problem>,
) -> Result<(A, H, Bytes), Problem> {
    let caller = A::extract(req).await?;
    let header = header(req)?;
    Ok((caller, header, Body::from_request(req, &mut payload).await?.0))
}

/// A keyed write: the caller, the idempotency key and the body of a request. The key is required, so a request without
/// a key is refused before its body is read.
pub struct KeyedWrite<A> {
    pub caller: A,
    key: Key,
    fingerprint: Fingerprint,
    body: Bytes,
}

impl<A: Authenticated> FromRequest for KeyedWrite<A> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            let (caller, key, body) = parts(&req, payload, key).await?;
            Ok(Self { caller, key, fingerprint: fingerprint(req.method(), req.path(), &body), body })
        })
    }
}

impl<A: Authenticated> KeyedWrite<A> {
    pub fn ctx(&self) -> &RequestContext {
        self.caller.ctx()
    }

    /// Reads the body with `parse` and runs `command`, with the claim of the key, detached from the client. Returns the
    /// outcome of the command. `resource` is the id of the resource that the write changes. It is empty for a write
    /// that creates a resource.
    pub async fn run<C, E, T, R, F>(
        &self,
        writes: &Writes,
        (operation, resource): (&'static str, &str),
        parse: impl FnOnce(&[u8]) -> Result<C, E>,
        command: impl FnOnce(&RequestContext, Write, C) -> F,
    ) -> Result<Result<T, Failure<R>>, E>
    where
        E: From<Problem>,
        T: Send + 'static,
        R: Send + 'static,
        F: Future<Output = Result<T, Failure<R>>> + Send + 'static,
    {
        let (claim, request) = self.read(writes, operation, resource, parse)?;
        let write = Write { claim, now: writes.clock.now() };
        Ok(writes.run(self.ctx(), operation, |ctx| command(&ctx, write, request)).await)
    }

    /// Returns the claim of the key, and the body as `parse` reads it. For a write that claims its key in another
    /// command than [`KeyedWrite::run`] makes.
    pub fn read<C, E: From<Problem>>(
        &self,
        writes: &Writes,
        operation: &'static str,
        resource: &str,
        parse: impl FnOnce(&[u8]) -> Result<C, E>,
    ) -> Result<(KeyClaim, C), E> {
        if writes.outage.is_on() {
            return Err(key_refused(KeyRefusal::Unavailable).into());
        }
        let Some(principal) = self.ctx().caller().principal() else {
            let fault = Fault::internal(operation, "a keyed write without a caller");
            return Err(fault_problem(self.ctx(), &fault).into());
        };
        let claim = KeyClaim {
            principal,
            operation,
            resource: resource.to_owned(),
            key: self.key.clone(),
            fingerprint: self.fingerprint.clone(),
        };
        Ok((claim, parse(&self.body)?))
    }
}

/// A keyed write from a form of a page. The form has its key in the field `idempotency_key`.
pub struct KeyedForm<A>(pub KeyedWrite<A>);

#[derive(serde::Deserialize)]
struct FormKey {
    idempotency_key: String,
}

impl<A: Authenticated> FromRequest for KeyedForm<A> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, mut payload) = (req.clone(), Payload::take(payload));
        Box::pin(async move {
            let caller = A::extract(&req).await?;
            let body = read(&req, &mut payload, "application/x-www-form-urlencoded").await?;
            let FormKey { idempotency_key } = form(&body)?;
            let key = Key::parse(&idempotency_key).ok_or_else(invalid_key)?;
            Ok(Self(KeyedWrite { caller, key, fingerprint: fingerprint(req.method(), req.path(), &body), body }))
        })
    }
}

impl<A> KeyedForm<A> {
    /// The idempotency key, for a form that is shown again.
    pub fn key(&self) -> &str {
        self.0.key.as_str()
    }

    /// Reads the fields of the form.
    pub fn fields<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        form(&self.0.body)
    }
}

fn form<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    url_encoded(body).map_err(|mistake| Problem::bad_request("malformed_body", mistake))
}

/// A versioned write: a change of the version that `If-Match` names (RFC 9110, section 13.1.1). The header is required
/// (RFC 6585, section 3), so that no client overwrites a change that it has not read.
pub struct VersionedWrite<A> {
    pub caller: A,
    version: i64,
    body: Bytes,
}

impl<A: Authenticated> FromRequest for VersionedWrite<A> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            let (caller, version, body) = parts(&req, payload, version).await?;
            Ok(Self { caller, version, body })
        })
    }
}

impl<A: Authenticated> VersionedWrite<A> {
    pub fn ctx(&self) -> &RequestContext {
        self.caller.ctx()
    }

    /// Reads the body with `parse` and runs `command`, with the version that the client has read, detached from the
    /// client. Returns the outcome of the command.
    pub async fn run<C, E, T, R, F>(
        &self,
        writes: &Writes,
        operation: &'static str,
        parse: impl FnOnce(&[u8]) -> Result<C, E>,
        command: impl FnOnce(&RequestContext, i64, C) -> F,
    ) -> Result<Result<T, Failure<R>>, E>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Future<Output = Result<T, Failure<R>>> + Send + 'static,
    {
        let request = parse(&self.body)?;
        Ok(writes.run(self.ctx(), operation, |ctx| command(&ctx, self.version, request)).await)
    }
}

/// The version of a resource as the value of `ETag`.
pub fn etag(version: i64) -> (actix_web::http::header::HeaderName, String) {
    (ETAG, format!("\"{version}\""))
}

fn version(req: &HttpRequest) -> Result<i64, Problem> {
    let field = Field::of(req.headers(), IF_MATCH);
    if field == Field::Missing {
        let content = "The header If-Match is required: send the ETag of the version that you have read";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "missing_version", content));
    }
    let digits = field.text().and_then(|text| text.strip_prefix('"')?.strip_suffix('"')).unwrap_or_default();
    let version = digits.parse().ok().filter(|version: &i64| *version > 0 && version.to_string() == digits);
    version.ok_or_else(|| {
        Problem::bad_request("invalid_version", "If-Match must be given once, with the ETag of one version")
    })
}

/// Marks the response to a repeated request.
pub fn mark_replayed(response: &mut HttpResponse, replayed: bool) {
    use actix_web::http::header::{HeaderName, HeaderValue};
    if replayed {
        let name = HeaderName::from_static("idempotent-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
}

/// The response to a refused idempotency key.
pub fn key_refused(refusal: KeyRefusal) -> Problem {
    match refusal {
        KeyRefusal::Reused => {
            Problem::conflict("idempotency_key_reused", "The idempotency key was used before for another request")
        }
        KeyRefusal::InProgress => {
            Problem::conflict("idempotency_in_progress", "The first request with this idempotency key is in progress")
                .retry_after(1)
        }
        KeyRefusal::Unavailable => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "idempotency_unavailable",
            "Idempotency cannot be guaranteed now; nothing happened",
        )
        .retry_after(1),
    }
}

/// The fingerprint of the request: SHA-256 over method, path and raw body, in hexadecimal digits.
fn fingerprint(method: &Method, path: &str, body: &[u8]) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in [method.as_str().as_bytes(), b"\n", path.as_bytes(), b"\n", body] {
        hash.update(part);
    }
    Fingerprint(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn key(req: &HttpRequest) -> Result<Key, Problem> {
    let field = Field::of(req.headers(), "idempotency-key");
    if field == Field::Missing {
        let content = "The header Idempotency-Key is required for this request";
        return Err(Problem::bad_request("missing_idempotency_key", content));
    }
    field.text().and_then(Key::parse).ok_or_else(invalid_key)
}

fn invalid_key() -> Problem {
    let content = format!("Idempotency-Key must be given once, with 1 to {} visible ASCII characters", Key::MAX_LENGTH);
    Problem::bad_request("invalid_idempotency_key", content)
}
