//! The background task that deletes messages that ended long ago, and turns pending messages of disabled endpoints into
//! dead letters.

use std::sync::Arc;
use std::time::Duration;

use slog::warn;

use super::ports::OutboxStore;
use crate::PortFuture;
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::task::{BackgroundTask, Progress};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long delivered messages are kept, so that operators can look them up.
const KEPT: Duration = DAY.saturating_mul(7);
/// How long dead letters are kept for operators.
const DEAD_KEPT: Duration = DAY.saturating_mul(90);
/// Rows per pass, so that a pass holds its locks only for a short time.
const BATCH: u32 = 500;

/// The background task `delivery_purge`.
#[derive(Clone)]
pub struct OutboxPurge {
    store: Arc<dyn OutboxStore>,
    clock: Arc<dyn Clock>,
}

impl OutboxPurge {
    pub fn new(store: Arc<dyn OutboxStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    async fn purge_once(&self, ctx: &RequestContext) -> Result<Progress, Fault> {
        let now = self.clock.now();
        let cleared = self.store.forget(ctx, now - KEPT, now - DEAD_KEPT, BATCH).await?;
        for (endpoint, given_up) in &cleared.given_up {
            warn!(ctx.log(), "messages given up: their destination is disabled"; "op" => "outbox.purge",
                "destination" => %endpoint, "given_up" => given_up);
        }
        Ok(Progress::of(cleared.total(), cleared.total() >= BATCH))
    }
}

impl BackgroundTask for OutboxPurge {
    fn name(&self) -> &'static str {
        "delivery_purge"
    }

    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move { this.purge_once(&ctx).await })
    }
}
