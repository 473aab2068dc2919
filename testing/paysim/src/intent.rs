//! The state machine of a PaymentIntent (<https://docs.stripe.com/api/payment_intents/object>) and its refunds.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::call::new_id;
use crate::cards::Card;
use crate::error::ApiError;
use crate::ledger::{Entry, Movement, Records};

/// How a payment that waits for its buyer or its bank ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Canceled,
    Succeeded,
}

/// A PaymentIntent. Amounts are in minor units, times in seconds since 1970.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Intent {
    pub id: String,
    object: &'static str,
    amount: i64,
    amount_capturable: i64,
    amount_received: i64,
    canceled_at: Option<i64>,
    cancellation_reason: Option<String>,
    capture_method: &'static str,
    created: i64,
    currency: String,
    last_payment_error: Option<Value>,
    latest_charge: Option<String>,
    pub metadata: BTreeMap<String, String>,
    next_action: Option<Value>,
    pub payment_method: Option<String>,
    pub status: Status,
    #[serde(skip)]
    pub authorised_at: i64,
    #[serde(skip)]
    refunded: i64,
}

impl Intent {
    pub fn new(
        amount: i64,
        currency: String,
        is_manual: bool,
        payment_method: Option<String>,
        metadata: BTreeMap<String, String>,
        now: i64,
    ) -> Self {
        let has_method = payment_method.is_some();
        Self {
            id: new_id("pi"),
            object: "payment_intent",
            amount,
            amount_capturable: 0,
            amount_received: 0,
            canceled_at: None,
            cancellation_reason: None,
            capture_method: if is_manual { "manual" } else { "automatic" },
            created: now,
            currency,
            last_payment_error: None,
            latest_charge: None,
            metadata,
            next_action: None,
            payment_method,
            status: if has_method { Status::RequiresConfirmation } else { Status::RequiresPaymentMethod },
            authorised_at: now,
            refunded: 0,
        }
    }

    pub fn confirm(&mut self, payment_method: Option<String>, journal: &mut Records) -> Result<(), ApiError> {
        use Status::{RequiresAction, RequiresConfirmation, RequiresPaymentMethod};
        let payment_method = payment_method.or_else(|| self.payment_method.clone());
        let card = payment_method.as_deref().and_then(Card::named);
        let is_confirmable = matches!(self.status, RequiresPaymentMethod | RequiresConfirmation | RequiresAction);
        let Some(card) = card.filter(|_| is_confirmable) else { return Err(self.unexpected("confirm")) };
        self.payment_method = payment_method;
        self.last_payment_error = None;
        self.next_action = None;
        match card {
            Card::Charges | Card::Faulty(_) => self.charge(journal),
            Card::Processing => self.status = Status::Processing,
            Card::NeedsAction => {
                self.status = Status::RequiresAction;
                self.next_action = Some(json!({"type": "use_stripe_sdk", "use_stripe_sdk": {}}));
                journal.event("payment_intent.requires_action", json!(self));
            }
            Card::Declined { code, decline_code, message } => {
                let error = ApiError::new(402, "card_error", message).with("code", code);
                let error = decline_code.into_iter().fold(error, |error, code| error.with("decline_code", code));
                self.fail(&error, journal);
                return Err(error.with("payment_intent", json!(self)));
            }
        }
        Ok(())
    }

    /// Ends the wait of an intent for its buyer or its bank. Returns an error if the intent does not wait.
    pub fn settle(&mut self, outcome: Outcome, journal: &mut Records) -> Result<(), ApiError> {
        let error = match self.status {
            Status::RequiresAction => ApiError::new(402, "card_error", "Authentication has failed.")
                .with("code", "payment_intent_authentication_failure"),
            Status::Processing => {
                ApiError::new(402, "card_error", "Your card was declined.").with("code", "card_declined")
            }
            _ => return Err(self.unexpected("settle")),
        };
        self.next_action = None;
        match outcome {
            Outcome::Succeeded => self.charge(journal),
            Outcome::Failed => self.fail(&error, journal),
        }
        Ok(())
    }

    /// Authorises the amount. Also captures it, unless the capture method is manual.
    fn charge(&mut self, journal: &mut Records) {
        self.move_money(Movement::Authorised, self.amount, journal);
        self.latest_charge = Some(new_id("ch"));
        if self.capture_method == "manual" {
            self.status = Status::RequiresCapture;
            self.amount_capturable = self.amount;
            self.authorised_at = journal.now();
            journal.event("payment_intent.amount_capturable_updated", json!(self));
        } else {
            self.succeed(self.amount, journal);
        }
    }

