//! What a checkout looks like on the wire: `checkout.json` with its discount, fulfillment and consent extensions.

use std::collections::BTreeMap;

use domain::checkout::{Checkout, Line};
use domain::customer::{Address, Buyer};
use domain::fulfillment::Fulfillment;
use domain::payment::Instrument;
use domain::promotion::AppliedDiscount;
use serde::Serialize;

use super::super::Surface;
use super::super::envelope::{Envelope, of_checkout};
use super::super::message::{MessageDto, message};
use super::super::total::{TotalDto, line_totals, single, totals};
use crate::buyer_pages;
use crate::instant::rfc3339;

#[derive(Serialize)]
pub(super) struct CheckoutDto {
    ucp: Envelope,
    id: String,
    status: &'static str,
    currency: &'static str,
    line_items: Vec<LineDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer: Option<BuyerDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<ContextDto>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attribution: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fulfillment: Option<FulfillmentDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discounts: Option<DiscountsDto>,
    totals: Vec<TotalDto>,
    messages: Vec<MessageDto>,
    links: [LinkDto; 2],
    payment: PaymentDto,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    continue_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderLinkDto>,
}

#[derive(Serialize)]
struct LineDto {
    id: String,
    item: ItemDto,
    quantity: i64,
    totals: Vec<TotalDto>,
}

/// `types/item.json`.
#[derive(Serialize)]
pub(in super::super) struct ItemDto {
    pub id: String,
    pub title: String,
    pub price: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
}

#[derive(Serialize)]
struct BuyerDto {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<ConsentDto>,
}

#[derive(Serialize)]
struct ConsentDto {
    #[serde(skip_serializing_if = "Option::is_none")]
    analytics: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferences: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marketing: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sale_of_data: Option<bool>,
}

#[derive(Serialize)]
struct ContextDto {
    #[serde(skip_serializing_if = "Option::is_none")]
    address_country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    eligibility: Vec<String>,
}

#[derive(Serialize)]
struct FulfillmentDto {
    methods: [MethodDto; 1],
}

#[derive(Serialize)]
struct MethodDto {
    id: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    line_item_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destinations: Vec<DestinationDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selected_destination_id: Option<String>,
    groups: [GroupDto; 1],
}

#[derive(Serialize)]
struct DestinationDto {
    id: String,
    #[serde(flatten)]
    address: AddressDto,
}

/// `types/postal_address.json`.
#[derive(Serialize)]
pub(in super::super) struct AddressDto {
    #[serde(skip_serializing_if = "Option::is_none")]
    street_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extended_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_locality: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<String>,
}

#[derive(Serialize)]
struct GroupDto {
    id: &'static str,
    line_item_ids: Vec<String>,
    options: Vec<OptionDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selected_option_id: Option<String>,
}

#[derive(Serialize)]
struct OptionDto {
    id: String,
    title: String,
    totals: [TotalDto; 1],
}

#[derive(Serialize)]
struct DiscountsDto {
    codes: Vec<String>,
    applied: Vec<AppliedDto>,
}

#[derive(Serialize)]
struct AppliedDto {
    code: String,
    title: String,
    amount: i64,
    automatic: bool,
    method: &'static str,
    priority: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allocations: Vec<AllocationDto>,
}

#[derive(Serialize)]
struct AllocationDto {
    path: String,
    amount: i64,
}

#[derive(Serialize)]
struct LinkDto {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
}

#[derive(Serialize)]
struct PaymentDto {
    instruments: Vec<InstrumentDto>,
}

/// An instrument without its credential: credentials are never echoed (checkout, "Payment").
#[derive(Serialize)]
struct InstrumentDto {
    id: String,
    handler_id: String,
    #[serde(rename = "type")]
    kind: String,
    selected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    display: Option<DisplayDto>,
}

#[derive(Serialize)]
struct DisplayDto {
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_digits: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Serialize)]
struct OrderLinkDto {
    id: String,
    permalink_url: String,
}

