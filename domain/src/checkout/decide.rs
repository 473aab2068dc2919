//! Pricing: computes the lines, totals, messages and status of a checkout from a request and the stored facts.

use super::message::{Message, MessageCode, Severity, Subject};
use super::model::{CheckoutRequest, Details, Line, LineId, RequestedLine, Status};
use super::totals::Totals;
use crate::catalog::{Sku, Variant};
use crate::customer::{Buyer, Email};
use crate::fulfillment::{Basket, FulfillmentFacts, arrange};
use crate::money::Amount;
use crate::promotion::{Discount, Rejection, discount};
use crate::stock::{Demand, StockLevel, available};

/// The stored facts that pricing needs, read in the transaction that writes the checkout.
#[derive(Clone, Debug, Default)]
pub struct PricingFacts {
    pub variants: Vec<Variant>,
    pub stock: Vec<StockLevel>,
    /// The discounts that the codes of the request name.
    pub discounts: Vec<Discount>,
    pub fulfillment: FulfillmentFacts,
}

/// The refusal to price a request: none of the requested items can be sold, or they cost too much for one checkout. The
/// messages say why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NothingToSell(pub Vec<Message>);

/// Prices a request. `before` is the content that the request replaces, if any.
///
/// An item that is unknown or has no stock is left out, with a message. An item with too little stock stays in, with a
/// message. Both messages keep the checkout incomplete until the platform changes the request. If no item is left, the
/// result is [`NothingToSell`].
pub fn price(
    request: &CheckoutRequest,
    before: Option<&Details>,
    facts: &PricingFacts,
) -> Result<(Details, Status), NothingToSell> {
    let (mut lines, mut messages) = select_sellable_lines(request, before, facts);
    messages.extend(shortages(&lines, &facts.stock));
    if lines.is_empty() {
        messages.iter_mut().for_each(|message| message.severity = Severity::Unrecoverable);
        return Err(NothingToSell(messages));
    }

    if let Some(beyond) = subtotal_limit_exceeded(request, &lines) {
        return Err(NothingToSell(vec![beyond]));
    }

    let goods: Vec<(Sku, Amount)> = lines.iter().map(|line| (line.sku.clone(), line.subtotal())).collect();
    let subtotal = goods.iter().map(|(_, amount)| *amount).sum();
    let discounted = discount(request.codes.as_deref().unwrap_or_default(), &goods, &facts.discounts);
    for (line, off) in lines.iter_mut().zip(&discounted.per_line) {
        line.discount = *off;
    }
    messages.extend(discounted.rejected.iter().map(|(index, why)| rejected_code(request, *index, *why)));
    messages.extend(rejected_claims(request));

    let needs_delivery = lines.iter().any(|line| line.requires_shipping);
    let (fulfillment, problems) = match &request.fulfillment {
        None => (None, Vec::new()),
        Some(wanted) => {
            let basket = Basket { subtotal, skus: lines.iter().map(|line| &line.sku).collect(), needs_delivery };
            let earlier = before.filter(|before| is_same_buyer(before, request));
            arrange(wanted, earlier.and_then(|before| before.fulfillment.as_ref()), &facts.fulfillment, &basket)
        }
    };
    // If no line must be shipped, problems of the delivery do not matter.
    if needs_delivery {
        if fulfillment.is_none() && problems.is_empty() {
            let text = "Fulfillment address and option must be selected";
            messages.push(Message::recoverable(MessageCode::Missing, Subject::Fulfillment, text));
        }
        messages.extend(problems);
    }

    let delivery = fulfillment.as_ref().filter(|_| needs_delivery).and_then(|arranged| arranged.option());
    let totals = Totals::of(
        subtotal,
        discounted.per_line.iter().copied().sum(),
        discounted.order_level,
        delivery.map(|option| (option.title.as_str(), option.price)),
    );
    let status = status_for(&messages);
    let details = Details {
        lines,
        buyer: request.buyer.clone(),
        context: request.context.clone(),
        attribution: request.attribution.clone(),
        fulfillment,
        codes: request.codes.clone(),
        discounts: discounted.applied,
        instruments: request.instruments.clone(),
        totals,
        messages,
        of_registered_platform: false,
    };
    Ok((details, status))
}

/// The message for goods that together cost more than [`Amount::MAX_SUBTOTAL`]. Its subject is the most expensive line.
/// `None` if the goods do not cost more.
fn subtotal_limit_exceeded(request: &CheckoutRequest, lines: &[Line]) -> Option<Message> {
    let subtotal: Amount = lines.iter().map(Line::subtotal).sum();
    if subtotal.minor() <= Amount::MAX_SUBTOTAL {
        return None;
    }
    let most_expensive = lines.iter().max_by_key(|line| line.subtotal())?;
    let is_same = |wanted: &RequestedLine| {
        wanted.sku == most_expensive.sku.as_str() && wanted.quantity == most_expensive.quantity
    };
    let index = request.lines.iter().position(is_same)?;
    let text = format!("line_items: cost more than {} minor units in all", Amount::MAX_SUBTOTAL);
    let subject = Some(Subject::RequestedLine(index));
    Some(Message::new(Severity::Unrecoverable, MessageCode::LimitExceeded, text, subject))
}

