//! Shipping rates and free-shipping promotions.

use diesel::prelude::*;
use domain::catalog::Sku;
use domain::fulfillment::{FreeShipping, OptionId, ServiceLevel, ShippingRate};
use domain::money::{Amount, Currency};

use crate::database::{Tx, bytewise, load};
use crate::schema::{free_shipping, shipping_rate};
use crate::stored::{all_of, from_text, one_more_than};

/// The most shipping rates of one currency: enough for twenty service levels in each country of the world. The limit
/// keeps a mistake from filling the memory. An import that exceeds it is refused.
pub(crate) const MAX_RATES: usize = 5_000;
/// The most shipping rates of one currency for one country. The rates that apply to every country have the same limit.
/// The limit exists because a checkout contains all options of its destination.
pub(crate) const MAX_RATES_OF_COUNTRY: usize = 500;
/// The most free-shipping promotions of one currency.
pub(crate) const MAX_PROMOTIONS: usize = 500;

/// Returns all rates of a currency. A domain rule, which does not read the database, selects the rates of a
/// destination.
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
        .limit(one_more_than(MAX_RATES));
    let rows: Vec<Row> = load!(tx, query)?;
    all_of(&rows, MAX_RATES, "shipping rates")?;
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
        .limit(one_more_than(MAX_PROMOTIONS));
    let rows: Vec<Row> = load!(tx, query)?;
    all_of(&rows, MAX_PROMOTIONS, "free-shipping promotions")?;
    rows.into_iter()
        .map(|(id, minimum, skus, description)| {
            let eligible_skus: Vec<Sku> = from_text(&skus)?;
            Ok(FreeShipping { id, min_subtotal: minimum.map(Amount::new), eligible_skus, description })
        })
        .collect()
}
