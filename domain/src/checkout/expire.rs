//! The background task that cancels expired checkouts and deletes checkouts that ended long ago.

use std::sync::Arc;
use std::time::Duration;

use super::ports::CheckoutStore;
use crate::PortFuture;
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::task::{BackgroundTask, Progress};

/// Rows per pass: checkouts that the pass cancels, and checkouts that it deletes.
const BATCH: u32 = 500;

/// The background task `checkout_expiry`. It never changes a checkout with an unsettled payment attempt, however old the
/// checkout is.
pub struct CheckoutExpiry {
    checkouts: Arc<dyn CheckoutStore>,
    clock: Arc<dyn Clock>,
    retention: Duration,
}

impl CheckoutExpiry {
    pub fn new(checkouts: Arc<dyn CheckoutStore>, clock: Arc<dyn Clock>, retention: Duration) -> Self {
        Self { checkouts, clock, retention }
    }
}

impl BackgroundTask for CheckoutExpiry {
    fn name(&self) -> &'static str {
        "checkout_expiry"
    }

    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault> {
        let now = self.clock.now();
        let expired = self.checkouts.expire(ctx, now, now - self.retention, BATCH);
        Box::pin(async move {
            let (cancelled, deleted) = expired.await?;
            Ok(Progress::of(cancelled + deleted, cancelled.max(deleted) >= BATCH))
        })
    }
}
