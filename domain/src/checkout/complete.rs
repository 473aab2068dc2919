//! Completes a checkout: a saga of two transactions around one charge. A charged checkout always gets an order.
//!
//! 1. `checkout.begin_completion`, transaction 1: claims the idempotency key, holds the stock, records the payment
//!    attempt. **Its commit is the point of no return.** A caller without enough time is refused before this commit.
//! 2. At the gateway: opens the payment, stores its reference, confirms the payment. No database connection is held
//!    meanwhile.
//! 3. `checkout.settle`, transaction 2: places the order and takes the stock, or releases the stock.
//!
//! Steps 2 and 3 continue if the caller's deadline passes or the caller disconnects, because they belong to the
//! process. A write of these steps is retried within the completion's grace while its fault is transient. If it still
//! fails, the process releases its lease on the attempt, and the reconciler takes over at once.
//!
//! A lost answer of the gateway is not a failure: the checkout stays in progress, and the reconciler finds the outcome.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};

use super::model::Checkout;
use super::ports::{Answer, BeginCompletion, CheckoutRefusal, CheckoutStore, CompletionState, Outcome, Settlement};
use crate::PortFuture;
use crate::clock::{Clock, backoff};
use crate::context::RequestContext;
use crate::fault::{Failure, Fault, FaultKind};
use crate::id::{AttemptId, CheckoutId};
use crate::idempotency::{KeyClaim, KeyRefusal, Write};
use crate::payment::{
    Attempt, AttemptStore, Credential, GatewayState, PaymentChoice, PaymentGateway, PaymentOutcome, PaymentReference,
    until_recorded,
};

/// The operation for which the idempotency key of a completion is claimed.
pub const COMPLETE: &str = "checkout.complete";

/// A callback that is called once, directly after the point of no return, with the checkout in its state at that time.
pub type OnPointOfNoReturn = Box<dyn FnOnce(&Checkout) + Send>;

/// The time limits of a completion.
#[derive(Clone, Copy, Debug)]
pub struct CompletionLimits {
    /// The least time that a caller must have left. A caller with less time is refused before anything happens.
    pub minimum: Duration,
    /// The longest time from the beginning of transaction 1 to the end of the settlement, including all gateway calls.
    pub grace: Duration,
    /// The longest time for each gateway call.
    pub gateway_call: Duration,
}

/// The first pause between two polls while another call with the same key is in progress. Each further pause is twice
/// as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// The time by which the lease of an attempt is longer than the grace.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

/// The use case that completes a checkout. Its entry point is [`run`](Self::run).
#[derive(Clone)]
pub struct CompleteCheckout {
    pub checkouts: Arc<dyn CheckoutStore>,
    pub attempts: Arc<dyn AttemptStore>,
    /// `None` if the shop offers no payment handler. Then only checkouts with nothing to pay can be completed.
    pub gateway: Option<Arc<dyn PaymentGateway>>,
    pub clock: Arc<dyn Clock>,
    pub limits: CompletionLimits,
}

/// The input of [`CompleteCheckout::run`].
pub struct CompleteCommand {
    pub claim: KeyClaim,
    pub id: CheckoutId,
    /// `None` if no instrument was given. Then only a checkout with nothing to pay is completed.
    pub choice: Option<PaymentChoice>,
    pub on_point_of_no_return: OnPointOfNoReturn,
}

/// The credential to charge, and the gateway that charges it.
type PaymentMeans = (Arc<dyn PaymentGateway>, Credential);

