//! The background task that deletes idempotency keys whose retention has ended.

use std::sync::Arc;

use super::model::RETENTION;
use super::ports::IdempotencyStore;
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::task::{BackgroundTask, PassFuture, Progress};

/// The most keys that one pass deletes.
const BATCH: u32 = 1_000;

/// The background task `idempotency_purge`.
pub struct IdempotencyPurge {
    pub store: Arc<dyn IdempotencyStore>,
    pub clock: Arc<dyn Clock>,
}

impl BackgroundTask for IdempotencyPurge {
    fn name(&self) -> &'static str {
        "idempotency_purge"
    }

    fn pass<'a>(&'a self, ctx: &'a RequestContext) -> PassFuture<'a> {
        Box::pin(async move {
            let count = self.store.purge(ctx, self.clock.now() - RETENTION, BATCH).await?;
            Ok(Progress::of(count, count >= BATCH))
        })
    }
}
