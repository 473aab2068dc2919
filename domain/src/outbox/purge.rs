//! Forgets deliveries that ended long ago, and gives up what nobody will ever take.

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
/// How long what was delivered is kept, for whoever asks whether it was.
const KEPT: Duration = DAY.saturating_mul(7);
/// How long an operator has to look at what was given up.
const DEAD_KEPT: Duration = DAY.saturating_mul(90);
/// Rows per pass, so that none holds its locks for long.
const BATCH: u32 = 500;

#[derive(Clone)]
pub struct OutboxPurge {
    book: Arc<dyn OutboxStore>,
    clock: Arc<dyn Clock>,
}

impl OutboxPurge {
    pub fn new(book: Arc<dyn OutboxStore>, clock: Arc<dyn Clock>) -> Self {
        Self { book, clock }
    }

    async fn clear_up(&self, ctx: &RequestContext) -> Result<Progress, Fault> {
        let now = self.clock.now();
        let cleared = self.book.forget(ctx, now - KEPT, now - DEAD_KEPT, BATCH).await?;
        for (endpoint, given_up) in &cleared.given_up {
            warn!(ctx.log(), "messages given up: their destination is disabled"; "op" => "delivery.forget",
                "destination" => %endpoint, "given_up" => given_up);
        }
        Ok(match cleared.total() {
            0 => Progress::Idle,
            BATCH => Progress::More(BATCH),
            some => Progress::Done(some),
        })
    }
}

impl BackgroundTask for OutboxPurge {
    fn name(&self) -> &'static str {
        "delivery_purge"
    }

    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move { this.clear_up(&ctx).await })
    }
}
