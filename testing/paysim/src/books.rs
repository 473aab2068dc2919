//! All that the gateway remembers, and the state machine of its intents. One lock around it makes each call one step.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cards::Card;
use crate::command::{Command, Confirmation, NewIntent, NewRefund, Page, Term};
use crate::idempotency::Keys;
use crate::intent::{Intent, Refund, Status};
use crate::ledger::{Entry, Ledger, Movement};
use crate::refusal::Refusal;
use crate::webhooks::Event;

/// How a payment that waits for its buyer or its bank ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    Failed,
}

#[derive(Default)]
pub(crate) struct Books {
    pub now: i64,
    pub keys: Keys,
    pub ledger: Ledger,
    /// Not yet handed to the webhooks.
    pub events: Vec<Event>,
    authorisations_last: Duration,
    search_lags_by: Duration,
    /// In the order of their creation.
    intents: Vec<Intent>,
    places: HashMap<String, usize>,
    refunds: Vec<Refund>,
    /// When the hold of an intent ends, soonest first.
    holds: VecDeque<(i64, String)>,
}

fn id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::new_v4().simple())
}

impl Books {
    pub fn new(authorisations_last: Duration, search_lags_by: Duration) -> Self {
        Self { authorisations_last, search_lags_by, ..Self::default() }
    }

    /// What happens by itself: holds that nobody captured end.
    pub fn pass_time(&mut self, now: i64) {
        self.now = now;
        while self.holds.front().is_some_and(|(ends, _)| *ends <= now) {
            let Some((_, id)) = self.holds.pop_front() else { return };
            if let Ok(intent) = self.intent(&id)
                && intent.status == Status::RequiresCapture
            {
                let place = self.places[&id];
                self.cancel_at(place, Some("automatic"));
            }
        }
    }

    pub fn execute(&mut self, command: Command) -> Result<Value, Refusal> {
        match command {
            Command::Create(new) => self.create(new),
            Command::Confirm { id, confirmation } => self.confirm(&id, confirmation),
            Command::Capture { id, amount } => self.capture(&id, amount),
            Command::Cancel { id, reason } => self.cancel(&id, reason),
            Command::Retrieve { id } => Ok(self.intent(&id)?.object()),
            Command::List(page) => Ok(self.list(&page)),
            Command::Search { terms, limit } => Ok(self.search(&terms, limit)),
            Command::Refund(new) => self.refund(new),
            Command::RetrieveRefund { id } => self
                .refunds
                .iter()
                .find(|refund| refund.id == id)
                .map(Refund::object)
                .ok_or_else(|| Refusal::no_such("refund", &id, "refund")),
            Command::ListRefunds { intent, page } => Ok(self.list_refunds(intent.as_deref(), &page)),
        }
    }

    /// The card that the command would use if it got that far.
    pub fn card(&self, command: &Command) -> Option<Card> {
        let token = match command {
            Command::Create(new) => new.confirmation.as_ref()?.payment_method.clone()?,
            Command::Confirm { id, confirmation } => {
                let saved = || self.intent(id).ok()?.payment_method.clone();
                confirmation.payment_method.clone().or_else(saved)?
            }
            _ => return None,
        };
        Card::named(&token)
    }

    /// The buyer, or the bank, has decided.
    pub fn settle(&mut self, id: &str, outcome: Outcome) -> Result<Value, Refusal> {
        let place = self.place(id)?;
        let status = self.intents[place].status;
        if !matches!(status, Status::RequiresAction | Status::Processing) {
            return Err(self.unexpected(place, "settle"));
        }
        self.intents[place].next_action = None;
        match outcome {
            Outcome::Succeeded => self.charge(place),
            Outcome::Failed if status == Status::RequiresAction => {
                let message = "The provided PaymentMethod has failed authentication.";
                self.fail(place, "payment_intent_authentication_failure", None, message);
            }
            Outcome::Failed => self.fail(place, "card_declined", Some("generic_decline"), "Your card was declined."),
        }
        Ok(self.intents[place].object())
    }

