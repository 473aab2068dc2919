//! The background task that deletes messages that ended long ago, and turns pending messages of disabled endpoints into
//! dead letters.

use std::sync::Arc;
use std::time::Duration;

use slog::warn;

use super::ports::OutboxStore;
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::task::{BackgroundTask, PassFuture, Progress};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long messages that are not dead letters are kept after they ended, so that operators can look them up.
const KEPT: Duration = DAY.saturating_mul(7);
/// How long dead letters are kept after they ended, for operators.
const DEAD_KEPT: Duration = DAY.saturating_mul(90);
/// The most messages that one pass changes. The limit keeps the locks of a pass short.
const BATCH: u32 = 500;

/// The background task `delivery_purge`.
pub struct OutboxPurge {
    pub store: Arc<dyn OutboxStore>,
    pub clock: Arc<dyn Clock>,
}

impl BackgroundTask for OutboxPurge {
    fn name(&self) -> &'static str {
        "delivery_purge"
    }

    fn pass<'a>(&'a self, ctx: &'a RequestContext) -> PassFuture<'a> {
        Box::pin(async move {
            let now = self.clock.now();
            let purged = self.store.forget(ctx, now - KEPT, now - DEAD_KEPT, BATCH).await?;
            for (endpoint, given_up) in &purged.given_up {
                warn!(ctx.log(), "messages given up: their destination is disabled"; "op" => "outbox.purge",
                    "destination" => %endpoint, "given_up" => given_up);
            }
            Ok(Progress::of(purged.total(), purged.total() >= BATCH))
        })
    }
}
