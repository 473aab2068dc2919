//! The one place from which the shop calls the network: the second choke point, after the database's.
//!
//! Whatever is called, and by whom: the call ends by its deadline, connection and whole body included; it reads a
//! bounded answer; it follows no redirect, uses no proxy and keeps no cookie; it takes its place in the bulkhead of its
//! destination; it is repeated only if that is harmless, within the destination's retry budget; it says nothing of the
//! shop's own trace or deadline, since it only goes to others; it writes one log line. And it says of every call without an answer whether it
//! [may have had an effect](Effect).
//!
//! ```text
//!   URL -> guard.rs -> Destination        (given by others: https, public addresses only)
//!   Call -> mod.rs: bulkhead.rs, retry.rs
//!            `-> exchange.rs: one attempt
//!                 `-> resolver.rs, address.rs: the addresses that are connected to
//!   -> Reply (any status) | CallError (error.rs)
//! ```
//!
//! There is no circuit breaker: deadlines bound what a dead destination costs a caller, bulkheads what it costs the
//! others, and the budget what it is asked again.

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
use domain::fault::FaultKind;
use reqwest::Client;
use slog::{info, warn};

use bulkhead::{Bulkhead, Bulkheads};
use guard::Trust;
use resolver::CheckedResolver;
use retry::{MOST_ATTEMPTS, SHORTEST_ATTEMPT};

pub use bulkhead::BulkheadLimits;
pub use call::{AnswerLimit, BodyEnd, Call, Limits, Method, Repeat, Reply};
pub use error::{CallError, Effect, Reason};
pub use guard::{Blocked, Destination, GivenPolicy, LONGEST_URL};
pub use resolver::{Found, Lookup, SystemLookup};
pub use retry::{Jitter, random_jitter};

#[derive(Clone)]
pub struct OutboundConfig {
    pub given: GivenPolicy,
    /// For name, connection and TLS together. A server on the other side of the world that speaks TLS 1.2 needs five
    /// round trips and an answer of its name server, and a lost packet costs another second.
    pub connect_timeout: Duration,
    pub bulkheads: BulkheadLimits,
    pub lookup: Arc<dyn Lookup>,
    pub jitter: Jitter,
}

impl OutboundConfig {
    /// What production uses, but for the policy, which is the operator's.
    pub fn new(given: GivenPolicy) -> Self {
        Self {
            given,
            connect_timeout: Duration::from_secs(5),
            bulkheads: BulkheadLimits::default(),
            lookup: Arc::new(SystemLookup),
            jitter: random_jitter(),
        }
    }
}

/// The shop's way out. Clones share connections, bulkheads and budgets.
#[derive(Clone)]
pub struct Outbound(Arc<Shared>);

struct Shared {
    given_policy: GivenPolicy,
    jitter: Jitter,
    bulkheads: Bulkheads,
    /// The two kinds of destination share no connection: one that was made because the operator named the host is not
    /// for others to use.
    trusted: Client,
    given: Client,
}

