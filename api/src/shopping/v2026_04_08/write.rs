//! Keyed writes: read, claimed and run detached from the client in one place.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use domain::checkout::{Answer, CheckoutRefusal};
use domain::context::{Caller, RequestContext};
use domain::fault::Failure;
use domain::idempotency::{Fingerprint, Key, KeyClaim, KeyRefusal, Write};
use futures_util::future::LocalBoxFuture;
use sha2::{Digest, Sha256};

use super::checkout::{Refused, respond};
use super::problem::refused_key;
use super::{Shopping, Surface, agent};
use crate::http::{Body, Field, Problem};

/// Whether the idempotency records are, for a test, unreachable.
#[derive(Clone, Debug, Default)]
pub struct Outage(Arc<AtomicBool>);

impl Outage {
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Release);
    }
    fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A keyed write as it arrived: its caller, its idempotency key and its body. The key is required (REST binding,
/// "Idempotency-Key"); a request without one is refused before its body is read.
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
    /// Runs `command` detached from the client, with the claim on the key and what `parse` makes of the body, and
    /// responds with its outcome: `success` when it was done. `resource` is what the write changes; empty when it makes
    /// something new.
    pub(super) async fn run<C, F>(
        self,
        shopping: &Shopping,
        (operation, resource, success): (&'static str, &str, StatusCode),
        parse: impl FnOnce(&[u8]) -> Result<C, Refused>,
        command: impl FnOnce(&RequestContext, Write, C) -> F,
    ) -> Result<HttpResponse, Problem>
    where
        F: Future<Output = Result<Answer, Failure<CheckoutRefusal>>> + Send + 'static,
    {
        let (claim, request) = match self.read(&shopping.surface, operation, resource, parse) {
            Ok(read) => read,
            Err(refused) => return refused.respond(),
        };
        let write = Write { claim, now: shopping.clock.now() };
        let answer = shopping.commands.run(&self.ctx, operation, |ctx| command(&ctx, write, request)).await;
        let answer = answer.unwrap_or_else(|fault| Err(Failure::Fault(fault)));
        Ok(respond(&self.ctx, &shopping.surface, success, answer))
    }

    /// The claim on the key, and what `parse` makes of the body. No other code makes a claim.
    pub(super) fn read<C>(
        &self,
        surface: &Surface,
        operation: &'static str,
        resource: &str,
        parse: impl FnOnce(&[u8]) -> Result<C, Refused>,
    ) -> Result<(KeyClaim, C), Refused> {
        if surface.outage.is_on() {
            return Err(refused_key(KeyRefusal::Unavailable).into());
        }
        let Caller::Platform(platform) = self.ctx.caller() else {
            return Err(Problem::bad_request("invalid_profile_url", "The header UCP-Agent is required").into());
        };
        let claim = KeyClaim {
            principal: platform.id.clone(),
            operation,
            resource: resource.to_owned(),
            key: self.key.clone(),
            fingerprint: self.fingerprint.clone(),
        };
        Ok((claim, parse(&self.body)?))
    }
}

/// SHA-256 over method, path and raw body.
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
