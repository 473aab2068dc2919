//! The limits of an import, checked against the shop inside the import's transaction.

use std::collections::{HashMap, HashSet};

use diesel::dsl::count_star;
use diesel::prelude::*;
use domain::customer::Country;
use domain::fault::Failure;
use domain::import::{Batch, ImportRefusal};

use super::{CHUNK, duplicates};
use crate::customer::{MAX_BOOK, MAX_IMPORTED};
use crate::database::{Statement, Tx, TxError, bytewise, first, load, refuse};
use crate::fulfillment::{MAX_PROMOTIONS, MAX_RATES, MAX_RATES_OF_COUNTRY};
use crate::schema::{address, customer, free_shipping, product, shipping_rate, stock, variant};
use crate::stored::one_more_than;

pub(super) fn has_no_products(tx: &mut Tx<'_>) -> QueryResult<bool> {
    let query = product::table.select(product::id).limit(1);
    let any: Option<String> = first!(tx, query)?;
    Ok(any.is_none())
}

/// Whether rows are locked when they are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    Yes,
    No,
}

/// Checks a whole batch before it is stored, except for stock.
pub(super) fn whole(tx: &mut Tx<'_>, batch: &Batch) -> Result<(), TxError<Failure<ImportRefusal>>> {
    not_too_many(tx, batch)?;
    not_too_many_of_one_country(tx, batch)?;
    everything_named_is_known(tx, batch)?;
    duplicates::none_of_rates(tx, batch)?;
    duplicates::none_of_emails(tx, batch)?;
    books_are_not_overfull(tx, batch)
}

/// Excludes other imports from the tables with a limit until the transaction ends: two imports would each count what
/// they see, and both would be stored. Buyers only read these tables. On SQLite one transaction writes at a time.
pub(super) fn lock_limited(tx: &mut Tx<'_>, batch: &Batch) -> QueryResult<()> {
    const LOCK: &str = "LOCK TABLE shipping_rate, free_shipping IN SHARE ROW EXCLUSIVE MODE";
    if let (Tx::Postgres(conn), false) = (tx, batch.shipping_rates.is_empty() && batch.free_shipping.is_empty()) {
        Statement::<()>::new(LOCK).execute(*conn)?;
    }
    Ok(())
}

/// Checks the limits of the tables that every checkout reads whole.
pub(super) fn not_too_many(tx: &mut Tx<'_>, batch: &Batch) -> Result<(), TxError<Failure<ImportRefusal>>> {
    let rates: HashSet<&str> = batch.shipping_rates.iter().map(|rate| rate.id.0.as_str()).collect();
    if !rates.is_empty() {
        let stored = stored_rates(tx, batch)?.into_iter().map(|(id, ..)| id);
        fits(rates, stored, MAX_RATES, "shipping rates")?;
    }
    let promotions: HashSet<&str> = batch.free_shipping.iter().map(|promotion| promotion.id.as_str()).collect();
    if !promotions.is_empty() {
        let query =
            free_shipping::table.filter(free_shipping::currency.eq(batch.currency.code())).select(free_shipping::id);
        let query = query.limit(one_more_than(MAX_PROMOTIONS));
        let stored: Vec<String> = load!(tx, query)?;
        fits(promotions, stored, MAX_PROMOTIONS, "free-shipping promotions")?;
    }
    Ok(())
}

/// Rows of the batch replace stored rows with the same id.
fn fits(
    ids: HashSet<&str>,
    stored: impl IntoIterator<Item = String>,
    limit: usize,
    what: &'static str,
) -> Result<(), TxError<Failure<ImportRefusal>>> {
    let others = stored.into_iter().filter(|id| !ids.contains(id.as_str())).count();
    match ids.len() + others > limit {
        true => Err(refuse(ImportRefusal::TooMany { what, limit })),
        false => Ok(()),
    }
}

/// The stored rates of the batch's currency: id, country and service level. Earlier programs stored a country as the
/// import spelled it.
pub(super) fn stored_rates(tx: &mut Tx<'_>, batch: &Batch) -> QueryResult<Vec<(String, Option<Country>, String)>> {
    type Row = (String, Option<String>, String);
    let query = shipping_rate::table
        .filter(shipping_rate::currency.eq(batch.currency.code()))
        .select((shipping_rate::id, shipping_rate::country, shipping_rate::service_level))
        .limit(one_more_than(MAX_RATES));
    let rows: Vec<Row> = load!(tx, query)?;
    Ok(rows.into_iter().map(|(id, country, level)| (id, country.map(Country::from), level)).collect())
}

/// Only for a whole batch: one part may move rates to a country before the next part moves others away from it.
fn not_too_many_of_one_country(tx: &mut Tx<'_>, batch: &Batch) -> Result<(), TxError<Failure<ImportRefusal>>> {
    let rates = batch.shipping_rates.iter().map(|rate| (rate.id.0.clone(), rate.country.clone()));
    let mut by_id: HashMap<String, Option<Country>> = rates.collect();
    if by_id.is_empty() {
        return Ok(());
    }
    for (id, country, _) in stored_rates(tx, batch)? {
        by_id.entry(id).or_insert(country);
    }
    let mut counts = HashMap::<&Option<Country>, usize>::new();
    for country in by_id.values() {
        let count = counts.entry(country).or_default();
        *count += 1;
        if *count > MAX_RATES_OF_COUNTRY {
            let (what, limit) = ("shipping rates of one country", MAX_RATES_OF_COUNTRY);
            return Err(refuse(ImportRefusal::TooMany { what, limit }));
        }
    }
    Ok(())
}

