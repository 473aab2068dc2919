//! Every outbound HTTP call of the shop goes through [`Outbound::send`].
//!
//! - A call ends at its deadline, which includes the connection and the whole body.
//! - A call reads a response of limited size, follows no redirect, uses no proxy and keeps no cookie.
//! - A call needs a permit from the bulkhead of its destination.
//! - A call is repeated only if a second call does no harm, and within the retry budget of the destination.
//! - A call does not send the trace or the deadline of the shop, because destinations are not part of the shop.
//! - A call writes one log line.
//! - A call without a response fails. The error says whether the call [may have had an effect](Effect).
//!
//! ```text
//!   URL -> guard.rs -> Destination        (untrusted: https and public addresses only)
//!   Call -> mod.rs: bulkhead.rs, retry.rs
//!            `-> exchange.rs: one attempt
//!                 `-> resolver.rs, address.rs: the addresses to connect to
//!   -> Reply (any status) | CallError (error.rs)
//! ```
//!
//! There is no circuit breaker, because other limits do its work. Deadlines limit how long callers wait for a dead
//! destination. Bulkheads keep the calls to other destinations unaffected. The retry budget limits the number of
//! retries.

mod address;
mod bulkhead;
mod call;
mod error;
mod exchange;
mod guard;
mod resolver;
mod retry;

use std::sync::Arc;
use std::time::Duration;

use domain::context::{RequestContext, Stopwatch};
use domain::fault::{FaultKind, chain};
use reqwest::{Client, Method};
use slog::{info, warn};
use tower::retry::budget::Budget;

use bulkhead::{Bulkhead, Bulkheads};
use guard::Trust;
use resolver::CheckedResolver;
use retry::{MAX_ATTEMPTS, MIN_ATTEMPT};

pub use bulkhead::BulkheadLimits;
pub use call::{Call, Limits, Repeat, Reply};
pub use error::{CallError, Effect, Reason};
pub use guard::{Blocked, Destination, MAX_URL_LENGTH, UntrustedPolicy};
pub use resolver::{Lookup, LookupFuture, SystemLookup};
pub use retry::{Jitter, random_jitter};

#[derive(Clone)]
pub struct OutboundConfig {
    pub untrusted: UntrustedPolicy,
    /// The longest time for name resolution, connection and TLS together. A distant server with TLS 1.2 needs one
    /// look-up of its name and five round trips. A lost packet costs one more second.
    pub connect_timeout: Duration,
    pub bulkheads: BulkheadLimits,
    pub lookup: Arc<dyn Lookup>,
    pub jitter: Jitter,
}

impl OutboundConfig {
    /// Returns the settings for production, with this policy for untrusted destinations.
    pub fn new(untrusted: UntrustedPolicy) -> Self {
        Self {
            untrusted,
            connect_timeout: Duration::from_secs(5),
            bulkheads: BulkheadLimits::default(),
            lookup: Arc::new(SystemLookup),
            jitter: random_jitter(),
        }
    }
}

/// Sends outbound calls. Clones share connections, bulkheads and budgets.
#[derive(Clone)]
pub struct Outbound(Arc<Shared>);

struct Shared {
    policy: UntrustedPolicy,
    jitter: Jitter,
    bulkheads: Bulkheads,
    /// Trusted and untrusted destinations have separate clients, so that an untrusted call never uses a connection to a
    /// trusted host.
    trusted: Client,
    untrusted: Client,
}

