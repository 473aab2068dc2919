//! A shop's way out, as the tests want it.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use integrations::outbound::{
    AnswerLimit, BulkheadLimits, Call, Destination, Found, GivenPolicy, Limits, Lookup, Outbound, OutboundConfig,
};

pub use crate::shared::{AMPLE, Lines, SOON, Server, Visit, ctx, ctx_with};

/// Answers what it is told to, and counts.
pub struct Names<F>(pub F, pub Mutex<Vec<String>>);

impl<F: Fn(usize) -> io::Result<Vec<IpAddr>> + Send + Sync> Lookup for Names<F> {
    fn look_up(&self, host: String) -> Found {
        let mut asked = self.1.lock().expect("sound");
        let answer = self.0(asked.len());
        asked.push(host);
        Box::pin(async { answer })
    }
}

/// A way out in development, whose pauses between attempts are as short as they can be.
pub fn config() -> OutboundConfig {
    OutboundConfig { jitter: Arc::new(|_| Duration::ZERO), ..OutboundConfig::new(GivenPolicy::DevelopmentLoopback) }
}

pub fn outbound() -> Outbound {
    Outbound::new(config()).expect("a client")
}

pub fn outbound_with(bulkheads: BulkheadLimits) -> Outbound {
    Outbound::new(OutboundConfig { bulkheads, ..config() }).expect("a client")
}

pub fn given(outbound: &Outbound, server: &Server) -> Destination {
    outbound.given(&server.url()).expect("allowed")
}

/// Limits of the usual kind, at most `attempt` long.
pub fn limits(attempt: Duration, answer: AnswerLimit) -> Limits {
    Limits { total: AMPLE, attempt, answer }
}

pub const WHOLE: AnswerLimit = AnswerLimit::Whole { bytes: 1000 };
pub const STATUS: AnswerLimit = AnswerLimit::StatusOnly { bytes: 1000 };

pub fn post(to: Destination, limits: Limits) -> Call {
    Call::post("test.post", to, limits).body("text/plain", "a body")
}