    fn succeed(&mut self, captured: i64, journal: &mut Records) {
        self.status = Status::Succeeded;
        self.amount_received = captured;
        self.amount_capturable = 0;
        self.move_money(Movement::Captured, captured, journal);
        if captured < self.amount {
            self.move_money(Movement::Voided, self.amount - captured, journal);
        }
        journal.event("payment_intent.succeeded", json!(self));
    }

    fn fail(&mut self, error: &ApiError, journal: &mut Records) {
        self.status = Status::RequiresPaymentMethod;
        self.payment_method = None;
        self.last_payment_error = Some(error.body()["error"].take());
        journal.event("payment_intent.payment_failed", json!(self));
    }

    /// Captures `amount`, or everything if `amount` is `None`. Releases the rest of the authorisation.
    pub fn capture(&mut self, amount: Option<i64>, journal: &mut Records) -> Result<(), ApiError> {
        if self.status != Status::RequiresCapture {
            return Err(self.unexpected("capture"));
        }
        let amount = amount.unwrap_or(self.amount_capturable);
        if amount > self.amount_capturable {
            let message = "The amount to capture is greater than the remaining amount that may be captured.";
            return Err(ApiError::invalid(message).with("code", "amount_too_large").with("param", "amount_to_capture"));
        }
        self.succeed(amount, journal);
        Ok(())
    }

    pub fn cancel(&mut self, reason: Option<String>, journal: &mut Records) -> Result<(), ApiError> {
        if matches!(self.status, Status::Succeeded | Status::Canceled | Status::Processing) {
            return Err(self.unexpected("cancel"));
        }
        self.end(reason, journal);
        Ok(())
    }

    /// Cancels without a check of the status.
    pub fn end(&mut self, reason: Option<String>, journal: &mut Records) {
        if self.amount_capturable > 0 {
            self.move_money(Movement::Voided, self.amount_capturable, journal);
        }
        self.status = Status::Canceled;
        self.amount_capturable = 0;
        self.next_action = None;
        self.canceled_at = Some(journal.now());
        self.cancellation_reason = reason;
        journal.event("payment_intent.canceled", json!(self));
    }

    /// Refunds `amount`, or everything that is left if `amount` is `None`. Returns the refund, which succeeds at once.
    pub fn refund(
        &mut self,
        amount: Option<i64>,
        metadata: BTreeMap<String, String>,
        journal: &mut Records,
    ) -> Result<Value, ApiError> {
        let left = self.amount_received - self.refunded;
        if self.amount_received == 0 {
            let message = format!("This PaymentIntent ({}) does not have a successful charge to refund.", self.id);
            return Err(ApiError::invalid(message));
        }
        if left == 0 {
            let error = ApiError::invalid("The charge has already been refunded.");
            return Err(error.with("code", "charge_already_refunded"));
        }
        let amount = amount.unwrap_or(left);
        if amount > left {
            let message = format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
            return Err(ApiError::invalid(message).with("param", "amount"));
        }
        self.refunded += amount;
        self.move_money(Movement::Refunded, amount, journal);
        let charge = json!({"id": self.latest_charge, "object": "charge", "payment_intent": self.id,
            "amount_captured": self.amount_received, "amount_refunded": self.refunded});
        journal.event("charge.refunded", charge);
        Ok(json!({"id": new_id("re"), "object": "refund", "amount": amount, "charge": self.latest_charge,
            "created": journal.now(), "currency": self.currency, "metadata": metadata, "payment_intent": self.id,
            "status": "succeeded"}))
    }

    fn move_money(&self, kind: Movement, amount: i64, journal: &mut Records) {
        let (intent, metadata) = (self.id.clone(), self.metadata.clone());
        journal.ledger.entries.push(Entry { kind, intent, amount, metadata });
    }

    /// Returns the error of an operation that the status does not allow. The error contains the intent.
    fn unexpected(&self, verb: &str) -> ApiError {
        let message = format!("You cannot {verb} this PaymentIntent because it has a status of {}.", self.status);
        let error = ApiError::invalid(message).with("code", "payment_intent_unexpected_state");
        error.with("payment_intent", json!(self))
    }
}