/// The HTTP client could not be set up: usually a machine without any trusted certificates.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up")]
pub struct OutboundError(#[from] reqwest::Error);

impl Outbound {
    pub fn new(config: OutboundConfig) -> Result<Self, OutboundError> {
        Ok(Self(Arc::new(Shared {
            given_policy: config.given,
            trusted: client(&config, Trust::Trusted)?,
            given: client(&config, Trust::Given)?,
            jitter: config.jitter,
            bulkheads: Bulkheads::new(config.bulkheads),
        })))
    }

    /// A destination that the operator configured: https to any address, http to this machine only.
    pub fn trusted(&self, url: &str) -> Result<Destination, Blocked> {
        Destination::trusted(url)
    }

    /// A destination that somebody else named: see [`GivenPolicy`]. Its addresses are checked again on each connection.
    pub fn given(&self, url: &str) -> Result<Destination, Blocked> {
        Destination::given(url, self.0.given_policy)
    }

    /// Makes the call. Any status is an answer.
    pub async fn send(&self, ctx: &RequestContext, call: Call) -> Result<Reply, CallError> {
        let ctx = ctx.at_most(call.limits.total);
        let watch = Stopwatch::start();
        let (outcome, attempts) = self.until_answered(&ctx, &call).await;
        report(&ctx, &call, &outcome, attempts, watch);
        outcome
    }

    /// Attempts until there is an answer worth keeping, or no reason or time for another. Also says how many.
    async fn until_answered(&self, ctx: &RequestContext, call: &Call) -> (Result<Reply, CallError>, u32) {
        let bulkhead = match self.0.bulkheads.named(call.to.bulkhead(), call.concurrent) {
            Ok(bulkhead) => bulkhead,
            Err(reason) => return (Err(CallError::without_effect(call.operation, reason)), 0),
        };
        bulkhead.count_call();
        let (mut attempts, mut in_doubt) = (1, false);
        let mut outcome = self.attempt(ctx, call, &bulkhead).await;
        while attempts < MOST_ATTEMPTS && self.waits_to_repeat(ctx, call, &bulkhead, attempts, &outcome).await {
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
        ctx.check(call.operation).map_err(|fault| match fault.kind() {
            FaultKind::Cancelled => refused(Reason::Cancelled),
            _ => refused(Reason::Deadline),
        })?;
        let _place = bulkhead.enter(ctx).await.map_err(refused)?;
        let client = match call.to.trust() {
            Trust::Trusted => &self.0.trusted,
            Trust::Given => &self.0.given,
        };
        exchange::attempt(client, ctx, call).await
    }

    /// Pauses before the next attempt; `false` at once when there must not be one.
    async fn waits_to_repeat(
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
        let pause = retry::pause(&self.0.jitter, attempts, outcome);
        if pause + SHORTEST_ATTEMPT > ctx.deadline().remaining() {
            return false;
        }
        if !bulkhead.take_retry() {
            warn!(ctx.log(), "retry budget used up"; "op" => call.operation, "host" => call.to.authority(),
                "outcome" => "retry_budget_exhausted");
            return false;
        }
        tokio::select! {
            biased;
            () = ctx.cancellation().cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

/// Whether an attempt that is about to be repeated may have had an effect. 429 is said before anything is done.
fn leaves_doubt(call: &Call, outcome: &Result<Reply, CallError>) -> bool {
    match outcome {
        Ok(reply) => call.method == Method::Post && reply.status != 429,
        Err(error) => error.effect == Effect::Unknown,
    }
}

fn client(config: &OutboundConfig, trust: Trust) -> Result<Client, reqwest::Error> {
    // Look-ups that may be under way at once for this kind of destination.
    const MOST_LOOKUPS: usize = 64;
    const MOST_IDLE: usize = 64;
    const LONGEST_IDLE: Duration = Duration::from_secs(30);
    let lookup = Arc::clone(&config.lookup);
    let resolver = CheckedResolver::new(trust, config.given, lookup, config.connect_timeout, MOST_LOOKUPS);
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
        // Idle connections go before the other end closes them, or it might do so just as one is used.
        Trust::Trusted => client.pool_max_idle_per_host(MOST_IDLE).pool_idle_timeout(LONGEST_IDLE),
        // No connection is kept: each call looks the name up and checks it again.
        Trust::Given => client.pool_max_idle_per_host(0).https_only(config.given == GivenPolicy::Public),
    }
    .build()
}

/// The one line of a call. No path and no query: either may hold a secret.
fn report(ctx: &RequestContext, call: &Call, outcome: &Result<Reply, CallError>, attempts: u32, watch: Stopwatch) {
    let log = ctx.log().new(slog::o!("op" => call.operation, "host" => call.to.authority(), "attempts" => attempts,
        "elapsed_ms" => watch.elapsed_us() / 1000));
    match outcome {
        Ok(reply) => {
            // What the other end calls the request: its support asks for it.
            let log = log.new(slog::o!("outcome" => "answered", "status" => reply.status,
                "their_request_id" => reply.request_id().map(str::to_owned)));
            if reply.status < 500 { info!(log, "outbound call") } else { warn!(log, "outbound call") }
        }
        Err(error) => warn!(log, "outbound call"; "outcome" => error.reason().as_str(),
            "effect" => error.effect().as_str(), "error" => error.chain()),
    }
}
