//! The status changes of a checkout and their guards. Only the expiry task sets a status elsewhere, because it cancels
//! many checkouts with one statement.

use super::decide::status_for;
use super::message::{Message, MessageCode, Severity, Subject};
use super::model::{Checkout, Details, OrderLink, Status};
use super::ports::CheckoutRefusal;
use crate::clock::Timestamp;
use crate::id::AttemptId;
use crate::payment::Instrument;

impl Checkout {
    /// The checkout with its status at `now`. An open checkout whose expiry has passed is canceled, even if the expiry
    /// task has not stored this status yet. A checkout that is being completed never expires.
    #[must_use]
    pub fn as_of(mut self, now: Timestamp) -> Self {
        if self.has_expired(now) {
            self.status = Status::Canceled;
        }
        self
    }

    /// Whether the checkout is open and its expiry has passed.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.status.is_open() && self.expires_at <= now
    }

    /// Refuses a checkout that is not open.
    pub fn must_be_open(&self) -> Result<(), CheckoutRefusal> {
        match self.status {
            Status::Incomplete | Status::RequiresEscalation | Status::ReadyForComplete => Ok(()),
            Status::CompleteInProgress => Err(CheckoutRefusal::InProgress),
            Status::Completed | Status::Canceled => Err(CheckoutRefusal::NotModifiable(self.status)),
        }
    }

    /// Refuses a checkout that lacks a value that only the platform can provide.
    pub fn must_be_complete(&self) -> Result<(), CheckoutRefusal> {
        // These messages do not block: stock is checked again on locked rows, and a refused payment is retried with
        // another instrument.
        let settles_itself = |message: &&Message| {
            matches!((message.code, message.subject), (MessageCode::OutOfStock, Some(Subject::Line(_))))
                || matches!(message.code, MessageCode::PaymentFailed | MessageCode::BuyerAuthentication)
        };
        let mut blocking = self.details.messages.iter().filter(|message| message.severity.blocks());
        match blocking.find(|message| !settles_itself(message)) {
            None => Ok(()),
            Some(first) => Err(CheckoutRefusal::NotReady(first.clone())),
        }
    }

    /// Replaces the content and the status.
    #[must_use]
    pub fn revised(mut self, details: Details, status: Status, now: Timestamp) -> Self {
        (self.details, self.status) = (details, status);
        self.changed_at(now)
    }

    /// Begins the completion. After this, only the outcome of the payment changes the status.
    #[must_use]
    pub fn completing(mut self, attempt: AttemptId, instrument: Option<Instrument>, now: Timestamp) -> Self {
        self.status = Status::CompleteInProgress;
        self.attempt = Some(attempt);
        self.details.instruments = instrument.into_iter().collect();
        self.details.messages.retain(|message| !message.severity.blocks() && !message.code.is_about_payment());
        self.changed_at(now)
    }

    /// Records that the stock does not cover the lines.
    #[must_use]
    pub fn short_of_stock(mut self, shortages: Vec<Message>, now: Timestamp) -> Self {
        self.details.messages.retain(|message| message.code != MessageCode::OutOfStock);
        self.details.messages.extend(shortages);
        self.status = status_for(&self.details.messages);
        self.changed_at(now)
    }

    /// Completes the checkout after its order is placed.
    #[must_use]
    pub fn completed(mut self, order: OrderLink, now: Timestamp) -> Self {
        self.status = Status::Completed;
        self.order = Some(order);
        self.changed_at(now)
    }

    /// Makes the checkout ready again after its payment was refused. The completion can be retried with another
    /// instrument.
    #[must_use]
    pub fn payment_refused(self, reason: &str, now: Timestamp) -> Self {
        let note = Message::recoverable(MessageCode::PaymentFailed, Subject::Payment, reason);
        self.after_failed_payment(Status::ReadyForComplete, note, now)
    }

    /// Makes the checkout ready again after its payment was neither made nor refused. The same completion can be
    /// requested again.
    #[must_use]
    pub fn payment_not_attempted(self, now: Timestamp) -> Self {
        let content = "The payment was not made and nothing was charged; it can be tried again";
        let note = Message::warning(MessageCode::PaymentNotAttempted, Subject::Payment, content);
        self.after_failed_payment(Status::ReadyForComplete, note, now)
    }

    /// Makes the checkout wait for the buyer after a payment for which the bank requires authentication. The shop has
    /// no page for the authentication yet. The platform can complete the checkout with another instrument.
    #[must_use]
    pub fn buyer_required(self, now: Timestamp) -> Self {
        let content = "The buyer's bank asks the buyer to confirm this payment";
        let (severity, code) = (Severity::RequiresBuyerInput, MessageCode::BuyerAuthentication);
        let note = Message::new(severity, code, content, Some(Subject::Payment));
        self.after_failed_payment(Status::RequiresEscalation, note, now)
    }

    /// Ends the payment attempt and sets the status. `note` becomes the only message about a payment.
    fn after_failed_payment(mut self, status: Status, note: Message, now: Timestamp) -> Self {
        self.status = status;
        self.attempt = None;
        self.details.messages.retain(|message| !message.code.is_about_payment());
        self.details.messages.push(note);
        self.changed_at(now)
    }

    /// Cancels the checkout for the platform.
    #[must_use]
    pub fn canceled(mut self, now: Timestamp) -> Self {
        self.status = Status::Canceled;
        self.changed_at(now)
    }

    /// Increments the version and sets the time of the change.
    fn changed_at(mut self, now: Timestamp) -> Self {
        self.version += 1;
        self.updated_at = now;
        self
    }
}
