//! Cancels checkouts that nobody finished and forgets those that are long over.

use std::sync::Arc;
use std::time::Duration;

use super::ports::CheckoutStore;
use crate::PortFuture;
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::task::{BackgroundTask, Progress};

const BATCH: u32 = 500;

/// A checkout with an unresolved payment attempt is never touched, however old.
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
            let (cancelled, forgotten) = expired.await?;
            Ok(match (cancelled, forgotten) {
                (0, 0) => Progress::Idle,
                (cancelled, forgotten) if cancelled < BATCH && forgotten < BATCH => {
                    Progress::Done(cancelled + forgotten)
                }
                (cancelled, forgotten) => Progress::More(cancelled + forgotten),
            })
        })
    }
}
