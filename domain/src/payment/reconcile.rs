//! Finds out what became of payments whose answer was lost, or whose owner died.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};

use super::model::{Attempt, GatewayState, PaymentOutcome, PaymentReference};
use super::pass::{CLAIMING, LONGEST_PASS, batch};
use super::ports::{AttemptStore, PaymentGateway};
use super::record::until_recorded;
use crate::PortFuture;
use crate::checkout::{CheckoutStore, Settlement};
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::{Failure, Fault, FaultKind};
use crate::task::{BackgroundTask, Progress};

/// Attempts per pass. What was found out of one is settled, and if that fails the attempt is given back.
pub const RECONCILE_BATCH: u32 = batch(&[ONE_ATTEMPT, SETTLE, GIVE_BACK]);
/// For all calls of the gateway that one attempt costs. A gateway that hangs on it leaves time for the others.
const ONE_ATTEMPT: Duration = Duration::from_secs(10);
/// For recording what was found out, and for giving back what was not: together longer than a failover of the database
/// takes. What can be neither recorded nor given back stays leased until the claim is over.
const SETTLE: Duration = Duration::from_secs(5);
const GIVE_BACK: Duration = Duration::from_secs(3);
/// How long a claimed attempt stays with the pass that claimed it: until the pass is over.
const CLAIM: Duration = LONGEST_PASS;
/// Gateways forget a key after a day; after that it would open a second payment.
const KEY_TRUSTED: Duration = Duration::from_secs(23 * 60 * 60);
/// Waits between two looks at one attempt: each twice as long as the one before.
const FIRST_WAIT: Duration = Duration::from_secs(1);
pub const LONGEST_WAIT_UNSETTLED: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct PaymentReconciler {
    attempts: Arc<dyn AttemptStore>,
    checkouts: Arc<dyn CheckoutStore>,
    /// `None` when the shop has no way to be paid: then there are only attempts that cost nothing.
    gateway: Option<Arc<dyn PaymentGateway>>,
    clock: Arc<dyn Clock>,
}

impl PaymentReconciler {
    pub fn new(
        attempts: Arc<dyn AttemptStore>,
        checkouts: Arc<dyn CheckoutStore>,
        gateway: Option<Arc<dyn PaymentGateway>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { attempts, checkouts, gateway, clock }
    }

    async fn reconcile_due(&self, ctx: &RequestContext) -> Result<Progress, Fault> {
        let now = self.clock.now();
        let due = self.attempts.claim_due(&ctx.at_most(CLAIMING), now, CLAIM, RECONCILE_BATCH).await?;
        let count = u32::try_from(due.len()).unwrap_or(u32::MAX);
        let mut failed = None;
        for mut attempt in due {
            // One attempt that cannot be resolved must not keep the others waiting.
            if let Err(fault) = self.reconcile(&ctx.at_most(ONE_ATTEMPT), &mut attempt).await {
                warn!(ctx.log(), "payment attempt could not be reconciled"; "op" => "payment.reconcile",
                    "attempt_id" => %attempt.id, "checkout_id" => %attempt.checkout, "checks" => attempt.checks,
                    "reference" => reference_of(&attempt), "error_code" => fault.kind().as_str(),
                    "error" => fault.chain());
                let at = self.clock.now() + backoff(attempt.checks);
                let ctx = ctx.must_finish(GIVE_BACK);
                let postpone = || self.attempts.postpone(&ctx, &attempt, at);
                let given_back = until_recorded(&ctx, &*self.clock, postpone).await;
                failed = failed.or(given_back.err());
            }
        }
        if let Some(fault) = failed {
            return Err(fault);
        }
        Ok(match count {
            0 => Progress::Idle,
            RECONCILE_BATCH => Progress::More(count),
            _ => Progress::Done(count),
        })
    }

    /// Asks, and ends what is still open: an attempt comes here only when nobody else is working on it.
    async fn reconcile(&self, ctx: &RequestContext, attempt: &mut Attempt) -> Result<(), Fault> {
        let outcome = self.find_out(ctx, attempt).await?;
        info!(ctx.log(), "payment attempt reconciled"; "op" => "payment.reconcile", "attempt_id" => %attempt.id,
            "checkout_id" => %attempt.checkout, "reference" => reference_of(attempt), "payment" => outcome.as_str(),
            "detail" => outcome.detail());
        let settlement = Settlement { attempt: attempt.id.clone(), outcome, now: self.clock.now() };
        let ctx = ctx.must_finish(SETTLE);
        until_recorded(&ctx, &*self.clock, || self.checkouts.settle(&ctx, settlement.clone())).await.map(drop)
    }

