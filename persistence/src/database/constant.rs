//! Hand-written SQL whose text is constant. Each connection prepares it once.
//!
//! Diesel prepares a `diesel::sql_query` or a `diesel::dsl::sql` again for every run, because the number of their texts
//! is unbounded. That costs Postgres a second round trip, so both are only for statements that run seldom. A connection
//! keeps each text of this module prepared until it is closed. So a text is built from constants and settings of the
//! process only; everything else is passed as a value.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::expression::{ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, SingleValue, Text};

/// An expression of SQL type `ST`, for use in a diesel query.
#[derive(Clone, Debug)]
pub(crate) struct Constant<ST> {
    text: Cow<'static, str>,
    sql_type: PhantomData<ST>,
}

/// An expression with this text. The compiler does not check that its type is `ST`.
pub(crate) fn constant<ST>(text: impl Into<Cow<'static, str>>) -> Constant<ST> {
    Constant { text: text.into(), sql_type: PhantomData }
}

impl<ST: SingleValue> Expression for Constant<ST> {
    type SqlType = ST;
}
impl<ST, DB: Backend> QueryFragment<DB> for Constant<ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(&self.text);
        Ok(())
    }
}
/// Diesel caches a query with such an expression under its whole SQL text.
impl<ST> QueryId for Constant<ST> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<ST, Source> AppearsOnTable<Source> for Constant<ST> where Self: Expression {}
impl<ST, Source> SelectableExpression<Source> for Constant<ST> where Self: Expression {}
impl<ST, GroupBy> ValidGrouping<GroupBy> for Constant<ST> {
    type IsAggregate = is_aggregate::Never;
}

/// A whole statement, whose columns have the SQL types `ST`. `$1` in its text means the first of its values, and may
/// appear more than once.
#[derive(Clone, Debug)]
pub(crate) struct Statement<ST> {
    text: Cow<'static, str>,
    values: Vec<Value>,
    columns: PhantomData<ST>,
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    BigInt(i64),
}

impl<ST> Statement<ST> {
    /// A statement with this text. The compiler does not check that its columns have the types `ST`.
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), values: Vec::new(), columns: PhantomData }
    }

    pub(crate) fn text(mut self, value: &str) -> Self {
        self.values.push(Value::Text(value.to_owned()));
        self
    }

    pub(crate) fn bigint(mut self, value: impl Into<i64>) -> Self {
        self.values.push(Value::BigInt(value.into()));
        self
    }
}

impl<ST, DB> QueryFragment<DB> for Statement<ST>
where
    DB: Backend + HasSqlType<Text> + HasSqlType<BigInt>,
    String: ToSql<Text, DB>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let mut pieces = self.text.split('$');
        out.push_sql(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (number, rest) = piece.split_at(piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len()));
            let place = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            match place.and_then(|place| self.values.get(place)) {
                Some(Value::Text(value)) => out.push_bind_param::<Text, _>(value)?,
                Some(Value::BigInt(value)) => out.push_bind_param::<BigInt, _>(value)?,
                None => return Err(Error::QueryBuilderError(format!("no value for ${number}").into())),
            }
            out.push_sql(rest);
        }
        Ok(())
    }
}
impl<ST> QueryId for Statement<ST> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<ST> Query for Statement<ST> {
    type SqlType = ST;
}
impl<ST, Conn> RunQueryDsl<Conn> for Statement<ST> {}

#[cfg(test)]
#[path = "constant_tests.rs"]
mod tests;