impl CompleteCheckout {
    /// Completes a checkout and returns its outcome. If another call with the same key is in progress, waits for the
    /// outcome of that call. If the outcome of the payment is not known, returns the checkout in its current state.
    pub async fn run(
        &self,
        ctx: &RequestContext,
        command: CompleteCommand,
    ) -> Result<Answer, Failure<CheckoutRefusal>> {
        if ctx.deadline().remaining() < self.limits.minimum {
            return Err(Fault::new(FaultKind::DeadlineExceeded, COMPLETE).into());
        }
        let means = match &command.choice {
            None => None,
            Some(choice) => match self.find_payment_means(ctx, choice).await {
                Ok(means) => Some(means),
                // The key may belong to a completion that began when the instrument was known.
                Err(Failure::Refused(refusal)) => {
                    let earlier = self.earlier_answer(ctx, &command.claim, &command.id).await?;
                    return earlier.ok_or_else(|| refusal.into());
                }
                Err(fault) => return Err(fault),
            },
        };
        let instrument = command.choice.map(|choice| choice.instrument);

        loop {
            // The grace begins before the lease, so that the owner stops before another process can claim the attempt.
            let (now, owned) = (self.clock.now(), ctx.must_finish(self.limits.grace));
            let begin = BeginCompletion {
                write: Write { claim: command.claim.clone(), now },
                checkout: command.id.clone(),
                attempt: AttemptId::generate(now),
                instrument: instrument.clone(),
                owned_for: self.limits.grace + LEASE_MARGIN,
            };
            match self.checkouts.begin_completion(ctx, begin).await? {
                CompletionState::Claimed { checkout, attempt } => {
                    (command.on_point_of_no_return)(&checkout);
                    return AttemptOwner { use_case: self, ctx: owned, means, attempt }.finish(checkout).await;
                }
                CompletionState::Answered(answer) => return Ok(answer),
                CompletionState::Unknown(checkout) => return Ok(current_state(checkout)),
                // The store never returns `Free` here.
                CompletionState::InProgress | CompletionState::Free => {
                    if let Some(answer) = self.wait_for_owner(ctx, &command.claim, &command.id).await? {
                        return Ok(answer);
                    }
                }
            }
        }
    }

    /// Returns the answer of the completion that claimed the key, and waits for it if the completion is in progress.
    /// `None` if the key is free.
    async fn earlier_answer(
        &self,
        ctx: &RequestContext,
        claim: &KeyClaim,
        id: &CheckoutId,
    ) -> Result<Option<Answer>, Failure<CheckoutRefusal>> {
        match self.checkouts.completion(ctx, claim.clone(), id.clone()).await? {
            CompletionState::Answered(answer) => Ok(Some(answer)),
            CompletionState::Unknown(checkout) => Ok(Some(current_state(checkout))),
            CompletionState::Free => Ok(None),
            // The store never returns `Claimed` here.
            CompletionState::InProgress | CompletionState::Claimed { .. } => self.wait_for_owner(ctx, claim, id).await,
        }
    }

    /// Finds the gateway and the credential to charge. Refuses if the shop does not offer the payment handler, if the
    /// handler does not offer the type of the instrument, or if the request has no credential and the gateway has none
    /// on file.
    async fn find_payment_means(
        &self,
        ctx: &RequestContext,
        choice: &PaymentChoice,
    ) -> Result<PaymentMeans, Failure<CheckoutRefusal>> {
        let gateway = self.gateway.as_ref().ok_or(CheckoutRefusal::UnknownHandler)?.clone();
        let handler = gateway.handler();
        if handler.id != choice.instrument.handler {
            return Err(CheckoutRefusal::UnknownHandler.into());
        }
        if !handler.instruments.contains(&choice.instrument.kind) {
            return Err(CheckoutRefusal::UnknownInstrumentType.into());
        }
        let credential = match &choice.credential {
            Some(credential) => Some(credential.clone()),
            None => gateway.on_file(ctx, choice).await?,
        };
        let credential = credential.ok_or(CheckoutRefusal::UnknownInstrument)?;
        Ok((gateway, credential))
    }

