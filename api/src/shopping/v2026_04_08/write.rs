//! What every write brings: an idempotency key, a body, and their fingerprint.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use domain::context::{Caller, RequestContext};
use domain::idempotency::{Fingerprint, Key, KeyClaim};
use sha2::{Digest, Sha256};

use super::Surface;
use super::problem::refused_key;
use crate::http::{Field, Problem};

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

/// The idempotency key of a write, which is required (REST binding, "Idempotency-Key"). A handler takes it before the
/// body, so that a request without one is refused before its body is read.
pub(super) struct WriteKey(Key);

impl FromRequest for WriteKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(key(req).map(Self))
    }
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

/// The claim of a write. `resource` is what it changes; empty when it makes something new.
///
/// The fingerprint is SHA-256 over method, path and raw body.
pub(super) fn claim(
    req: &HttpRequest,
    ctx: &RequestContext,
    surface: &Surface,
    operation: &'static str,
    resource: &str,
    key: WriteKey,
    body: &[u8],
) -> Result<KeyClaim, Problem> {
    if surface.outage.is_on() {
        return Err(refused_key(domain::idempotency::KeyRefusal::Unavailable));
    }
    let Caller::Platform(platform) = ctx.caller() else {
        return Err(Problem::bad_request("invalid_profile_url", "The header UCP-Agent is required"));
    };
    let mut hash = Sha256::new();
    for part in [req.method().as_str().as_bytes(), b"\n", req.path().as_bytes(), b"\n", body] {
        hash.update(part);
    }
    let fingerprint = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(KeyClaim {
        principal: platform.id.clone(),
        operation,
        resource: resource.to_owned(),
        key: key.0,
        fingerprint: Fingerprint(fingerprint),
    })
}
