//! Tests of `exchange.rs`.

use std::time::Duration;

use domain::context::TraceContext;
use tokio_util::sync::CancellationToken;

use super::*;

#[tokio::test]
async fn response_that_is_ready_counts_after_the_deadline_and_after_a_cancellation() {
    let log = slog::Logger::root(slog::Discard, slog::o!());
    for (budget, is_cancelled) in [(Duration::ZERO, false), (Duration::from_secs(30), true)] {
        let cancellation = CancellationToken::new();
        let deadline = Deadline::after(budget);
        let ctx = RequestContext::for_task(&log, "test", TraceContext::start(), deadline, cancellation.clone());
        if is_cancelled {
            cancellation.cancel();
        }
        let in_time = InTime { ctx: &ctx, deadline };
        assert!(in_time.wait(async { Ok(()) }).await.is_ok());
        let late = in_time.wait::<()>(std::future::pending()).await.err().map(|failure| failure.reason);
        let expected = if budget.is_zero() { Reason::Deadline } else { Reason::Cancelled };
        assert_eq!(late, Some(expected));
    }
}
