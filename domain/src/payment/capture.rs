//! Takes what is held, when it is time to.
//!
//! The first shipment captures the whole amount. An amount that nobody shipped for is held until a day before the
//! gateway would let it go: then it is captured if the order still wants anything, since the shop has promised the goods,
//! and let go if it does not.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};

use super::model::GatewayState;
use super::ports::{Held, PaymentAttempts, PaymentGateway};
use crate::PortFuture;
use crate::clock::{Clock, Timestamp};
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::task::{BackgroundTask, Progress};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Card schemes hold an amount for seven days at least.
const HELD_FOR: Duration = DAY.saturating_mul(7);
const MARGIN: Duration = DAY;
/// Payments per pass, and what each may take: together less than a pass.
const BATCH: u32 = 5;
const ONE_CALL: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(5 * 60);
const WAIT: Duration = Duration::from_secs(60);

/// When an amount that is held since `held_at` must be captured or let go, if nothing was shipped by then.
pub fn capture_due(held_at: Timestamp) -> Timestamp {
    held_at + HELD_FOR.saturating_sub(MARGIN)
}

#[derive(Clone)]
pub struct PaymentCapture {
    attempts: Arc<dyn PaymentAttempts>,
    gateway: Arc<dyn PaymentGateway>,
    clock: Arc<dyn Clock>,
}

impl PaymentCapture {
    pub fn new(attempts: Arc<dyn PaymentAttempts>, gateway: Arc<dyn PaymentGateway>, clock: Arc<dyn Clock>) -> Self {
        Self { attempts, gateway, clock }
    }

    async fn capture_due(&self, ctx: &RequestContext) -> Result<Progress, Fault> {
        let due = self.attempts.claim_held(ctx, self.clock.now(), LEASE, BATCH).await?;
        let count = u32::try_from(due.len()).unwrap_or(u32::MAX);
        for held in due {
            if let Err(fault) = self.end(&ctx.at_most(ONE_CALL), &held).await {
                warn!(ctx.log(), "payment is still held"; "op" => "payment.capture",
                    "attempt_id" => %held.attempt.id, "error_code" => fault.kind().as_str(), "error" => fault.chain());
                self.attempts.postpone(ctx, &held.attempt, self.clock.now() + WAIT).await?;
            }
        }
        Ok(match count {
            0 => Progress::Idle,
            BATCH => Progress::More(count),
            _ => Progress::Done(count),
        })
    }

    async fn end(&self, ctx: &RequestContext, held: &Held) -> Result<(), Fault> {
        let Held { attempt, wanted } = held;
        let missing = || Fault::internal("payment.capture", "it is held, but its reference was never stored");
        let reference = attempt.reference.as_ref().ok_or_else(missing)?;
        let state = match wanted {
            true => self.gateway.capture(ctx, attempt, reference).await?,
            false => self.gateway.cancel(ctx, reference).await?,
        };
        let log = ctx.log().new(slog::o!("op" => "payment.capture", "attempt_id" => attempt.id.to_string(),
            "checkout_id" => attempt.checkout.to_string()));
        let captured = match state {
            GatewayState::Confirmed => true,
            GatewayState::Cancelled => false,
            // What the buyer is told may quote the buyer: the log gets the other half.
            GatewayState::Declined(decline) => {
                return Err(Fault::internal("payment.capture", format!("the gateway declined: {}", decline.detail)));
            }
            GatewayState::Opened | GatewayState::ActionRequired | GatewayState::Authorized => {
                return Err(Fault::internal("payment.capture", format!("the gateway says {state:?}")));
            }
        };
        match (wanted, captured) {
            (_, true) => info!(log, "payment captured"),
            (false, false) => info!(log, "payment let go: its order wants nothing any more"),
            (true, false) => error!(log, "payment lapsed before it was captured: its order is not paid";
                "error_code" => "payment.lapsed"),
        }
        self.attempts.record_captured(&ctx.must_finish(ONE_CALL), attempt.id.clone(), captured).await
    }
}

impl BackgroundTask for PaymentCapture {
    fn name(&self) -> &'static str {
        "payment_capture"
    }

    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move { this.capture_due(&ctx).await })
    }
}
