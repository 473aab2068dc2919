//! The `ucp` member of every response, and the response without a resource.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use domain::payment::PaymentHandler;
use serde::Serialize;

use super::VERSION;
use super::message::MessageDto;

#[derive(Serialize)]
pub(super) struct Envelope {
    pub version: &'static str,
    pub status: &'static str,
    pub capabilities: BTreeMap<&'static str, Vec<CapabilityDto>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_handlers: Option<BTreeMap<String, Vec<HandlerDto>>>,
}

#[derive(Clone, Serialize)]
pub(super) struct CapabilityDto {
    pub version: &'static str,
}

#[derive(Serialize)]
pub(super) struct HandlerDto {
    pub id: String,
    /// The name of the handler. The schema does not have this member. Clients of an older version of the protocol read
    /// it.
    pub name: String,
    pub version: String,
    pub spec: String,
    pub schema: String,
    pub available_instruments: Vec<InstrumentTypeDto>,
    /// The text of a JSON object. With any other text, the response fails.
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

/// The envelope of a checkout: its capability, its extensions and the payment handlers.
pub(super) fn of_checkout(handlers: &[PaymentHandler]) -> Envelope {
    Envelope {
        version: VERSION,
        status: "success",
        capabilities: named(&[CHECKOUT, DISCOUNT, FULFILLMENT, BUYER_CONSENT]),
        payment_handlers: Some(by_name(handlers)),
    }
}

/// The envelope of an order.
pub(super) fn of_order() -> Envelope {
    Envelope { version: VERSION, status: "success", capabilities: named(&[ORDER]), payment_handlers: None }
}

fn named(names: &[&'static str]) -> BTreeMap<&'static str, Vec<CapabilityDto>> {
    names.iter().map(|name| (*name, vec![CapabilityDto { version: VERSION }])).collect()
}

/// The handlers by name, as the protocol groups them.
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

/// The response without a resource: `ucp.status` is `error`, and messages say why.
#[derive(Serialize)]
struct Refusal {
    ucp: Envelope,
    messages: Vec<MessageDto>,
}

/// The response to a refused request: 200 with messages.
pub(super) fn in_band_refusal(messages: Vec<MessageDto>) -> HttpResponse {
    let ucp = Envelope { version: VERSION, status: "error", capabilities: BTreeMap::new(), payment_handlers: None };
    HttpResponse::Ok().json(Refusal { ucp, messages })
}
