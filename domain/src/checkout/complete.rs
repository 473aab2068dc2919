//! Completes a checkout: two decisions around one charge, and never a charge without an order.
//!
//! 1. `checkout.begin_completion`, a transaction: claim the key, hold the stock, record the attempt. **Its commit is the
//!    point of no return.** Before it a caller without enough time is refused and nothing happened.
//! 2. The gateway: open, store the reference, confirm. No connection is held while it thinks.
//! 3. `checkout.settle`, a transaction: place the order and take the stock, or release it.
//!
//! What is recorded past the point of no return is tried again within the completion's grace while the fault is passing;
//! then the attempt is given up, so that the reconciler acts at once.
//!
//! Steps 2 and 3 belong to the process, not to the caller: a deadline or a disconnect ends only the waiting. An answer
//! that was lost is not a failure. The checkout stays as it is and the reconciler finds out.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};

use super::model::{Checkout, CheckoutId};
use super::ports::{Answer, Begin, Begun, CheckoutRefusal, CheckoutStore, Outcome, Settlement};
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::{Failure, Fault, FaultKind};
use crate::idempotency::{KeyClaim, KeyRefusal, Write};
use crate::payment::{
    Attempt, AttemptId, AttemptStore, Credential, GatewayState, PaymentChoice, PaymentGateway, PaymentOutcome,
    PaymentReference, until_recorded,
};

/// The operation that a completion's idempotency key is claimed for, and that its settlement answers.
pub const COMPLETE: &str = "checkout.complete";

/// Told once, when the point of no return is behind us: the checkout as it then stands.
pub type OnBegun = Box<dyn FnOnce(&Checkout) + Send>;

/// How much time completion needs, and how much it gets.
#[derive(Clone, Copy, Debug)]
pub struct CompletionLimits {
    /// A caller with less than this left is refused before anything happens.
    pub minimum: Duration,
    /// For the gateway and the settlement together, once begun.
    pub grace: Duration,
    /// For each call of the gateway.
    pub gateway_call: Duration,
}

/// What to charge, and where.
struct Means {
    gateway: Arc<dyn PaymentGateway>,
    credential: Credential,
}

/// What became of the steps past the point of no return.
#[expect(clippy::large_enum_variant, reason = "made once for each completion, and moved once")]
enum Charge {
    /// Known, and recorded.
    Settled(Outcome),
    /// The gateway was not reached; everything is as it was before.
    NotAttempted(Fault),
    /// The gateway's answer was lost; that is recorded.
    Unknown,
}

/// Pauses while another call works on the same key: each twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How long past its grace an owner is still left alone by the reconciler.
const OWNERSHIP_MARGIN: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct CompleteCheckout {
    checkouts: Arc<dyn CheckoutStore>,
    attempts: Arc<dyn AttemptStore>,
    /// `None` when the shop has no way to be paid; then only what costs nothing can be completed.
    gateway: Option<Arc<dyn PaymentGateway>>,
    clock: Arc<dyn Clock>,
    limits: CompletionLimits,
}

pub struct CompleteCommand {
    pub claim: KeyClaim,
    pub id: CheckoutId,
    /// `None` when no instrument was given: enough where there is nothing to pay.
    pub choice: Option<PaymentChoice>,
    pub on_begun: OnBegun,
}

