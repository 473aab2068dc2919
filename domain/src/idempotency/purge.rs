//! The background task that deletes idempotency keys whose retention has ended.

use std::sync::Arc;

use super::model::RETENTION;
use super::ports::IdempotencyStore;
use crate::PortFuture;
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::task::{BackgroundTask, Progress};

/// Rows per pass.
const BATCH: u32 = 1_000;

/// The background task `idempotency_purge`.
pub struct IdempotencyPurge {
    store: Arc<dyn IdempotencyStore>,
    clock: Arc<dyn Clock>,
}

impl IdempotencyPurge {
    pub fn new(store: Arc<dyn IdempotencyStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

impl BackgroundTask for IdempotencyPurge {
    fn name(&self) -> &'static str {
        "idempotency_purge"
    }

    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault> {
        let purged = self.store.purge(ctx, self.clock.now() - RETENTION, BATCH);
        Box::pin(async move { purged.await.map(|count| Progress::of(count, count >= BATCH)) })
    }
}
