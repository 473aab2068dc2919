//! Writes that Postgres runs as one statement.
//!
//! The writes of an operation that do not depend on each other cost one round trip, instead of one each: see decision
//! 0046.

use std::any::TypeId;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, InsertStatement, Query, QueryFragment, QueryId};
use diesel::query_dsl::methods::ExecuteDsl;
use diesel::query_source::QuerySource;
use diesel::sql_types::{Array, BigInt};

use super::update::Update;
use crate::stored::malformed;

/// The most writes of one statement. Each connection keeps every combination of writes prepared. The combinations are
/// few: each operation has its own, and `insert_all!` defers at most four rows.
const MOST_WRITES: usize = 12;

/// The writes that were not sent yet. Without a call of [`send`](Self::send) they have no effect.
#[derive(Default)]
pub(super) struct Deferred {
    writes: Vec<Write>,
    /// Whether a statement or a check failed. Then nothing more can be sent, and so nothing be committed.
    has_failed: bool,
}

struct Write {
    statement: Box<dyn QueryFragment<Pg>>,
    changes: Changes,
    expected: Expected,
}

/// A write that can be deferred. It owns its values, and does not depend on a row that another deferred write changes:
/// an insert has values of its own, without `ON CONFLICT` and without a `SELECT`, and the condition of an update names no
/// other table.
pub(crate) trait Deferrable: ExecuteDsl<SqliteConnection> + QueryFragment<Pg> + 'static {
    fn changes() -> Changes;
}

/// What a write changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changes {
    table: TypeId,
    only_inserts: bool,
}

impl<T: QuerySource + 'static, V> Deferrable for InsertStatement<T, V>
where
    Self: ExecuteDsl<SqliteConnection> + QueryFragment<Pg> + 'static,
{
    fn changes() -> Changes {
        Changes { table: TypeId::of::<T>(), only_inserts: true }
    }
}

impl<T: QuerySource + 'static, W, C> Deferrable for Update<T, W, C>
where
    Self: ExecuteDsl<SqliteConnection> + QueryFragment<Pg> + 'static,
{
    fn changes() -> Changes {
        Changes { table: TypeId::of::<T>(), only_inserts: false }
    }
}

impl Changes {
    /// Whether two writes can be one statement, in which neither sees the effect of the other. They must not change the
    /// same row.
    fn can_join(self, other: Self) -> bool {
        self.table != other.table || (self.only_inserts && other.only_inserts)
    }
}

/// How many rows a write must change.
pub(super) enum Expected {
    Any,
    /// One row. The text is the error if it is another number.
    One(String),
}

impl Expected {
    const fn is_checked(&self) -> bool {
        matches!(self, Self::One(_))
    }

    pub(super) fn check(self, changed: usize) -> QueryResult<()> {
        match self {
            Self::One(otherwise) if changed != 1 => Err(malformed(otherwise)),
            Self::Any | Self::One(_) => Ok(()),
        }
    }
}

impl Deferred {
    /// Adds a write. Sends the others first if it cannot be part of their statement.
    pub(super) fn push<W: Deferrable>(
        &mut self,
        conn: &mut PgConnection,
        write: W,
        expected: Expected,
    ) -> QueryResult<()> {
        let changes = W::changes();
        if self.writes.len() == MOST_WRITES || !self.writes.iter().all(|other| changes.can_join(other.changes)) {
            self.send(conn)?;
        }
        self.writes.push(Write { statement: Box::new(write), changes, expected });
        Ok(())
    }

    pub(super) fn send(&mut self, conn: &mut PgConnection) -> QueryResult<()> {
        if self.has_failed {
            return Err(malformed("an earlier write of the transaction failed"));
        }
        let sent = Self::send_all(std::mem::take(&mut self.writes), conn);
        self.has_failed = sent.is_err();
        sent
    }

    fn send_all(writes: Vec<Write>, conn: &mut PgConnection) -> QueryResult<()> {
        if let [only] = writes.as_slice() {
            let changed = Single(&*only.statement).execute(conn)?;
            return writes.into_iter().try_for_each(|write| write.expected.check(changed));
        }
        if writes.is_empty() {
            return Ok(());
        }
        let counts: Vec<i64> = Several(&writes).get_result(conn)?;
        let checked = writes.into_iter().map(|write| write.expected).filter(Expected::is_checked);
        checked.zip(counts).try_for_each(|(expected, count)| expected.check(usize::try_from(count).unwrap_or(0)))
    }
}

/// One write.
struct Single<'w>(&'w dyn QueryFragment<Pg>);

impl QueryFragment<Pg> for Single<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

/// Several writes. Returns how many rows each write with a check has changed.
struct Several<'w>(&'w [Write]);

impl QueryFragment<Pg> for Several<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for (number, write) in self.0.iter().enumerate() {
            out.push_sql(if number == 0 { "WITH w" } else { ", w" });
            out.push_sql(&number.to_string());
            out.push_sql(" AS (");
            write.statement.walk_ast(out.reborrow())?;
            out.push_sql(if write.expected.is_checked() { " RETURNING 1)" } else { ")" });
        }
        out.push_sql(" SELECT ARRAY[");
        let checked = self.0.iter().enumerate().filter(|(_, write)| write.expected.is_checked());
        for (place, (number, _)) in checked.enumerate() {
            out.push_sql(if place == 0 { "(SELECT count(*) FROM w" } else { ", (SELECT count(*) FROM w" });
            out.push_sql(&number.to_string());
            out.push_sql(")");
        }
        out.push_sql("]::BIGINT[]");
        Ok(())
    }
}
impl Query for Several<'_> {
    type SqlType = Array<BigInt>;
}

/// Diesel caches a `Single` and a `Several` under their whole SQL text.
impl QueryId for Single<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl QueryId for Several<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl RunQueryDsl<PgConnection> for Single<'_> {}
impl RunQueryDsl<PgConnection> for Several<'_> {}

#[cfg(test)]
#[path = "deferred_tests.rs"]
mod tests;
