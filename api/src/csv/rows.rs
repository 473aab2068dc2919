//! The importable files: their columns, and how a row is read.
//!
//! The names of files and columns come from the sample data of the UCP conformance tests. The shop adds the optional
//! columns `requires_shipping` and, for discounts, `eligible_item_ids`.

use domain::catalog::{ProductId, Variant};
use domain::customer::{Address, DestinationId};
use domain::fulfillment::{FreeShipping, OptionId, ServiceLevel, ShippingRate};
use domain::import::{ImportedAddress, ImportedCustomer, ImportedInstrument, ImportedProduct, ImportedStock};
use domain::money::{Currency, Money};
use domain::promotion::{Code, Discount, DiscountScope, DiscountValue};

use super::field::{BadField, Field};
use super::table::{Table, Unique};

/// The names of all importable files, sorted.
pub(super) const FILES: [&str; 8] = [
    ADDRESSES.file,
    CUSTOMERS.file,
    DISCOUNTS.file,
    INVENTORY.file,
    INSTRUMENTS.file,
    PRODUCTS.file,
    PROMOTIONS.file,
    SHIPPING_RATES.file,
];

/// The longest title or description, in characters.
const MAX_TITLE: usize = 300;
/// The longest name of a person or brand, in characters.
const MAX_NAME: usize = 200;
/// The longest part of an address, in characters.
const MAX_ADDRESS_PART: usize = 200;
/// The longest payment token, in characters.
const MAX_TOKEN: usize = 500;
/// The most units of a product on hand. The limit keeps sums of stock far within 64 bits.
const MAX_STOCK: i64 = 1_000_000_000;

pub(super) const PRODUCTS: Table<ImportedProduct, 5> = Table {
    file: "products.csv",
    columns: ["id", "title", "price", "image_url", "requires_shipping"],
    optional: &["requires_shipping"],
    confidential: false,
    row: product,
    unique: &[Unique { columns: "id", of: |product| product.id.0.clone() }],
};

