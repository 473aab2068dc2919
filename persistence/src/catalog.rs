//! Reads products and variants. [`crate::import`] writes them.

use diesel::prelude::*;
use domain::catalog::{Sku, Variant};
use domain::checkout::CheckoutRequest;
use domain::money::{Amount, Currency, Money};
use domain::stock::StockLevel;

use crate::database::{Tx, among, load};
use crate::pricing::PRICING;
use crate::schema::{reference_revision, stock, variant};
use crate::stored::{malformed, storable};

type Row = (String, String, Option<String>, i64, bool, Option<i64>, Option<i64>, Option<i64>);

/// What a checkout needs of the catalog.
pub(crate) struct Requested {
    /// The variants that the request names and that have a price in the currency.
    pub(crate) variants: Vec<Variant>,
    /// The stock levels of those variants that have one.
    pub(crate) stock: Vec<StockLevel>,
    /// The revision of the pricing data. `None` if there is no variant.
    pub(crate) revision: Option<i64>,
}

pub(crate) fn requested(tx: &mut Tx<'_>, request: &CheckoutRequest, currency: Currency) -> QueryResult<Requested> {
    let skus: Vec<&str> = request.lines.iter().map(|line| line.sku.as_str()).filter(|sku| storable(sku)).collect();
    let query = variant::table
        .left_join(stock::table)
        .filter(among(variant::sku, skus).and(variant::currency.eq(currency.code())))
        .select((
            variant::sku,
            variant::title,
            variant::image_url,
            variant::price,
            variant::requires_shipping,
            stock::on_hand.nullable(),
            stock::held.nullable(),
            reference_revision::table.find(PRICING).select(reference_revision::revision).single_value(),
        ))
        .limit(CheckoutRequest::MAX_LINES as i64);
    let rows: Vec<Row> = load!(tx, query)?;

    let mut requested =
        Requested { variants: Vec::with_capacity(rows.len()), stock: Vec::with_capacity(rows.len()), revision: None };
    for (sku, title, image_url, price, requires_shipping, on_hand, held, revision) in rows {
        let sku = self::sku(&sku)?;
        if let (Some(on_hand), Some(held)) = (on_hand, held) {
            requested.stock.push(StockLevel { sku: sku.clone(), on_hand, held });
        }
        let price = Money { amount: Amount::new(price), currency };
        requested.variants.push(Variant { sku, title, image_url, price, requires_shipping });
        requested.revision = revision;
    }
    Ok(requested)
}

pub(crate) fn sku(text: &str) -> QueryResult<Sku> {
    Sku::parse(text).ok_or_else(|| malformed(format!("{text:?} is no SKU")))
}