    fn place(&self, id: &str) -> Result<usize, Refusal> {
        self.places.get(id).copied().ok_or_else(|| Refusal::no_such("payment_intent", id, "intent"))
    }

    fn intent(&self, id: &str) -> Result<&Intent, Refusal> {
        self.place(id).map(|place| &self.intents[place])
    }

    fn create(&mut self, new: NewIntent) -> Result<Value, Refusal> {
        let has_method = new.payment_method.is_some();
        let intent = Intent {
            id: id("pi"),
            amount: new.amount,
            currency: new.currency,
            status: if has_method { Status::RequiresConfirmation } else { Status::RequiresPaymentMethod },
            capturable: 0,
            received: 0,
            refunded: 0,
            manual_capture: new.capture_method == "manual",
            capture_method: new.capture_method,
            payment_method: new.payment_method,
            redirects: new.automatic_payment_methods == Some("always"),
            automatic_payment_methods: new.automatic_payment_methods,
            payment_method_types: new.payment_method_types,
            charge: None,
            last_payment_error: None,
            next_action: None,
            metadata: new.metadata,
            description: new.description,
            created: self.now,
            canceled_at: None,
            cancellation_reason: None,
        };
        let (id, place) = (intent.id.clone(), self.intents.len());
        if let Some(confirmation) = &new.confirmation {
            return_url_is_there(&intent, confirmation)?;
        }
        self.places.insert(id.clone(), place);
        self.intents.push(intent);
        match new.confirmation {
            Some(confirmation) => self.confirm(&id, confirmation),
            None => Ok(self.intents[place].object()),
        }
    }

    fn confirm(&mut self, id: &str, confirmation: Confirmation) -> Result<Value, Refusal> {
        let place = self.place(id)?;
        let intent = &mut self.intents[place];
        let confirmable = matches!(
            intent.status,
            Status::RequiresPaymentMethod | Status::RequiresConfirmation | Status::RequiresAction
        );
        if !confirmable {
            return Err(self.unexpected(place, "confirm"));
        }
        return_url_is_there(intent, &confirmation)?;
        if let Some(token) = confirmation.payment_method {
            intent.payment_method = Some(token);
        }
        let Some(card) = intent.payment_method.as_deref().and_then(Card::named) else {
            return Err(self.unexpected(place, "confirm"));
        };
        intent.last_payment_error = None;
        intent.next_action = None;
        match card {
            Card::Charges | Card::Faulty(_) => self.charge(place),
            Card::Processing => intent.status = Status::Processing,
            Card::NeedsAction => {
                intent.status = Status::RequiresAction;
                intent.next_action = Some(next_action(&intent.id, confirmation.return_url));
                self.event(place, "payment_intent.requires_action");
            }
            Card::Declined { code, decline_code, message } => {
                self.fail(place, code, decline_code, message);
                let refusal = Refusal::card(code, decline_code, message);
                let intent = &self.intents[place];
                return Err(refusal.with("charge", json!(intent.charge)).with("payment_intent", intent.object()));
            }
        }
        Ok(self.intents[place].object())
    }

    /// Takes the money, or holds it.
    fn charge(&mut self, place: usize) {
        let amount = self.intents[place].amount;
        self.book(place, Movement::Authorised, amount, None);
        let intent = &mut self.intents[place];
        intent.charge = Some(id("ch"));
        if intent.manual_capture {
            intent.status = Status::RequiresCapture;
            intent.capturable = amount;
            let ends = self.now.saturating_add(i64::try_from(self.authorisations_last.as_secs()).unwrap_or(i64::MAX));
            self.holds.push_back((ends, intent.id.clone()));
            self.event(place, "payment_intent.amount_capturable_updated");
        } else {
            intent.status = Status::Succeeded;
            intent.received = amount;
            self.book(place, Movement::Captured, amount, None);
            self.event(place, "payment_intent.succeeded");
        }
    }

