//! Creates a checkout.

use std::sync::Arc;
use std::time::Duration;

use super::model::{CheckoutId, CheckoutRequest};
use super::ports::{Answer, CheckoutRefusal, CheckoutStore, NewCheckout};
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::Failure;
use crate::id::PageToken;
use crate::idempotency::{KeyClaim, Write};
use crate::money::Currency;

/// The use case. `run` refuses a caller whose deadline has passed, and otherwise is one keyed write.
#[derive(Clone)]
pub struct CreateCheckout {
    checkouts: Arc<dyn CheckoutStore>,
    clock: Arc<dyn Clock>,
    currency: Currency,
    expires_after: Duration,
}

pub struct CreateCommand {
    pub claim: KeyClaim,
    pub request: CheckoutRequest,
}

impl CreateCheckout {
    pub fn new(
        checkouts: Arc<dyn CheckoutStore>,
        clock: Arc<dyn Clock>,
        currency: Currency,
        expires_after: Duration,
    ) -> Self {
        Self { checkouts, clock, currency, expires_after }
    }

    pub async fn run(&self, ctx: &RequestContext, command: CreateCommand) -> Result<Answer, Failure<CheckoutRefusal>> {
        ctx.check("checkout.create")?;
        let now = self.clock.now();
        let checkout = NewCheckout {
            id: CheckoutId::generate(now),
            page: PageToken::generate(),
            currency: self.currency,
            expires_at: now + self.expires_after,
            request: command.request,
        };
        self.checkouts.create(ctx, Write { claim: command.claim, now }, checkout).await
    }
}
