//! Reads products and variants. [`crate::import`] writes them.

use diesel::prelude::*;
use domain::catalog::{Sku, Variant};
use domain::checkout::CheckoutRequest;
use domain::money::{Amount, Currency, Money};
use domain::stock::StockLevel;

use crate::database::{Tx, load};
use crate::schema::{stock, variant};
use crate::stored::{malformed, storable};

type Row = (String, String, Option<String>, i64, bool, Option<i64>, Option<i64>);

/// Returns the variants that a request names and that have a price in `currency`, and the stock levels of those
/// variants that have one.
pub(crate) fn requested_variants(
    tx: &mut Tx<'_>,
    request: &CheckoutRequest,
    currency: Currency,
) -> QueryResult<(Vec<Variant>, Vec<StockLevel>)> {
    let skus: Vec<&str> = request.lines.iter().map(|line| line.sku.as_str()).filter(|sku| storable(sku)).collect();
    let query = variant::table
        .left_join(stock::table)
        .filter(variant::sku.eq_any(skus).and(variant::currency.eq(currency.code())))
        .select((
            variant::sku,
            variant::title,
            variant::image_url,
            variant::price,
            variant::requires_shipping,
            stock::on_hand.nullable(),
            stock::held.nullable(),
        ))
        .limit(CheckoutRequest::MAX_LINES as i64);
    let rows: Vec<Row> = load!(tx, query)?;

    let (mut variants, mut levels) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for (sku, title, image_url, price, requires_shipping, on_hand, held) in rows {
        let sku = self::sku(&sku)?;
        if let (Some(on_hand), Some(held)) = (on_hand, held) {
            levels.push(StockLevel { sku: sku.clone(), on_hand, held });
        }
        let price = Money { amount: Amount::new(price), currency };
        variants.push(Variant { sku, title, image_url, price, requires_shipping });
    }
    Ok((variants, levels))
}

pub(crate) fn sku(text: &str) -> QueryResult<Sku> {
    Sku::parse(text).ok_or_else(|| malformed(format!("{text:?} is no SKU")))
}
