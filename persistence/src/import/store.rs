//! The rows of an import: one upsert for each table.

use std::collections::HashSet;
use std::hash::Hash;

use diesel::prelude::*;
use diesel::upsert::excluded;
use domain::customer::Country;
use domain::import::{Batch, ImportRefusal};
use domain::promotion::{DiscountScope, DiscountValue};

use super::CHUNK;
use super::checks::{self, Locked};
use crate::database::{Decided, Tx, TxConn};
use crate::pricing;
use crate::schema::{
    address, customer, discount, free_shipping, payment_instrument, product, shipping_rate, stock, variant,
};
use crate::stored::to_text;

/// Inserts a row for each item. If a row with the same key exists, replaces only its columns of the second list.
/// Postgres takes many rows in one statement. SQLite takes one row in a statement, and has no round trip.
macro_rules! upsert {
    ($tx:expr, $stored:expr, $table:ident, $key:expr, $items:expr,
        $item:ident => { $($new:ident: $new_value:expr),+ }, { $($column:ident: $value:expr),+ $(,)? }) => {{
        for chunk in $items.chunks(CHUNK) {
            let mut rows = Vec::with_capacity(chunk.len());
            for $item in chunk {
                rows.push(($($table::$new.eq($new_value),)+ $($table::$column.eq($value),)+));
            }
            match $tx.conn()? {
                TxConn::Sqlite(conn) => {
                    for row in rows {
                        let insert = diesel::insert_into($table::table).values(row).on_conflict($key).do_update();
                        insert.set(($($table::$column.eq(excluded($table::$column)),)+)).execute(*conn)?;
                    }
                }
                TxConn::Postgres(conn) => {
                    let insert = diesel::insert_into($table::table).values(rows).on_conflict($key).do_update();
                    insert.set(($($table::$column.eq(excluded($table::$column)),)+)).execute(*conn)?;
                }
            }
            $stored(chunk.len());
        }
    }};
}

/// Stores a batch, and reports after each statement how many of its rows are stored.
pub(super) fn store(tx: &mut Tx<'_>, batch: &Batch, progress: &dyn Fn(usize)) -> Decided<(), ImportRefusal> {
    let mut stored = 0;
    let mut report = |rows: usize| {
        stored += rows;
        progress(stored);
    };
    let currency = batch.currency.code();
    // A product and its only variant are one row of a batch. The row counts as stored when both are stored.
    let products = last_of_each(&batch.products, |row| &row.id.0);
    upsert! { tx, |_| (), product, product::id, products, row => { id: &row.id.0 }, {
        title: &row.variant.title,
        image_url: row.variant.image_url.as_deref(),
    } }
    let variants = last_of_each(&batch.products, |row| row.variant.sku.as_str());
    upsert! { tx, report, variant, variant::sku, variants, row => { sku: row.variant.sku.as_str() }, {
        product_id: &row.id.0,
        title: &row.variant.title,
        image_url: row.variant.image_url.as_deref(),
        price: row.variant.price.amount.minor(),
        currency: row.variant.price.currency.code(),
        requires_shipping: row.variant.requires_shipping,
    } }
    let customers = last_of_each(&batch.customers, |row| &row.id);
    upsert! { tx, report, customer, customer::id, customers, row => { id: &row.id }, {
        name: &row.name,
        email: row.email.key(),
    } }
    let addresses = last_of_each(&batch.addresses, |row| (&row.customer, &row.id.0));
    let key = (address::customer_id, address::id);
    upsert! { tx, report, address, key, addresses, row => { customer_id: &row.customer, id: &row.id.0 }, {
        street: row.address.street.as_deref(),
        extended: row.address.extended.as_deref(),
        locality: row.address.locality.as_deref(),
        region: row.address.region.as_deref(),
        postal_code: row.address.postal_code.as_deref(),
        country: row.address.country.as_ref().map(Country::as_str),
        first_name: row.address.first_name.as_deref(),
        last_name: row.address.last_name.as_deref(),
        phone_number: row.address.phone_number.as_deref(),
    } }
    let rates = last_of_each(&batch.shipping_rates, |row| &row.id.0);
    upsert! { tx, report, shipping_rate, shipping_rate::id, rates, row => { id: &row.id.0 }, {
        country: row.country.as_ref().map(Country::as_str),
        service_level: &row.service_level.0,
        price: row.price.minor(),
        currency: currency,
        title: &row.title,
    } }
    let discounts = last_of_each(&batch.discounts, |row| row.code.as_str());
    upsert! { tx, report, discount, discount::code, discounts, row => { code: row.code.as_str() }, {
        kind: kind_and_value(&row.value).0,
        value: kind_and_value(&row.value).1,
        currency: currency,
        eligible_skus: eligible_skus(&row.scope)?,
        description: &row.description,
    } }
    let promotions = last_of_each(&batch.free_shipping, |row| &row.id);
    upsert! { tx, report, free_shipping, free_shipping::id, promotions, row => { id: &row.id }, {
        min_subtotal: row.min_subtotal.map(|amount| amount.minor()),
        currency: currency,
        eligible_skus: to_text(&row.eligible_skus)?,
        description: &row.description,
    } }
    let instruments = last_of_each(&batch.instruments, |row| &row.id);
    upsert! { tx, report, payment_instrument, payment_instrument::id, instruments, row => { id: &row.id }, {
        kind: &row.kind,
        brand: &row.brand,
        last_digits: &row.last_digits,
        token: &row.token,
        handler: &row.handler,
    } }
    if !(rates.is_empty() && discounts.is_empty() && promotions.is_empty()) {
        pricing::changed(tx)?;
    }
    // Stock is locked last, as in every transaction.
    checks::no_stock_below_held(tx, batch, Locked::Yes)?;
    let levels = last_of_each(&batch.stock, |row| row.sku.as_str());
    upsert! { tx, report, stock, stock::sku, levels, row => { sku: row.sku.as_str(), held: 0 }, { on_hand: row.on_hand } }
    Ok(())
}

/// Keeps the last of several rows with the same key, because on Postgres one statement cannot replace a row twice.
fn last_of_each<'b, R, K: Eq + Hash>(rows: &'b [R], key: impl Fn(&'b R) -> K) -> Vec<&'b R> {
    let mut seen = HashSet::new();
    let mut kept: Vec<&R> = rows.iter().rev().filter(|row| seen.insert(key(*row))).collect();
    kept.reverse();
    kept
}

fn kind_and_value(value: &DiscountValue) -> (&'static str, i64) {
    match value {
        DiscountValue::Percentage { basis_points } => ("percentage", *basis_points),
        DiscountValue::Fixed(amount) => ("fixed_amount", amount.minor()),
    }
}

/// Returns the SKUs to which a discount applies, as a document. `None` for a discount of the whole order.
fn eligible_skus(scope: &DiscountScope) -> QueryResult<Option<String>> {
    match scope {
        DiscountScope::Order => Ok(None),
        DiscountScope::Lines(skus) => to_text(skus).map(Some),
    }
}
