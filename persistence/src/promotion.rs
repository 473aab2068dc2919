//! Discount codes.

use diesel::prelude::*;
use domain::catalog::Sku;
use domain::checkout::CheckoutRequest;
use domain::money::{Amount, Currency};
use domain::promotion::{Code, Discount, DiscountScope, DiscountValue};

use crate::database::{Tx, among, load};
use crate::schema::discount;
use crate::stored::{from_text, malformed};

/// Returns the discounts in this currency that have these codes.
pub(crate) fn discounts_of(tx: &mut Tx<'_>, codes: &[Code], currency: Currency) -> QueryResult<Vec<Discount>> {
    type Row = (String, String, i64, Option<String>, String);
    let query = discount::table
        .filter(among(discount::code, codes.iter().map(Code::as_str)).and(discount::currency.eq(currency.code())))
        .select((discount::code, discount::kind, discount::value, discount::eligible_skus, discount::description))
        .limit(CheckoutRequest::MAX_CODES as i64);
    let rows: Vec<Row> = load!(tx, query)?;
    rows.into_iter()
        .map(|(code, kind, value, skus, description)| {
            let value = match kind.as_str() {
                "percentage" => DiscountValue::Percentage { basis_points: value },
                "fixed_amount" => DiscountValue::Fixed(Amount::new(value)),
                other => return Err(malformed(format!("{other:?} is no kind of discount"))),
            };
            let scope = match skus {
                None => DiscountScope::Order,
                Some(skus) => DiscountScope::Lines(from_text::<Vec<Sku>>(&skus)?),
            };
            Ok(Discount { code: Code::new(&code), value, scope, description })
        })
        .collect()
}
