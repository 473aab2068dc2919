//! The background task that requests refunds from the gateway. Before that, each refund is recorded in the database.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};

use super::model::{Refund, RefundState};
use super::pass::{KEY_TRUSTED_FOR, LEASE, TIME_TO_CLAIM, handle_each, items_per_pass};
use super::ports::{PaymentGateway, RefundStore};
use super::record::until_recorded;
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::task::{BackgroundTask, PassFuture};

/// The most refunds that one pass handles.
pub const REFUND_BATCH: u32 = items_per_pass(TIME_FOR_CALL.saturating_add(TIME_TO_RECORD));
/// The longest time for the gateway call of one refund.
const TIME_FOR_CALL: Duration = Duration::from_secs(10);
/// The longest time to record the gateway's answer. If the answer cannot be recorded, the refund is requested again
/// after the lease has expired.
const TIME_TO_RECORD: Duration = Duration::from_secs(2);
/// How long a refund waits after a fault of the gateway before the next attempt.
const WAIT_AFTER_FAULT: Duration = Duration::from_secs(60);
/// How long a refund waits before the next attempt if the gateway has not finished it. This is the longest wait of a
/// refund.
pub const LONGEST_WAIT_REFUND: Duration = Duration::from_secs(60 * 60);

/// The background task `payment_refunder`.
pub struct PaymentRefunder {
    pub refunds: Arc<dyn RefundStore>,
    pub gateway: Arc<dyn PaymentGateway>,
    pub clock: Arc<dyn Clock>,
}

impl PaymentRefunder {
    /// Requests a refund and records what the gateway answers.
    async fn request_and_record(&self, ctx: &RequestContext, refund: Refund) -> Result<(), Fault> {
        let (state, wait) = self.request_or_look_up(ctx, &refund).await;
        let (ctx, at) = (ctx.must_finish(TIME_TO_RECORD), self.clock.now() + wait);
        until_recorded(&ctx, &*self.clock, || self.refunds.record(&ctx, &refund, state.clone(), at)).await
    }

    /// Requests a refund from the gateway. Returns the state of the refund, and the wait until the next attempt if the
    /// state is not final. A refund older than [`KEY_TRUSTED_FOR`] is only looked up. If the gateway does not have such
    /// a refund, the state stays as it is, and an operator must decide.
    async fn request_or_look_up(&self, ctx: &RequestContext, refund: &Refund) -> (RefundState, Duration) {
        let log = ctx.log().new(slog::o!("op" => "payment.refund", "refund_id" => refund.id.to_string(),
            "attempt_id" => refund.attempt.to_string(), "tries" => refund.tries));
        let ctx = ctx.at_most(TIME_FOR_CALL);
        let is_old = self.clock.now() - refund.created_at > KEY_TRUSTED_FOR;
        let answer = if is_old {
            self.gateway.look_up_refund(&ctx, refund).await
        } else {
            self.gateway.refund(&ctx, refund).await.map(Some)
        };
        match answer {
            Ok(None) => {
                error!(log, "refund is a day old and the gateway does not have it: it is not retried";
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
                warn!(log, "refund has no answer yet"; "error_code" => fault.kind().into_str(),
                    "error" => fault.chain());
                (refund.state.clone(), WAIT_AFTER_FAULT)
            }
        }
    }
}

impl BackgroundTask for PaymentRefunder {
    fn name(&self) -> &'static str {
        "payment_refunder"
    }

    fn pass<'a>(&'a self, ctx: &'a RequestContext) -> PassFuture<'a> {
        Box::pin(async move {
            let due =
                self.refunds.claim_due(&ctx.at_most(TIME_TO_CLAIM), self.clock.now(), LEASE, REFUND_BATCH).await?;
            handle_each(due, REFUND_BATCH, |refund| self.request_and_record(ctx, refund)).await
        })
    }
}
