//! Cancels a checkout on request of its platform.

use std::sync::Arc;

use super::model::CheckoutId;
use super::ports::{Answer, CheckoutRefusal, CheckoutStore};
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::Failure;
use crate::idempotency::{KeyClaim, Write};

/// The use case. `run` refuses a caller whose deadline has passed, and otherwise is one keyed write.
#[derive(Clone)]
pub struct CancelCheckout {
    checkouts: Arc<dyn CheckoutStore>,
    clock: Arc<dyn Clock>,
}

pub struct CancelCommand {
    pub claim: KeyClaim,
    pub id: CheckoutId,
}

impl CancelCheckout {
    pub fn new(checkouts: Arc<dyn CheckoutStore>, clock: Arc<dyn Clock>) -> Self {
        Self { checkouts, clock }
    }

    pub async fn run(&self, ctx: &RequestContext, command: CancelCommand) -> Result<Answer, Failure<CheckoutRefusal>> {
        ctx.check("checkout.cancel")?;
        let write = Write { claim: command.claim, now: self.clock.now() };
        self.checkouts.cancel(ctx, write, command.id).await
    }
}
