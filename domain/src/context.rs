//! The request context: the caller, the deadline, the cancellation, the trace and the logger of an operation.
//!
//! The context is the first parameter of each port method that does I/O, and of each use case. It is cheap to clone and
//! is dropped when its request ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use derive_more::Display;
use slog::{Logger, o};
use tokio_util::sync::CancellationToken;

use crate::fault::{Fault, FaultKind};
use crate::id::OrderId;
use crate::text::{is_lower_hex, is_visible_ascii};

/// The context of one request, or of one pass of a background task.
#[derive(Clone)]
pub struct RequestContext {
    request_id: RequestId,
    trace: TraceContext,
    caller: Caller,
    deadline: Deadline,
    cancellation: CancellationToken,
    timings: Arc<Timings>,
    log: Logger,
    past_no_return: bool,
}

impl RequestContext {
    pub fn new(
        log: &Logger,
        request_id: RequestId,
        trace: TraceContext,
        caller: Caller,
        deadline: Deadline,
        cancellation: CancellationToken,
    ) -> Self {
        let log = log.new(o!("request_id" => request_id.0.clone(), "trace_id" => trace.trace_id_hex()));
        Self { request_id, trace, caller, deadline, cancellation, timings: Arc::default(), log, past_no_return: false }
    }

    /// The context of one pass of a background task. The task's name is both the caller and the request id.
    pub fn for_task(
        log: &Logger,
        name: &'static str,
        trace: TraceContext,
        deadline: Deadline,
        cancellation: CancellationToken,
    ) -> Self {
        let task_log = log.new(o!("task" => name, "trace_id" => trace.trace_id_hex()));
        let (id, caller) = (RequestId(name.to_owned()), Caller::Task(name));
        Self { log: task_log, ..Self::new(log, id, trace, caller, deadline, cancellation) }
    }

    pub fn request_id(&self) -> &RequestId {
        &self.request_id
    }
    pub fn trace(&self) -> &TraceContext {
        &self.trace
    }
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }
    /// The time that this request spent waiting and working, summed over all its steps.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }
    pub fn log(&self) -> &Logger {
        &self.log
    }

    /// Fails if the context is cancelled or its deadline has passed. Called before a step starts.
    pub fn check(&self, operation: &'static str) -> Result<(), Fault> {
        if self.cancellation.is_cancelled() {
            return Err(Fault::new(FaultKind::Cancelled, operation));
        }
        if self.deadline.remaining().is_zero() {
            return Err(Fault::new(FaultKind::DeadlineExceeded, operation));
        }
        Ok(())
    }

    /// The same context with another caller, because the caller is known only after authentication.
    #[must_use]
    pub fn for_caller(&self, caller: Caller) -> Self {
        Self { caller, ..self.clone() }
    }

    /// The same context with at most the time `budget` left, for a step that must leave time for the next step.
    #[must_use]
    pub fn at_most(&self, budget: Duration) -> Self {
        Self { deadline: self.deadline.min(Deadline::after(budget)), ..self.clone() }
    }

    /// Returns a context for work that must end even if the caller no longer waits. The context has no cancellation,
    /// and its deadline is `grace` from now. Used after a point of no return, to record a result, to release a lease,
    /// and to find the outcome of a commit that broke.
    #[must_use]
    pub fn must_finish(&self, grace: Duration) -> Self {
        let (deadline, cancellation) = (Deadline::after(grace), CancellationToken::new());
        Self { deadline, cancellation, past_no_return: true, ..self.clone() }
    }

    /// Whether this work [must finish](Self::must_finish). Load shedding does not reject such work, which waits in the
    /// queue until its deadline.
    pub fn is_past_no_return(&self) -> bool {
        self.past_no_return
    }
}

/// The party for which an operation is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    Anonymous,
    /// A platform, which buys for its users.
    Platform(Platform),
    /// The buyer of an order, who presented the token of the order's page.
    Buyer(OrderId),
    /// A background task, by name.
    Task(&'static str),
}