fn product(
    [id, title, price, image_url, requires_shipping]: [Field<'_>; 5],
    currency: Currency,
) -> Result<ImportedProduct, BadField> {
    let sku = id.sku()?;
    let variant = Variant {
        sku: sku.clone(),
        title: title.text(MAX_TITLE)?,
        price: Money { amount: price.amount(0)?, currency },
        image_url: image_url.optional_url()?,
        requires_shipping: requires_shipping.flag(true)?,
    };
    Ok(ImportedProduct { id: ProductId(sku.as_str().to_owned()), variant })
}

pub(super) const INVENTORY: Table<ImportedStock, 2> = Table {
    file: "inventory.csv",
    columns: ["product_id", "quantity"],
    optional: &[],
    confidential: false,
    row: |[product_id, quantity], _| {
        Ok(ImportedStock { sku: product_id.sku()?, on_hand: quantity.whole("units", 0, MAX_STOCK)? })
    },
    unique: &[Unique { columns: "product_id", of: |stock| stock.sku.as_str().to_owned() }],
};

pub(super) const CUSTOMERS: Table<ImportedCustomer, 3> = Table {
    file: "customers.csv",
    columns: ["id", "name", "email"],
    optional: &[],
    confidential: false,
    row: |[id, name, email], _| {
        Ok(ImportedCustomer { id: id.id()?, name: name.text(MAX_NAME)?, email: email.email()? })
    },
    unique: &[
        Unique { columns: "id", of: |customer| customer.id.clone() },
        // Unique, because a checkout finds a customer by email address.
        Unique { columns: "email", of: |customer| customer.email.key() },
    ],
};

pub(super) const ADDRESSES: Table<ImportedAddress, 7> = Table {
    file: "addresses.csv",
    columns: ["id", "customer_id", "street_address", "city", "state", "postal_code", "country"],
    optional: &[],
    confidential: false,
    row: address,
    // Address ids must differ only within one customer. The separator is a control character, which ids do not contain.
    unique: &[Unique { columns: "id", of: |address| format!("{}\u{1f}{}", address.customer, address.id.0) }],
};

fn address(
    [id, customer_id, street_address, city, state, postal_code, country]: [Field<'_>; 7],
    _: Currency,
) -> Result<ImportedAddress, BadField> {
    let address = Address {
        street: street_address.optional_text(MAX_ADDRESS_PART)?,
        locality: city.optional_text(MAX_ADDRESS_PART)?,
        region: state.optional_text(MAX_ADDRESS_PART)?,
        postal_code: postal_code.optional_text(MAX_ADDRESS_PART)?,
        country: Some(country.country()?),
        ..Address::default()
    };
    Ok(ImportedAddress { id: DestinationId(id.id()?), customer: customer_id.id()?, address })
}

pub(super) const SHIPPING_RATES: Table<ShippingRate, 5> = Table {
    file: "shipping_rates.csv",
    columns: ["id", "country_code", "service_level", "price", "title"],
    optional: &[],
    confidential: false,
    row: shipping_rate,
    unique: &[
        Unique { columns: "id", of: |rate| rate.id.0.clone() },
        // Unique, because a checkout offers one rate for each country and service level.
        Unique { columns: COUNTRY_AND_LEVEL, of: country_and_level },
    ],
};

pub(super) const COUNTRY_AND_LEVEL: &str = "country_code and service_level";

fn country_and_level(rate: &ShippingRate) -> String {
    format!("{}\u{1f}{}", rate.country.as_ref().map_or("default", |country| country.as_str()), rate.service_level.0)
}

fn shipping_rate(
    [id, country_code, service_level, price, title]: [Field<'_>; 5],
    _: Currency,
) -> Result<ShippingRate, BadField> {
    Ok(ShippingRate {
        id: OptionId(id.id()?),
        country: if country_code.text == "default" { None } else { Some(country_code.country()?) },
        service_level: ServiceLevel(service_level.id()?),
        price: price.amount(0)?,
        title: title.text(MAX_TITLE)?,
    })
}

pub(super) const DISCOUNTS: Table<Discount, 5> = Table {
    file: "discounts.csv",
    columns: ["code", "type", "value", "description", "eligible_item_ids"],
    optional: &["eligible_item_ids"],
    confidential: false,
    row: discount,
    unique: &[Unique { columns: "code", of: |discount| discount.code.as_str().to_owned() }],
};

#[derive(Clone, Copy)]
enum DiscountKind {
    Percentage,
    FixedAmount,
}

const DISCOUNT_KINDS: [(&str, DiscountKind); 2] =
    [("percentage", DiscountKind::Percentage), ("fixed_amount", DiscountKind::FixedAmount)];

fn discount(
    [code, kind, value, description, eligible_item_ids]: [Field<'_>; 5],
    _: Currency,
) -> Result<Discount, BadField> {
    let parsed = Code::new(&code.text(Code::MAX_LENGTH)?);
    // The length is checked again, because the capital form of some characters is longer.
    if parsed.as_str().len() > Code::MAX_LENGTH {
        return Err(code.bad(format!("must not be longer than {} bytes", Code::MAX_LENGTH)));
    }
    let eligible = eligible_item_ids.item_ids()?;
    Ok(Discount {
        code: parsed,
        value: match kind.one_of(&DISCOUNT_KINDS)? {
            DiscountKind::Percentage => DiscountValue::Percentage { basis_points: value.basis_points()? },
            DiscountKind::FixedAmount => DiscountValue::Fixed(value.amount(1)?),
        },
        scope: if eligible.is_empty() { DiscountScope::Order } else { DiscountScope::Lines(eligible) },
        description: description.text(MAX_TITLE)?,
    })
}

pub(super) const PROMOTIONS: Table<FreeShipping, 5> = Table {
    file: "promotions.csv",
    columns: ["id", "type", "min_subtotal", "eligible_item_ids", "description"],
    optional: &[],
    confidential: false,
    row: promotion,
    unique: &[Unique { columns: "id", of: |promotion| promotion.id.clone() }],
};

fn promotion(
    [id, kind, min_subtotal, eligible_item_ids, description]: [Field<'_>; 5],
    _: Currency,
) -> Result<FreeShipping, BadField> {
    kind.one_of(&[("free_shipping", ())])?;
    if min_subtotal.is_empty() && eligible_item_ids.is_empty() {
        return Err(BadField::row("must have a min_subtotal or eligible_item_ids, or else it never applies"));
    }
    Ok(FreeShipping {
        id: id.id()?,
        min_subtotal: if min_subtotal.is_empty() { None } else { Some(min_subtotal.amount(0)?) },
        eligible_skus: eligible_item_ids.item_ids()?,
        description: description.text(MAX_TITLE)?,
    })
}

pub(super) const INSTRUMENTS: Table<ImportedInstrument, 6> = Table {
    file: "payment_instruments.csv",
    columns: ["id", "type", "brand", "last_digits", "token", "handler_id"],
    optional: &[],
    // The file contains tokens, and a token is enough to pay.
    confidential: true,
    row: instrument,
    unique: &[Unique { columns: "id", of: |instrument| instrument.id.clone() }],
};

fn instrument(
    [id, kind, brand, last_digits, token, handler_id]: [Field<'_>; 6],
    _: Currency,
) -> Result<ImportedInstrument, BadField> {
    Ok(ImportedInstrument {
        id: id.card_id()?,
        kind: kind.card_id()?,
        // The field may be empty, because only cards have a brand.
        brand: brand.card_text(MAX_NAME)?.unwrap_or_default(),
        last_digits: last_digits.last_digits()?,
        token: token.text(MAX_TOKEN)?,
        handler: handler_id.card_id()?,
    })
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
