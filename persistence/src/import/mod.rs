//! Storing an import: a small one in one transaction, a large one in parts.
//!
//! On SQLite no other transaction can write while one is open, and on Postgres none can sell what it has locked. So each
//! part is short, and stock comes last in each and in all. To store a part again changes nothing.
//!
//! Each table has its rows and one upsert. Postgres takes many rows in one statement, SQLite one at a time (it pays no
//! round trip); [`upsert`] is the only place that knows.

mod checks;
mod duplicates;
mod parts;
mod rows;

use std::sync::Arc;

use checks::Locked;
use diesel::prelude::*;
use domain::PortFuture;
use domain::context::RequestContext;
use domain::fault::Failure;
use domain::import::{Batch, Import, ImportRefusal, Imported, Progress};

use crate::database::{Database, Operation, Tx, TxError};
use crate::schema::{
    address, customer, discount, free_shipping, payment_instrument, product, shipping_rate, stock, variant,
};

/// Rows in one statement, where the engine takes many. Bounded by Postgres's 65 535 parameters.
const CHUNK: usize = 500;

pub struct SqlImport {
    database: Database,
}

impl SqlImport {
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl Import for SqlImport {
    fn import(
        &self,
        ctx: &RequestContext,
        batch: Batch,
        progress: Progress,
    ) -> PortFuture<Imported, Failure<ImportRefusal>> {
        let (database, ctx) = (self.database.clone(), ctx.clone());
        Box::pin(async move {
            let rows = batch.rows();
            if rows > Batch::ATOMIC_ROWS {
                // Refused before anything is stored, if it can be known before.
                let whole = batch.clone();
                let check = move |tx: &mut Tx<'_>| {
                    checks::whole(tx, &whole)?;
                    checks::no_stock_below_held(tx, &whole, Locked::No)
                };
                database.run(&ctx, Operation::read("import.check"), check).await?;
            }
            let mut stored = 0;
            for part in parts::of(batch) {
                let part = Arc::new(part);
                let (this, progress) = (part.clone(), progress.clone());
                let op = Operation::repeatable_write("import.store", "it stores the same rows again");
                let store = move |tx: &mut Tx<'_>| {
                    checks::lock_limited(tx, &this.batch)?;
                    match this.is_whole {
                        true => checks::whole(tx, &this.batch)?,
                        // The whole was checked. What the shop has more of since then is seen here.
                        false => {
                            checks::not_too_many(tx, &this.batch)?;
                            checks::everything_named_is_known(tx, &this.batch)?;
                        }
                    }
                    store(tx, &this.batch, &|rows| progress(stored + rows))
                };
                database.run(&ctx, op, store).await.map_err(|error| match (part.in_batch(error), stored) {
                    (cause, 0) => cause,
                    (cause, stored) => ImportRefusal::Interrupted { stored, cause: Box::new(cause) }.into(),
                })?;
                stored += part.batch.rows();
            }
            Ok(Imported { rows })
        })
    }

    fn is_empty(&self, ctx: &RequestContext) -> PortFuture<bool, domain::fault::Fault> {
        self.database.run(ctx, Operation::read("import.is_empty"), |tx| Ok(checks::has_no_products(tx)?))
    }
}

/// Inserts rows or, where the key exists, replaces the named columns.
macro_rules! upsert {
    ($tx:expr, $told:expr, $table:ident, $key:expr, [$($column:ident),+], $rows:expr) => {{
        let rows = $rows;
        for chunk in rows.chunks(CHUNK) {
            match &mut *$tx {
                Tx::Sqlite(conn) => {
                    for row in chunk {
                        diesel::insert_into($table::table)
                            .values(row)
                            .on_conflict($key)
                            .do_update()
                            .set(($($table::$column.eq(diesel::upsert::excluded($table::$column)),)+))
                            .execute(*conn)?;
                    }
                }
                Tx::Postgres(conn) => {
                    diesel::insert_into($table::table)
                        .values(chunk)
                        .on_conflict($key)
                        .do_update()
                        .set(($($table::$column.eq(diesel::upsert::excluded($table::$column)),)+))
                        .execute(*conn)?;
                }
            }
            $told(chunk.len());
        }
    }};
}

fn store(tx: &mut Tx<'_>, batch: &Batch, progress: &dyn Fn(usize)) -> Result<(), TxError<Failure<ImportRefusal>>> {
    let mut stored = 0;
    let mut told = |rows: usize| {
        stored += rows;
        progress(stored);
    };
    // A product and its only variant are one row of a batch; it is told when both are stored.
    upsert!(tx, |_| (), product, product::id, [title, image_url], rows::products(batch));
    upsert!(
        tx,
        told,
        variant,
        variant::sku,
        [product_id, title, image_url, price, currency, requires_shipping],
        rows::variants(batch)
    );
    upsert!(tx, told, customer, customer::id, [name, email], rows::customers(batch));
    upsert!(
        tx,
        told,
        address,
        (address::customer_id, address::id),
        [street, extended, locality, region, postal_code, country, first_name, last_name, phone_number],
        rows::addresses(batch)
    );
    upsert!(
        tx,
        told,
        shipping_rate,
        shipping_rate::id,
        [country, service_level, price, currency, title],
        rows::shipping_rates(batch)
    );
    upsert!(
        tx,
        told,
        discount,
        discount::code,
        [kind, value, currency, eligible_skus, description],
        rows::discounts(batch)?
    );
    upsert!(
        tx,
        told,
        free_shipping,
        free_shipping::id,
        [min_subtotal, currency, eligible_skus, description],
        rows::free_shipping(batch)?
    );
    upsert!(
        tx,
        told,
        payment_instrument,
        payment_instrument::id,
        [kind, brand, last_digits, token, handler],
        rows::instruments(batch)
    );
    // Locked last, as in every transaction.
    checks::no_stock_below_held(tx, batch, Locked::Yes)?;
    upsert!(tx, told, stock, stock::sku, [on_hand], rows::stock(batch));
    Ok(())
}
