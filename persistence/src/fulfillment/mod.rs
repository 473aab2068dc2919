//! Shipping rates and free-shipping promotions.

use diesel::prelude::*;
use domain::catalog::Sku;
use domain::fulfillment::{FreeShipping, OptionId, ServiceLevel, ShippingRate};
use domain::money::{Amount, Currency};

use crate::database::{Tx, bytewise, on_backend};
use crate::schema::{free_shipping, shipping_rate};
use crate::stored::{from_text, malformed};

/// More service levels and promotions than a shop has; the bound keeps a mistake from filling the memory. An import that
/// crosses it is refused.
pub(crate) const MAX_ROWS: usize = 500;
/// One more than may be there, so that too many are seen.
const ONE_TOO_MANY: i64 = MAX_ROWS as i64 + 1;

/// All rates: the destination is chosen by a rule that does not read the database.
pub(crate) fn rates(tx: &mut Tx<'_>, currency: Currency) -> QueryResult<Vec<ShippingRate>> {
    type Row = (String, Option<String>, String, i64, String);
    let query = shipping_rate::table
        .filter(shipping_rate::currency.eq(currency.code()))
        .order(bytewise(tx, "id"))
        .select((
            shipping_rate::id,
            shipping_rate::country,
            shipping_rate::service_level,
            shipping_rate::price,
            shipping_rate::title,
        ))
        .limit(ONE_TOO_MANY);
    let rows: Vec<Row> = on_backend!(tx, |conn| query.load(*conn))?;
    all_of(&rows, "shipping rates")?;
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
        .order(bytewise(tx, "id"))
        .select((
            free_shipping::id,
            free_shipping::min_subtotal,
            free_shipping::eligible_skus,
            free_shipping::description,
        ))
        .limit(ONE_TOO_MANY);
    let rows: Vec<Row> = on_backend!(tx, |conn| query.load(*conn))?;
    all_of(&rows, "free-shipping promotions")?;
    rows.into_iter()
        .map(|(id, minimum, skus, description)| {
            let eligible_skus: Vec<Sku> = from_text(&skus)?;
            Ok(FreeShipping { id, min_subtotal: minimum.map(Amount::new), eligible_skus, description })
        })
        .collect()
}

/// What is cut off would be missing without a word: a rate that a buyer is not offered.
fn all_of<T>(rows: &[T], what: &str) -> QueryResult<()> {
    match rows.len() {
        0..=MAX_ROWS => Ok(()),
        _ => Err(malformed(format!("more than {MAX_ROWS} {what}"))),
    }
}