/// Refuses an address that exceeds the limit of its customer. A stored address counts once.
fn books_are_not_overfull(tx: &mut Tx<'_>, batch: &Batch) -> Result<(), TxError<Failure<ImportRefusal>>> {
    let (mut kept, mut known) = (HashMap::<String, usize>::new(), HashSet::<(String, String)>::new());
    for chunk in batch.addresses.chunks(CHUNK) {
        let customers: HashSet<&str> = chunk.iter().map(|row| row.customer.as_str()).collect();
        let ids: HashSet<&str> = chunk.iter().map(|row| row.id.0.as_str()).collect();
        let of_them = || address::customer_id.eq_any(customers.iter().copied().collect::<Vec<_>>());
        let counts = address::table
            .filter(of_them())
            .group_by(address::customer_id)
            .select((address::customer_id, count_star()))
            .limit(CHUNK as i64);
        let counts: Vec<(String, i64)> = load!(tx, counts)?;
        kept.extend(
            counts.into_iter().map(|(customer, count)| (customer, usize::try_from(count).unwrap_or(usize::MAX))),
        );
        let pairs = address::table
            .filter(of_them().and(address::id.eq_any(ids.into_iter().collect::<Vec<_>>())))
            .select((address::customer_id, address::id))
            .limit((CHUNK * MAX_BOOK) as i64);
        let pairs: Vec<(String, String)> = load!(tx, pairs)?;
        known.extend(pairs);
    }
    for (row, address) in batch.addresses.iter().enumerate() {
        if known.insert((address.customer.clone(), address.id.0.clone())) {
            let of_customer = kept.entry(address.customer.clone()).or_default();
            *of_customer += 1;
            if *of_customer > MAX_IMPORTED {
                return Err(refuse(ImportRefusal::TooManyAddresses { row, limit: MAX_IMPORTED }));
            }
        }
    }
    Ok(())
}

/// Checks that stock rows name products, and addresses name customers, of the batch or of the shop.
pub(super) fn everything_named_is_known(tx: &mut Tx<'_>, batch: &Batch) -> Result<(), TxError<Failure<ImportRefusal>>> {
    let mut skus: HashSet<String> = batch.products.iter().map(|row| row.variant.sku.as_str().to_owned()).collect();
    let missing: Vec<&str> =
        batch.stock.iter().map(|row| row.sku.as_str()).filter(|sku| !skus.contains(*sku)).collect();
    for chunk in missing.chunks(CHUNK) {
        let query = variant::table.filter(variant::sku.eq_any(chunk)).select(variant::sku).limit(CHUNK as i64);
        let known: Vec<String> = load!(tx, query)?;
        skus.extend(known);
    }
    if let Some(row) = batch.stock.iter().position(|row| !skus.contains(row.sku.as_str())) {
        return Err(refuse(ImportRefusal::UnknownProduct(row)));
    }

    let mut customers: HashSet<String> = batch.customers.iter().map(|row| row.id.clone()).collect();
    let missing: Vec<&str> =
        batch.addresses.iter().map(|row| row.customer.as_str()).filter(|id| !customers.contains(*id)).collect();
    for chunk in missing.chunks(CHUNK) {
        let query = customer::table.filter(customer::id.eq_any(chunk)).select(customer::id).limit(CHUNK as i64);
        let known: Vec<String> = load!(tx, query)?;
        customers.extend(known);
    }
    match batch.addresses.iter().position(|row| !customers.contains(&row.customer)) {
        Some(row) => Err(refuse(ImportRefusal::UnknownCustomer(row))),
        None => Ok(()),
    }
}

/// Held stock is promised to a buyer whose payment is under way; an import cannot remove it.
pub(super) fn no_stock_below_held(
    tx: &mut Tx<'_>,
    batch: &Batch,
    locked: Locked,
) -> Result<(), TxError<Failure<ImportRefusal>>> {
    let mut wanted: Vec<&str> = batch.stock.iter().map(|row| row.sku.as_str()).collect();
    wanted.sort_unstable();
    let mut held = HashMap::<String, i64>::new();
    for chunk in wanted.chunks(CHUNK) {
        // In SKU order, like every lock on stock.
        let of_chunk = stock::table.filter(stock::sku.eq_any(chunk)).order(bytewise(tx, "sku"));
        let query = of_chunk.select((stock::sku, stock::held));
        let rows: Vec<(String, i64)> = match tx {
            Tx::Postgres(conn) if locked == Locked::Yes => query.for_update().load(*conn)?,
            Tx::Postgres(conn) => query.load(*conn)?,
            Tx::Sqlite(conn) => query.load(*conn)?,
        };
        held.extend(rows);
    }
    for (row, stock) in batch.stock.iter().enumerate() {
        let held = held.get(stock.sku.as_str()).copied().unwrap_or(0);
        if stock.on_hand < held {
            return Err(refuse(ImportRefusal::StockBelowHeld { row, held }));
        }
    }
    Ok(())
}
