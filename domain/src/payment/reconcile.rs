//! The reconciler: the background task that settles payment attempts without a known outcome.
//!
//! An attempt needs the reconciler if the gateway's answer was lost, or if the process that owned the attempt stopped.
//! The reconciler claims a due attempt under a lease, looks the payment up at the gateway, cancels the payment there if
//! it is still open, and settles the attempt. So each attempt ends, and the stock is released only after the gateway
//! can no longer charge.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};

use super::model::{Attempt, GatewayState, PaymentOutcome, PaymentReference};
use super::pass::{KEY_TRUSTED_FOR, LEASE, TIME_TO_CLAIM, handle_each, items_per_pass};
use super::ports::{AttemptStore, PaymentGateway};
use super::record::until_recorded;
use crate::checkout::{CheckoutStore, Settlement};
use crate::clock::{Clock, backoff};
use crate::context::RequestContext;
use crate::fault::{Failure, Fault, FaultKind};
use crate::task::{BackgroundTask, PassFuture};

/// The most attempts that one pass handles. The limit leaves each attempt time for its gateway calls, one settlement,
/// and one postponement.
pub const RECONCILE_BATCH: u32 =
    items_per_pass(TIME_FOR_CALLS.saturating_add(TIME_TO_SETTLE).saturating_add(TIME_TO_POSTPONE));
/// The longest time for all gateway calls of one attempt. If the gateway does not respond, this limit leaves time for
/// the other attempts.
const TIME_FOR_CALLS: Duration = Duration::from_secs(10);
/// The longest time to settle an attempt. Together with [`TIME_TO_POSTPONE`] it is longer than a failover of the
/// database.
const TIME_TO_SETTLE: Duration = Duration::from_secs(5);
/// The longest time to postpone an attempt. An attempt that can be neither settled nor postponed keeps its lease until
/// the lease expires.
const TIME_TO_POSTPONE: Duration = Duration::from_secs(3);
/// The first wait between two checks of one attempt. Each further wait is twice as long, up to
/// [`LONGEST_WAIT_UNSETTLED`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between two checks of one attempt.
pub const LONGEST_WAIT_UNSETTLED: Duration = Duration::from_secs(60);

/// The background task `payment_reconciler`.
pub struct PaymentReconciler {
    pub attempts: Arc<dyn AttemptStore>,
    pub checkouts: Arc<dyn CheckoutStore>,
    /// `None` if the shop offers no payment handler. Then all attempts belong to checkouts with nothing to pay.
    pub gateway: Option<Arc<dyn PaymentGateway>>,
    pub clock: Arc<dyn Clock>,
}

impl PaymentReconciler {
    /// Reconciles an attempt. If that fails, makes the attempt due again after a wait.
    async fn reconcile_or_postpone(&self, ctx: &RequestContext, mut attempt: Attempt) -> Result<(), Fault> {
        let Err(fault) = self.reconcile(&ctx.at_most(TIME_FOR_CALLS), &mut attempt).await else { return Ok(()) };
        warn!(ctx.log(), "payment attempt could not be reconciled"; "op" => "payment.reconcile",
            "attempt_id" => %attempt.id, "checkout_id" => %attempt.checkout, "checks" => attempt.checks,
            "reference" => reference_of(&attempt), "error_code" => fault.kind().into_str(), "error" => fault.chain());
        let wait = backoff(FIRST_WAIT, LONGEST_WAIT_UNSETTLED, attempt.checks.saturating_sub(1));
        let (ctx, at) = (ctx.must_finish(TIME_TO_POSTPONE), self.clock.now() + wait);
        until_recorded(&ctx, &*self.clock, || self.attempts.postpone(&ctx, &attempt, at)).await
    }