/// The HTTP client could not be set up. The usual cause is a machine without trusted certificates.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up")]
pub struct OutboundError(#[from] reqwest::Error);

impl Outbound {
    pub fn new(config: OutboundConfig) -> Result<Self, OutboundError> {
        Ok(Self(Arc::new(Shared {
            policy: config.untrusted,
            trusted: client(&config, Trust::Trusted)?,
            untrusted: client(&config, Trust::Untrusted)?,
            jitter: config.jitter,
            bulkheads: Bulkheads::new(config.bulkheads),
        })))
    }

    /// Checks a URL that does not come from the operator. If its host is a name, the addresses of the host are checked
    /// again for each connection.
    pub fn untrusted(&self, url: &str) -> Result<Destination, Blocked> {
        Destination::untrusted(url, self.0.policy)
    }

    /// Sends the call. A response of any status is `Ok`.
    pub async fn send(&self, ctx: &RequestContext, call: Call) -> Result<Reply, CallError> {
        let ctx = ctx.at_most(call.limits.total);
        let watch = Stopwatch::start();
        let (outcome, attempts) = self.send_repeatedly(&ctx, &call).await;
        report(&ctx, &call, &outcome, attempts, watch);
        outcome
    }

    /// Sends the call, and repeats it while that is allowed. Returns the outcome of the last attempt and the number of
    /// attempts.
    async fn send_repeatedly(&self, ctx: &RequestContext, call: &Call) -> (Result<Reply, CallError>, u32) {
        let bulkhead = match self.0.bulkheads.named(call.to.bulkhead(), call.concurrency) {
            Ok(bulkhead) => bulkhead,
            Err(reason) => return (Err(CallError::without_effect(call.operation, reason)), 0),
        };
        bulkhead.retries.deposit();
        let (mut attempts, mut in_doubt) = (1, false);
        let mut outcome = self.attempt(ctx, call, &bulkhead).await;
        while attempts < MAX_ATTEMPTS && self.backs_off(ctx, call, &bulkhead, attempts, &outcome).await {
            in_doubt |= leaves_doubt(call, &outcome);
            attempts += 1;
            outcome = self.attempt(ctx, call, &bulkhead).await;
        }
        match &mut outcome {
            Ok(reply) => {
                reply.attempts = attempts;
                reply.in_doubt = in_doubt;
            }
            Err(error) if in_doubt => error.effect = Effect::Unknown,
            Err(_) => {}
        }
        (outcome, attempts)
    }

    async fn attempt(&self, ctx: &RequestContext, call: &Call, bulkhead: &Bulkhead) -> Result<Reply, CallError> {
        let refused = |reason| CallError::without_effect(call.operation, reason);
        let is_wanted = || {
            ctx.check(call.operation).map_err(|fault| match fault.kind() {
                FaultKind::Cancelled => refused(Reason::Cancelled),
                _ => refused(Reason::Deadline),
            })
        };
        is_wanted()?;
        let _permit = bulkhead.enter(ctx).await.map_err(refused)?;
        // The call may have been cancelled in the moment in which it got its permit. Then nothing must be sent.
        is_wanted()?;
        let client = match call.to.trust() {
            Trust::Trusted => &self.0.trusted,
            Trust::Untrusted => &self.0.untrusted,
        };
        exchange::attempt(client, ctx, call).await
    }

    /// Waits for the backoff before the next attempt. Returns `true` if the next attempt may begin. Returns `false`
    /// without waiting if there must not be another attempt, and returns `false` if the call is cancelled during the
    /// wait.
    async fn backs_off(
        &self,
        ctx: &RequestContext,
        call: &Call,
        bulkhead: &Bulkhead,
        attempts: u32,
        outcome: &Result<Reply, CallError>,
    ) -> bool {
        if !retry::may_repeat(call, outcome) {
            return false;
        }
        let backoff = retry::backoff(&self.0.jitter, attempts, outcome);
        if backoff + MIN_ATTEMPT > ctx.deadline().remaining() {
            return false;
        }
        if !bulkhead.retries.withdraw() {
            warn!(ctx.log(), "retry budget used up"; "op" => call.operation, "host" => call.to.authority(),
                "outcome" => "retry_budget_exhausted");
            return false;
        }
        tokio::select! {
            biased;
            () = ctx.cancellation().cancelled() => false,
            () = tokio::time::sleep(backoff) => true,
        }
    }
}

/// Whether an attempt that is about to be repeated may have had an effect. After a 429 it had none, because a server
/// sends 429 before it does anything.
fn leaves_doubt(call: &Call, outcome: &Result<Reply, CallError>) -> bool {
    match outcome {
        Ok(reply) => call.method == Method::POST && reply.status != 429,
        Err(error) => error.effect == Effect::Unknown,
    }
}

fn client(config: &OutboundConfig, trust: Trust) -> Result<Client, reqwest::Error> {
    const MAX_LOOKUPS: usize = 64;
    const MAX_IDLE: usize = 64;
    const MAX_IDLE_TIME: Duration = Duration::from_secs(30);
    let lookup = Arc::clone(&config.lookup);
    let resolver = CheckedResolver::new(trust, config.untrusted, lookup, config.connect_timeout, MAX_LOOKUPS);
    let client = Client::builder()
        .user_agent(concat!("tuckshop/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .http1_only()
        .dns_resolver(Arc::new(resolver));
    match trust {
        // Closes idle connections early. Otherwise the other side could close a connection at the moment at which a
        // call uses it.
        Trust::Trusted => client.pool_max_idle_per_host(MAX_IDLE).pool_idle_timeout(MAX_IDLE_TIME),
        // Keeps no connection, so that each call looks up the name and checks the addresses again.
        Trust::Untrusted => client.pool_max_idle_per_host(0).https_only(config.untrusted == UntrustedPolicy::Public),
    }
    .build()
}

/// Writes the log line of a call, without path and query, which may contain secrets.
fn report(ctx: &RequestContext, call: &Call, outcome: &Result<Reply, CallError>, attempts: u32, watch: Stopwatch) {
    let log = ctx.log().new(slog::o!("op" => call.operation, "host" => call.to.authority(), "attempts" => attempts,
        "elapsed_ms" => watch.elapsed_us() / 1000));
    match outcome {
        Ok(reply) => {
            // The support team of the other side asks for this id.
            let log = log.new(slog::o!("outcome" => "answered", "status" => reply.status,
                "their_request_id" => reply.request_id().map(str::to_owned)));
            if reply.status < 500 { info!(log, "outbound call") } else { warn!(log, "outbound call") }
        }
        Err(error) => warn!(log, "outbound call"; "outcome" => error.reason.as_str(),
            "effect" => error.effect.into_str(), "error" => chain(error)),
    }
}
