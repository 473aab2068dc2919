//! Takes what is held, when it is time to.
//!
//! The first shipment captures the whole amount. An amount that nobody shipped for is held until a day before the
//! gateway would let it go: then it is captured if the order still wants anything, since the shop has promised the goods,
//! and let go if it does not. A capture that is declined is tried each hour while the amount can be held; then the attempt
//! ends without a charge. Each decline is an error in the log, since the order is not paid.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};

use super::model::GatewayState;
use super::pass::{CLAIMING, batch};
use super::ports::{AttemptStore, Held, PaymentGateway};
use super::record::until_recorded;
use crate::PortFuture;
use crate::clock::{Clock, Timestamp};
use crate::context::RequestContext;
use crate::fault::Fault;
use crate::task::{BackgroundTask, Progress};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Card schemes hold an amount for seven days at least.
const HELD_FOR: Duration = DAY.saturating_mul(7);
const MARGIN: Duration = DAY;
/// Payments per pass. What the gateway said of one is recorded, and if that fails the payment is given back.
pub const CAPTURE_BATCH: u32 = batch(&[ONE_CALL, RECORD, RECORD]);
const ONE_CALL: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(5 * 60);
/// For recording what the gateway said.
const RECORD: Duration = Duration::from_secs(2);
const WAIT: Duration = Duration::from_secs(60);
/// After a capture that was declined: another may succeed, until the amount would have lapsed anyway.
const WAIT_DECLINED: Duration = Duration::from_secs(60 * 60);

/// How far a held amount got in one pass.
enum Ended {
    Recorded,
    Declined,
}

/// When an amount that is held since `held_at` must be captured or let go, if nothing was shipped by then.
pub fn capture_due(held_at: Timestamp) -> Timestamp {
    held_at + HELD_FOR.saturating_sub(MARGIN)
}

#[derive(Clone)]
pub struct PaymentCapture {
    attempts: Arc<dyn AttemptStore>,
    gateway: Arc<dyn PaymentGateway>,
    clock: Arc<dyn Clock>,
}

impl PaymentCapture {
    pub fn new(attempts: Arc<dyn AttemptStore>, gateway: Arc<dyn PaymentGateway>, clock: Arc<dyn Clock>) -> Self {
        Self { attempts, gateway, clock }
    }

    async fn capture_due(&self, ctx: &RequestContext) -> Result<Progress, Fault> {
        let due = self.attempts.claim_held(&ctx.at_most(CLAIMING), self.clock.now(), LEASE, CAPTURE_BATCH).await?;
        let count = u32::try_from(due.len()).unwrap_or(u32::MAX);
        let mut failed = None;
        for held in due {
            let wait = match self.end(&ctx.at_most(ONE_CALL), &held).await {
                Ok(Ended::Recorded) => continue,
                Ok(Ended::Declined) => WAIT_DECLINED,
                Err(fault) => {
                    warn!(ctx.log(), "payment is still held"; "op" => "payment.capture",
                        "attempt_id" => %held.attempt.id, "error_code" => fault.kind().as_str(),
                        "error" => fault.chain());
                    WAIT
                }
            };
            let (ctx, at) = (ctx.must_finish(RECORD), self.clock.now() + wait);
            let postpone = || self.attempts.postpone(&ctx, &held.attempt, at);
            failed = failed.or(until_recorded(&ctx, &*self.clock, postpone).await.err());
        }
        if let Some(fault) = failed {
            return Err(fault);
        }
        Ok(match count {
            0 => Progress::Idle,
            CAPTURE_BATCH => Progress::More(count),
            _ => Progress::Done(count),
        })
    }

    async fn end(&self, ctx: &RequestContext, held: &Held) -> Result<Ended, Fault> {
        let Held { attempt, wanted } = held;
        let missing = || Fault::internal("payment.capture", "it is held, but its reference was never stored");
        let reference = attempt.reference.as_ref().ok_or_else(missing)?;
        let log = ctx.log().new(slog::o!("op" => "payment.capture", "attempt_id" => attempt.id.to_string(),
            "checkout_id" => attempt.checkout.to_string()));
        let state = match wanted {
            true => self.gateway.capture(ctx, attempt, reference).await?,
            false => self.gateway.cancel(ctx, reference).await?,
        };
        let captured = match state {
            GatewayState::Confirmed => true,
            GatewayState::Cancelled => false,
            // What the buyer is told may quote the buyer: the log gets the other half.
            GatewayState::Declined(decline) => {
                error!(log, "gateway declines to capture: the order is not paid";
                    "error_code" => "payment.capture_declined", "detail" => &decline.detail);
                if self.clock.now() - attempt.created_at < HELD_FOR {
                    return Ok(Ended::Declined);
                }
                false
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
        let ctx = ctx.must_finish(RECORD);
        let record = || self.attempts.record_captured(&ctx, attempt.id.clone(), captured);
        until_recorded(&ctx, &*self.clock, record).await.map(|()| Ended::Recorded)
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
