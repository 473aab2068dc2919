//! What a caller asks for, read from the parameters and checked before anything is done.

use std::collections::BTreeMap;

use crate::cards::Card;
use crate::faults::Operation;
use crate::form::{Parameters, missing};
use crate::refusal::Refusal;

/// Stripe takes at most eight digits.
const MOST: i64 = 99_999_999;
const MOST_METADATA: usize = 50;
const LONGEST_LIST: i64 = 100;

pub(crate) enum Command {
    Create(NewIntent),
    Confirm { id: String, confirmation: Confirmation },
    Capture { id: String, amount: Option<i64> },
    Cancel { id: String, reason: Option<&'static str> },
    Retrieve { id: String },
    List(Page),
    Search { terms: Vec<Term>, limit: usize },
    Refund(NewRefund),
    RetrieveRefund { id: String },
    ListRefunds { intent: Option<String>, page: Page },
}

pub(crate) struct NewIntent {
    pub amount: i64,
    pub currency: String,
    pub capture_method: &'static str,
    pub automatic_payment_methods: Option<&'static str>,
    pub payment_method_types: Vec<String>,
    pub metadata: BTreeMap<String, String>,
    pub description: Option<String>,
    pub payment_method: Option<String>,
    /// `Some`: to be confirmed at once.
    pub confirmation: Option<Confirmation>,
}

#[derive(Clone)]
pub(crate) struct Confirmation {
    pub payment_method: Option<String>,
    pub return_url: Option<String>,
}

pub(crate) struct NewRefund {
    pub intent: String,
    pub amount: Option<i64>,
    pub reason: Option<&'static str>,
    pub metadata: BTreeMap<String, String>,
}

pub(crate) struct Page {
    pub limit: usize,
    pub starting_after: Option<String>,
    /// Both ends included.
    pub created: (i64, i64),
}

/// `status:'succeeded'` or `metadata['attempt_id']:'x'`; all terms of a query must hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Term {
    Status(String),
    Currency(String),
    Metadata(String, String),
}

impl Command {
    pub fn read(operation: Operation, id: Option<String>, mut from: Parameters) -> Result<Self, Refusal> {
        let id = id.unwrap_or_default();
        let command = match operation {
            Operation::IntentCreate => Self::Create(new_intent(&mut from)?),
            Operation::IntentConfirm => Self::Confirm { id, confirmation: confirmation(&mut from)? },
            Operation::IntentCapture => Self::Capture { id, amount: amount(&mut from, "amount_to_capture")? },
            Operation::IntentCancel => Self::Cancel { id, reason: cancellation_reason(&mut from)? },
            Operation::IntentRetrieve => {
                from.take("client_secret");
                Self::Retrieve { id }
            }
            Operation::IntentList => Self::List(page(&mut from)?),
            Operation::IntentSearch => {
                let terms = terms(&from.required("query")?)?;
                Self::Search { terms, limit: limit(&mut from)? }
            }
            Operation::RefundCreate => Self::Refund(NewRefund {
                intent: from.required("payment_intent")?,
                amount: amount(&mut from, "amount")?,
                reason: from.one_of("reason", &["duplicate", "fraudulent", "requested_by_customer"])?,
                metadata: metadata(&mut from)?,
            }),
            Operation::RefundRetrieve => Self::RetrieveRefund { id },
            Operation::RefundList => Self::ListRefunds { intent: from.take("payment_intent"), page: page(&mut from)? },
        };
        from.finish()?;
        Ok(command)
    }
}

fn new_intent(from: &mut Parameters) -> Result<NewIntent, Refusal> {
    let Some(amount) = amount(from, "amount")? else { return Err(missing("amount")) };
    let currency = currency(from)?;
    if amount < least(&currency) {
        let message = "Amount must convert to at least 50 cents.";
        return Err(Refusal::invalid(message).code("amount_too_small").param("amount"));
    }
    let enabled = from.boolean("automatic_payment_methods[enabled]")?;
    let redirects = from.one_of("automatic_payment_methods[allow_redirects]", &["always", "never"])?;
    let types = from.list("payment_method_types");
    if enabled == Some(true) && !types.is_empty() {
        let message = "You may only specify one of these parameters: automatic_payment_methods, payment_method_types.";
        return Err(Refusal::invalid(message));
    }
    let automatic = types.is_empty() && enabled != Some(false);
    let capture = from.one_of("capture_method", &["automatic", "automatic_async", "manual"])?;
    let confirm = from.boolean("confirm")?.unwrap_or(false);
    let confirmation = confirmation(from)?;
    if confirm && confirmation.payment_method.is_none() {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method.";
        return Err(Refusal::invalid(message).code("payment_intent_unexpected_state"));
    }
    Ok(NewIntent {
        amount,
        currency,
        capture_method: capture.unwrap_or("automatic_async"),
        automatic_payment_methods: automatic.then(|| redirects.unwrap_or("always")),
        payment_method_types: if types.is_empty() { vec!["card".to_owned()] } else { types },
        metadata: metadata(from)?,
        description: from.take("description"),
        payment_method: confirmation.payment_method.clone(),
        confirmation: confirm.then_some(confirmation),
    })
}