    /// Waits until the call that owns the idempotency key has finished, without holding a connection or a lock. Returns
    /// the answer of that call, or `None` if that call released the key, so that the key can be claimed again. Refuses
    /// with [`KeyRefusal::InProgress`] shortly before the caller's deadline.
    async fn wait_for_owner(
        &self,
        ctx: &RequestContext,
        claim: &KeyClaim,
        id: &CheckoutId,
    ) -> Result<Option<Answer>, Failure<CheckoutRefusal>> {
        for pause in (0..).map(|retries| backoff(FIRST_PAUSE, LONGEST_PAUSE, retries)) {
            if ctx.deadline().remaining() <= pause + LONGEST_PAUSE {
                break;
            }
            self.clock.pause(ctx, pause).await?;
            match self.checkouts.completion(ctx, claim.clone(), id.clone()).await? {
                CompletionState::Answered(answer) => return Ok(Some(answer)),
                CompletionState::Unknown(checkout) => return Ok(Some(current_state(checkout))),
                CompletionState::Free if ctx.deadline().remaining() >= self.limits.minimum => return Ok(None),
                CompletionState::Free => return Err(Fault::new(FaultKind::DeadlineExceeded, COMPLETE).into()),
                // The store never returns `Claimed` here.
                CompletionState::InProgress | CompletionState::Claimed { .. } => {}
            }
        }
        Err(CheckoutRefusal::Key(KeyRefusal::InProgress).into())
    }
}

/// The answer while the outcome is not known: the checkout in its current state, not a replay.
fn current_state(checkout: Checkout) -> Answer {
    Answer { outcome: Outcome::Checkout(checkout), replayed: false }
}

/// The owner of a payment attempt: it does the steps after the point of no return.
struct AttemptOwner<'a> {
    use_case: &'a CompleteCheckout,
    /// The context after the point of no return. Its deadline is the end of the grace.
    ctx: RequestContext,
    means: Option<PaymentMeans>,
    attempt: Attempt,
}

/// The result of the steps after the point of no return.
#[expect(clippy::large_enum_variant, reason = "made once for each completion, and moved once")]
enum ChargeResult {
    /// The outcome is known and recorded.
    Settled(Outcome),
    /// The payment was not made. The stock and the idempotency key are released.
    NotAttempted(Fault),
    /// The gateway's answer was lost, and this is recorded.
    Unknown,
}

