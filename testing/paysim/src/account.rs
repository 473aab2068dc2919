//! The merchant's account at the gateway: its payment intents and refunds, and the operations on them.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::call::{Call, Parameters, missing};
use crate::cards::Card;
use crate::error::ApiError;
use crate::faults::Operation;
use crate::intent::{Intent, Outcome, Status};
use crate::ledger::Records;

/// How long an authorisation lasts if it is not captured. Stripe has the same value for most cards.
const AUTHORISATION_SECONDS: i64 = 7 * 24 * 60 * 60;
/// The highest `limit` of a search or a list.
const MAX_PAGE: i64 = 100;
/// The lowest amount of an intent, in minor units. Stripe has a different minimum for each currency.
const MIN_AMOUNT: i64 = 30;

#[derive(Default)]
pub(crate) struct Account {
    pub journal: Records,
    intents: HashMap<String, Intent>,
    /// All refunds, oldest first.
    refunds: Vec<Value>,
}

impl Account {
    /// Executes one operation and returns the resulting object. Checks all parameters before it changes anything. `id`
    /// is the id in the path.
    pub fn execute(&mut self, operation: Operation, id: &str, mut from: Parameters) -> Result<Value, ApiError> {
        match operation {
            Operation::IntentCreate => self.create(from),
            Operation::IntentConfirm => {
                let card = card(&mut from)?;
                from.finish()?;
                self.change(id, |intent, journal| intent.confirm(card, journal))
            }
            Operation::IntentCapture => {
                let amount = from.amount("amount_to_capture")?;
                from.finish()?;
                self.change(id, |intent, journal| intent.capture(amount, journal))
            }
            Operation::IntentCancel => {
                let reason = from.take("cancellation_reason");
                from.finish()?;
                self.change(id, |intent, journal| intent.cancel(reason, journal))
            }
            Operation::IntentRetrieve => {
                from.finish()?;
                self.change(id, |_, _| Ok(()))
            }
            Operation::IntentSearch => self.search(from),
            Operation::RefundCreate => self.refund(from),
            Operation::RefundList => self.list_refunds(from),
        }
    }

    /// The card that a confirmation would charge: the card in the call, or otherwise that of the intent. `None` for any
    /// other operation, and for an unknown card.
    pub fn card(&self, call: &Call) -> Option<Card> {
        let saved = || self.intents.get(&call.id)?.payment_method.as_deref();
        let is_confirm = call.operation == Operation::IntentConfirm;
        Card::named(call.parameters.get("payment_method").or_else(saved).filter(|_| is_confirm)?)
    }

    /// Ends a payment that waits for its buyer or its bank. Returns the intent after the change.
    pub fn settle(&mut self, id: &str, outcome: Outcome) -> Result<Value, ApiError> {
        self.change(id, |intent, journal| intent.settle(outcome, journal))
    }

    pub fn advance(&mut self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        self.journal.advanced_seconds = self.journal.advanced_seconds.saturating_add(seconds);
        let ended = self.journal.now().saturating_sub(AUTHORISATION_SECONDS);
        for intent in self.intents.values_mut() {
            if intent.status == Status::RequiresCapture && intent.authorised_at <= ended {
                intent.end(Some("automatic".to_owned()), &mut self.journal);
            }
        }
    }

    /// Applies `change` to the intent with this id. Returns the intent after the change.
    fn change(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Intent, &mut Records) -> Result<(), ApiError>,
    ) -> Result<Value, ApiError> {
        let intent = self.intents.get_mut(id).ok_or_else(|| ApiError::no_such_intent(id))?;
        change(intent, &mut self.journal)?;
        Ok(json!(intent))
    }

    fn create(&mut self, mut from: Parameters) -> Result<Value, ApiError> {
        let Some(amount) = from.amount("amount")? else { return Err(missing("amount")) };
        if amount < MIN_AMOUNT {
            let message = format!("Amount must convert to at least {MIN_AMOUNT} cents.");
            return Err(ApiError::parameter("amount_too_small", "amount", message));
        }
        let currency = from.required("currency")?;
        let is_manual = from.take("capture_method").is_some_and(|method| method == "manual");
        from.take("payment_method_types[]");
        let card = card(&mut from)?;
        let metadata = from.metadata();
        from.finish()?;
        let intent = Intent::new(amount, currency, is_manual, card, metadata, self.journal.now());
        let object = json!(intent);
        self.intents.insert(intent.id.clone(), intent);
        Ok(object)
    }

    /// Finds intents by metadata. The only supported query is `metadata['key']:'value'`, because the shop sends no
    /// other.
    fn search(&self, mut from: Parameters) -> Result<Value, ApiError> {
        let query = from.required("query")?;
        let limit = limit(&mut from)?;
        from.finish()?;
        let term = query.strip_prefix("metadata['").and_then(|rest| rest.strip_suffix('\'')?.split_once("']:'"));
        let Some((key, value)) = term else {
            let message = "We were unable to parse your search query.";
            return Err(ApiError::parameter("parameter_invalid", "query", message));
        };
        let mut found = self.intents.values().filter(|intent| intent.metadata.get(key).is_some_and(|it| it == value));
        let data: Vec<_> = found.by_ref().take(limit).collect();
        let url = "/v1/payment_intents/search";
        Ok(json!({"object": "search_result", "url": url, "data": data, "has_more": found.next().is_some()}))
    }

    fn refund(&mut self, mut from: Parameters) -> Result<Value, ApiError> {
        let id = from.required("payment_intent")?;
        let amount = from.amount("amount")?;
        let metadata = from.metadata();
        from.finish()?;
        let intent = self.intents.get_mut(&id).ok_or_else(|| ApiError::no_such_intent(&id))?;
        let refund = intent.refund(amount, metadata, &mut self.journal)?;
        self.refunds.push(refund.clone());
        Ok(refund)
    }

    /// Lists the refunds of one intent, newest first.
    fn list_refunds(&self, mut from: Parameters) -> Result<Value, ApiError> {
        let (intent, after) = (from.required("payment_intent")?, from.take("starting_after"));
        let limit = limit(&mut from)?;
        from.finish()?;
        let mut found = self.refunds.iter().rev().filter(|refund| refund["payment_intent"] == intent.as_str());
        if let Some(after) = after {
            found.by_ref().find(|refund| refund["id"] == after.as_str());
        }
        let data: Vec<_> = found.by_ref().take(limit).collect();
        Ok(json!({"object": "list", "url": "/v1/refunds", "data": data, "has_more": found.next().is_some()}))
    }
}

/// Takes out the payment method, which must be a known card. Returns `None` if the parameter is missing.
fn card(from: &mut Parameters) -> Result<Option<String>, ApiError> {
    let Some(token) = from.take("payment_method") else { return Ok(None) };
    if Card::named(&token).is_none() {
        let message = format!("No such PaymentMethod: '{token}'");
        return Err(ApiError::parameter("resource_missing", "payment_method", message));
    }
    Ok(Some(token))
}

fn limit(from: &mut Parameters) -> Result<usize, ApiError> {
    let limit = from.integer("limit", MAX_PAGE)?.unwrap_or(10);
    Ok(usize::try_from(limit).unwrap_or(1))
}
