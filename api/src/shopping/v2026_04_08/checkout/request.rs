//! The bodies of checkout requests. Members that the shop owns, and unknown members, are ignored.
//!
//! [`read`] checks a whole body before it is converted. After that, a conversion fails only if a quantity is too large
//! or a payment handler is missing.

use std::collections::BTreeMap;

use domain::catalog::Sku;
use domain::checkout::{CheckoutRequest, LineId, Message, MessageCode, RequestedLine, Severity, Subject};
use domain::customer::{Address, DestinationId};
use domain::fulfillment::{FulfillmentRequest, MethodKind, OptionId};
use domain::payment::{Credential, HandlerId, Instrument, PaymentChoice, PaymentHandler};
use domain::promotion::Code;
use domain::quantity::Quantity;
use domain::secret::Secret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use validator::Validate;

use super::super::message::{limit_exceeded, refusal_message};
use super::super::problem::Refused;
use super::super::wire::{AddressDto, BuyerDto, ContextDto, DisplayDto, GROUP_ID, is_at_most, no_card_number};
use crate::http::validation::{Violation, violations};
use crate::http::{ObjectOnly, Problem, document, typed};

/// The most messages of one refusal. A body can exceed many limits: each text of each destination has one.
const MAX_MESSAGES: usize = 20;
const MAX_LINES: u64 = CheckoutRequest::MAX_LINES as u64;
const MAX_CODES: u64 = CheckoutRequest::MAX_CODES as u64;
const MAX_DESTINATIONS: u64 = CheckoutRequest::MAX_DESTINATIONS as u64;
const MAX_INSTRUMENTS: u64 = CheckoutRequest::MAX_INSTRUMENTS as u64;

