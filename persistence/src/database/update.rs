//! `UPDATE` statements that each connection prepares once.
//!
//! `diesel::update` is prepared again for every run, because the changed columns may differ. A connection keeps each
//! text of an [`Update`] prepared until it is closed. The number of texts is bounded: one for each `set` in the code,
//! two for each column whose change is optional, and those of deferred writes.

use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, IntoUpdateTarget, QueryFragment, QueryId, UpdateTarget};
use diesel::query_source::QuerySource;

/// Begins an update of the rows of `target`, as `diesel::update` does.
pub(crate) fn update<T: IntoUpdateTarget>(target: T) -> Target<T::Table, T::WhereClause> {
    Target(target.into_update_target())
}

/// The rows to update.
pub(crate) struct Target<Table, Where>(UpdateTarget<Table, Where>);

impl<Table: QuerySource, Where> Target<Table, Where> {
    /// The update that makes these changes, which must be at least one.
    pub(crate) fn set<C>(self, changes: C) -> Update<Table, Where, C::Changeset>
    where
        C: AsChangeset<Target = Table>,
    {
        let UpdateTarget { table, where_clause } = self.0;
        Update { table: table.from_clause(), condition: where_clause, changes: changes.as_changeset() }
    }
}

/// A whole `UPDATE` statement.
pub(crate) struct Update<Table: QuerySource, Where, Changes> {
    table: Table::FromClause,
    condition: Where,
    changes: Changes,
}

impl<Table, Where, Changes, DB> QueryFragment<DB> for Update<Table, Where, Changes>
where
    DB: Backend,
    Table: QuerySource,
    Table::FromClause: QueryFragment<DB>,
    Where: QueryFragment<DB>,
    Changes: QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("UPDATE ");
        self.table.walk_ast(out.reborrow())?;
        out.push_sql(" SET ");
        self.changes.walk_ast(out.reborrow())?;
        self.condition.walk_ast(out)
    }
}
/// Diesel caches the statement under its whole SQL text.
impl<Table: QuerySource, Where, Changes> QueryId for Update<Table, Where, Changes> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<Table: QuerySource, Where, Changes, Conn> RunQueryDsl<Conn> for Update<Table, Where, Changes> {}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
