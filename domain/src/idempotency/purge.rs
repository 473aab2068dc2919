//! Forgets keys that nobody can repeat any more.

use std::sync::Arc;

use super::model::RETENTION;
use super::ports::IdempotencyStore;
use crate::PortFuture;
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::task::{BackgroundTask, Progress};

const BATCH: u32 = 1_000;

pub struct IdempotencyPurge {
    records: Arc<dyn IdempotencyStore>,
    clock: Arc<dyn Clock>,
}

impl IdempotencyPurge {
    pub fn new(records: Arc<dyn IdempotencyStore>, clock: Arc<dyn Clock>) -> Self {
        Self { records, clock }
    }
}

impl BackgroundTask for IdempotencyPurge {
    fn name(&self) -> &'static str {
        "idempotency_purge"
    }

    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault> {
        let purged = self.records.purge(ctx, self.clock.now() - RETENTION, BATCH);
        Box::pin(async move {
            Ok(match purged.await? {
                0 => Progress::Idle,
                count if count < BATCH => Progress::Done(count),
                count => Progress::More(count),
            })
        })
    }
}
