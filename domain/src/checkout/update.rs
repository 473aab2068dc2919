//! Replaces the content of a checkout.

use std::sync::Arc;

use super::model::{CheckoutId, CheckoutRequest};
use super::ports::{Answer, CheckoutRefusal, CheckoutStore};
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::Failure;
use crate::idempotency::{KeyClaim, Write};

/// The use case. `run` refuses a caller whose deadline has passed, and otherwise is one keyed write.
#[derive(Clone)]
pub struct UpdateCheckout {
    checkouts: Arc<dyn CheckoutStore>,
    clock: Arc<dyn Clock>,
}

pub struct UpdateCommand {
    pub claim: KeyClaim,
    pub id: CheckoutId,
    pub request: CheckoutRequest,
}

impl UpdateCheckout {
    pub fn new(checkouts: Arc<dyn CheckoutStore>, clock: Arc<dyn Clock>) -> Self {
        Self { checkouts, clock }
    }

    pub async fn run(&self, ctx: &RequestContext, command: UpdateCommand) -> Result<Answer, Failure<CheckoutRefusal>> {
        ctx.check("checkout.update")?;
        let write = Write { claim: command.claim, now: self.clock.now() };
        self.checkouts.update(ctx, write, command.id, command.request).await
    }
}
