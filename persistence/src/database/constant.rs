//! SQL of our own whose text is constant: each connection prepares it once.
//!
//! `diesel::sql_query` and `diesel::dsl::sql` are prepared anew for every run, because their texts could be without end.
//! The engine then parses and plans each time, and Postgres is asked twice. So both are only for what runs seldom.
//! A text of this module is kept, prepared, for as long as its connection: build it from constants only, and hand over
//! what varies as a value.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::expression::{ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Integer, SingleValue, Text, Untyped};

/// An expression of SQL type `ST`, to be used in a query of the library.
#[derive(Clone, Debug)]
pub(crate) struct Constant<ST> {
    text: Cow<'static, str>,
    sql_type: PhantomData<ST>,
}

/// The type is not checked against the text.
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
/// Queries that have one in them are told apart by their whole text.
impl<ST> QueryId for Constant<ST> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<ST, Source> AppearsOnTable<Source> for Constant<ST> where Self: Expression {}
impl<ST, Source> SelectableExpression<Source> for Constant<ST> where Self: Expression {}
impl<ST, GroupBy> ValidGrouping<GroupBy> for Constant<ST> {
    type IsAggregate = is_aggregate::Never;
}

/// A statement of the library that it would prepare anew each time, since the columns of an update may differ from run to
/// run. Only for one whose text does not.
pub(crate) struct Prepared<Q>(pub(crate) Q);

impl<DB: Backend, Q: QueryFragment<DB>> QueryFragment<DB> for Prepared<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}
/// By its whole text: two that differ are two statements.
impl<Q> QueryId for Prepared<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<Q: Query> Query for Prepared<Q> {
    type SqlType = Q::SqlType;
}
impl<Q, Conn> RunQueryDsl<Conn> for Prepared<Q> {}

/// A whole statement. `$1` in its text is the first of its values, as often as it appears.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Integer(i32),
    BigInt(i64),
}

impl Statement {
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), values: Vec::new() }
    }

    pub(crate) fn text(mut self, value: &str) -> Self {
        self.values.push(Value::Text(value.to_owned()));
        self
    }

    pub(crate) fn integer(mut self, value: i32) -> Self {
        self.values.push(Value::Integer(value));
        self
    }

    pub(crate) fn bigint(mut self, value: i64) -> Self {
        self.values.push(Value::BigInt(value));
        self
    }
}

impl<DB> QueryFragment<DB> for Statement
where
    DB: Backend + HasSqlType<Text> + HasSqlType<Integer> + HasSqlType<BigInt>,
    String: ToSql<Text, DB>,
    i32: ToSql<Integer, DB>,
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
                Some(Value::Integer(value)) => out.push_bind_param::<Integer, _>(value)?,
                Some(Value::BigInt(value)) => out.push_bind_param::<BigInt, _>(value)?,
                None => return Err(Error::QueryBuilderError(format!("no value for ${number}").into())),
            }
            out.push_sql(rest);
        }
        Ok(())
    }
}
impl QueryId for Statement {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
/// Rows are read by name.
impl Query for Statement {
    type SqlType = Untyped;
}
impl<Conn> RunQueryDsl<Conn> for Statement {}