impl Caller {
    /// The name under which the caller's idempotency keys are stored. `None` if the caller has no keys.
    pub fn principal(&self) -> Option<String> {
        match self {
            Self::Platform(platform) => Some(platform.id.0.clone()),
            Self::Buyer(order) => Some(order.to_string()),
            Self::Anonymous | Self::Task(_) => None,
        }
    }
}

/// A platform, identified by the URL of its profile. If no signature was verified, the identity is only a claim of the
/// caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    pub id: PlatformId,
    /// Whether the platform may read stored customer data. True only in simulation, for a profile on this machine.
    /// Independent of [`PinnedPlatform`](crate::platform::PinnedPlatform).
    pub registered: bool,
}

/// The profile URL of a platform, at most [`PlatformId::MAX_LENGTH`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct PlatformId(pub String);

impl PlatformId {
    pub const MAX_LENGTH: usize = 512;
}

/// The id of a request in logs and responses. Sent by the caller or generated here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    const MAX_LENGTH: usize = 128;

    /// Parses 1 to 128 visible ASCII characters. Other characters could forge log lines.
    pub fn parse(text: &str) -> Option<Self> {
        is_visible_ascii(text, Self::MAX_LENGTH).then(|| Self(text.to_owned()))
    }

    pub fn generate() -> Self {
        Self(format!("req_{}", uuid::Uuid::new_v4().simple()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A position in a distributed trace: the `traceparent` of W3C Trace Context, section 3.2, version 00.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq)]
#[display("00-{trace_id:032x}-{span_id:016x}-{flags:02x}")]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceContext {
    /// Starts a new trace with a random id and the sampled flag set.
    pub fn start() -> Self {
        Self { trace_id: uuid::Uuid::new_v4().as_u128(), span_id: Self::random_span(), flags: 1 }
    }

    /// Parses `00-<32 hex>-<16 hex>-<2 hex>`. Returns `None` if the text is malformed or an id is zero; the caller then
    /// starts a new trace (W3C Trace Context, section 3.2).
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let known_shape = is_lower_hex(version, 2)
            && version != "ff"
            && (version != "00" || parts.next().is_none())
            && is_lower_hex(trace, 32)
            && is_lower_hex(span, 16)
            && is_lower_hex(flags, 2);
        if !known_shape {
            return None;
        }
        let parsed = Self {
            trace_id: u128::from_str_radix(trace, 16).ok()?,
            span_id: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (parsed.trace_id != 0 && parsed.span_id != 0).then_some(parsed)
    }

    /// Starts a new span of the same trace. This process logs the span and sends it to the services that it calls.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: Self::random_span(), ..self }
    }

    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    fn random_span() -> u64 {
        // The upper half of a version 4 UUID contains fixed bits, so it is never zero.
        uuid::Uuid::new_v4().as_u64_pair().0
    }
}

/// The instant at which a caller stops waiting, in monotonic time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `budget` from now.
    #[expect(clippy::disallowed_methods, reason = "the context is where monotonic time is read")]
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    pub fn instant(self) -> Instant {
        self.0
    }

    /// The time left. Zero after the deadline.
    #[expect(clippy::disallowed_methods, reason = "the context is where monotonic time is read")]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Measures elapsed time.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the context is where monotonic time is read")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Elapsed microseconds, for log fields.
    pub fn elapsed_us(self) -> u64 {
        u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// The time that a request spent waiting for a connection, in storage and at the gateway. All clones of a context share
/// it.
#[derive(Debug, Default)]
pub struct Timings {
    pub connection_wait: TimeSum,
    pub storage: TimeSum,
    pub gateway: TimeSum,
}

/// A sum of elapsed times, in microseconds.
#[derive(Debug, Default)]
pub struct TimeSum(AtomicU64);

impl TimeSum {
    /// Adds the time since `watch` was started.
    pub fn add(&self, watch: Stopwatch) {
        self.0.fetch_add(watch.elapsed_us(), Ordering::Relaxed);
    }

    pub fn microseconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