    fn fail(&mut self, place: usize, code: &str, decline_code: Option<&str>, message: &str) {
        let charge = id("ch");
        let intent = &mut self.intents[place];
        let mut error = json!({
            "charge": charge,
            "code": code,
            "doc_url": format!("https://docs.stripe.com/error-codes/{}", code.replace('_', "-")),
            "message": message,
            "payment_method": {"id": intent.payment_method, "object": "payment_method", "type": "card"},
            "type": "card_error",
        });
        if let Some(decline_code) = decline_code {
            error["decline_code"] = json!(decline_code);
        }
        intent.status = Status::RequiresPaymentMethod;
        intent.payment_method = None;
        intent.charge = Some(charge);
        intent.last_payment_error = Some(error);
        self.event(place, "payment_intent.payment_failed");
    }

    fn capture(&mut self, id: &str, amount: Option<i64>) -> Result<Value, Refusal> {
        let place = self.place(id)?;
        let intent = &mut self.intents[place];
        if intent.status != Status::RequiresCapture {
            return Err(self.unexpected(place, "capture"));
        }
        let amount = amount.unwrap_or(intent.capturable);
        let rest = intent.capturable - amount;
        if rest < 0 {
            let message = "The amount to capture is greater than the remaining amount that may be captured.";
            return Err(Refusal::invalid(message).code("amount_too_large").param("amount_to_capture"));
        }
        intent.status = Status::Succeeded;
        intent.received = amount;
        intent.capturable = 0;
        self.book(place, Movement::Captured, amount, None);
        if rest > 0 {
            self.book(place, Movement::Voided, rest, None);
        }
        self.event(place, "payment_intent.succeeded");
        Ok(self.intents[place].object())
    }

    fn cancel(&mut self, id: &str, reason: Option<&'static str>) -> Result<Value, Refusal> {
        let place = self.place(id)?;
        match self.intents[place].status {
            Status::Succeeded | Status::Canceled | Status::Processing => Err(self.unexpected(place, "cancel")),
            _ => {
                self.cancel_at(place, reason);
                Ok(self.intents[place].object())
            }
        }
    }

    fn cancel_at(&mut self, place: usize, reason: Option<&'static str>) {
        let intent = &mut self.intents[place];
        let held = std::mem::take(&mut intent.capturable);
        intent.status = Status::Canceled;
        intent.next_action = None;
        intent.canceled_at = Some(self.now);
        intent.cancellation_reason = reason;
        if held > 0 {
            self.book(place, Movement::Voided, held, None);
        }
        self.event(place, "payment_intent.canceled");
    }

    fn refund(&mut self, new: NewRefund) -> Result<Value, Refusal> {
        let place =
            self.place(&new.intent).map_err(|_| Refusal::no_such("payment_intent", &new.intent, "payment_intent"))?;
        let now = self.now;
        let intent = &mut self.intents[place];
        let charge = intent.charge.clone();
        if intent.received == 0 {
            let message = format!("This PaymentIntent ({}) does not have a successful charge to refund.", intent.id);
            return Err(Refusal::invalid(message));
        }
        let left = intent.refundable();
        if left == 0 {
            let message = format!("Charge {} has already been refunded.", charge.unwrap_or_default());
            return Err(Refusal::invalid(message).code("charge_already_refunded"));
        }
        let amount = new.amount.unwrap_or(left);
        if amount > left {
            let message = format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
            return Err(Refusal::invalid(message).param("amount"));
        }
        intent.refunded += amount;
        let refund = Refund {
            id: id("re"),
            amount,
            currency: intent.currency.clone(),
            intent: new.intent,
            charge,
            metadata: new.metadata,
            reason: new.reason,
            created: now,
        };
        let object = refund.object();
        let charge = intent.charge_object();
        self.book(place, Movement::Refunded, amount, Some(refund.id.clone()));
        self.refunds.push(refund);
        self.events.push(Event::new("charge.refunded", charge, now));
        Ok(object)
    }

