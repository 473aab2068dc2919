//! Stores an import: a small one in one transaction, a large one in parts.
//!
//! On SQLite no other transaction can write during an import's transaction, and on Postgres no sale can use the rows
//! that it has locked. So each part is short, and stock comes last in each part and in the whole. Storing a part
//! without stock again changes nothing.

mod checks;
mod parts;
mod store;

use std::sync::Arc;

use checks::Locked;
use domain::PortFuture;
use domain::context::RequestContext;
use domain::fault::Failure;
use domain::import::{Batch, Import, ImportRefusal, Progress};

use crate::database::{Database, Operation, Tx};

/// The most rows in one statement, on an engine that takes several. Postgres allows 65 535 parameters in a statement.
const CHUNK: usize = 500;

/// The [`Import`] in the database.
pub struct SqlImport(pub Database);

impl Import for SqlImport {
    fn import(&self, ctx: &RequestContext, batch: Batch, progress: Progress) -> PortFuture<(), Failure<ImportRefusal>> {
        let (database, ctx) = (self.0.clone(), ctx.clone());
        Box::pin(async move {
            let rows = batch.rows();
            if rows > Batch::ATOMIC_ROWS {
                // Checked before anything is stored, so that most mistakes leave the shop unchanged.
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
                // Settlements change stock too, so a second run could put sold units back on hand.
                let op = match part.batch.stock.is_empty() {
                    true => Operation::repeatable_write("import.store", "it stores the same rows again"),
                    false => Operation::write("import.store"),
                };
                let store = move |tx: &mut Tx<'_>| {
                    checks::lock_limited(tx, &this.batch)?;
                    match this.is_whole {
                        true => checks::whole(tx, &this.batch)?,
                        // The whole batch was checked before. These checks see what was added to the shop since then.
                        false => {
                            checks::not_too_many(tx, &this.batch)?;
                            checks::references_are_known(tx, &this.batch)?;
                        }
                    }
                    store::store(tx, &this.batch, &|rows| progress(stored + rows))
                };
                database.run(&ctx, op, store).await.map_err(|error| {
                    match (part.renumber_for_batch(error), stored) {
                        (cause, 0) => cause,
                        (cause, stored) => ImportRefusal::Interrupted { stored, cause: Box::new(cause) }.into(),
                    }
                })?;
                stored += part.batch.rows();
            }
            Ok(())
        })
    }

    fn is_empty(&self, ctx: &RequestContext) -> PortFuture<bool, domain::fault::Fault> {
        self.0.run(ctx, Operation::read_one("import.is_empty"), |tx| Ok(checks::has_no_products(tx)?))
    }
}