    /// Gives the attempt the reference that it finds, so that the log lines after it carry it.
    async fn find_out(&self, ctx: &RequestContext, attempt: &mut Attempt) -> Result<PaymentOutcome, Fault> {
        // What costs nothing is never brought to the gateway.
        if attempt.money.amount.is_zero() {
            return Ok(PaymentOutcome::Confirmed);
        }
        let missing = || Fault::new(FaultKind::Unavailable, "payment.reconcile").caused_by("no gateway is configured");
        let gateway = self.gateway.as_ref().ok_or_else(missing)?;
        let reference = match &attempt.reference {
            Some(reference) => reference.clone(),
            None if self.clock.now() - attempt.created_at > KEY_TRUSTED => {
                match self.find(ctx, gateway.as_ref(), attempt).await? {
                    Some(reference) => reference,
                    None => return Ok(PaymentOutcome::NotAttempted),
                }
            }
            // Opening again with the same key names it again.
            None => match gateway.open(ctx, attempt).await {
                Ok(reference) => reference,
                Err(Failure::Refused(decline)) => return Ok(PaymentOutcome::Declined(decline)),
                Err(Failure::Fault(fault)) => return Err(fault),
            },
        };
        if attempt.reference.is_none() {
            // What turns out to be held is captured by its reference, and what was charged is given back by it.
            attempt.reference = Some(reference.clone());
            let record = || self.attempts.record_reference(ctx, attempt.id.clone(), reference.clone());
            until_recorded(ctx, &*self.clock, record).await?;
        }
        let outcome = match gateway.look_up(ctx, &reference).await? {
            GatewayState::Opened => gateway.cancel(ctx, &reference).await?.into(),
            GatewayState::ActionRequired => gateway.cancel(ctx, &reference).await?.after_action_required(),
            settled => settled.into(),
        };
        outcome.ok_or_else(|| Fault::internal("payment.reconcile", "the gateway neither charges nor cancels it"))
    }

    /// Looks for a payment whose reference was never stored and whose key the gateway may have forgotten. Its owner died
    /// before it could charge, or this database was restored from a backup that was made before the owner charged. Only
    /// the gateway knows which. While it does not say, nothing is released; asking with the key could charge twice.
    async fn find(
        &self,
        ctx: &RequestContext,
        gateway: &dyn PaymentGateway,
        attempt: &Attempt,
    ) -> Result<Option<PaymentReference>, Fault> {
        let log = ctx.log().new(slog::o!("op" => "payment.reconcile", "attempt_id" => attempt.id.to_string(),
            "checkout_id" => attempt.checkout.to_string()));
        let found = gateway.find(ctx, attempt).await;
        match &found {
            Ok(Some(reference)) => warn!(log, "payment without a reference is found at the gateway";
                "error_code" => "payment.reference_lost", "reference" => &reference.0),
            Ok(None) => {
                error!(log, "payment is a day old and the gateway does not have it: its checkout is free again";
                "error_code" => "payment.key_expired")
            }
            Err(fault) => error!(log, "payment is a day old and cannot be looked for: it stays undecided";
                "error_code" => "payment.key_expired", "error" => fault.chain()),
        }
        found
    }
}

impl BackgroundTask for PaymentReconciler {
    fn name(&self) -> &'static str {
        "payment_reconciler"
    }

    fn pass(&self, ctx: &RequestContext) -> PortFuture<Progress, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move { this.reconcile_due(&ctx).await })
    }
}

/// What the gateway calls it, if that was ever recorded.
fn reference_of(attempt: &Attempt) -> Option<&str> {
    attempt.reference.as_ref().map(|reference| reference.0.as_str())
}

fn backoff(checks: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << checks.saturating_sub(1).min(10)).min(LONGEST_WAIT_UNSETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_between_two_looks_grows_and_is_bounded() {
        assert_eq!(backoff(1), Duration::from_secs(1));
        assert_eq!(backoff(4), Duration::from_secs(8));
        assert_eq!(backoff(u32::MAX), Duration::from_secs(60));
    }
}
