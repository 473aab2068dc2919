//! What every operation carries: who asks, how long it may take, whether they still wait, where its logs go.
//!
//! The context is the first parameter everywhere. It is cheap to clone and is never kept longer than its request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use slog::{Logger, o};
use tokio_util::sync::CancellationToken;

use crate::fault::{Fault, FaultKind};

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

    /// For one pass of a supervised task: no caller, so the task's own name stands in for one.
    pub fn for_task(
        log: &Logger,
        name: &'static str,
        trace: TraceContext,
        deadline: Deadline,
        cancellation: CancellationToken,
    ) -> Self {
        let log = log.new(o!("task" => name, "trace_id" => trace.trace_id_hex()));
        Self {
            request_id: RequestId(name.to_owned()),
            trace,
            caller: Caller::Task(name),
            deadline,
            cancellation,
            timings: Arc::default(),
            log,
            past_no_return: false,
        }
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
    /// Where this request's time went, summed over all of its steps.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }
    pub fn log(&self) -> &Logger {
        &self.log
    }

    /// Refuses to start more work for a caller who is gone or out of time.
    pub fn check(&self, operation: &'static str) -> Result<(), Fault> {
        if self.cancellation.is_cancelled() {
            return Err(Fault::new(FaultKind::Cancelled, operation));
        }
        if self.deadline.remaining().is_zero() {
            return Err(Fault::new(FaultKind::DeadlineExceeded, operation));
        }
        Ok(())
    }

    /// The same request on behalf of a caller that became known after it was opened.
    #[must_use]
    pub fn for_caller(&self, caller: Caller) -> Self {
        Self { caller, ..self.clone() }
    }

    /// The same request with less time: for a step that must leave time for the next one.
    #[must_use]
    pub fn at_most(&self, budget: Duration) -> Self {
        Self { deadline: self.deadline.min(Deadline::after(budget)), ..self.clone() }
    }

    /// The same request past its point of no return: what already happened outside must be recorded, whether or not
    /// the caller still waits. Bounded by `grace`.
    #[must_use]
    pub fn must_finish(&self, grace: Duration) -> Self {
        let (deadline, cancellation) = (Deadline::after(grace), CancellationToken::new());
        Self { deadline, cancellation, past_no_return: true, ..self.clone() }
    }

    /// Whether this is work that [must finish](Self::must_finish). Such work is not shed: it queues for as long as it has.
    pub fn is_past_no_return(&self) -> bool {
        self.past_no_return
    }
}

/// On whose behalf the work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    Anonymous,
    /// A platform that buys for its users.
    Platform(Platform),
    /// A supervised background task, by name.
    Task(&'static str),
}

/// A platform, known by the address of its profile. Until signatures are verified this is a claim, not a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    pub id: PlatformId,
    /// Registered platforms are offered what the shop knows about its customers; unknown ones are not.
    pub registered: bool,
}

/// The profile address of a platform, at most [`PlatformId::MAX_LENGTH`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct PlatformId(pub String);

impl PlatformId {
    pub const MAX_LENGTH: usize = 512;
}

