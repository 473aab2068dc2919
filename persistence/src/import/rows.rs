//! The rows of an import.

use std::collections::HashSet;
use std::hash::Hash;

use diesel::prelude::*;
use domain::customer::Country;
use domain::import::Batch;
use domain::promotion::{DiscountScope, DiscountValue};

use crate::customer::AddressRow;
use crate::schema::{customer, discount, free_shipping, payment_instrument, product, shipping_rate, stock, variant};
use crate::stored::to_text;

/// A key that a batch names twice is stored as it was named last. One statement cannot do that by itself on Postgres.
fn last_of_each<R, K: Eq + Hash>(rows: impl DoubleEndedIterator<Item = R>, key: impl Fn(&R) -> K) -> Vec<R> {
    let mut seen = HashSet::new();
    let mut kept: Vec<R> = rows.rev().filter(|row| seen.insert(key(row))).collect();
    kept.reverse();
    kept
}

#[derive(Insertable)]
#[diesel(table_name = product)]
pub(super) struct ProductRow<'a> {
    id: &'a str,
    title: &'a str,
    image_url: Option<&'a str>,
}

pub(super) fn products(batch: &Batch) -> Vec<ProductRow<'_>> {
    let rows = batch.products.iter().map(|product| ProductRow {
        id: &product.id.0,
        title: &product.variant.title,
        image_url: product.variant.image_url.as_deref(),
    });
    last_of_each(rows, |row| row.id)
}

#[derive(Insertable)]
#[diesel(table_name = variant)]
pub(super) struct VariantRow<'a> {
    sku: &'a str,
    product_id: &'a str,
    title: &'a str,
    image_url: Option<&'a str>,
    price: i64,
    currency: &'a str,
    requires_shipping: bool,
}

pub(super) fn variants(batch: &Batch) -> Vec<VariantRow<'_>> {
    let rows = batch.products.iter().map(|product| VariantRow {
        sku: product.variant.sku.as_str(),
        product_id: &product.id.0,
        title: &product.variant.title,
        image_url: product.variant.image_url.as_deref(),
        price: product.variant.price.amount.minor(),
        currency: product.variant.price.currency.code(),
        requires_shipping: product.variant.requires_shipping,
    });
    last_of_each(rows, |row| row.sku)
}

#[derive(Insertable)]
#[diesel(table_name = stock)]
pub(super) struct StockRow<'a> {
    sku: &'a str,
    on_hand: i64,
    held: i64,
}

pub(super) fn stock(batch: &Batch) -> Vec<StockRow<'_>> {
    let rows = batch.stock.iter().map(|row| StockRow { sku: row.sku.as_str(), on_hand: row.on_hand, held: 0 });
    last_of_each(rows, |row| row.sku)
}

#[derive(Insertable)]
#[diesel(table_name = customer)]
pub(super) struct CustomerRow<'a> {
    id: &'a str,
    name: &'a str,
    email: String,
}

pub(super) fn customers(batch: &Batch) -> Vec<CustomerRow<'_>> {
    let rows = batch.customers.iter();
    let rows = rows.map(|row| CustomerRow { id: &row.id, name: &row.name, email: row.email.key() });
    last_of_each(rows, |row| row.id)
}

pub(super) fn addresses(batch: &Batch) -> Vec<AddressRow> {
    let rows = batch.addresses.iter().map(|row| AddressRow::new(&row.customer, &row.id, &row.address));
    last_of_each(rows, |row| (row.customer_id.clone(), row.id.clone()))
}

#[derive(Insertable)]
#[diesel(table_name = shipping_rate)]
pub(super) struct RateRow<'a> {
    id: &'a str,
    country: Option<&'a str>,
    service_level: &'a str,
    price: i64,
    currency: &'a str,
    title: &'a str,
}

pub(super) fn shipping_rates(batch: &Batch) -> Vec<RateRow<'_>> {
    let rows = batch.shipping_rates.iter().map(|rate| RateRow {
        id: &rate.id.0,
        country: rate.country.as_ref().map(Country::as_str),
        service_level: &rate.service_level.0,
        price: rate.price.minor(),
        currency: batch.currency.code(),
        title: &rate.title,
    });
    last_of_each(rows, |row| row.id)
}

#[derive(Insertable)]
#[diesel(table_name = discount)]
pub(super) struct DiscountRow<'a> {
    code: &'a str,
    kind: &'static str,
    value: i64,
    currency: &'a str,
    eligible_skus: Option<String>,
    description: &'a str,
}

pub(super) fn discounts(batch: &Batch) -> QueryResult<Vec<DiscountRow<'_>>> {
    let rows = batch.discounts.iter().map(|discount| {
        let (kind, value) = match discount.value {
            DiscountValue::Percentage { basis_points } => ("percentage", basis_points),
            DiscountValue::Fixed(amount) => ("fixed_amount", amount.minor()),
        };
        let eligible_skus = match &discount.scope {
            DiscountScope::Order => None,
            DiscountScope::Lines(skus) => Some(to_text(skus)?),
        };
        let (code, currency) = (discount.code.as_str(), batch.currency.code());
        Ok(DiscountRow { code, kind, value, currency, eligible_skus, description: &discount.description })
    });
    let rows: Vec<_> = rows.collect::<QueryResult<_>>()?;
    Ok(last_of_each(rows.into_iter(), |row| row.code))
}

#[derive(Insertable)]
#[diesel(table_name = free_shipping)]
pub(super) struct FreeShippingRow<'a> {
    id: &'a str,
    min_subtotal: Option<i64>,
    currency: &'a str,
    eligible_skus: String,
    description: &'a str,
}

pub(super) fn free_shipping(batch: &Batch) -> QueryResult<Vec<FreeShippingRow<'_>>> {
    let rows = batch.free_shipping.iter().map(|promotion| {
        Ok(FreeShippingRow {
            id: &promotion.id,
            min_subtotal: promotion.min_subtotal.map(|amount| amount.minor()),
            currency: batch.currency.code(),
            eligible_skus: to_text(&promotion.eligible_skus)?,
            description: &promotion.description,
        })
    });
    let rows: Vec<_> = rows.collect::<QueryResult<_>>()?;
    Ok(last_of_each(rows.into_iter(), |row| row.id))
}

#[derive(Insertable)]
#[diesel(table_name = payment_instrument)]
pub(super) struct InstrumentRow<'a> {
    id: &'a str,
    kind: &'a str,
    brand: &'a str,
    last_digits: &'a str,
    token: &'a str,
    handler: &'a str,
}

pub(super) fn instruments(batch: &Batch) -> Vec<InstrumentRow<'_>> {
    let rows = batch.instruments.iter().map(|row| InstrumentRow {
        id: &row.id,
        kind: &row.kind,
        brand: &row.brand,
        last_digits: &row.last_digits,
        token: &row.token,
        handler: &row.handler,
    });
    last_of_each(rows, |row| row.id)
}
