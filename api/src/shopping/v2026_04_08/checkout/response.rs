//! The checkout of a response: `checkout.json` with the extensions discount, fulfillment and consent.

use std::collections::BTreeMap;

use domain::checkout::{Checkout, Line};
use domain::fulfillment::Fulfillment;
use domain::payment::Instrument;
use domain::promotion::AppliedDiscount;
use serde::Serialize;
use serde_with::skip_serializing_none;

use super::super::ShoppingSettings;
use super::super::envelope::{Envelope, of_checkout};
use super::super::message::{MessageDto, message};
use super::super::total::{TotalDto, line_totals, single, totals};
use super::super::wire::{AddressDto, BuyerDto, ContextDto, DisplayDto, GROUP_ID, ItemDto};
use crate::buyer_pages;
use crate::instant::rfc3339;

#[skip_serializing_none]
#[derive(Serialize)]
pub(super) struct CheckoutDto {
    ucp: Envelope,
    id: String,
    status: &'static str,
    currency: &'static str,
    line_items: Vec<LineDto>,
    buyer: Option<BuyerDto>,
    context: Option<ContextDto>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attribution: BTreeMap<String, String>,
    fulfillment: Option<FulfillmentDto>,
    discounts: Option<DiscountsDto>,
    totals: Vec<TotalDto>,
    messages: Vec<MessageDto>,
    links: [LinkDto; 2],
    payment: PaymentDto,
    expires_at: String,
    continue_url: Option<String>,
    order: Option<OrderLinkDto>,
}

#[derive(Serialize)]
struct LineDto {
    id: String,
    item: ItemDto,
    quantity: i64,
    totals: Vec<TotalDto>,
}

#[derive(Serialize)]
struct FulfillmentDto {
    methods: [MethodDto; 1],
}

#[skip_serializing_none]
#[derive(Serialize)]
struct MethodDto {
    id: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    line_item_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destinations: Vec<AddressDto>,
    selected_destination_id: Option<String>,
    groups: [GroupDto; 1],
}

#[skip_serializing_none]
#[derive(Serialize)]
struct GroupDto {
    id: &'static str,
    line_item_ids: Vec<String>,
    options: Vec<OptionDto>,
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

/// An instrument without its credential: responses never show credentials (checkout, "Payment").
#[skip_serializing_none]
#[derive(Serialize)]
struct InstrumentDto {
    id: String,
    handler_id: String,
    #[serde(rename = "type")]
    kind: String,
    selected: bool,
    display: Option<DisplayDto>,
}

#[derive(Serialize)]
struct OrderLinkDto {
    id: String,
    permalink_url: String,
}

/// The checkout as a document. The result depends on the checkout and the settings alone.
pub(super) fn checkout(checkout: &Checkout, settings: &ShoppingSettings) -> CheckoutDto {
    let details = &checkout.details;
    let line_ids: Vec<String> = details.delivered_lines().map(|line| line.id.0.clone()).collect();
    let page = |path: &str, token: &str| format!("{}{path}{token}", settings.public_url);
    let is_open = !checkout.status.is_final();
    CheckoutDto {
        ucp: of_checkout(&settings.handlers),
        id: checkout.id.to_string(),
        status: checkout.status.into_str(),
        currency: checkout.currency.code(),
        line_items: details.lines.iter().map(line).collect(),
        buyer: details.buyer.as_ref().map(Into::into),
        context: details.context.as_ref().map(Into::into),
        attribution: details.attribution.clone(),
        fulfillment: details.fulfillment.as_ref().map(|arranged| fulfillment(arranged, line_ids)),
        discounts: details.codes.as_ref().map(|codes| DiscountsDto {
            codes: codes.clone(),
            applied: details.discounts.iter().map(applied).collect(),
        }),
        totals: totals(&details.totals),
        messages: details.messages.iter().map(message).collect(),
        links: [
            LinkDto { kind: "terms_of_service", url: settings.terms_url.clone() },
            LinkDto { kind: "privacy_policy", url: settings.privacy_url.clone() },
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

fn fulfillment(arranged: &Fulfillment, line_ids: Vec<String>) -> FulfillmentDto {
    let options = arranged.group.options.iter().map(|option| OptionDto {
        id: option.id.0.clone(),
        title: option.title.clone(),
        totals: [single(option.price, &option.title)],
    });
    let destinations = arranged
        .destinations
        .iter()
        .map(|destination| AddressDto::of(Some(destination.id.0.clone()), &destination.address));
    let group = GroupDto {
        id: GROUP_ID,
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
        display: instrument.display.as_ref().map(Into::into),
    }
}
