//! Forgets deliveries that ended long ago, and gives up what nobody will ever take.

use std::sync::Arc;
use std::time::Duration;

use super::ports::DeliveryBook;
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
pub struct DeliveryPurge {
    book: Arc<dyn DeliveryBook>,
    clock: Arc<dyn Clock>,
}

impl DeliveryPurge {
    pub fn new(book: Arc<dyn DeliveryBook>, clock: Arc<dyn Clock>) -> Self {
        Self { book, clock }
    }
}

impl BackgroundTask for DeliveryPurge {
    fn name(&self) -> &'static str {
        "delivery_purge"
    }

    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault> {
        let now = self.clock.now();
        let forgotten = self.book.forget(ctx, now - KEPT, now - DEAD_KEPT, BATCH);
        Box::pin(async move {
            Ok(match forgotten.await? {
                0 => Progress::Idle,
                BATCH => Progress::More(BATCH),
                some => Progress::Done(some),
            })
        })
    }
}
