//! Stock rows, locked in SKU order so that two checkouts cannot deadlock.

use diesel::prelude::*;
use domain::stock::{Demand, StockLevel};

use crate::catalog::sku;
use crate::database::{Tx, bytewise, execute, load, lock_all, update};
use crate::schema::stock;

/// The current levels of every SKU in `demand`, without a lock.
pub(crate) fn read(tx: &mut Tx<'_>, demand: &Demand) -> QueryResult<Vec<StockLevel>> {
    let skus = demand.keys().map(|sku| sku.as_str());
    let query = stock::table.filter(stock::sku.eq_any(skus)).select((stock::sku, stock::on_hand, stock::held));
    let rows: Vec<(String, i64, i64)> = load!(tx, query)?;
    rows.into_iter().map(level).collect()
}

/// Returns the stock levels of every SKU in `demand`. On Postgres the rows are locked until the transaction ends; on
/// SQLite the transaction already holds the only write lock.
///
/// A caller locks stock rows as late as possible before its commit, because many transactions wait for the same rows.
pub(crate) fn lock(tx: &mut Tx<'_>, demand: &Demand) -> QueryResult<Vec<StockLevel>> {
    let skus: Vec<&str> = demand.keys().map(|sku| sku.as_str()).collect();
    let query = stock::table.filter(stock::sku.eq_any(skus)).order(bytewise(tx, "sku")).select((
        stock::sku,
        stock::on_hand,
        stock::held,
    ));
    let rows: Vec<(String, i64, i64)> = lock_all!(tx, query)?;
    rows.into_iter().map(level).collect()
}

/// Locks the stock rows and returns their current levels, like [`lock`]. `read` are the levels that this transaction
/// has read without a lock. On SQLite they cannot have changed since, and are returned.
pub(crate) fn lock_again(tx: &mut Tx<'_>, demand: &Demand, read: Vec<StockLevel>) -> QueryResult<Vec<StockLevel>> {
    match tx {
        Tx::Sqlite(_) => Ok(read),
        Tx::Postgres(_) => lock(tx, demand),
    }
}

fn level((id, on_hand, held): (String, i64, i64)) -> QueryResult<StockLevel> {
    Ok(StockLevel { sku: sku(&id)?, on_hand, held })
}

pub(crate) fn write(tx: &mut Tx<'_>, levels: &[StockLevel]) -> QueryResult<()> {
    for level in levels {
        let change = update(stock::table.find(level.sku.as_str()))
            .set((stock::on_hand.eq(level.on_hand), stock::held.eq(level.held)));
        execute!(tx, change)?;
    }
    Ok(())
}
