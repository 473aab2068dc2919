//! Stock rows, locked in SKU order so that two checkouts cannot deadlock.

use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_types::Text;
use domain::catalog::Sku;
use domain::stock::{Demand, StockChange, StockLevel};

use crate::catalog::sku;
use crate::database::{Engine, Statement, Tx, among, load};
use crate::schema::stock;

/// $1 the units of each SKU as a JSON object, $2 and $3 what is added to `on_hand` and `held` for each unit.
const CHANGE_ON_SQLITE: &str = "\
    UPDATE stock SET on_hand = on_hand + $2 * d.value, held = held + $3 * d.value FROM json_each($1) d \
    WHERE sku = d.key AND on_hand - held >= $3 * d.value RETURNING sku";

/// The subquery locks the rows in SKU order before one of them is changed, and returns them as they are after the wait for
/// the locks. The new values and the condition use these rows, because `t` is the row as it was when the statement began.
/// `OFFSET 0` keeps the planner from checking the condition inside the subquery, before the rows are locked.
const CHANGE_ON_POSTGRES: &str = "\
    UPDATE stock t SET on_hand = d.on_hand + $2 * d.units, held = d.held + $3 * d.units FROM ( \
      SELECT s.sku, s.on_hand, s.held, CAST(u.value AS BIGINT) AS units \
      FROM json_each_text(CAST($1 AS JSON)) u \
      JOIN stock s ON s.sku = u.key ORDER BY s.sku COLLATE \"C\" FOR UPDATE OF s OFFSET 0) d \
    WHERE t.sku = d.sku AND d.on_hand - d.held >= $3 * d.units RETURNING t.sku";

/// The current levels of every SKU in `demand`, without a lock.
pub(crate) fn read(tx: &mut Tx<'_>, demand: &Demand) -> QueryResult<Vec<StockLevel>> {
    let skus = demand.keys().map(|sku| sku.as_str());
    let query = stock::table.filter(among(stock::sku, skus)).select((stock::sku, stock::on_hand, stock::held));
    let rows: Vec<(String, i64, i64)> = load!(tx, query)?;
    rows.into_iter().map(level).collect()
}

fn level((id, on_hand, held): (String, i64, i64)) -> QueryResult<StockLevel> {
    Ok(StockLevel { sku: sku(&id)?, on_hand, held })
}

/// Changes the stock of every SKU in `demand`, and returns the SKUs that were changed. A hold changes a SKU only if all
/// of its demanded units are available. If it returns fewer SKUs than `demand` has, the caller must release them.
///
/// A caller changes the stock as late as possible before its commit, because many transactions wait for the same rows.
pub(crate) fn change(tx: &mut Tx<'_>, demand: &Demand, change: StockChange) -> QueryResult<Vec<Sku>> {
    let (on_hand, held) = change.per_unit();
    let units = serde_json::to_string(demand).map_err(|error| Error::SerializationError(error.into()))?;
    let text = match tx.engine() {
        Engine::Sqlite => CHANGE_ON_SQLITE,
        Engine::Postgres => CHANGE_ON_POSTGRES,
    };
    let change = Statement::<Text>::new(text).text(&units).bigint(on_hand).bigint(held);
    let changed: Vec<String> = load!(tx, change)?;
    changed.iter().map(|changed| sku(changed)).collect()
}
