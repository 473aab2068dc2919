//! Shipping rates and free-shipping promotions.

use diesel::prelude::*;
use domain::catalog::Sku;
use domain::fulfillment::{FreeShipping, OptionId, ServiceLevel, ShippingRate};
use domain::money::{Amount, Currency};

use crate::database::{Tx, on_backend};
use crate::schema::{free_shipping, shipping_rate};
use crate::stored::from_text;

/// More service levels and promotions than a shop has; the bound keeps a mistake from filling the memory.
const MAX_ROWS: i64 = 500;

/// All rates: the destination is chosen by a rule that does not read the database.
pub(crate) fn rates(tx: &mut Tx<'_>, currency: Currency) -> QueryResult<Vec<ShippingRate>> {
    type Row = (String, Option<String>, String, i64, String);
    let query = shipping_rate::table
        .filter(shipping_rate::currency.eq(currency.code()))
        .order(shipping_rate::id)
        .select((
            shipping_rate::id,
            shipping_rate::country,
            shipping_rate::service_level,
            shipping_rate::price,
            shipping_rate::title,
        ))
        .limit(MAX_ROWS);
    let rows: Vec<Row> = on_backend!(tx, |conn| query.load(*conn))?;
    let rate = |(id, country, level, price, title): Row| ShippingRate {
        id: OptionId(id),
        country: country.map(Into::into),
        service_level: ServiceLevel(level),
        price: Amount::new(price),
        title,
    };
    Ok(rows.into_iter().map(rate).collect())
}

pub(crate) fn free_shipping(tx: &mut Tx<'_>, currency: Currency) -> QueryResult<Vec<FreeShipping>> {
    type Row = (String, Option<i64>, String, String);
    let query = free_shipping::table
        .filter(free_shipping::currency.eq(currency.code()))
        .order(free_shipping::id)
        .select((
            free_shipping::id,
            free_shipping::min_subtotal,
            free_shipping::eligible_skus,
            free_shipping::description,
        ))
        .limit(MAX_ROWS);
    let rows: Vec<Row> = on_backend!(tx, |conn| query.load(*conn))?;
    rows.into_iter()
        .map(|(id, minimum, skus, description)| {
            let eligible_skus: Vec<Sku> = from_text(&skus)?;
            Ok(FreeShipping { id, min_subtotal: minimum.map(Amount::new), eligible_skus, description })
        })
        .collect()
}