/// The body of create and update: the whole content of a checkout.
#[derive(Deserialize, Validate)]
#[serde(expecting = "an object")]
pub(super) struct CheckoutBody {
    #[validate(length(min = 1, max = MAX_LINES), nested)]
    line_items: Vec<LineBody>,
    #[validate(nested)]
    buyer: Option<BuyerDto>,
    context: Option<ContextDto>,
    attribution: Option<BTreeMap<String, String>>,
    #[validate(nested)]
    fulfillment: Option<FulfillmentBody>,
    #[validate(nested)]
    discounts: Option<DiscountsBody>,
    #[validate(nested)]
    payment: Option<PaymentBody>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
struct LineBody {
    id: Option<String>,
    #[validate(nested)]
    item: ItemBody,
    #[validate(range(min = 1))]
    quantity: i64,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
struct ItemBody {
    #[validate(length(min = 1))]
    id: String,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize, Validate)]
#[serde(expecting = "an object")]
struct FulfillmentBody {
    #[serde(default)]
    #[validate(length(max = 10), nested)]
    methods: Vec<MethodBody>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
struct MethodBody {
    #[serde(rename = "type")]
    kind: Option<MethodWord>,
    #[validate(length(max = MAX_DESTINATIONS), nested)]
    destinations: Option<Vec<AddressDto>>,
    selected_destination_id: Option<String>,
    groups: Option<Vec<GroupBody>>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MethodWord {
    Shipping,
    Pickup,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct GroupBody {
    id: Option<String>,
    selected_option_id: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize, Validate)]
#[serde(expecting = "an object")]
struct DiscountsBody {
    #[validate(length(max = MAX_CODES))]
    codes: Option<Vec<String>>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize, Validate)]
#[serde(expecting = "an object")]
struct PaymentBody {
    #[serde(default)]
    #[validate(length(max = MAX_INSTRUMENTS), nested)]
    instruments: Vec<InstrumentBody>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
struct InstrumentBody {
    #[validate(length(max = 200), custom(function = "no_card_number"))]
    id: Option<String>,
    #[validate(length(max = 200), custom(function = "no_card_number"))]
    handler_id: Option<String>,
    #[serde(rename = "type")]
    #[validate(length(max = 200), custom(function = "no_card_number"))]
    kind: Option<String>,
    selected: Option<bool>,
    #[validate(nested)]
    display: Option<DisplayDto>,
    #[validate(nested)]
    credential: Option<CredentialBody>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
struct CredentialBody {
    #[serde(rename = "type")]
    #[validate(length(max = 200))]
    kind: Option<String>,
    #[validate(length(max = 10_000))]
    token: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

/// The body of complete.
#[derive(Deserialize, Validate)]
#[serde(expecting = "an object")]
pub(super) struct CompleteBody {
    #[validate(nested)]
    payment: PaymentBody,
    #[serde(flatten)]
    _object: ObjectOnly,
}

/// The most entries of an attribution that the shop keeps.
const MAX_ATTRIBUTION: usize = 50;

/// The first [`MAX_ATTRIBUTION`] entries, in the order of their names. An entry whose name or text is too long is left
/// out, because an attribution must not change the response.
fn kept_attribution(entries: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let kept = entries.into_iter().filter(|(name, text)| is_at_most(name, 100) && is_at_most(text, 500));
    kept.take(MAX_ATTRIBUTION).collect()
}

/// Reads a body and checks it. A member that is not valid is a problem. A member beyond a limit of the shop is an
/// outcome and answered in-band, because the protocol does not have the limit.
pub(super) fn read<T: DeserializeOwned + Validate>(body: &[u8]) -> Result<T, Refused> {
    let mut document = document(body)?;
    drop_empty_texts(&mut document, "");
    let body: T = typed(document)?;
    let (limits, invalid): (Vec<Violation>, Vec<Violation>) = violations(&body).into_iter().partition(|it| it.is_limit);
    match invalid.first() {
        Some(Violation { path, content, .. }) => {
            Err(Problem::bad_request("invalid_request", format!("{path}: {content}")).into())
        }
        None if limits.is_empty() => Ok(body),
        None => {
            let first = limits.iter().take(MAX_MESSAGES);
            let messages = first.map(|it| limit_exceeded(&it.path, format!("{}: {}", it.path, it.content)));
            Err(Refused::InBand(messages.collect()))
        }
    }
}

/// Removes members whose value is an empty text, because an empty optional text means the same as an absent one. Keeps
/// `item.id`, which is required, and the texts of `attribution`, which are not optional members.
fn drop_empty_texts(value: &mut Value, name: &str) {
    match value {
        Value::Array(entries) => entries.iter_mut().for_each(|entry| drop_empty_texts(entry, name)),
        Value::Object(members) if !["item", "attribution"].contains(&name) => {
            members.retain(|_, member| member != "");
            members.iter_mut().for_each(|(name, member)| drop_empty_texts(member, name));
        }
        _ => {}
    }
}

/// Cuts a text that names something of the shop after `most` characters. A cut text ends in an ellipsis, so that it
/// does not become the name of something else.
fn name(text: String, most: usize) -> String {
    const CUT: char = '\u{2026}';
    if text.chars().count() > most { text.chars().take(most).chain([CUT]).collect() } else { text }
}

/// The longest texts that name something of the shop, in characters. Longer texts are cut.
const MAX_LINE_ID: usize = 128;
const MAX_ITEM_ID: usize = 1_000;
const MAX_SELECTION: usize = 128;
const MAX_CODE: usize = 64;
const _: () = assert!(MAX_LINE_ID >= LineId::MAX_LENGTH && MAX_ITEM_ID >= Sku::MAX_LENGTH);
const _: () = assert!(MAX_SELECTION >= DestinationId::MAX_LENGTH && MAX_CODE >= Code::MAX_LENGTH);

impl CheckoutBody {
    pub(super) fn parse(self) -> Result<CheckoutRequest, Refused> {
        let lines = self.line_items.into_iter().enumerate().map(|(index, line)| line.parse(index));
        let codes = self.discounts.and_then(|discounts| discounts.codes);
        Ok(CheckoutRequest {
            lines: lines.collect::<Result<_, _>>()?,
            buyer: self.buyer.map(Into::into),
            context: self.context.map(Into::into),
            attribution: self.attribution.map(kept_attribution).unwrap_or_default(),
            fulfillment: self.fulfillment.map(Into::into),
            codes: codes.map(|codes| codes.into_iter().map(|code| name(code, MAX_CODE)).collect()),
            instruments: self.payment.map(PaymentBody::shown).unwrap_or_default(),
        })
    }
}

impl LineBody {
    fn parse(self, index: usize) -> Result<RequestedLine, Refused> {
        // The protocol has no upper bound for a quantity, so the refusal is an outcome and not a problem.
        let quantity = Quantity::try_from(self.quantity).map_err(|_| {
            let content = format!("At most {} units of one item are sold at once", Quantity::MAX);
            let subject = Some(Subject::RequestedLine(index));
            let refusal = Message::new(Severity::Unrecoverable, MessageCode::OutOfStock, content, subject);
            Refused::InBand(vec![refusal_message(&refusal)])
        })?;
        // A longer id is ignored, because no line of the shop has one.
        let id = self.id.filter(|id| id.len() <= LineId::MAX_LENGTH).map(LineId);
        Ok(RequestedLine { id, sku: name(self.item.id, MAX_ITEM_ID), quantity })
    }
}

impl From<FulfillmentBody> for FulfillmentRequest {
    /// Takes the first shipping method, because the shop offers only one. Takes the group with the id of the shop's
    /// group, or else the first group.
    fn from(body: FulfillmentBody) -> Self {
        let kind = |method: &MethodBody| match method.kind {
            Some(MethodWord::Pickup) => MethodKind::Pickup,
            // An update may leave the type out, because the shop offers only one method.
            Some(MethodWord::Shipping) | None => MethodKind::Shipping,
        };
        let kinds = body.methods.iter().map(kind).collect();
        let shipping = body.methods.into_iter().find(|method| kind(method) == MethodKind::Shipping);
        let Some(method) = shipping else { return Self { kinds, ..Self::default() } };

        let destination = |mut dto: AddressDto| (dto.id.take().map(DestinationId), Address::from(dto));
        let groups = method.groups.unwrap_or_default();
        let named = groups.iter().find(|group| group.id.as_deref() == Some(GROUP_ID));
        let option = named.or(groups.first()).and_then(|group| group.selected_option_id.clone());
        let selection = |id: String| name(id, MAX_SELECTION);
        Self {
            kinds,
            destinations: method.destinations.into_iter().flatten().map(destination).collect(),
            selected_destination: method.selected_destination_id.map(selection).map(DestinationId),
            selected_option: option.map(selection).map(OptionId),
        }
    }
}

impl PaymentBody {
    /// The instruments as responses show them. An instrument without an id or a handler is left out.
    fn shown(self) -> Vec<Instrument> {
        let shown = self.instruments.into_iter().enumerate().filter_map(|(index, instrument)| {
            let handler = HandlerId(instrument.handler_id.clone()?);
            instrument.id.as_ref()?;
            Some(instrument.parse(index, handler).0)
        });
        shown.collect()
    }
}

impl InstrumentBody {
    fn parse(self, index: usize, handler: HandlerId) -> (Instrument, Option<Credential>) {
        let instrument = Instrument {
            id: self.id.unwrap_or_else(|| format!("instrument_{}", index + 1)),
            handler,
            kind: self.kind.unwrap_or_else(|| "card".to_owned()),
            selected: self.selected.unwrap_or(false),
            display: self.display.map(Into::into),
        };
        let credential = self.credential.and_then(|credential| {
            let token = Secret::new(credential.token.filter(|token| !token.trim().is_empty())?);
            Some(Credential { kind: credential.kind.unwrap_or_else(|| "token".to_owned()), token })
        });
        (instrument, credential)
    }
}

impl CompleteBody {
    /// The instrument to charge: the selected one, or else the first one. `None` if the body has no instrument. A body
    /// may leave out the handler if the shop offers only one.
    pub(super) fn parse(self, offered: &[PaymentHandler]) -> Result<Option<PaymentChoice>, Refused> {
        let instruments = self.payment.instruments;
        let chosen = instruments.iter().position(|instrument| instrument.selected == Some(true)).unwrap_or(0);
        let Some(instrument) = instruments.into_iter().nth(chosen) else { return Ok(None) };
        let handler = match (&instrument.handler_id, offered) {
            (Some(handler), _) => HandlerId(handler.clone()),
            (None, [only]) => only.id.clone(),
            (None, _) => {
                let content = format!("payment.instruments[{chosen}].handler_id: is missing");
                return Err(Problem::bad_request("invalid_request", content).into());
            }
        };
        let (instrument, credential) = instrument.parse(chosen, handler);
        Ok(Some(PaymentChoice { instrument: Instrument { selected: true, ..instrument }, credential }))
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