fn confirmation(from: &mut Parameters) -> Result<Confirmation, Refusal> {
    let payment_method = from.take("payment_method");
    if let Some(token) = &payment_method
        && Card::named(token).is_none()
    {
        // The same as for an object that is not there, but found before anything is done.
        let mut refusal = Refusal::no_such("PaymentMethod", token, "payment_method");
        refusal.status = 400;
        return Err(refusal);
    }
    Ok(Confirmation { payment_method, return_url: from.take("return_url") })
}

fn cancellation_reason(from: &mut Parameters) -> Result<Option<&'static str>, Refusal> {
    from.one_of("cancellation_reason", &["abandoned", "duplicate", "fraudulent", "requested_by_customer"])
}

fn amount(from: &mut Parameters, name: &str) -> Result<Option<i64>, Refusal> {
    let amount = from.integer(name)?;
    match amount {
        Some(amount) if amount < 1 => {
            let message = "This value must be greater than or equal to 1.";
            Err(Refusal::invalid(message).code("parameter_invalid_integer").param(name))
        }
        Some(amount) if amount > MOST => {
            let message = format!("Amount must be no more than {MOST}.");
            Err(Refusal::invalid(message).code("amount_too_large").param(name))
        }
        amount => Ok(amount),
    }
}

fn currency(from: &mut Parameters) -> Result<String, Refusal> {
    let currency = from.required("currency")?.to_ascii_lowercase();
    if currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Ok(currency);
    }
    Err(Refusal::invalid(format!("Invalid currency: {currency}.")).param("currency"))
}

/// Some of <https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts>.
fn least(currency: &str) -> i64 {
    match currency {
        "usd" | "eur" | "aud" | "cad" | "chf" | "jpy" => 50,
        "gbp" => 30,
        _ => 1,
    }
}

fn metadata(from: &mut Parameters) -> Result<BTreeMap<String, String>, Refusal> {
    let metadata = from.map("metadata");
    if metadata.len() > MOST_METADATA {
        return Err(Refusal::invalid("Metadata may have at most 50 keys.").param("metadata"));
    }
    let too_long = |(key, value): (&String, &String)| key.chars().count() > 40 || value.chars().count() > 500;
    if metadata.iter().any(too_long) {
        let message = "Metadata keys have at most 40 characters and values at most 500.";
        return Err(Refusal::invalid(message).param("metadata"));
    }
    Ok(metadata)
}

fn limit(from: &mut Parameters) -> Result<usize, Refusal> {
    let limit = from.integer("limit")?.unwrap_or(10);
    if (1..=LONGEST_LIST).contains(&limit) {
        return Ok(usize::try_from(limit).unwrap_or(1));
    }
    Err(Refusal::invalid("limit must be between 1 and 100.").param("limit"))
}

fn page(from: &mut Parameters) -> Result<Page, Refusal> {
    let at_least = from.integer("created[gte]")?.unwrap_or(i64::MIN);
    let more_than = from.integer("created[gt]")?.map_or(i64::MIN, |bound| bound.saturating_add(1));
    let at_most = from.integer("created[lte]")?.unwrap_or(i64::MAX);
    let less_than = from.integer("created[lt]")?.map_or(i64::MAX, |bound| bound.saturating_sub(1));
    Ok(Page {
        limit: limit(from)?,
        starting_after: from.take("starting_after"),
        created: (at_least.max(more_than), at_most.min(less_than)),
    })
}

fn terms(query: &str) -> Result<Vec<Term>, Refusal> {
    let refusal = || Refusal::invalid("We were unable to parse your search query.").param("query");
    query.split(" AND ").map(|text| term(text.trim()).ok_or_else(refusal)).collect()
}

/// Either kind of quotation mark will do, as at Stripe.
fn term(text: &str) -> Option<Term> {
    let text = text.replace('"', "'");
    let (field, value) = text.strip_suffix('\'')?.split_once(":'")?;
    match field {
        "status" => Some(Term::Status(value.to_owned())),
        "currency" => Some(Term::Currency(value.to_owned())),
        _ => {
            let key = field.strip_prefix("metadata['")?.strip_suffix("']")?;
            Some(Term::Metadata(key.to_owned(), value.to_owned()))
        }
    }
}
