//! `column IN (...)` for any number of texts, in a statement that each connection prepares once.
//!
//! With `eq_any`, diesel sends each value to SQLite as a parameter of its own, and prepares the statement again for every
//! run, because the number of values may differ.

use diesel::expression::{ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, Bool, Text};
use diesel::sqlite::Sqlite;

/// Whether the value of `column` is one of `values`.
pub(crate) fn among<C: Expression<SqlType = Text>>(column: C, values: impl IntoIterator<Item: AsRef<str>>) -> Among<C> {
    let values: Vec<String> = values.into_iter().map(|value| value.as_ref().to_owned()).collect();
    Among { column, json: serde_json::Value::from(values.as_slice()).to_string(), values }
}

/// A condition: see [`among`].
#[derive(Clone, Debug)]
pub(crate) struct Among<C> {
    column: C,
    values: Vec<String>,
    /// The values as a JSON array.
    json: String,
}

impl<C: QueryFragment<Pg>> QueryFragment<Pg> for Among<C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(" = ANY(");
        out.push_bind_param::<Array<Text>, _>(&self.values)?;
        out.push_sql(")");
        Ok(())
    }
}
impl<C: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Among<C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(" IN (SELECT value FROM json_each(");
        out.push_bind_param::<Text, _>(&self.json)?;
        out.push_sql("))");
        Ok(())
    }
}
impl<C> Expression for Among<C> {
    type SqlType = Bool;
}
/// Diesel caches a query with such a condition under its whole SQL text.
impl<C> QueryId for Among<C> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<C: AppearsOnTable<Source>, Source> AppearsOnTable<Source> for Among<C> {}
impl<C: SelectableExpression<Source>, Source> SelectableExpression<Source> for Among<C> {}
impl<C, GroupBy> ValidGrouping<GroupBy> for Among<C> {
    type IsAggregate = is_aggregate::No;
}
