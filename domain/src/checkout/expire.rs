//! The background task that cancels expired checkouts and deletes checkouts that ended long ago.

use std::sync::Arc;
use std::time::Duration;

use super::ports::{CheckoutStore, Expired};
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::task::{BackgroundTask, PassFuture, Progress};

/// The most checkouts that one pass cancels, and the most checkouts that it deletes.
const BATCH: u32 = 500;

/// The background task `checkout_expiry`. It does not change a checkout with an unsettled payment attempt, however old
/// the checkout is.
pub struct CheckoutExpiry {
    pub checkouts: Arc<dyn CheckoutStore>,
    pub clock: Arc<dyn Clock>,
    /// How long a checkout is kept after it ended.
    pub retention: Duration,
}

impl BackgroundTask for CheckoutExpiry {
    fn name(&self) -> &'static str {
        "checkout_expiry"
    }

    fn pass<'a>(&'a self, ctx: &'a RequestContext) -> PassFuture<'a> {
        Box::pin(async move {
            let now = self.clock.now();
            let expired = self.checkouts.expire(ctx, now, now - self.retention, BATCH).await?;
            let Expired { canceled, deleted } = expired;
            Ok(Progress::of(canceled + deleted, canceled.max(deleted) >= BATCH))
        })
    }
}
