//! The limits of an import, checked against the shop inside the import's transaction.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use diesel::dsl::count_star;
use diesel::prelude::*;
use domain::customer::Country;
use domain::fulfillment::{OptionId, ShippingRate};
use domain::import::{Batch, ImportRefusal};

use super::CHUNK;
use crate::customer::{MAX_BOOK, MAX_IMPORTED, learned_id};
use crate::database::{Decided, Statement, Tx, TxConn, among, bytewise, first, load, lock_all, refuse};
use crate::fulfillment::{MAX_PROMOTIONS, MAX_RATES, MAX_RATES_OF_COUNTRY};
use crate::schema::{address, customer, free_shipping, product, shipping_rate, stock, variant};
use crate::stored::one_more_than;

type Checked = Decided<(), ImportRefusal>;

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

/// Checks a whole batch before it is stored. Does not compare stock with held stock: see [`no_stock_below_held`].
pub(super) fn whole(tx: &mut Tx<'_>, batch: &Batch) -> Checked {
    not_too_many(tx, batch)?;
    references_are_known(tx, batch)?;
    rates_fit(tx, batch)?;
    emails_are_free(tx, batch)?;
    address_books_have_room(tx, batch)
}

/// Keeps other imports from writing to the tables with a limit until the transaction ends. Otherwise two imports could
/// each fit, and together exceed the limit. Buyers only read these tables. On SQLite only one transaction writes at a
/// time.
pub(super) fn lock_limited(tx: &mut Tx<'_>, batch: &Batch) -> QueryResult<()> {
    const LOCK: &str = "LOCK TABLE shipping_rate, free_shipping IN SHARE ROW EXCLUSIVE MODE";
    if let (TxConn::Postgres(conn), false) =
        (tx.conn()?, batch.shipping_rates.is_empty() && batch.free_shipping.is_empty())
    {
        Statement::<()>::new(LOCK).execute(*conn)?;
    }
    Ok(())
}