    /// Finds the outcome of an attempt and settles the attempt. The caller holds the lease, so no other process works
    /// on the attempt.
    async fn reconcile(&self, ctx: &RequestContext, attempt: &mut Attempt) -> Result<(), Fault> {
        let outcome = self.conclude_payment(ctx, attempt).await?;
        info!(ctx.log(), "payment attempt reconciled"; "op" => "payment.reconcile", "attempt_id" => %attempt.id,
            "checkout_id" => %attempt.checkout, "reference" => reference_of(attempt), "payment" => outcome.into_str(),
            "detail" => outcome.detail());
        let settlement = Settlement { attempt: attempt.id.clone(), outcome, now: self.clock.now() };
        let ctx = ctx.must_finish(TIME_TO_SETTLE);
        until_recorded(&ctx, &*self.clock, || self.checkouts.settle(&ctx, settlement.clone())).await.map(drop)
    }

    /// Asks the gateway for the outcome of a payment, and cancels the payment if it is still open. If the attempt has
    /// no reference, first gets one and stores it: a recent attempt is opened again with the same key, and an old
    /// attempt is only searched for. Sets the reference of `attempt`, so that later log lines contain it.
    async fn conclude_payment(&self, ctx: &RequestContext, attempt: &mut Attempt) -> Result<PaymentOutcome, Fault> {
        // An attempt with nothing to pay is not known to the gateway.
        if attempt.money.amount.is_zero() {
            return Ok(PaymentOutcome::Confirmed);
        }
        let missing = || Fault::new(FaultKind::Unavailable, "payment.reconcile").caused_by("no gateway is configured");
        let gateway = self.gateway.as_ref().ok_or_else(missing)?;
        let reference = match &attempt.reference {
            Some(reference) => reference.clone(),
            None if self.clock.now() - attempt.created_at > KEY_TRUSTED_FOR => {
                match self.find_lost_payment(ctx, gateway.as_ref(), attempt).await? {
                    Some(reference) => reference,
                    None => return Ok(PaymentOutcome::NotAttempted),
                }
            }
            // A second opening with the same idempotency key returns the same payment.
            None => match gateway.open(ctx, attempt).await {
                Ok(reference) => reference,
                Err(Failure::Refused(decline)) => return Ok(PaymentOutcome::Declined(decline)),
                Err(Failure::Fault(fault)) => return Err(fault),
            },
        };
        if attempt.reference.is_none() {
            // Later captures and refunds need the reference.
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

    /// Looks up a payment that has no stored reference and whose idempotency key the gateway may have forgotten. Either
    /// the owner stopped before it could charge, or the database was restored from a backup made before the charge.
    /// Only the gateway knows which of the two happened, so nothing is released until the gateway answers. The payment
    /// is not opened again, because an opening with a forgotten key could charge twice.
    async fn find_lost_payment(
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
                error!(log, "payment is a day old and the gateway does not have it: the attempt is settled as cancelled";
                "error_code" => "payment.key_expired")
            }
            Err(fault) => error!(log, "payment is a day old and cannot be searched for: the outcome stays unknown";
                "error_code" => "payment.key_expired", "error" => fault.chain()),
        }
        found
    }
}

impl PaymentReconciler {
    /// The name of the task, by which others wake it.
    pub const TASK: &str = "payment_reconciler";
}

impl BackgroundTask for PaymentReconciler {
    fn name(&self) -> &'static str {
        Self::TASK
    }

    fn pass<'a>(&'a self, ctx: &'a RequestContext) -> PassFuture<'a> {
        Box::pin(async move {
            let (claiming, now) = (ctx.at_most(TIME_TO_CLAIM), self.clock.now());
            let due = self.attempts.claim_due(&claiming, now, LEASE, RECONCILE_BATCH).await?;
            handle_each(due, RECONCILE_BATCH, |attempt| self.reconcile_or_postpone(ctx, attempt)).await
        })
    }
}

/// The gateway's reference of the payment, if it is stored.
fn reference_of(attempt: &Attempt) -> Option<&str> {
    attempt.reference.as_ref().map(|reference| reference.0.as_str())
}
