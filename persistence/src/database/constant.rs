//! Hand-written SQL whose text is constant. Each connection prepares it once.
//!
//! Diesel prepares a `diesel::sql_query` or a `diesel::dsl::sql` again for every run, because the number of their texts
//! is unbounded. That costs Postgres a second round trip, so both are only for statements that run seldom. A connection
//! keeps each text of this module prepared until it is closed. So a text is built from constants only; everything else
//! is passed as a value.

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
/// Diesel distinguishes queries with such an expression by their whole text.
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
mod tests {
    use std::sync::{Arc, Mutex};

    use diesel::connection::{InstrumentationEvent, SimpleConnection};

    use super::*;

    diesel::table! {
        level (sku) {
            sku -> Text,
            held -> BigInt,
        }
    }

    #[test]
    fn statement_with_other_values_is_not_prepared_again() {
        let mut conn = SqliteConnection::establish(":memory:").expect("a database");
        conn.batch_execute("CREATE TABLE level (sku TEXT NOT NULL PRIMARY KEY, held BIGINT NOT NULL)")
            .expect("a table");
        let prepared = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&prepared);
        conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::CacheQuery { sql, .. } = event {
                seen.lock().expect("sound").push(sql.to_owned());
            }
        });
        for held in 1..=3 {
            let sku = format!("sku_{held}");
            diesel::insert_into(level::table)
                .values((level::sku.eq(&sku), level::held.eq(held)))
                .execute(&mut conn)
                .expect("stored");
            diesel::update(level::table.find(&sku)).set(level::held.eq(held * 10)).execute(&mut conn).expect("updated");
            let query = level::table.filter(constant::<diesel::sql_types::Bool>("held > 0").and(level::sku.eq(&sku)));
            let found: Vec<(String, i64)> = query.load(&mut conn).expect("read");
            assert_eq!(found, [(sku.clone(), held * 10)]);
            // The second value is used twice.
            let text = "SELECT sku FROM level WHERE sku = $1 AND held >= $2 AND held <= $2";
            let query = Statement::<Text>::new(text).text(&sku).bigint(held * 10);
            let found: Vec<String> = query.load(&mut conn).expect("read");
            assert_eq!(found, [sku]);
        }
        let prepared = prepared.lock().expect("sound");
        // Diesel prepares updates each time, because their columns may differ.
        let kept: Vec<_> = prepared.iter().map(|sql| &sql[..6]).collect();
        assert_eq!(kept, ["INSERT", "SELECT", "SELECT"], "{prepared:#?}");
    }

    #[test]
    fn statement_without_one_of_its_values_is_an_error() {
        let mut conn = SqliteConnection::establish(":memory:").expect("a database");
        for text in ["SELECT $2 AS sku", "SELECT $0 AS sku", "SELECT $ AS sku"] {
            let refused = Statement::<Text>::new(text).text("one").load::<String>(&mut conn).map(drop);
            assert!(matches!(refused, Err(Error::QueryBuilderError(_))), "{text}: {refused:?}");
        }
    }
}