impl CompleteCheckout {
    pub fn new(
        checkouts: Arc<dyn CheckoutStore>,
        attempts: Arc<dyn AttemptStore>,
        gateway: Option<Arc<dyn PaymentGateway>>,
        clock: Arc<dyn Clock>,
        limits: CompletionLimits,
    ) -> Self {
        Self { checkouts, attempts, gateway, clock, limits }
    }

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
            Some(choice) => match self.means(ctx, choice).await? {
                Some(means) => Some(means),
                // What was answered before is answered again, even if the instrument has left the file since.
                None => {
                    return match self.checkouts.completion(ctx, command.claim, command.id).await? {
                        Begun::Answered(answer) => Ok(answer),
                        _ => Err(CheckoutRefusal::UnknownInstrument.into()),
                    };
                }
            },
        };
        let instrument = command.choice.map(|choice| choice.instrument);

        let mut on_begun = Some(command.on_begun);
        loop {
            let now = self.clock.now();
            let begin = Begin {
                write: Write { claim: command.claim.clone(), now },
                checkout: command.id.clone(),
                attempt: AttemptId::generate(now),
                instrument: instrument.clone(),
                owned_for: self.limits.grace + OWNERSHIP_MARGIN,
            };
            return match self.checkouts.begin_completion(ctx, begin).await? {
                Begun::Claimed { checkout, attempt } => {
                    if let Some(on_begun) = on_begun.take() {
                        on_begun(&checkout);
                    }
                    self.finish(ctx, means.as_ref(), checkout, &attempt).await
                }
                Begun::Answered(answer) => Ok(answer),
                Begun::Unknown(checkout) => Ok(as_it_stands(checkout)),
                Begun::InProgress | Begun::Free => match self.wait_for_owner(ctx, &command.claim, &command.id).await? {
                    Some(answer) => Ok(answer),
                    None => continue,
                },
            };
        }
    }

    /// What to charge with; `None` when the instrument brings no credential and none is on file.
    async fn means(
        &self,
        ctx: &RequestContext,
        choice: &PaymentChoice,
    ) -> Result<Option<Means>, Failure<CheckoutRefusal>> {
        let offered = self.gateway.as_ref().filter(|gateway| gateway.handler().id == choice.instrument.handler);
        let gateway = offered.ok_or(CheckoutRefusal::UnknownHandler)?.clone();
        let credential = match &choice.credential {
            Some(credential) => Some(credential.clone()),
            None => gateway.on_file(ctx, choice).await?,
        };
        Ok(credential.map(|credential| Means { gateway, credential }))
    }

    /// Everything past the point of no return, within the grace: the answer, or the fault that kept the gateway from
    /// being reached.
    async fn finish(
        &self,
        ctx: &RequestContext,
        means: Option<&Means>,
        checkout: Checkout,
        attempt: &Attempt,
    ) -> Result<Answer, Failure<CheckoutRefusal>> {
        let ctx = ctx.must_finish(self.limits.grace);
        match self.charge_and_settle(&ctx, means, attempt).await {
            Ok(Charge::Settled(outcome)) => Ok(Answer { outcome, replayed: false }),
            Ok(Charge::NotAttempted(fault)) => Err(fault.into()),
            Ok(Charge::Unknown) => Ok(as_it_stands(checkout)),
            // What happened outside could not be recorded here. The attempt is on file: the reconciler will.
            Err(fault) => {
                error!(ctx.log(), "completion is left to the reconciler"; "op" => fault.operation(),
                    "attempt_id" => %attempt.id, "checkout_id" => %checkout.id,
                    "error_code" => fault.kind().as_str(), "error" => fault.chain());
                self.give_up(&ctx, attempt).await;
                Ok(as_it_stands(checkout))
            }
        }
    }

    /// Lets the reconciler have the attempt at once. Where that fails too, it waits until the ownership is over.
    async fn give_up(&self, ctx: &RequestContext, attempt: &Attempt) {
        let ctx = ctx.must_finish(OWNERSHIP_MARGIN);
        if let Err(fault) = self.attempts.postpone(&ctx, attempt, self.clock.now()).await {
            warn!(ctx.log(), "attempt keeps its owner until the ownership is over"; "op" => fault.operation(),
                "attempt_id" => %attempt.id, "error_code" => fault.kind().as_str(), "error" => fault.chain());
        }
    }

    async fn charge_and_settle(
        &self,
        ctx: &RequestContext,
        means: Option<&Means>,
        attempt: &Attempt,
    ) -> Result<Charge, Fault> {
        if attempt.money.amount.is_zero() {
            return Ok(Charge::Settled(self.settle(ctx, attempt, PaymentOutcome::Confirmed).await?));
        }
        let missing = || Fault::internal("payment.open", "there is something to pay and nothing to pay it with");
        let Means { gateway, credential } = means.ok_or_else(missing)?;
        let call = ctx.at_most(self.limits.gateway_call);
        let reference = match gateway.open(&call, attempt).await {
            Ok(reference) => reference,
            Err(Failure::Refused(decline)) => {
                error!(ctx.log(), "gateway refuses to open the payment"; "op" => "payment.open",
                    "attempt_id" => %attempt.id, "checkout_id" => %attempt.checkout,
                    "error_code" => "payment.open_refused", "detail" => &decline.detail);
                let outcome = PaymentOutcome::Declined(decline);
                return Ok(Charge::Settled(self.settle(ctx, attempt, outcome).await?));
            }
            // Not confirmed, so not charged, whatever the gateway made of it: give everything back.
            Err(Failure::Fault(fault)) => return self.not_attempted(ctx, attempt, "payment.open", fault).await,
        };
        let record = || self.attempts.record_reference(ctx, attempt.id.clone(), reference.clone());
        until_recorded(ctx, &*self.clock, record).await?;

        let outcome = match self.confirm(ctx, gateway, attempt, &reference, credential).await {
            Ok(outcome) => outcome,
            Err(fault) => {
                warn!(ctx.log(), "payment outcome is unknown"; "op" => "payment.confirm",
                    "attempt_id" => %attempt.id, "checkout_id" => %attempt.checkout, "reference" => &reference.0,
                    "error" => fault.chain());
                None
            }
        };
        let Some(outcome) = outcome else {
            let now = self.clock.now();
            let record = || self.attempts.record_unknown(ctx, attempt.id.clone(), now);
            until_recorded(ctx, &*self.clock, record).await?;
            return Ok(Charge::Unknown);
        };
        info!(ctx.log(), "payment answered"; "op" => "payment.confirm", "attempt_id" => %attempt.id,
            "checkout_id" => %attempt.checkout, "reference" => &reference.0, "payment" => outcome.as_str(),
            "detail" => outcome.detail());
        if outcome == PaymentOutcome::NotAttempted {
            let fault = Fault::new(FaultKind::Unavailable, "payment.confirm").caused_by("the payment was cancelled");
            return self.not_attempted(ctx, attempt, "payment.confirm", fault).await;
        }
        Ok(Charge::Settled(self.settle(ctx, attempt, outcome).await?))
    }

    async fn settle(&self, ctx: &RequestContext, attempt: &Attempt, outcome: PaymentOutcome) -> Result<Outcome, Fault> {
        let settlement = Settlement { attempt: attempt.id.clone(), outcome, now: self.clock.now() };
        until_recorded(ctx, &*self.clock, || self.checkouts.settle(ctx, settlement.clone())).await
    }

    /// Gives everything back; `fault` says why the payment was not made. If the key was given back before, and another
    /// attempt was made under it, that one is the answer.
    async fn not_attempted(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        operation: &'static str,
        fault: Fault,
    ) -> Result<Charge, Fault> {
        let outcome = self.settle(ctx, attempt, PaymentOutcome::NotAttempted).await?;
        if !matches!(&outcome, Outcome::Checkout(checkout) if checkout.attempt.is_none()) {
            return Ok(Charge::Settled(outcome));
        }
        Ok(Charge::NotAttempted(Fault::new(FaultKind::Unavailable, operation).caused_by(fault)))
    }

    /// Charges; `None` when the gateway does not say what came of it. What waits for the buyer is cancelled before
    /// anyone is told, so that it cannot be charged after its stock was released.
    async fn confirm(
        &self,
        ctx: &RequestContext,
        gateway: &Arc<dyn PaymentGateway>,
        attempt: &Attempt,
        reference: &PaymentReference,
        credential: &Credential,
    ) -> Result<Option<PaymentOutcome>, Fault> {
        let call = ctx.at_most(self.limits.gateway_call);
        let state = gateway.confirm(&call, attempt, reference, credential).await?;
        if state != GatewayState::ActionRequired {
            return Ok(state.into());
        }
        let call = ctx.at_most(self.limits.gateway_call);
        Ok(gateway.cancel(&call, reference).await?.after_action_required())
    }

    /// Waits, holding nothing, until the owner of the key is done or the caller's time is nearly over. `None` when the
    /// owner gave the key back: then it can be claimed anew.
    async fn wait_for_owner(
        &self,
        ctx: &RequestContext,
        claim: &KeyClaim,
        id: &CheckoutId,
    ) -> Result<Option<Answer>, Failure<CheckoutRefusal>> {
        let mut pause = FIRST_PAUSE;
        while ctx.deadline().remaining() > pause + LONGEST_PAUSE {
            self.clock.pause(ctx, pause).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.checkouts.completion(ctx, claim.clone(), id.clone()).await? {
                Begun::Answered(answer) => return Ok(Some(answer)),
                Begun::Unknown(checkout) => return Ok(Some(as_it_stands(checkout))),
                Begun::Free if ctx.deadline().remaining() >= self.limits.minimum => return Ok(None),
                Begun::Free => return Err(Fault::new(FaultKind::DeadlineExceeded, COMPLETE).into()),
                Begun::InProgress | Begun::Claimed { .. } => {}
            }
        }
        Err(CheckoutRefusal::Key(KeyRefusal::InProgress).into())
    }
}

/// No answer to replay: how the checkout is at this moment.
fn as_it_stands(checkout: Checkout) -> Answer {
    Answer { outcome: Outcome::Checkout(checkout), replayed: false }
}