    fn list(&self, page: &Page) -> Value {
        let newest_first = self.intents.iter().rev();
        let matching = newest_first.filter(|it| (page.created.0..=page.created.1).contains(&it.created));
        let found = matching.map(|intent| (intent.id.as_str(), intent));
        envelope("/v1/payment_intents", found, page, Intent::object)
    }

    fn list_refunds(&self, intent: Option<&str>, page: &Page) -> Value {
        let newest_first = self.refunds.iter().rev();
        let matching = newest_first
            .filter(|it| intent.is_none_or(|wanted| wanted == it.intent))
            .filter(|it| (page.created.0..=page.created.1).contains(&it.created));
        envelope("/v1/refunds", matching.map(|refund| (refund.id.as_str(), refund)), page, Refund::object)
    }

    fn search(&self, terms: &[Term], limit: usize) -> Value {
        let indexed_until = self.now.saturating_sub(i64::try_from(self.search_lags_by.as_secs()).unwrap_or(i64::MAX));
        let holds = |intent: &Intent| {
            terms.iter().all(|term| match term {
                Term::Status(status) => intent.status.name() == status,
                Term::Currency(currency) => intent.currency == *currency,
                Term::Metadata(key, value) => intent.metadata.get(key) == Some(value),
            })
        };
        let mut found = self.intents.iter().rev().filter(|it| it.created <= indexed_until && holds(it));
        let data: Vec<Value> = found.by_ref().take(limit).map(Intent::object).collect();
        json!({
            "object": "search_result",
            "url": "/v1/payment_intents/search",
            "has_more": found.next().is_some(),
            "next_page": null,
            "data": data,
        })
    }

    /// What Stripe answers to a step that the state does not allow; the intent goes with it.
    fn unexpected(&self, place: usize, verb: &str) -> Refusal {
        let intent = &self.intents[place];
        let status = intent.status.name();
        let message = format!("You cannot {verb} this PaymentIntent because it has a status of {status}.");
        Refusal::invalid(message).code("payment_intent_unexpected_state").with("payment_intent", intent.object())
    }

    fn book(&mut self, place: usize, kind: Movement, amount: i64, refund: Option<String>) {
        let intent = &self.intents[place];
        self.ledger.append(Entry {
            sequence: 0,
            kind,
            intent: intent.id.clone(),
            refund,
            amount,
            currency: intent.currency.clone(),
            metadata: intent.metadata.clone(),
            at: self.now,
        });
    }

    fn event(&mut self, place: usize, kind: &'static str) {
        self.events.push(Event::new(kind, self.intents[place].object(), self.now));
    }
}

/// Since 2023-08-16 Stripe insists on it wherever a payment method could send the buyer elsewhere.
fn return_url_is_there(intent: &Intent, confirmation: &Confirmation) -> Result<(), Refusal> {
    if !intent.redirects || confirmation.return_url.is_some() {
        return Ok(());
    }
    let message = "This PaymentIntent is configured to accept payment methods that may redirect your customer. You must \
                   provide a `return_url`, set `automatic_payment_methods[allow_redirects]` to `never`, or list \
                   `payment_method_types`.";
    Err(Refusal::invalid(message).param("return_url"))
}

fn next_action(id: &str, return_url: Option<String>) -> Value {
    match return_url {
        Some(return_url) => json!({
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": return_url, "url": format!("https://hooks.stripe.com/3d_secure_2/{id}")},
        }),
        None => json!({"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}),
    }
}

fn envelope<'a, T: 'a>(
    url: &str,
    found: impl Iterator<Item = (&'a str, &'a T)>,
    page: &Page,
    object: impl Fn(&T) -> Value,
) -> Value {
    let mut found = found.peekable();
    if let Some(last) = &page.starting_after {
        while found.next_if(|(id, _)| id != last).is_some() {}
        found.next();
    }
    let data: Vec<Value> = found.by_ref().take(page.limit).map(|(_, it)| object(it)).collect();
    json!({"object": "list", "url": url, "has_more": found.next().is_some(), "data": data})
}
