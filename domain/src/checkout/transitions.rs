//! What may happen to a checkout, and when. Only the expiry pass, which cancels many at once, sets a status without it.

use super::decide::status_for;
use super::message::{Message, MessageCode, Severity, Subject};
use super::model::{Checkout, Details, OrderLink, Status};
use super::ports::CheckoutRefusal;
use crate::clock::Timestamp;
use crate::payment::{AttemptId, Instrument};

impl Checkout {
    /// How it stands at `now`: an open checkout past its time is canceled, whether or not the expiry pass has come by.
    /// One that is being completed never expires.
    #[must_use]
    pub fn as_of(mut self, now: Timestamp) -> Self {
        if self.has_expired(now) {
            self.status = Status::Canceled;
        }
        self
    }

    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.status.is_open() && self.expires_at <= now
    }

    /// Refuses what only an open checkout allows.
    pub fn must_be_open(&self) -> Result<(), CheckoutRefusal> {
        match self.status {
            Status::Incomplete | Status::RequiresEscalation | Status::ReadyForComplete => Ok(()),
            Status::CompleteInProgress => Err(CheckoutRefusal::InProgress),
            Status::Completed | Status::Canceled => Err(CheckoutRefusal::NotModifiable(self.status)),
        }
    }

    /// Refuses to complete what still lacks something that the platform must give first.
    pub fn must_be_complete(&self) -> Result<(), CheckoutRefusal> {
        // Shortages are judged anew, on locked rows, and a refused payment is what another instrument is for.
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

    /// The same checkout with other content.
    #[must_use]
    pub fn revised(mut self, details: Details, status: Status, now: Timestamp) -> Self {
        (self.details, self.status) = (details, status);
        self.touched(now)
    }

    /// Begins to complete: from here only the payment's outcome leads on.
    #[must_use]
    pub fn completing(mut self, attempt: AttemptId, instrument: Option<Instrument>, now: Timestamp) -> Self {
        self.status = Status::CompleteInProgress;
        self.attempt = Some(attempt);
        self.details.instruments = instrument.into_iter().collect();
        self.details.messages.retain(|message| !message.severity.blocks() && !message.code.is_about_payment());
        self.touched(now)
    }

    /// There was less in stock than the buyer wants.
    #[must_use]
    pub fn short_of_stock(mut self, shortages: Vec<Message>, now: Timestamp) -> Self {
        self.details.messages.retain(|message| message.code != MessageCode::OutOfStock);
        self.details.messages.extend(shortages);
        self.status = status_for(&self.details.messages);
        self.touched(now)
    }

    /// Paid and placed.
    #[must_use]
    pub fn completed(mut self, order: OrderLink, now: Timestamp) -> Self {
        self.status = Status::Completed;
        self.order = Some(order);
        self.touched(now)
    }

    /// Not paid: it can be completed with another instrument.
    #[must_use]
    pub fn payment_refused(self, reason: &str, now: Timestamp) -> Self {
        let note = Message::new(Severity::Recoverable, MessageCode::PaymentFailed, reason, Some(Subject::Payment));
        self.unpaid(Status::ReadyForComplete, note, now)
    }

    /// Not paid, and not refused by anyone: the same completion can be asked for again.
    #[must_use]
    pub fn payment_not_attempted(self, now: Timestamp) -> Self {
        let content = "The payment was not made and nothing was charged; it can be tried again";
        let note = Message::new(Severity::Warning, MessageCode::PaymentNotAttempted, content, Some(Subject::Payment));
        self.unpaid(Status::ReadyForComplete, note, now)
    }

    /// Not paid, because the buyer's bank wants to hear from the buyer, which only the shop's own page can arrange.
    /// The platform may offer another instrument instead.
    #[must_use]
    pub fn buyer_required(self, now: Timestamp) -> Self {
        let content = "The buyer's bank asks the buyer to confirm this payment";
        let (severity, code) = (Severity::RequiresBuyerInput, MessageCode::BuyerAuthentication);
        let note = Message::new(severity, code, content, Some(Subject::Payment));
        self.unpaid(Status::RequiresEscalation, note, now)
    }

    fn unpaid(mut self, status: Status, note: Message, now: Timestamp) -> Self {
        self.status = status;
        self.attempt = None;
        self.details.messages.retain(|message| !message.code.is_about_payment());
        self.details.messages.push(note);
        self.touched(now)
    }

    #[must_use]
    pub fn canceled(mut self, now: Timestamp) -> Self {
        self.status = Status::Canceled;
        self.touched(now)
    }

    fn touched(mut self, now: Timestamp) -> Self {
        self.version += 1;
        self.updated_at = now;
        self
    }
}
