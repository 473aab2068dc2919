//! Keyed writes. Only this file reads the idempotency key and creates its claim. [`KeyedWrite::run`] runs the command
//! detached from the client; a completion does this in `checkout/mod.rs`.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use domain::context::RequestContext;
use domain::fault::Failure;
use domain::idempotency::{Fingerprint, Key, KeyClaim, KeyRefusal, Write};
use futures_util::future::LocalBoxFuture;
use sha2::{Digest, Sha256};

use super::problem::{Refused, key_refused};
use super::{Shopping, ShoppingSettings, agent};
use crate::http::{Body, Field, Problem};

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

/// A keyed write: the caller, the idempotency key and the body of a request. The key is required (REST binding,
/// "Idempotency-Key"), so a request without a key is refused before its body is read.
pub(super) struct KeyedWrite {
    pub ctx: RequestContext,
    key: Key,
    fingerprint: Fingerprint,
    body: Bytes,
}

impl FromRequest for KeyedWrite {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (ctx, key) = match agent::identify(req).and_then(|agent| Ok((agent.0, key(req)?))) {
            Ok(known) => known,
            Err(problem) => return Box::pin(ready(Err(problem))),
        };
        let body = Body::from_request(req, payload);
        let (method, path) = (req.method().clone(), req.path().to_owned());
        Box::pin(async move {
            let body = body.await?.0;
            Ok(Self { ctx, key, fingerprint: fingerprint(&method, &path, &body), body })
        })
    }
}

impl KeyedWrite {
    /// Reads the body with `parse` and runs `command`, with the claim of the key, detached from the client. Returns the
    /// outcome of the command. `resource` is the id of the resource that the write changes. It is empty for a write
    /// that creates a resource.
    pub(super) async fn run<C, T, R, F>(
        &self,
        shopping: &Shopping,
        (operation, resource): (&'static str, &str),
        parse: impl FnOnce(&[u8]) -> Result<C, Refused>,
        command: impl FnOnce(&RequestContext, Write, C) -> F,
    ) -> Result<Result<T, Failure<R>>, Refused>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Future<Output = Result<T, Failure<R>>> + Send + 'static,
    {
        let (claim, request) = self.read(&shopping.settings, operation, resource, parse)?;
        let write = Write { claim, now: shopping.clock.now() };
        let outcome = shopping.commands.run(&self.ctx, operation, |ctx| command(&ctx, write, request)).await;
        Ok(outcome.unwrap_or_else(|fault| Err(Failure::Fault(fault))))
    }

    /// Returns the claim of the key, and the body as `parse` reads it. No other code creates a claim.
    pub(super) fn read<C>(
        &self,
        settings: &ShoppingSettings,
        operation: &'static str,
        resource: &str,
        parse: impl FnOnce(&[u8]) -> Result<C, Refused>,
    ) -> Result<(KeyClaim, C), Refused> {
        if settings.outage.is_on() {
            return Err(key_refused(KeyRefusal::Unavailable).into());
        }
        let Some(principal) = self.ctx.caller().principal() else {
            return Err(Problem::bad_request("invalid_profile_url", "The header UCP-Agent is required").into());
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
    field.text().and_then(Key::parse).ok_or_else(|| {
        let content =
            format!("Idempotency-Key must be given once, with 1 to {} visible ASCII characters", Key::MAX_LENGTH);
        Problem::bad_request("invalid_idempotency_key", content)
    })
}
