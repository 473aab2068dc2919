//! Tests of `relay.rs`.

use domain::context::{Deadline, TraceContext};
use tokio_util::sync::CancellationToken;

use super::*;

#[tokio::test]
async fn response_that_is_ready_counts_after_a_cancellation() {
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let (deadline, cancellation) = (Deadline::after(Duration::from_secs(30)), CancellationToken::new());
    let ctx = RequestContext::for_task(&log, "test", TraceContext::start(), deadline, cancellation.clone());
    cancellation.cancel();
    assert_eq!(within(&ctx, async { 250 }).await, Ok(250));
    assert_eq!(within::<()>(&ctx, std::future::pending()).await, Err(SendError::local("cancelled")));
}