/// The status of a checkout with these messages while no completion is in progress.
pub(super) fn status_for(messages: &[Message]) -> Status {
    if messages.iter().any(|message| message.severity.needs_the_buyer()) {
        Status::RequiresEscalation
    } else if messages.iter().any(|message| message.severity.blocks()) {
        Status::Incomplete
    } else {
        Status::ReadyForComplete
    }
}

/// Whether the destinations that were offered before may be offered again. Stored addresses of one buyer must not be
/// shown to another buyer, so the email address must be the same. If there was none before, the shop looked up no
/// stored addresses, so all offered destinations came from the platform.
fn is_same_buyer(before: &Details, request: &CheckoutRequest) -> bool {
    let email = |buyer: &Option<Buyer>| buyer.as_ref().and_then(|buyer| buyer.email.as_ref()).map(Email::key);
    let earlier = email(&before.buyer);
    earlier.is_none() || earlier == email(&request.buyer)
}

/// The number of units of each SKU that the lines need.
pub fn demand_of(lines: &[Line]) -> Demand {
    let mut demand = Demand::new();
    for line in lines {
        *demand.entry(line.sku.clone()).or_default() += i64::from(line.quantity);
    }
    demand
}

/// A message for each line whose SKU has less stock than all lines of the SKU need.
pub fn shortages(lines: &[Line], stock: &[StockLevel]) -> Vec<Message> {
    let wanted = demand_of(lines);
    let short = lines.iter().enumerate().filter_map(|(index, line)| {
        let left = available(stock, &line.sku);
        (wanted[&line.sku] > left).then(|| {
            let text = match left {
                ..=0 => format!("{} is out of stock", line.title),
                left => format!("Only {left} of {} are in stock", line.title),
            };
            Message::recoverable(MessageCode::OutOfStock, Subject::Line(index), text)
        })
    });
    short.collect()
}

/// The lines for the requested items that can be sold, and a message for each other item. A line keeps the id in the
/// request if a line of the previous content has this id. If not, or if the id is already taken, the line gets the next
/// free number.
fn select_sellable_lines(
    request: &CheckoutRequest,
    before: Option<&Details>,
    facts: &PricingFacts,
) -> (Vec<Line>, Vec<Message>) {
    let mut known_ids: Vec<&LineId> = before.iter().flat_map(|before| &before.lines).map(|line| &line.id).collect();
    let numbers = known_ids.iter().filter_map(|id| id.0.strip_prefix("li_")?.parse::<usize>().ok());
    let mut last_number = numbers.max().unwrap_or(0);
    let (mut lines, mut messages) = (Vec::new(), Vec::new());
    for (index, wanted) in request.lines.iter().enumerate() {
        let mut leave_out = |code, text| {
            messages.push(Message::recoverable(code, Subject::RequestedLine(index), text));
        };
        let Some(variant) = facts.variants.iter().find(|variant| variant.sku.as_str() == wanted.sku) else {
            let shown: String = wanted.sku.chars().take(Sku::MAX_LENGTH).collect();
            leave_out(MessageCode::ItemUnavailable, format!("The item {shown:?} is not sold here"));
            continue;
        };
        if available(&facts.stock, &variant.sku) <= 0 {
            leave_out(MessageCode::OutOfStock, format!("{} is out of stock", variant.title));
            continue;
        }
        let known = known_ids.iter().position(|known| Some(*known) == wanted.id.as_ref());
        let kept = known.map(|position| known_ids.swap_remove(position).clone());
        lines.push(Line {
            id: kept.unwrap_or_else(|| {
                last_number += 1;
                LineId(format!("li_{last_number}"))
            }),
            sku: variant.sku.clone(),
            title: variant.title.clone(),
            image_url: variant.image_url.clone(),
            unit_price: variant.price.amount,
            quantity: wanted.quantity,
            requires_shipping: variant.requires_shipping,
            discount: Amount::ZERO,
        });
    }
    (lines, messages)
}

/// The warning for a discount code without effect.
fn rejected_code(request: &CheckoutRequest, index: usize, why: Rejection) -> Message {
    let code = request.codes.as_ref().and_then(|codes| codes.get(index)).map_or("", String::as_str);
    let (message_code, text) = match why {
        Rejection::Unknown => (MessageCode::DiscountCodeInvalid, format!("The code {code:?} is not known")),
        Rejection::AlreadyApplied => {
            (MessageCode::DiscountCodeAlreadyApplied, format!("The code {code:?} is applied already"))
        }
        Rejection::NothingToDiscount => {
            (MessageCode::DiscountCodeIneligible, format!("The code {code:?} takes nothing off these items"))
        }
    };
    Message::warning(message_code, Subject::Code(index), text)
}

/// A warning for each benefit that the buyer claims, because the shop supports no benefits.
fn rejected_claims(request: &CheckoutRequest) -> Vec<Message> {
    let claims = request.context.iter().flat_map(|context| &context.eligibility);
    claims
        .enumerate()
        .map(|(index, claim)| {
            let text = format!("The eligibility {claim:?} is not known here and changes nothing");
            Message::warning(MessageCode::EligibilityNotAccepted, Subject::Eligibility(index), text)
        })
        .collect()
}
