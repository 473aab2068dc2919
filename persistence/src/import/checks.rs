//! What an import may not do, checked against the shop inside its transaction.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use domain::import::{Batch, ImportError, StockBelowHeld};

use super::CHUNK;
use crate::database::{Tx, TxError, bytewise, on_backend};
use crate::fulfillment::MAX_ROWS;
use crate::schema::{customer, free_shipping, product, shipping_rate, stock, variant};

pub(super) fn has_no_products(tx: &mut Tx<'_>) -> QueryResult<bool> {
    let query = product::table.select(product::id).limit(1);
    let any: Option<String> = on_backend!(tx, |conn| query.first(*conn).optional())?;
    Ok(any.is_none())
}

/// Whether rows are locked when they are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    Yes,
    No,
}

/// All that can be known of a batch before it is stored.
pub(super) fn everything(tx: &mut Tx<'_>, batch: &Batch, locked: Locked) -> Result<(), TxError<ImportError>> {
    everything_named_is_known(tx, batch)?;
    no_stock_below_held(tx, batch, locked)
}

/// Of what is read whole by every checkout there is a limit. Counted once it is stored: rows may replace others.
pub(super) fn not_too_many(tx: &mut Tx<'_>, batch: &Batch) -> Result<(), TxError<ImportError>> {
    let limit = MAX_ROWS;
    let refuse = |what| Err(TxError::Refused(ImportError::TooMany { what, limit }));
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    if !batch.shipping_rates.is_empty() {
        let rates = shipping_rate::table.filter(shipping_rate::currency.eq(batch.currency.code())).count();
        if on_backend!(tx, |conn| rates.get_result::<i64>(*conn))? > most {
            return refuse("shipping rates");
        }
    }
    if !batch.free_shipping.is_empty() {
        let promotions = free_shipping::table.filter(free_shipping::currency.eq(batch.currency.code())).count();
        if on_backend!(tx, |conn| promotions.get_result::<i64>(*conn))? > most {
            return refuse("free-shipping promotions");
        }
    }
    Ok(())
}

/// Stock rows name products, and addresses name customers, of the batch or of the shop.
pub(super) fn everything_named_is_known(tx: &mut Tx<'_>, batch: &Batch) -> Result<(), TxError<ImportError>> {
    let mut skus: HashSet<String> = batch.products.iter().map(|row| row.variant.sku.as_str().to_owned()).collect();
    let missing: Vec<&str> =
        batch.stock.iter().map(|row| row.sku.as_str()).filter(|sku| !skus.contains(*sku)).collect();
    for chunk in missing.chunks(CHUNK) {
        let query = variant::table.filter(variant::sku.eq_any(chunk)).select(variant::sku).limit(CHUNK as i64);
        let known: Vec<String> = on_backend!(tx, |conn| query.load(*conn))?;
        skus.extend(known);
    }
    if let Some(row) = batch.stock.iter().position(|row| !skus.contains(row.sku.as_str())) {
        return Err(TxError::Refused(ImportError::UnknownProduct(row)));
    }

    let mut customers: HashSet<String> = batch.customers.iter().map(|row| row.id.clone()).collect();
    let missing: Vec<&str> =
        batch.addresses.iter().map(|row| row.customer.as_str()).filter(|id| !customers.contains(*id)).collect();
    for chunk in missing.chunks(CHUNK) {
        let query = customer::table.filter(customer::id.eq_any(chunk)).select(customer::id).limit(CHUNK as i64);
        let known: Vec<String> = on_backend!(tx, |conn| query.load(*conn))?;
        customers.extend(known);
    }
    match batch.addresses.iter().position(|row| !customers.contains(&row.customer)) {
        Some(row) => Err(TxError::Refused(ImportError::UnknownCustomer(row))),
        None => Ok(()),
    }
}

/// What is held is promised to a buyer whose payment is under way; an import cannot take it away.
pub(super) fn no_stock_below_held(tx: &mut Tx<'_>, batch: &Batch, locked: Locked) -> Result<(), TxError<ImportError>> {
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
            let refused = StockBelowHeld { row, sku: stock.sku.clone(), held };
            return Err(TxError::Refused(ImportError::StockBelowHeld(refused)));
        }
    }
    Ok(())
}
