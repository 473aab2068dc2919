//! Creates `Outbound` and calls with the settings of the tests.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use integrations::outbound::{
    BulkheadLimits, Call, Destination, Limits, Lookup, LookupFuture, Outbound, OutboundConfig, UntrustedPolicy,
};

pub use crate::shared::{AMPLE, Lines, SOON, Server, Visit, ctx, ctx_with};

/// A lookup for tests. The function gets the number of earlier look-ups and returns the addresses. The list records the
/// hosts.
pub struct Names<F>(pub F, pub Mutex<Vec<String>>);

impl<F: Fn(usize) -> io::Result<Vec<IpAddr>> + Send + Sync> Lookup for Names<F> {
    fn look_up(&self, host: String) -> LookupFuture {
        let mut asked = self.1.lock().expect("sound");
        let answer = self.0(asked.len());
        asked.push(host);
        Box::pin(async { answer.map_err(Arc::new) })
    }
}

/// The configuration for development, without backoff.
pub fn config() -> OutboundConfig {
    OutboundConfig { jitter: Arc::new(|_| Duration::ZERO), ..OutboundConfig::new(UntrustedPolicy::DevelopmentLoopback) }
}

pub fn outbound() -> Outbound {
    Outbound::new(config()).expect("a client")
}

pub fn outbound_with(bulkheads: BulkheadLimits) -> Outbound {
    Outbound::new(OutboundConfig { bulkheads, ..config() }).expect("a client")
}

pub fn given(outbound: &Outbound, server: &Server) -> Destination {
    outbound.untrusted(&server.url()).expect("allowed")
}

/// Limits with the given time for one attempt.
pub const fn limits(attempt: Duration, body_is_needed: bool) -> Limits {
    Limits { total: AMPLE, attempt, body_bytes: 1000, body_is_needed }
}

/// The whole body is needed.
pub const WHOLE: bool = true;
/// Only the status is needed.
pub const STATUS: bool = false;

pub fn post(to: Destination, limits: Limits) -> Call {
    Call::post("test.post", to, limits).body("text/plain", "a body")
}