/// Pure: the same checkout and the same surface always give the same document.
pub(super) fn checkout(checkout: &Checkout, surface: &Surface) -> CheckoutDto {
    let details = &checkout.details;
    let line_ids: Vec<String> = details.delivered_lines().map(|line| line.id.0.clone()).collect();
    let page = |path: &str, token: &str| format!("{}{path}{token}", surface.public_url);
    let is_open = !checkout.status.is_final();
    CheckoutDto {
        ucp: of_checkout(&surface.handlers),
        id: checkout.id.to_string(),
        status: checkout.status.into_str(),
        currency: checkout.currency.code(),
        line_items: details.lines.iter().map(line).collect(),
        buyer: details.buyer.as_ref().map(buyer),
        context: details.context.as_ref().map(|context| ContextDto {
            address_country: context.country.clone(),
            address_region: context.region.clone(),
            postal_code: context.postal_code.clone(),
            language: context.language.clone(),
            currency: context.currency.clone(),
            intent: context.intent.clone(),
            eligibility: context.eligibility.clone(),
        }),
        attribution: details.attribution.clone(),
        fulfillment: details.fulfillment.as_ref().map(|arranged| fulfillment(arranged, line_ids)),
        discounts: details.codes.as_ref().map(|codes| DiscountsDto {
            codes: codes.clone(),
            applied: details.discounts.iter().map(applied).collect(),
        }),
        totals: totals(&details.totals),
        messages: details.messages.iter().map(message).collect(),
        links: [
            LinkDto { kind: "terms_of_service", url: surface.terms_url.clone() },
            LinkDto { kind: "privacy_policy", url: surface.privacy_url.clone() },
        ],
        payment: PaymentDto { instruments: details.instruments.iter().map(instrument).collect() },
        expires_at: rfc3339(checkout.expires_at),
        continue_url: is_open.then(|| page(buyer_pages::CHECKOUT_PATH, checkout.page.as_str())),
        order: checkout.order.as_ref().map(|order| OrderLinkDto {
            id: order.id.to_string(),
            permalink_url: page(buyer_pages::ORDER_PATH, order.page.as_str()),
        }),
    }
}

fn line(line: &Line) -> LineDto {
    LineDto {
        id: line.id.0.clone(),
        item: ItemDto {
            id: line.sku.to_string(),
            title: line.title.clone(),
            price: line.unit_price.minor(),
            image_url: line.image_url.clone(),
        },
        quantity: line.quantity.into(),
        totals: line_totals(line.subtotal(), line.discount),
    }
}

fn buyer(buyer: &Buyer) -> BuyerDto {
    BuyerDto {
        first_name: buyer.first_name.clone(),
        last_name: buyer.last_name.clone(),
        email: buyer.email.as_ref().map(|email| email.as_str().to_owned()),
        phone_number: buyer.phone_number.clone(),
        consent: buyer.consent.map(|consent| ConsentDto {
            analytics: consent.analytics,
            preferences: consent.preferences,
            marketing: consent.marketing,
            sale_of_data: consent.sale_of_data,
        }),
    }
}

fn fulfillment(arranged: &Fulfillment, line_ids: Vec<String>) -> FulfillmentDto {
    let options = arranged.group.options.iter().map(|option| OptionDto {
        id: option.id.0.clone(),
        title: option.title.clone(),
        totals: [single(option.price, &option.title)],
    });
    let destinations = arranged
        .destinations
        .iter()
        .map(|destination| DestinationDto { id: destination.id.0.clone(), address: address(&destination.address) });
    let group = GroupDto {
        id: "group_1",
        line_item_ids: line_ids.clone(),
        options: options.collect(),
        selected_option_id: arranged.group.selected_option.as_ref().map(|id| id.0.clone()),
    };
    FulfillmentDto {
        methods: [MethodDto {
            id: "method_1",
            kind: "shipping",
            line_item_ids: line_ids,
            destinations: destinations.collect(),
            selected_destination_id: arranged.selected_destination.as_ref().map(|id| id.0.clone()),
            groups: [group],
        }],
    }
}

pub(in super::super) fn address(address: &Address) -> AddressDto {
    AddressDto {
        street_address: address.street.clone(),
        extended_address: address.extended.clone(),
        address_locality: address.locality.clone(),
        address_region: address.region.clone(),
        postal_code: address.postal_code.clone(),
        address_country: address.country.clone().map(Into::into),
        first_name: address.first_name.clone(),
        last_name: address.last_name.clone(),
        phone_number: address.phone_number.clone(),
    }
}

fn applied(discount: &AppliedDiscount) -> AppliedDto {
    let allocations = discount.allocations.iter().map(|allocation| AllocationDto {
        path: format!("$.line_items[{}]", allocation.line),
        amount: allocation.amount.minor(),
    });
    AppliedDto {
        code: discount.code.clone(),
        title: discount.title.clone(),
        amount: discount.amount.minor(),
        automatic: false,
        method: if discount.each_line && !discount.allocations.is_empty() { "each" } else { "across" },
        priority: discount.priority,
        allocations: allocations.collect(),
    }
}

fn instrument(instrument: &Instrument) -> InstrumentDto {
    InstrumentDto {
        id: instrument.id.clone(),
        handler_id: instrument.handler.0.clone(),
        kind: instrument.kind.clone(),
        selected: instrument.selected,
        display: instrument.display.as_ref().map(|display| DisplayDto {
            brand: display.brand.clone(),
            last_digits: display.last_digits.clone(),
            description: display.description.clone(),
        }),
    }
}
