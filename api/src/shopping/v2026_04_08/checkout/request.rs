//! What a platform sends. Members that the shop owns, and members it does not know, are ignored.

use std::collections::BTreeMap;

use domain::checkout::{BuyerContext, CheckoutRequest, LineId, Message, MessageCode, RequestedLine, Severity, Subject};
use domain::customer::{Address, Buyer, Consent, Country, DestinationId, Email};
use domain::fulfillment::{FulfillmentRequest, MethodKind, OptionId};
use domain::payment::{Credential, HandlerId, Instrument, InstrumentDisplay, PaymentChoice, PaymentHandler};
use domain::quantity::Quantity;
use domain::secret::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::message::message;
use super::limits;
use super::refused::Refused;
use crate::card::{are_last_digits, holds_card_number};
use crate::http::{ObjectOnly, Problem, document, typed};

/// The body of create and update: the whole content of a checkout.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct CheckoutBody {
    line_items: Vec<LineBody>,
    buyer: Option<BuyerBody>,
    context: Option<ContextBody>,
    attribution: Option<BTreeMap<String, String>>,
    fulfillment: Option<FulfillmentBody>,
    discounts: Option<DiscountsBody>,
    payment: Option<PaymentBody>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct LineBody {
    id: Option<String>,
    item: ItemBody,
    quantity: i64,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct ItemBody {
    id: String,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct BuyerBody {
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    phone_number: Option<String>,
    consent: Option<ConsentBody>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct ConsentBody {
    analytics: Option<bool>,
    preferences: Option<bool>,
    marketing: Option<bool>,
    sale_of_data: Option<bool>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct ContextBody {
    address_country: Option<String>,
    address_region: Option<String>,
    postal_code: Option<String>,
    language: Option<String>,
    currency: Option<String>,
    intent: Option<String>,
    #[serde(default)]
    eligibility: Vec<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct FulfillmentBody {
    #[serde(default)]
    methods: Vec<MethodBody>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct MethodBody {
    #[serde(rename = "type")]
    kind: Option<MethodWord>,
    destinations: Option<Vec<DestinationBody>>,
    selected_destination_id: Option<String>,
    groups: Option<Vec<GroupBody>>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MethodWord {
    Shipping,
    Pickup,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct DestinationBody {
    id: Option<String>,
    street_address: Option<String>,
    extended_address: Option<String>,
    address_locality: Option<String>,
    address_region: Option<String>,
    postal_code: Option<String>,
    address_country: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    phone_number: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct GroupBody {
    selected_option_id: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct DiscountsBody {
    codes: Option<Vec<String>>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct PaymentBody {
    #[serde(default)]
    instruments: Vec<InstrumentBody>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct InstrumentBody {
    id: Option<String>,
    handler_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    selected: Option<bool>,
    display: Option<DisplayBody>,
    credential: Option<CredentialBody>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct DisplayBody {
    brand: Option<String>,
    last_digits: Option<String>,
    description: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct CredentialBody {
    #[serde(rename = "type")]
    kind: Option<String>,
    token: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

/// The body of complete.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct CompleteBody {
    payment: PaymentBody,
    #[serde(flatten)]
    _object: ObjectOnly,
}

fn invalid(path: &str, content: &str) -> Problem {
    Problem::bad_request("invalid_request", format!("{path}: {content}"))
}

fn at_most<T>(list: &[T], limit: usize, path: &str) -> Result<(), Refused> {
    if list.len() > limit { Err(Refused::beyond(path, format!("has more than {limit} entries"))) } else { Ok(()) }
}

/// Reads a body whose texts are within their limits.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    let mut document = document(body)?;
    limits::apply(&mut document)?;
    Ok(typed(document)?)
}

impl CheckoutBody {
    pub(super) fn parse(self) -> Result<CheckoutRequest, Refused> {
        if self.line_items.is_empty() {
            return Err(invalid("line_items", "must not be empty").into());
        }
        at_most(&self.line_items, CheckoutRequest::MAX_LINES, "line_items")?;
        let lines = self.line_items.into_iter().enumerate().map(|(index, line)| line.parse(index));
        let codes = self.discounts.and_then(|discounts| discounts.codes);
        at_most(codes.as_deref().unwrap_or_default(), CheckoutRequest::MAX_CODES, "discounts.codes")?;
        let attribution = self.attribution.unwrap_or_default();
        if attribution.len() > 50 || attribution.keys().any(|name| name.chars().count() > 100) {
            return Err(Refused::beyond("attribution", "has too many entries or too long names".to_owned()));
        }
        Ok(CheckoutRequest {
            lines: lines.collect::<Result<_, _>>()?,
            buyer: self.buyer.map(BuyerBody::parse).transpose()?,
            context: self.context.map(ContextBody::parse).transpose()?,
            attribution,
            fulfillment: self.fulfillment.map(FulfillmentBody::parse).transpose()?,
            codes,
            instruments: self.payment.map_or(Ok(Vec::new()), PaymentBody::shown)?,
        })
    }
}

impl LineBody {
    fn parse(self, index: usize) -> Result<RequestedLine, Refused> {
        if self.quantity < 1 {
            return Err(invalid(&format!("line_items[{index}].quantity"), "must be at least 1").into());
        }
        // The protocol has no upper bound, so this is an outcome and not a mistake of the request.
        let quantity = Quantity::try_from(self.quantity).map_err(|_| {
            let content = format!("At most {} units of one item are sold at once", Quantity::MAX);
            let subject = Some(Subject::RequestedLine(index));
            Refused::InBand(message(&Message::new(Severity::Unrecoverable, MessageCode::OutOfStock, content, subject)))
        })?;
        if self.item.id.is_empty() {
            return Err(invalid(&format!("line_items[{index}].item.id"), "must not be empty").into());
        }
        // An id that we did not give names no line of ours.
        let id = self.id.filter(|id| id.len() <= LineId::MAX_LENGTH).map(LineId);
        Ok(RequestedLine { id, sku: self.item.id, quantity })
    }
}

impl BuyerBody {
    fn parse(self) -> Result<Buyer, Problem> {
        let given = self.email.filter(|email| !email.trim().is_empty());
        let read =
            |email: String| Email::parse(&email).ok_or_else(|| invalid("buyer.email", "is not an e-mail address"));
        let email = given.map(read).transpose()?;
        let consent = self.consent.map(|consent| Consent {
            analytics: consent.analytics,
            preferences: consent.preferences,
            marketing: consent.marketing,
            sale_of_data: consent.sale_of_data,
        });
        Ok(Buyer {
            first_name: self.first_name,
            last_name: self.last_name,
            email,
            phone_number: self.phone_number,
            consent,
        })
    }
}

impl ContextBody {
    fn parse(self) -> Result<BuyerContext, Refused> {
        at_most(&self.eligibility, 20, "context.eligibility")?;
        Ok(BuyerContext {
            country: self.address_country,
            region: self.address_region,
            postal_code: self.postal_code,
            language: self.language,
            currency: self.currency,
            intent: self.intent,
            eligibility: self.eligibility,
        })
    }
}

impl FulfillmentBody {
    /// The first shipping method counts; ids of methods and groups are ours and need not be repeated.
    fn parse(self) -> Result<FulfillmentRequest, Refused> {
        at_most(&self.methods, 10, "fulfillment.methods")?;
        let kind = |method: &MethodBody| match method.kind {
            Some(MethodWord::Pickup) => MethodKind::Pickup,
            // An update may leave the type out; the only method that was offered is meant.
            Some(MethodWord::Shipping) | None => MethodKind::Shipping,
        };
        let kinds = self.methods.iter().map(kind).collect();
        let shipping = self.methods.into_iter().find(|method| kind(method) == MethodKind::Shipping);
        let Some(method) = shipping else { return Ok(FulfillmentRequest { kinds, ..FulfillmentRequest::default() }) };

        let destinations = method.destinations.unwrap_or_default();
        at_most(&destinations, CheckoutRequest::MAX_DESTINATIONS, "fulfillment.methods[0].destinations")?;
        let destinations = destinations.into_iter().map(DestinationBody::parse).collect();
        let option = method.groups.into_iter().flatten().next().and_then(|group| group.selected_option_id);
        Ok(FulfillmentRequest {
            kinds,
            destinations,
            selected_destination: method.selected_destination_id.map(DestinationId),
            selected_option: option.map(OptionId),
        })
    }
}

impl DestinationBody {
    fn parse(self) -> (Option<DestinationId>, Address) {
        let address = Address {
            street: self.street_address,
            extended: self.extended_address,
            locality: self.address_locality,
            region: self.address_region,
            postal_code: self.postal_code,
            country: Country::given(self.address_country),
            first_name: self.first_name,
            last_name: self.last_name,
            phone_number: self.phone_number,
        };
        (self.id.map(DestinationId), address)
    }
}

impl PaymentBody {
    /// The instruments as they may be shown again. One that cannot be told apart from others is left out.
    fn shown(self) -> Result<Vec<Instrument>, Refused> {
        at_most(&self.instruments, CheckoutRequest::MAX_INSTRUMENTS, "payment.instruments")?;
        let shown = self.instruments.into_iter().enumerate().filter_map(|(index, instrument)| {
            let handler = HandlerId(instrument.handler_id.clone()?);
            instrument.id.as_ref()?;
            Some(instrument.parse(index, handler).map(|(instrument, _)| instrument).map_err(Refused::from))
        });
        shown.collect()
    }
}

impl InstrumentBody {
    fn parse(self, index: usize, handler: HandlerId) -> Result<(Instrument, Option<Credential>), Problem> {
        let path = |member: &str| format!("payment.instruments[{index}].{member}");
        let shown = |text: Option<String>, member: &str| match text {
            Some(text) if holds_card_number(&text) => Err(invalid(&path(member), "must not hold a card number")),
            text => Ok(text),
        };
        let last_digits = |text: Option<String>| match text {
            Some(text) if !are_last_digits(&text) => {
                Err(invalid(&path("display.last_digits"), "must be two to four digits"))
            }
            text => Ok(text),
        };
        let display = match self.display {
            None => None,
            Some(display) => Some(InstrumentDisplay {
                brand: shown(display.brand, "display.brand")?,
                last_digits: last_digits(display.last_digits)?,
                description: shown(display.description, "display.description")?,
            }),
        };
        if holds_card_number(&handler.0) {
            return Err(invalid(&path("handler_id"), "must not hold a card number"));
        }
        let instrument = Instrument {
            id: shown(self.id, "id")?.unwrap_or_else(|| format!("instrument_{}", index + 1)),
            handler,
            kind: shown(self.kind, "type")?.unwrap_or_else(|| "card".to_owned()),
            selected: self.selected.unwrap_or(false),
            display,
        };
        let credential = self.credential.and_then(|credential| {
            let token = Secret::new(credential.token.filter(|token| !token.trim().is_empty())?);
            Some(Credential { kind: credential.kind.unwrap_or_else(|| "token".to_owned()), token })
        });
        Ok((instrument, credential))
    }
}

impl CompleteBody {
    /// The instrument to charge: the one that is selected, else the first. A handler that is not named can only be
    /// meant when there is no choice. `None` when no instrument is given.
    pub(super) fn parse(self, offered: &[PaymentHandler]) -> Result<Option<PaymentChoice>, Refused> {
        at_most(&self.payment.instruments, CheckoutRequest::MAX_INSTRUMENTS, "payment.instruments")?;
        let instruments = self.payment.instruments;
        let chosen = instruments.iter().position(|instrument| instrument.selected == Some(true)).unwrap_or(0);
        let Some(instrument) = instruments.into_iter().nth(chosen) else { return Ok(None) };
        let handler = match (&instrument.handler_id, offered) {
            (Some(handler), _) => HandlerId(handler.clone()),
            (None, [only]) => only.id.clone(),
            (None, _) => return Err(invalid(&format!("payment.instruments[{chosen}].handler_id"), "is missing").into()),
        };
        let (instrument, credential) = instrument.parse(chosen, handler)?;
        Ok(Some(PaymentChoice { instrument: Instrument { selected: true, ..instrument }, credential }))
    }
}
