//! Refunds: the rule that limits them, and the background task that requests them from the gateway.
//!
//! A refund is first recorded in the database and then requested from the gateway. The sum of the refunds of a payment
//! never exceeds the captured amount.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};

use super::model::{AttemptId, PaymentReference};
use super::pass::{CLAIMING, KEY_TRUSTED, batch, for_each};
use super::ports::{PaymentGateway, RefundStore};
use super::record::until_recorded;
use crate::PortFuture;
use crate::clock::{Clock, Timestamp};
use crate::context::RequestContext;
use crate::fault::{Fault, Refusal};
use crate::id::{Id, Named};
use crate::money::{Amount, Money};
use crate::task::{BackgroundTask, Progress};

pub type RefundId = Id<Refund>;

impl Named for Refund {
    const PREFIX: &'static str = "ref";
}

/// A transfer of money back to the buyer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    pub id: RefundId,
    pub attempt: AttemptId,
    pub reference: PaymentReference,
    pub money: Money,
    pub state: RefundState,
    /// Attempts so far. After a claim the number includes the current attempt.
    pub tries: u32,
    pub created_at: Timestamp,
}

impl Refund {
    /// The idempotency key of the refund at the gateway.
    pub fn key(&self) -> String {
        self.id.to_string()
    }
}

/// The state of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundState {
    /// Recorded in the database; the gateway has not answered yet.
    Requested,
    /// The gateway has accepted the refund and has not finished it.
    Pending,
    Succeeded,
    /// Refused by the gateway, with its reason. No money moved.
    Failed(String),
}

/// Why a refund is refused. Nothing is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundRefusal {
    /// No amount of the payment is captured, or not yet.
    NotCaptured,
    /// Only `left` of the captured amount is not refunded yet.
    TooMuch {
        left: Amount,
    },
    NotPositive,
}

impl Refusal for RefundRefusal {}

/// Decides whether `wanted` may be refunded. `captured` is the captured amount; `refunded` is the sum of the refunds
/// that have not failed.
pub fn may_refund(captured: Amount, refunded: Amount, wanted: Amount) -> Result<(), RefundRefusal> {
    let left = captured - refunded;
    if wanted <= Amount::ZERO {
        Err(RefundRefusal::NotPositive)
    } else if wanted > left {
        Err(RefundRefusal::TooMuch { left })
    } else {
        Ok(())
    }
}

/// Refunds per pass.
pub const REFUND_BATCH: u32 = batch(&[ONE_CALL, RECORD]);
const ONE_CALL: Duration = Duration::from_secs(10);
/// The time to record the gateway's answer. If the record fails, the refund is requested again after the lease has
/// expired.
const RECORD: Duration = Duration::from_secs(2);
const LEASE: Duration = Duration::from_secs(5 * 60);
/// The wait after a fault of the gateway.
const WAIT: Duration = Duration::from_secs(60);
/// The wait while the gateway has not finished a refund. No refund is due later than this from now.
pub const LONGEST_WAIT_REFUND: Duration = Duration::from_secs(60 * 60);

/// The background task that requests recorded refunds from the gateway.
#[derive(Clone)]
pub struct PaymentRefunder {
    refunds: Arc<dyn RefundStore>,
    gateway: Arc<dyn PaymentGateway>,
    clock: Arc<dyn Clock>,
}

impl PaymentRefunder {
    pub fn new(refunds: Arc<dyn RefundStore>, gateway: Arc<dyn PaymentGateway>, clock: Arc<dyn Clock>) -> Self {
        Self { refunds, gateway, clock }
    }

    async fn refund_due(&self, ctx: &RequestContext) -> Result<Progress, Fault> {
        let due = self.refunds.claim_due(&ctx.at_most(CLAIMING), self.clock.now(), LEASE, REFUND_BATCH).await?;
        for_each(due, REFUND_BATCH, |refund| self.ask_and_record(ctx, refund)).await
    }

    async fn ask_and_record(&self, ctx: &RequestContext, refund: Refund) -> Result<(), Fault> {
        let (state, wait) = self.ask(ctx, &refund).await;
        let (ctx, at) = (ctx.must_finish(RECORD), self.clock.now() + wait);
        until_recorded(&ctx, &*self.clock, || self.refunds.record(&ctx, &refund, state.clone(), at)).await
    }

    /// Returns the known state of a refund, and the wait until the next attempt if the state is not final. A refund
    /// older than [`KEY_TRUSTED`] is only looked up, because a second request with a forgotten key could refund twice.
    /// If the gateway does not have the refund, an operator must decide.
    async fn ask(&self, ctx: &RequestContext, refund: &Refund) -> (RefundState, Duration) {
        let log = ctx.log().new(slog::o!("op" => "payment.refund", "refund_id" => refund.id.to_string(),
            "attempt_id" => refund.attempt.to_string(), "tries" => refund.tries));
        let ctx = ctx.at_most(ONE_CALL);
        let is_old = self.clock.now() - refund.created_at > KEY_TRUSTED;
        let answer = if is_old {
            self.gateway.look_up_refund(&ctx, refund).await
        } else {
            self.gateway.refund(&ctx, refund).await.map(Some)
        };
        match answer {
            Ok(None) => {
                error!(log, "refund is a day old and the gateway does not have it: it is not asked for again";
                    "error_code" => "payment.key_expired");
                (refund.state.clone(), LONGEST_WAIT_REFUND)
            }
            Ok(Some(RefundState::Pending)) if is_old => {
                warn!(log, "refund is a day old and the gateway has not finished it";
                    "error_code" => "payment.refund_pending");
                (RefundState::Pending, LONGEST_WAIT_REFUND)
            }
            Ok(Some(state)) => {
                info!(log, "refund answered"; "state" => ?state);
                (state, LONGEST_WAIT_REFUND)
            }
            Err(fault) => {
                warn!(log, "refund has no answer yet"; "error_code" => fault.kind().as_str(), "error" => fault.chain());
                (refund.state.clone(), WAIT)
            }
        }
    }
}

impl BackgroundTask for PaymentRefunder {
    fn name(&self) -> &'static str {
        "payment_refunder"
    }

    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move { this.refund_due(&ctx).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refund_of_more_than_is_left_is_refused() {
        use RefundRefusal::{NotPositive, TooMuch};
        for (captured, refunded, wanted, expected) in [
            (600, 0, 600, Ok(())),
            (600, 0, 601, Err(TooMuch { left: Amount::new(600) })),
            (600, 400, 200, Ok(())),
            (600, 400, 201, Err(TooMuch { left: Amount::new(200) })),
            (600, 600, 1, Err(TooMuch { left: Amount::ZERO })),
            (600, 0, 0, Err(NotPositive)),
            (600, 0, -1, Err(NotPositive)),
        ] {
            let judged = may_refund(Amount::new(captured), Amount::new(refunded), Amount::new(wanted));
            assert_eq!(judged, expected, "{captured} {refunded} {wanted}");
        }
    }

    proptest! {
        #[test]
        fn sum_of_accepted_refunds_never_exceeds_the_captured_amount(
            captured in 0_i64..1_000_000, wishes in prop::collection::vec(-10_i64..400_000, 0..30),
        ) {
            let mut refunded = Amount::ZERO;
            for wish in wishes.into_iter().map(Amount::new) {
                if may_refund(Amount::new(captured), refunded, wish).is_ok() {
                    refunded = refunded + wish;
                }
            }
            prop_assert!(refunded <= Amount::new(captured));
            prop_assert!(refunded >= Amount::ZERO);
        }
    }
}
