//! Completes a checkout: two decisions around one charge, and never a charge without an order.
//!
//! 1. `checkout.begin_completion`, a transaction: claim the key, hold the stock, record the attempt. **Its commit is the
//!    point of no return.** Before it a caller without enough time is refused and nothing happened.
//! 2. The gateway: open, store the reference, confirm. No connection is held while it thinks.
//! 3. `checkout.settle`, a transaction: place the order and take the stock, or release it.
//!
//! Steps 2 and 3 belong to the process, not to the caller: a deadline or a disconnect ends only the waiting. An answer
//! that was lost is not a failure. The checkout stays as it is and the reconciler finds out.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};

use super::model::{Checkout, CheckoutId};
use super::ports::{Answer, Begin, Begun, CheckoutBook, CheckoutError, CheckoutRefusal, Outcome, Settlement, Write};
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::{Fault, FaultKind};
use crate::idempotency::{Claim, ClaimRefusal};
use crate::payment::{
    Attempt, AttemptId, Credential, GatewayState, PaymentAttempts, PaymentChoice, PaymentGateway, PaymentOutcome,
    PaymentReference,
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
    checkouts: Arc<dyn CheckoutBook>,
    attempts: Arc<dyn PaymentAttempts>,
    /// `None` when the shop has no way to be paid; then nothing can be completed.
    gateway: Option<Arc<dyn PaymentGateway>>,
    clock: Arc<dyn Clock>,
    limits: CompletionLimits,
}

pub struct CompleteCommand {
    pub claim: Claim,
    pub id: CheckoutId,
    pub choice: PaymentChoice,
    pub on_begun: OnBegun,
}

impl CompleteCheckout {
    pub fn new(
        checkouts: Arc<dyn CheckoutBook>,
        attempts: Arc<dyn PaymentAttempts>,
        gateway: Option<Arc<dyn PaymentGateway>>,
        clock: Arc<dyn Clock>,
        limits: CompletionLimits,
    ) -> Self {
        Self { checkouts, attempts, gateway, clock, limits }
    }

    pub async fn run(&self, ctx: &RequestContext, command: CompleteCommand) -> Result<Answer, CheckoutError> {
        if ctx.deadline().remaining() < self.limits.minimum {
            return Err(Fault::new(FaultKind::DeadlineExceeded, COMPLETE).into());
        }
        let offered = self.gateway.as_ref().filter(|gateway| gateway.handler().id == command.choice.instrument.handler);
        let gateway = offered.ok_or(CheckoutRefusal::UnknownHandler)?;
        let on_file = match command.choice.credential {
            None => gateway.on_file(ctx, &command.choice).await?,
            Some(_) => None,
        };
        let Some(credential) = command.choice.credential.or(on_file) else {
            // What was answered before is answered again, even if the instrument has left the file since.
            return match self.checkouts.completion(ctx, command.claim, command.id).await? {
                Begun::Answered(answer) => Ok(answer),
                _ => Err(CheckoutRefusal::UnknownInstrument.into()),
            };
        };

        let now = self.clock.now();
        let begin = Begin {
            write: Write { claim: command.claim.clone(), now },
            checkout: command.id.clone(),
            attempt: AttemptId::generate(now),
            instrument: command.choice.instrument,
            owned_for: self.limits.grace + OWNERSHIP_MARGIN,
        };
        match self.checkouts.begin_completion(ctx, begin).await? {
            Begun::Claimed { checkout, attempt } => {
                (command.on_begun)(&checkout);
                let ctx = ctx.must_finish(self.limits.grace);
                let outcome = match self.charge_and_settle(&ctx, gateway, &attempt, &credential).await {
                    Ok(Charge::Settled(outcome)) => outcome,
                    Ok(Charge::NotAttempted(fault)) => return Err(fault.into()),
                    Ok(Charge::Unknown) => Outcome::Checkout(checkout),
                    // What happened outside could not be recorded here. The attempt is on file: the reconciler will.
                    Err(fault) => {
                        error!(ctx.log(), "completion is left to the reconciler"; "op" => fault.operation(),
                            "attempt_id" => %attempt.id, "checkout_id" => %checkout.id,
                            "error_code" => fault.kind().as_str(), "error" => fault.chain());
                        Outcome::Checkout(checkout)
                    }
                };
                Ok(Answer { outcome, replayed: false })
            }
            Begun::Answered(answer) => Ok(answer),
            Begun::Unknown(checkout) => Ok(Answer { outcome: Outcome::Checkout(checkout), replayed: false }),
            Begun::InProgress => self.wait_for_owner(ctx, command.claim, command.id).await,
        }
    }

    async fn charge_and_settle(
        &self,
        ctx: &RequestContext,
        gateway: &Arc<dyn PaymentGateway>,
        attempt: &Attempt,
        credential: &Credential,
    ) -> Result<Charge, Fault> {
        let settle = |outcome| {
            let settlement = Settlement { attempt: attempt.id.clone(), outcome, now: self.clock.now() };
            self.checkouts.settle(ctx, settlement)
        };
        if attempt.money.amount.is_zero() {
            return Ok(Charge::Settled(settle(PaymentOutcome::Confirmed).await?));
        }
        let call = ctx.at_most(self.limits.gateway_call);
        let reference = match gateway.open(&call, attempt).await {
            Ok(reference) => reference,
            // Not confirmed, so not charged, whatever the gateway made of it: give everything back.
            Err(fault) => {
                settle(PaymentOutcome::NotAttempted).await?;
                return Ok(Charge::NotAttempted(Fault::new(FaultKind::Unavailable, "payment.open").caused_by(fault)));
            }
        };
        self.attempts.record_reference(ctx, attempt.id.clone(), reference.clone()).await?;

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
            self.attempts.record_unknown(ctx, attempt.id.clone(), self.clock.now()).await?;
            return Ok(Charge::Unknown);
        };
        info!(ctx.log(), "payment answered"; "op" => "payment.confirm", "attempt_id" => %attempt.id,
            "checkout_id" => %attempt.checkout, "reference" => &reference.0, "payment" => outcome.as_str(),
            "detail" => outcome.detail());
        Ok(Charge::Settled(settle(outcome).await?))
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

    /// Waits, holding nothing, until the owner of the key is done or the caller's time is nearly over.
    async fn wait_for_owner(
        &self,
        ctx: &RequestContext,
        claim: Claim,
        id: CheckoutId,
    ) -> Result<Answer, CheckoutError> {
        let mut pause = FIRST_PAUSE;
        while ctx.deadline().remaining() > pause + LONGEST_PAUSE {
            self.clock.pause(ctx, pause).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.checkouts.completion(ctx, claim.clone(), id.clone()).await? {
                Begun::Answered(answer) => return Ok(answer),
                Begun::Unknown(checkout) => {
                    return Ok(Answer { outcome: Outcome::Checkout(checkout), replayed: false });
                }
                Begun::InProgress | Begun::Claimed { .. } => {}
            }
        }
        Err(ClaimRefusal::InProgress.into())
    }
}