impl AttemptOwner<'_> {
    /// Charges the payment and settles the attempt. Returns the answer, or the fault that prevented the payment.
    async fn finish(&self, checkout: Checkout) -> Result<Answer, Failure<CheckoutRefusal>> {
        match self.charge_and_settle().await {
            Ok(ChargeResult::Settled(outcome)) => Ok(Answer { outcome, replayed: false }),
            Ok(ChargeResult::NotAttempted(fault)) => Err(fault.into()),
            Ok(ChargeResult::Unknown) => Ok(current_state(checkout)),
            // The outcome could not be recorded here. The attempt is recorded, so the reconciler settles it.
            Err(fault) => {
                error!(self.ctx.log(), "completion is left to the reconciler"; "op" => fault.operation(),
                    "attempt_id" => %self.attempt.id, "checkout_id" => %checkout.id,
                    "error_code" => fault.kind().into_str(), "error" => fault.chain());
                self.release_lease().await;
                Ok(current_state(checkout))
            }
        }
    }

    /// Ends the lease on the attempt, so that the reconciler can claim it at once. If this fails, the lease expires
    /// later.
    async fn release_lease(&self) {
        let (ctx, now) = (self.ctx.must_finish(LEASE_MARGIN), self.use_case.clock.now());
        if let Err(fault) = self.use_case.attempts.postpone(&ctx, &self.attempt, now).await {
            warn!(ctx.log(), "attempt keeps its lease until the lease expires"; "op" => fault.operation(),
                "attempt_id" => %self.attempt.id, "error_code" => fault.kind().into_str(), "error" => fault.chain());
        }
    }

    /// Opens the payment, confirms it, and settles the attempt.
    async fn charge_and_settle(&self) -> Result<ChargeResult, Fault> {
        let Self { use_case, ctx, attempt, .. } = self;
        if attempt.money.amount.is_zero() {
            return self.settle(PaymentOutcome::Confirmed).await.map(ChargeResult::Settled);
        }
        let missing = || Fault::internal("payment.open", "there is something to pay and nothing to pay it with");
        let (gateway, credential) = self.means.as_ref().ok_or_else(missing)?;
        let reference = match gateway.open(&self.call_ctx(), attempt).await {
            Ok(reference) => reference,
            Err(Failure::Refused(decline)) => {
                error!(ctx.log(), "gateway refuses to open the payment"; "op" => "payment.open",
                    "attempt_id" => %attempt.id, "checkout_id" => %attempt.checkout,
                    "error_code" => "payment.open_refused", "detail" => &decline.detail);
                return self.settle(PaymentOutcome::Declined(decline)).await.map(ChargeResult::Settled);
            }
            // The payment is not confirmed, so it is not charged, even if the gateway opened it. The stock and the key
            // are released.
            Err(Failure::Fault(fault)) => return self.settle_as_not_attempted("payment.open", fault).await,
        };
        self.until_recorded(|| use_case.attempts.record_reference(ctx, attempt.id.clone(), reference.clone())).await?;

        let outcome = self.confirm(gateway.as_ref(), &reference, credential).await.unwrap_or_else(|fault| {
            warn!(ctx.log(), "payment outcome is unknown"; "op" => "payment.confirm",
                "attempt_id" => %attempt.id, "checkout_id" => %attempt.checkout, "reference" => &reference.0,
                "error" => fault.chain());
            None
        });
        let Some(outcome) = outcome else {
            let now = use_case.clock.now();
            self.until_recorded(|| use_case.attempts.record_unknown(ctx, attempt.id.clone(), now)).await?;
            return Ok(ChargeResult::Unknown);
        };
        info!(ctx.log(), "payment answered"; "op" => "payment.confirm", "attempt_id" => %attempt.id,
            "checkout_id" => %attempt.checkout, "reference" => &reference.0, "payment" => outcome.into_str(),
            "detail" => outcome.detail());
        if outcome == PaymentOutcome::NotAttempted {
            let fault = Fault::new(FaultKind::Unavailable, "payment.confirm").caused_by("the payment was cancelled");
            return self.settle_as_not_attempted("payment.confirm", fault).await;
        }
        self.settle(outcome).await.map(ChargeResult::Settled)
    }

    /// Confirms the payment at the gateway. `None` if the outcome is not known. A payment that requires authentication
    /// by the buyer is cancelled at the gateway first, so that it cannot be charged after its stock is released.
    async fn confirm(
        &self,
        gateway: &dyn PaymentGateway,
        reference: &PaymentReference,
        credential: &Credential,
    ) -> Result<Option<PaymentOutcome>, Fault> {
        let state = gateway.confirm(&self.call_ctx(), &self.attempt, reference, credential).await?;
        if state != GatewayState::ActionRequired {
            return Ok(state.into());
        }
        Ok(gateway.cancel(&self.call_ctx(), reference).await?.after_action_required())
    }

    /// Settles the attempt with this outcome in transaction 2, and returns the outcome of the completion.
    async fn settle(&self, outcome: PaymentOutcome) -> Result<Outcome, Fault> {
        let settlement = Settlement { attempt: self.attempt.id.clone(), outcome, now: self.use_case.clock.now() };
        self.until_recorded(|| self.use_case.checkouts.settle(&self.ctx, settlement.clone())).await
    }

    /// Settles an attempt that was not charged because of `fault`: releases the stock and the idempotency key. If the
    /// reconciler released the key before and another attempt was made with the key, the outcome of that attempt is
    /// returned.
    async fn settle_as_not_attempted(&self, operation: &'static str, fault: Fault) -> Result<ChargeResult, Fault> {
        let outcome = self.settle(PaymentOutcome::NotAttempted).await?;
        if !matches!(&outcome, Outcome::Checkout(checkout) if checkout.attempt.is_none()) {
            return Ok(ChargeResult::Settled(outcome));
        }
        Ok(ChargeResult::NotAttempted(Fault::new(FaultKind::Unavailable, operation).caused_by(fault)))
    }

    async fn until_recorded<T>(&self, write: impl Fn() -> PortFuture<T, Fault>) -> Result<T, Fault> {
        until_recorded(&self.ctx, &*self.use_case.clock, write).await
    }

    /// The context of one gateway call.
    fn call_ctx(&self) -> RequestContext {
        self.ctx.at_most(self.use_case.limits.gateway_call)
    }
}
