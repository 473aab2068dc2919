//! Giving money back: never more than was taken.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};

use super::model::{AttemptId, PaymentReference};
use super::pass::{CLAIMING, batch};
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

/// Money on its way back to the buyer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    pub id: RefundId,
    pub attempt: AttemptId,
    pub reference: PaymentReference,
    pub money: Money,
    pub state: RefundState,
    /// How often the gateway was asked for it, the present try included once it is claimed.
    pub tries: u32,
    pub created_at: Timestamp,
}

impl Refund {
    /// The gateway's idempotency key.
    pub fn key(&self) -> String {
        self.id.to_string()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundState {
    /// Recorded here; the gateway has not answered for it yet.
    Requested,
    /// The gateway has taken it on and will say how it ends.
    Pending,
    Succeeded,
    /// Refused, with the gateway's reason. No money moved.
    Failed(String),
}

/// Why nothing is given back. Nothing was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundRefusal {
    /// Nothing was captured for it, or not yet.
    NotCaptured,
    /// Less than that is left of what was captured.
    TooMuch {
        left: Amount,
    },
    NotPositive,
}

impl Refusal for RefundRefusal {}

/// Whether `wanted` may be given back of what was captured, given the refunds so far that have not failed.
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
/// For recording what the gateway said. What cannot be recorded is asked for again when the lease is over.
const RECORD: Duration = Duration::from_secs(2);
const LEASE: Duration = Duration::from_secs(5 * 60);
/// Gateways forget a key after a day; asking with it again could give the money back twice. What has not ended by then is
/// only looked for; if it is not there, a person must decide.
const KEY_TRUSTED: Duration = Duration::from_secs(23 * 60 * 60);
/// Until a refund is asked for again: after a failure, and while the gateway has not finished it.
const WAIT: Duration = Duration::from_secs(60);
pub const LONGEST_WAIT_REFUND: Duration = Duration::from_secs(60 * 60);

/// Asks the gateway for the refunds that were recorded.
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
        let count = u32::try_from(due.len()).unwrap_or(u32::MAX);
        let mut failed = None;
        for refund in due {
            let (state, wait) = self.ask(ctx, &refund).await;
            let (ctx, at) = (ctx.must_finish(RECORD), self.clock.now() + wait);
            let record = || self.refunds.record(&ctx, &refund, state.clone(), at);
            failed = failed.or(until_recorded(&ctx, &*self.clock, record).await.err());
        }
        if let Some(fault) = failed {
            return Err(fault);
        }
        Ok(match count {
            0 => Progress::Idle,
            REFUND_BATCH => Progress::More(count),
            _ => Progress::Done(count),
        })
    }

    /// What is now known of a refund, and when to ask again if that is not its end.
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
    fn no_more_is_given_back_than_was_taken() {
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
        fn whatever_is_asked_for_the_sum_stays_within_what_was_captured(
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
