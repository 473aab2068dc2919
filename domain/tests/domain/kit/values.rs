//! Example values.

use std::time::Duration;

use domain::catalog::{Sku, Variant};
use domain::checkout::{Checkout, CheckoutId, Details, Line, LineId, Message, RequestedLine, Status, Totals};
use domain::context::PlatformId;
use domain::customer::Address;
use domain::fulfillment::{OptionId, ServiceLevel, ShippingRate};
use domain::id::PageToken;
use domain::money::{Amount, Currency, Money};
use domain::payment::{
    Attempt, AttemptId, AttemptState, HandlerId, Instrument, PaymentReference, Refund, RefundId, RefundState,
};
use domain::promotion::{Code, Discount, DiscountScope, DiscountValue};
use domain::quantity::Quantity;
use domain::stock::StockLevel;

use super::{NOW, hours};

pub fn sku(name: &str) -> Sku {
    Sku::parse(name).expect("valid")
}

pub fn usd(minor: i64) -> Money {
    Money { amount: Amount::new(minor), currency: Currency::USD }
}

/// A variant with the title `The {name}`.
pub fn variant(name: &str, price: i64, requires_shipping: bool) -> Variant {
    let title = format!("The {name}");
    Variant { sku: sku(name), title, image_url: None, price: usd(price), requires_shipping }
}

pub fn level(name: &str, on_hand: i64, held: i64) -> StockLevel {
    StockLevel { sku: sku(name), on_hand, held }
}

pub fn discount(code: &str, value: DiscountValue, scope: DiscountScope) -> Discount {
    Discount { code: Code::new(code), value, scope, description: code.into() }
}

pub fn percent(code: &str, basis_points: i64, scope: DiscountScope) -> Discount {
    discount(code, DiscountValue::Percentage { basis_points }, scope)
}

pub fn fixed(code: &str, amount: i64, scope: DiscountScope) -> Discount {
    discount(code, DiscountValue::Fixed(Amount::new(amount)), scope)
}

/// A rate with the title `{level} delivery`.
pub fn rate(id: &str, country: Option<&str>, level: &str, price: i64) -> ShippingRate {
    ShippingRate {
        id: OptionId(id.into()),
        country: country.map(Into::into),
        service_level: ServiceLevel(level.into()),
        price: Amount::new(price),
        title: format!("{level} delivery"),
    }
}

pub fn address(country: &str, street: &str) -> Address {
    Address { street: Some(street.into()), country: Some(country.into()), ..Address::default() }
}

pub fn requested_line(sku: &str, units: i64) -> RequestedLine {
    RequestedLine { id: None, sku: sku.to_owned(), quantity: Quantity::try_from(units).expect("a quantity") }
}

/// The content of a checkout of one rose, which needs no shipping.
pub fn details(price: i64, messages: Vec<Message>) -> Details {
    let line = Line {
        id: LineId("li_1".to_owned()),
        sku: sku("rose"),
        title: "Rose".to_owned(),
        image_url: None,
        unit_price: Amount::new(price),
        quantity: Quantity::try_from(1).expect("valid"),
        requires_shipping: false,
        discount: Amount::ZERO,
    };
    Details {
        totals: Totals::of(line.subtotal(), Amount::ZERO, Amount::ZERO, None),
        lines: vec![line],
        buyer: None,
        context: None,
        attribution: Default::default(),
        fulfillment: None,
        codes: None,
        discounts: Vec::new(),
        instruments: Vec::new(),
        messages,
        of_registered_platform: false,
    }
}

/// A checkout that expires in an hour.
pub fn checkout(status: Status, details: Details) -> Checkout {
    Checkout {
        id: CheckoutId::generate(NOW),
        owner: PlatformId("https://platform.example/".to_owned()),
        status,
        version: 1,
        currency: Currency::USD,
        page: PageToken::generate(NOW),
        created_at: NOW,
        updated_at: NOW,
        expires_at: NOW + Duration::from_secs(3_600),
        attempt: None,
        order: None,
        details,
    }
}

pub fn instrument() -> Instrument {
    let handler = HandlerId("handler".into());
    Instrument { id: "card".into(), handler, kind: "card".into(), selected: true, display: None }
}

/// An attempt that a background task claimed for the first time.
pub fn attempt(state: AttemptState) -> Attempt {
    Attempt {
        id: AttemptId::generate(NOW),
        checkout: CheckoutId::generate(NOW),
        handler: HandlerId("handler".to_owned()),
        money: usd(100),
        state,
        reference: Some(PaymentReference("ref".to_owned())),
        checks: 1,
        created_at: NOW - hours(1),
    }
}

pub fn refund(state: RefundState, age: Duration) -> Refund {
    Refund {
        id: RefundId::generate(NOW),
        attempt: AttemptId::generate(NOW),
        reference: PaymentReference("ref".to_owned()),
        money: usd(100),
        state,
        tries: 1,
        created_at: NOW - age,
    }
}