/// Names one request in logs and answers. Given by the caller or made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    const MAX_LENGTH: usize = 128;

    /// Accepts 1 to 128 visible ASCII characters; anything else could forge log lines.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_LENGTH).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    pub fn generate() -> Self {
        Self(format!("req_{}", uuid::Uuid::new_v4().simple()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Position in a distributed trace: the `traceparent` of W3C Trace Context, section 3.2, version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceContext {
    /// A new trace, with a random identity and the sampled flag set.
    pub fn start() -> Self {
        Self { trace_id: uuid::Uuid::new_v4().as_u128(), span_id: Self::random_span(), flags: 1 }
    }

    /// Parses `00-<32 hex>-<16 hex>-<2 hex>`. `None` when malformed or all zero: then a new trace is started, as the
    /// recommendation asks.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lower_hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let known_shape = lower_hex(version, 2)
            && version != "ff"
            && (version != "00" || parts.next().is_none())
            && lower_hex(trace, 32)
            && lower_hex(span, 16)
            && lower_hex(flags, 2);
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

    /// A new span of the same trace: what this process calls itself, and what it passes on.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: Self::random_span(), ..self }
    }

    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    fn random_span() -> u64 {
        // The upper half of a v4 uuid carries six fixed bits, so it is never zero.
        uuid::Uuid::new_v4().as_u64_pair().0
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// The moment a caller stops waiting, in monotonic time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "the context is where monotonic time is read")]
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    pub fn instant(self) -> Instant {
        self.0
    }

    /// Zero once the deadline has passed.
    #[expect(clippy::disallowed_methods, reason = "the context is where monotonic time is read")]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Measures how long something took.
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

/// Microseconds that a request spent waiting and working, by place. Shared by all clones of its context.
#[derive(Debug, Default)]
pub struct Timings {
    connection_wait_us: AtomicU64,
    storage_us: AtomicU64,
    gateway_us: AtomicU64,
}

impl Timings {
    pub fn add_connection_wait(&self, watch: Stopwatch) {
        self.connection_wait_us.fetch_add(watch.elapsed_us(), Ordering::Relaxed);
    }
    pub fn add_storage(&self, watch: Stopwatch) {
        self.storage_us.fetch_add(watch.elapsed_us(), Ordering::Relaxed);
    }
    pub fn add_gateway(&self, watch: Stopwatch) {
        self.gateway_us.fetch_add(watch.elapsed_us(), Ordering::Relaxed);
    }
    pub fn connection_wait_us(&self) -> u64 {
        self.connection_wait_us.load(Ordering::Relaxed)
    }
    pub fn storage_us(&self) -> u64 {
        self.storage_us.load(Ordering::Relaxed)
    }
    pub fn gateway_us(&self) -> u64 {
        self.gateway_us.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(budget: Duration) -> RequestContext {
        let log = Logger::root(slog::Discard, o!());
        let id = RequestId::parse("req-1").expect("valid");
        let trace = TraceContext::start();
        RequestContext::new(&log, id, trace, Caller::Anonymous, Deadline::after(budget), CancellationToken::new())
    }

    #[test]
    fn traceparent_is_read_and_written_as_recommended() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext::parse(text).expect("valid");
        assert_eq!(trace.to_string(), text);
        let child = trace.child();
        assert_eq!(child.trace_id_hex(), trace.trace_id_hex());
        assert_ne!(child.to_string(), text);
    }

    #[test]
    fn malformed_traceparents_start_a_new_trace() {
        for text in [
            "",
            "00",
            "00-0000000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text:?}");
        }
        // A later version may append fields.
        assert!(TraceContext::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
    }

    #[test]
    fn request_ids_cannot_forge_log_lines() {
        assert!(RequestId::parse("a-b_C.9").is_some());
        for bad in ["", "a b", "a\nb", "é", &"x".repeat(129)] {
            assert!(RequestId::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_caller_who_left_or_ran_out_of_time_is_refused() {
        let ctx = context(Duration::from_secs(60));
        assert!(ctx.check("test.check").is_ok());
        ctx.cancellation().cancel();
        assert_eq!(ctx.check("test.check").expect_err("gone").kind(), FaultKind::Cancelled);
        let late = context(Duration::ZERO);
        assert_eq!(late.check("test.check").expect_err("late").kind(), FaultKind::DeadlineExceeded);
    }

    #[test]
    fn past_the_point_of_no_return_neither_stops_the_work() {
        let ctx = context(Duration::ZERO);
        ctx.cancellation().cancel();
        assert!(ctx.must_finish(Duration::from_secs(60)).check("test.check").is_ok());
    }

    #[test]
    fn a_budget_shortens_and_never_lengthens() {
        let ctx = context(Duration::from_secs(10));
        assert!(ctx.at_most(Duration::from_secs(1)).deadline() < ctx.deadline());
        assert_eq!(ctx.at_most(Duration::from_secs(99)).deadline(), ctx.deadline());
    }
}