/// Checks the limits of the tables from which a checkout reads all rows of its currency.
pub(super) fn not_too_many(tx: &mut Tx<'_>, batch: &Batch) -> Checked {
    let rates: HashSet<&str> = batch.shipping_rates.iter().map(|rate| rate.id.0.as_str()).collect();
    if !rates.is_empty() {
        let stored = stored_rates(tx, batch)?.into_iter().map(|(id, _)| id);
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

/// Fails if `ids` and the other stored ids are together more than `limit`. Rows of the batch replace stored rows with
/// the same id.
fn fits(ids: HashSet<&str>, stored: impl IntoIterator<Item = String>, limit: usize, what: &'static str) -> Checked {
    let others = stored.into_iter().filter(|id| !ids.contains(id.as_str())).count();
    match ids.len() + others > limit {
        true => Err(refuse(ImportRefusal::TooMany { what, limit })),
        false => Ok(()),
    }
}

/// Where a rate applies, and its service level. A destination gets one rate for each service level.
type Service = (Option<Country>, String);

/// Returns the stored rates of the currency of the batch, each with its id. Earlier programs stored a country as the
/// import spelled it.
fn stored_rates(tx: &mut Tx<'_>, batch: &Batch) -> QueryResult<Vec<(String, Service)>> {
    type Row = (String, Option<String>, String);
    let query = shipping_rate::table
        .filter(shipping_rate::currency.eq(batch.currency.code()))
        .select((shipping_rate::id, shipping_rate::country, shipping_rate::service_level))
        .limit(one_more_than(MAX_RATES));
    let rows: Vec<Row> = load!(tx, query)?;
    Ok(rows.into_iter().map(|(id, country, level)| (id, (country.map(Country::from), level))).collect())
}

/// Checks that no country has too many rates, and no rate is for the same service as another. Only for a whole batch,
/// because one part may move rates to a country before the next part moves others away from it.
fn rates_fit(tx: &mut Tx<'_>, batch: &Batch) -> Checked {
    if batch.shipping_rates.is_empty() {
        return Ok(());
    }
    let service = |rate: &ShippingRate| (rate.country.clone(), rate.service_level.0.clone());
    let rates: Vec<_> = batch.shipping_rates.iter().map(|rate| (rate.id.0.as_str(), service(rate))).collect();
    let stored = stored_rates(tx, batch)?;
    let mut by_id: HashMap<&str, &Option<Country>> = rates.iter().map(|(id, (country, _))| (*id, country)).collect();
    for (id, (country, _)) in &stored {
        by_id.entry(id).or_insert(country);
    }
    let mut counts = HashMap::<&Option<Country>, usize>::new();
    by_id.into_values().for_each(|country| *counts.entry(country).or_default() += 1);
    if counts.into_values().any(|count| count > MAX_RATES_OF_COUNTRY) {
        let (what, limit) = ("shipping rates of one country", MAX_RATES_OF_COUNTRY);
        return Err(refuse(ImportRefusal::TooMany { what, limit }));
    }
    match first_taken(&rates, stored) {
        Some((row, id)) => Err(refuse(ImportRefusal::SameRate { row, id: OptionId(id) })),
        None => Ok(()),
    }
}

/// Checks that no other customer has the email address of a row, because orders find a customer by the email address. A
/// customer that was created from an order does not count: the address book offers the addresses of both, and no
/// purchase may block an import.
fn emails_are_free(tx: &mut Tx<'_>, batch: &Batch) -> Checked {
    /// The most customers that are read for one email address. Before this check existed, several could be stored.
    const COPIES: usize = 10;
    let customers: Vec<_> = batch.customers.iter().map(|row| (row.id.as_str(), row.email.key())).collect();
    let mut stored = Vec::<(String, String)>::new();
    for chunk in customers.chunks(CHUNK) {
        let query = customer::table
            .filter(among(customer::email, chunk.iter().map(|(_, email)| email)))
            .select((customer::id, customer::email))
            .limit((CHUNK * COPIES) as i64);
        let of_chunk: Vec<(String, String)> = load!(tx, query)?;
        stored.extend(of_chunk);
    }
    let named: HashSet<&str> = customers.iter().map(|(id, _)| *id).collect();
    stored.retain(|(id, email)| named.contains(id.as_str()) || *id != learned_id(email));
    match first_taken(&customers, stored) {
        Some((row, id)) => Err(refuse(ImportRefusal::SameEmail { row, id })),
        None => Ok(()),
    }
}

/// Returns the index of the first row whose unique value a stored row with another id has, and that id. A batch
/// replaces the stored rows that it names, so only other stored rows count. A duplicate that was stored before this
/// check existed may be stored again unchanged, so that an import can be repeated.
fn first_taken<V: Hash + Eq>(rows: &[(&str, V)], stored: Vec<(String, V)>) -> Option<(usize, String)> {
    let named: HashSet<&str> = rows.iter().map(|(id, _)| *id).collect();
    let (same, others): (Vec<_>, Vec<_>) = stored.into_iter().partition(|(id, _)| named.contains(id.as_str()));
    let same: HashSet<(&str, &V)> = same.iter().map(|(id, value)| (id.as_str(), value)).collect();
    let mut others: HashMap<V, String> = others.into_iter().map(|(id, value)| (value, id)).collect();
    let row = rows.iter().position(|(id, value)| others.contains_key(value) && !same.contains(&(*id, value)))?;
    others.remove(&rows[row].1).map(|id| (row, id))
}

/// Refuses an address that exceeds the limit of its customer. An address that is already stored is not counted again.
fn address_books_have_room(tx: &mut Tx<'_>, batch: &Batch) -> Checked {
    let (mut kept, mut known) = (HashMap::<String, usize>::new(), HashSet::<(String, String)>::new());
    for chunk in batch.addresses.chunks(CHUNK) {
        let customers: HashSet<&str> = chunk.iter().map(|row| row.customer.as_str()).collect();
        let ids: HashSet<&str> = chunk.iter().map(|row| row.id.0.as_str()).collect();
        let of_them = || among(address::customer_id, &customers);
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
            .filter(of_them().and(among(address::id, ids)))
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

/// Checks that each stock row names a product, and each address a customer, that is in the batch or stored in the shop.
pub(super) fn references_are_known(tx: &mut Tx<'_>, batch: &Batch) -> Checked {
    let own = batch.products.iter().map(|row| row.variant.sku.as_str()).collect();
    let named: Vec<&str> = batch.stock.iter().map(|row| row.sku.as_str()).collect();
    let unknown = first_unknown(own, &named, |chunk| {
        let query = variant::table.filter(among(variant::sku, chunk)).select(variant::sku).limit(CHUNK as i64);
        load!(tx, query)
    })?;
    if let Some(row) = unknown {
        return Err(refuse(ImportRefusal::UnknownProduct(row)));
    }
    let own = batch.customers.iter().map(|row| row.id.as_str()).collect();
    let named: Vec<&str> = batch.addresses.iter().map(|row| row.customer.as_str()).collect();
    let unknown = first_unknown(own, &named, |chunk| {
        let query = customer::table.filter(among(customer::id, chunk)).select(customer::id).limit(CHUNK as i64);
        load!(tx, query)
    })?;
    match unknown {
        Some(row) => Err(refuse(ImportRefusal::UnknownCustomer(row))),
        None => Ok(()),
    }
}

/// Returns the index of the first of the `named` that is neither in the batch (`own`) nor in the shop. `stored` returns
/// those of the given names that the shop has.
fn first_unknown(
    own: HashSet<&str>,
    named: &[&str],
    mut stored: impl FnMut(&[&str]) -> QueryResult<Vec<String>>,
) -> QueryResult<Option<usize>> {
    let missing: Vec<&str> = named.iter().copied().filter(|name| !own.contains(name)).collect();
    let mut found = HashSet::new();
    for chunk in missing.chunks(CHUNK) {
        found.extend(stored(chunk)?);
    }
    Ok(named.iter().position(|name| !own.contains(name) && !found.contains(*name)))
}

/// Refuses a stock row below the held quantity, because held stock is promised to buyers whose payment is under way.
pub(super) fn no_stock_below_held(tx: &mut Tx<'_>, batch: &Batch, locked: Locked) -> Checked {
    let mut wanted: Vec<&str> = batch.stock.iter().map(|row| row.sku.as_str()).collect();
    wanted.sort_unstable();
    let mut held = HashMap::<String, i64>::new();
    for chunk in wanted.chunks(CHUNK) {
        // In SKU order, like every lock on stock.
        let of_chunk = stock::table.filter(among(stock::sku, chunk)).order(bytewise(tx, "sku"));
        let query = of_chunk.select((stock::sku, stock::held));
        let rows: Vec<(String, i64)> = match locked {
            Locked::Yes => lock_all!(tx, query)?,
            Locked::No => load!(tx, query)?,
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
