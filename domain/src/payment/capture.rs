//! The background task that captures authorized payments.
//!
//! The first shipment captures the whole amount. If nothing is shipped, the task acts one day before the gateway would
//! release the amount: it captures the amount if the order contains units, because the shop has promised the goods,
//! and cancels the payment if not. A declined capture is retried each hour while the gateway holds the amount; after
//! that, the attempt ends without a charge. Each decline is logged as an error, because the order is not paid. Read
//! next: `reconcile.rs`.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};

use super::decide::HELD_FOR;
use super::model::GatewayState;
use super::pass::{LEASE, TIME_TO_CLAIM, handle_each, items_per_pass};
use super::ports::{AttemptStore, AuthorizationEnd, AuthorizedAttempt, PaymentGateway};
use super::record::until_recorded;
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::task::{BackgroundTask, PassFuture};

/// The most payments that one pass handles. The limit leaves each payment time for one gateway call, one record of the
/// result, and one postponement.
pub const CAPTURE_BATCH: u32 =
    items_per_pass(TIME_FOR_CALL.saturating_add(TIME_TO_RECORD).saturating_add(TIME_TO_RECORD));
/// The longest time for the gateway call of one payment.
const TIME_FOR_CALL: Duration = Duration::from_secs(10);
/// The longest time to record the gateway's answer, and the longest time to postpone a payment.
const TIME_TO_RECORD: Duration = Duration::from_secs(2);
/// How long a payment waits after a fault before the next attempt.
const WAIT_AFTER_FAULT: Duration = Duration::from_secs(60);
/// How long a payment waits after a declined capture before the next attempt. A later capture may succeed while the
/// gateway holds the amount.
const WAIT_AFTER_DECLINE: Duration = Duration::from_secs(60 * 60);

/// The background task `payment_capture`.
pub struct PaymentCapture {
    pub attempts: Arc<dyn AttemptStore>,
    pub gateway: Arc<dyn PaymentGateway>,
    pub clock: Arc<dyn Clock>,
}

impl PaymentCapture {
    /// Captures or cancels an authorized payment. If that fails, makes the payment due again after a wait.
    async fn end_or_postpone(&self, ctx: &RequestContext, held: AuthorizedAttempt) -> Result<(), Fault> {
        let wait = match self.capture_or_cancel(&ctx.at_most(TIME_FOR_CALL), &held).await {
            Ok(None) => return Ok(()),
            Ok(Some(wait)) => wait,
            Err(fault) => {
                warn!(ctx.log(), "payment is not captured yet"; "op" => "payment.capture",
                    "attempt_id" => %held.attempt.id, "error_code" => fault.kind().into_str(),
                    "error" => fault.chain());
                WAIT_AFTER_FAULT
            }
        };
        let (ctx, at) = (ctx.must_finish(TIME_TO_RECORD), self.clock.now() + wait);
        until_recorded(&ctx, &*self.clock, || self.attempts.postpone(&ctx, &held.attempt, at)).await
    }

    /// Captures the amount if the order contains units, cancels the payment if not, and records the result. If the
    /// gateway declines the capture but still holds the amount, records nothing and returns the wait until the next
    /// attempt.
    async fn capture_or_cancel(
        &self,
        ctx: &RequestContext,
        held: &AuthorizedAttempt,
    ) -> Result<Option<Duration>, Fault> {
        let AuthorizedAttempt { attempt, has_units } = held;
        let missing = || Fault::internal("payment.capture", "it is held, but its reference was never stored");
        let reference = attempt.reference.as_ref().ok_or_else(missing)?;
        let log = ctx.log().new(slog::o!("op" => "payment.capture", "attempt_id" => attempt.id.to_string(),
            "checkout_id" => attempt.checkout.to_string()));
        let state = match has_units {
            true => self.gateway.capture(ctx, attempt, reference).await?,
            false => self.gateway.cancel(ctx, reference).await?,
        };
        let end = match state {
            GatewayState::Confirmed => AuthorizationEnd::Captured,
            GatewayState::Cancelled => AuthorizationEnd::Released,
            // `reason` is for the buyer and may contain personal data. The log gets `detail`.
            GatewayState::Declined(decline) => {
                error!(log, "gateway declines to capture: the order is not paid";
                    "error_code" => "payment.capture_declined", "detail" => &decline.detail);
                if self.clock.now() - attempt.created_at < HELD_FOR {
                    return Ok(Some(WAIT_AFTER_DECLINE));
                }
                AuthorizationEnd::Released
            }
            GatewayState::Opened | GatewayState::ActionRequired | GatewayState::Authorized => {
                return Err(Fault::internal("payment.capture", format!("the gateway says {state:?}")));
            }
        };
        match (has_units, end) {
            (_, AuthorizationEnd::Captured) => info!(log, "payment captured"),
            (false, AuthorizationEnd::Released) => info!(log, "payment released: its order has no units left"),
            (true, AuthorizationEnd::Released) => {
                error!(log, "payment lapsed before it was captured: its order is not paid";
                "error_code" => "payment.lapsed")
            }
        }
        let ctx = ctx.must_finish(TIME_TO_RECORD);
        let record = || self.attempts.record_captured(&ctx, attempt.id.clone(), end);
        until_recorded(&ctx, &*self.clock, record).await.map(|()| None)
    }
}

impl PaymentCapture {
    /// The name of the task, by which others wake it.
    pub const TASK: &str = "payment_capture";
}

impl BackgroundTask for PaymentCapture {
    fn name(&self) -> &'static str {
        Self::TASK
    }

    fn pass<'a>(&'a self, ctx: &'a RequestContext) -> PassFuture<'a> {
        Box::pin(async move {
            let (claiming, now) = (ctx.at_most(TIME_TO_CLAIM), self.clock.now());
            let due = self.attempts.claim_authorized(&claiming, now, LEASE, CAPTURE_BATCH).await?;
            handle_each(due, CAPTURE_BATCH, |held| self.end_or_postpone(ctx, held)).await
        })
    }
}
