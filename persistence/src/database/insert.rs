//! `INSERT` statements of several rows that each connection prepares once.
//!
//! Diesel prepares an insert of several rows again for every run, because the number of rows may differ. That costs
//! Postgres a second round trip. Here the number of rows is at most [`MOST_ROWS`], so a connection keeps at most as many
//! texts prepared for each table.

use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};

/// The most rows of one statement. More rows are inserted by several statements.
pub(crate) const MOST_ROWS: usize = 8;

/// Inserts the rows of a slice.
macro_rules! insert_all {
    ($tx:expr, $table:expr, $rows:expr) => {
        $rows.chunks($crate::database::MOST_ROWS).try_for_each(|rows| {
            let insert = diesel::insert_into($table).values(rows);
            match $tx {
                $crate::database::Tx::Sqlite(conn) => insert.execute(*conn),
                $crate::database::Tx::Postgres(conn) => $crate::database::Prepared(insert).execute(*conn),
            }
            .map(drop)
        })
    };
}
pub(crate) use insert_all;

/// A statement that stays prepared. Only for statements whose number of texts is small.
pub(crate) struct Prepared<S>(pub(crate) S);

impl<S: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for Prepared<S> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}
/// Diesel caches the statement under its whole SQL text.
impl<S> QueryId for Prepared<S> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<S, Conn> RunQueryDsl<Conn> for Prepared<S> {}
