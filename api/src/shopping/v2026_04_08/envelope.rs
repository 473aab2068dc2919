//! The `ucp` member of every answer, and the answer that has no resource.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use domain::checkout::{Message, MessageCode, Severity};
use domain::payment::PaymentHandler;
use serde::Serialize;

use super::VERSION;
use super::message::{MessageDto, message};

#[derive(Serialize)]
pub(super) struct Envelope {
    pub version: &'static str,
    pub status: &'static str,
    pub capabilities: BTreeMap<&'static str, Vec<Versioned>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_handlers: Option<BTreeMap<String, Vec<HandlerDto>>>,
}

#[derive(Clone, Serialize)]
pub(super) struct Versioned {
    pub version: &'static str,
}

#[derive(Serialize)]
pub(super) struct HandlerDto {
    pub id: String,
    /// The key that it stands under. Not in the schema; clients of the older shape read it.
    pub name: String,
    pub version: String,
    pub spec: String,
    pub schema: String,
    pub available_instruments: Vec<InstrumentTypeDto>,
    /// The text of an object. An answer with another text is not sent.
    #[serde(serialize_with = "object")]
    pub config: String,
}

#[derive(Serialize)]
pub(super) struct InstrumentTypeDto {
    #[serde(rename = "type")]
    pub kind: String,
}

pub(super) const CHECKOUT: &str = "dev.ucp.shopping.checkout";
pub(super) const DISCOUNT: &str = "dev.ucp.shopping.discount";
pub(super) const FULFILLMENT: &str = "dev.ucp.shopping.fulfillment";
pub(super) const BUYER_CONSENT: &str = "dev.ucp.shopping.buyer_consent";
pub(super) const ORDER: &str = "dev.ucp.shopping.order";

/// The envelope of a checkout: its own capability, its extensions, and what it can be paid with.
pub(super) fn of_checkout(handlers: &[PaymentHandler]) -> Envelope {
    Envelope {
        version: VERSION,
        status: "success",
        capabilities: named(&[CHECKOUT, DISCOUNT, FULFILLMENT, BUYER_CONSENT]),
        payment_handlers: Some(by_name(handlers)),
    }
}

pub(super) fn of_order() -> Envelope {
    Envelope { version: VERSION, status: "success", capabilities: named(&[ORDER]), payment_handlers: None }
}

fn named(names: &[&'static str]) -> BTreeMap<&'static str, Vec<Versioned>> {
    names.iter().map(|name| (*name, vec![Versioned { version: VERSION }])).collect()
}

pub(super) fn by_name(handlers: &[PaymentHandler]) -> BTreeMap<String, Vec<HandlerDto>> {
    let mut named = BTreeMap::<String, Vec<HandlerDto>>::new();
    for handler in handlers {
        let types = handler.instruments.iter().map(|kind| InstrumentTypeDto { kind: kind.clone() });
        named.entry(handler.name.clone()).or_default().push(HandlerDto {
            id: handler.id.0.clone(),
            name: handler.name.clone(),
            version: handler.version.clone(),
            spec: handler.spec.clone(),
            schema: handler.schema.clone(),
            available_instruments: types.collect(),
            config: handler.config.clone(),
        });
    }
    named
}

fn object<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
    members.serialize(serializer)
}

/// An answer without a resource: 200, `ucp.status` is `error`, and messages that say why.
#[derive(Serialize)]
struct Refusal {
    ucp: Envelope,
    messages: Vec<MessageDto>,
}

pub(super) fn in_band_refusal(messages: Vec<MessageDto>) -> HttpResponse {
    let ucp = Envelope { version: VERSION, status: "error", capabilities: BTreeMap::new(), payment_handlers: None };
    HttpResponse::Ok().json(Refusal { ucp, messages })
}

pub(super) fn not_found(content: &str) -> HttpResponse {
    in_band_refusal(vec![message(&Message::new(Severity::Unrecoverable, MessageCode::NotFound, content, None))])
}
