//! The lease queue: rows that become due, each worked on by one worker at a time.
//!
//! A worker claims due rows for the length of a lease, and then records the result of each row. A row whose lease has
//! ended can be claimed again. Every claim increments a fencing counter in the row. A record changes the row only if
//! the counter still has the value that the claim gave it. The end of a lease is a time of the database's clock, which
//! all instances share. Due times are business time.

use std::time::Duration;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::dsl::select;
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::query_builder::QueryId;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{BigInt, Nullable, SqlType};
use domain::clock::Timestamp;
use domain::fault::FaultKind;
use slog::{Logger, error};

use super::constant::{Constant, constant};
use super::tx::{Tx, TxConn};
use super::{Engine, Operation};
use crate::stored::nearest_instant;

/// The SQL type of a column with a time of the database's clock. It is stored as BIGINT, but the compiler refuses to
/// compare it with a BIGINT. The type is public because `diesel::table!` uses it in public columns. Its module is
/// private.
#[derive(Clone, Copy, Debug, SqlType, QueryId)]
#[diesel(sqlite_type(name = "Long"))]
#[diesel(postgres_type(oid = 20, array_oid = 1016))]
pub struct EngineMillis;

/// A time of the database's clock, in milliseconds since 1970. For leases only: business time is a [`Timestamp`], and
/// the compiler refuses to compare the two.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, AsExpression, FromSqlRow)]
#[diesel(sql_type = EngineMillis)]
pub(crate) struct EngineTime(i64);

/// The value of `leased_until` in a row without a lease.
pub(crate) const NO_LEASE: Option<EngineTime> = None;

impl EngineTime {
    /// Returns the time as a [`Timestamp`], only to show it to an operator: the database's clock and the shop's clock
    /// may differ.
    pub(crate) fn for_display(self) -> Timestamp {
        nearest_instant(self.0)
    }
}

/// The end of a lease that begins when the engine runs the statement, and lasts for `length`, which is a constant or a
/// setting: the text of the statement contains it. The engine reads its clock in the statement that grants the lease, so
/// no other statement is needed.
pub(crate) fn lease(tx: &Tx<'_>, length: Duration) -> Constant<Nullable<EngineMillis>> {
    let clock = match tx.engine() {
        Engine::Sqlite => SQLITE,
        Engine::Postgres => POSTGRES,
    };
    constant(format!("{clock} + {}", length.as_millis()))
}

/// Converts a time to a value of a [`Statement`](super::Statement), in which a time is an integer.
impl From<EngineTime> for i64 {
    fn from(at: EngineTime) -> Self {
        at.0
    }
}

impl<DB: Backend> ToSql<EngineMillis, DB> for EngineTime
where
    i64: ToSql<BigInt, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        self.0.to_sql(out)
    }
}

impl<DB: Backend> FromSql<EngineMillis, DB> for EngineTime
where
    i64: FromSql<BigInt, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        i64::from_sql(bytes).map(Self)
    }
}

const SQLITE: &str = "CAST(unixepoch('subsec') * 1000 AS BIGINT)";
/// Not `now()`, because that is the time at which the transaction began: a wait for a lock would shorten the lease.
const POSTGRES: &str = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

/// The time at which Postgres received the statement, which an index can be searched for. A lease that ends while the
/// statement waits for a lock still counts.
const POSTGRES_AT_BEGIN: &str = "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)";

/// The text of a [`Statement`](super::Statement) for each engine, in which `{now}` is the time of the engine's clock.
pub(crate) struct Timed {
    pub(crate) sqlite: String,
    pub(crate) postgres: String,
}

impl Timed {
    pub(crate) fn new(sqlite: &str, postgres: &str) -> Self {
        Self { sqlite: sqlite.replace("{now}", SQLITE), postgres: postgres.replace("{now}", POSTGRES_AT_BEGIN) }
    }

    pub(crate) fn text(&self, tx: &Tx<'_>) -> &str {
        match tx.engine() {
            Engine::Sqlite => &self.sqlite,
            Engine::Postgres => &self.postgres,
        }
    }
}

/// Returns the claimed items that can be read. A row that cannot be read, named by its id, is logged and left out, so that
/// a worker goes on with the others. The row keeps its lease, and is claimed and logged again after the lease.
pub(crate) fn readable<T>(
    log: &Logger,
    operation: Operation,
    claimed: impl IntoIterator<Item = (String, QueryResult<T>)>,
) -> Vec<T> {
    let read = |(id, item): (String, QueryResult<T>)| {
        item.inspect_err(|error| {
            error!(log, "claimed row cannot be read"; "op" => operation.name, "id" => id,
                "error_code" => FaultKind::Internal.into_str(), "error" => %error);
        })
        .ok()
    };
    claimed.into_iter().filter_map(read).collect()
}

pub(crate) fn engine_now(tx: &mut Tx<'_>) -> QueryResult<EngineTime> {
    match tx.conn()? {
        TxConn::Sqlite(conn) => select(constant::<EngineMillis>(SQLITE)).get_result(*conn),
        TxConn::Postgres(conn) => select(constant::<EngineMillis>(POSTGRES)).get_result(*conn),
    }
}

/// Defines the functions for the column `leased_until` of `$table`. Each claim increments the columns `$counter`.
macro_rules! leases {
    ($table:ident, $($counter:ident),+) => {
        /// Whether a row has no lease at the time `at`.
        #[diesel::dsl::auto_type]
        pub(super) fn is_free(at: $crate::database::EngineTime) -> _ {
            $table::leased_until.is_null().or($table::leased_until.le(at).assume_not_null())
        }

        /// Leases the rows with these ids for `length`, and increments their counters.
        pub(super) fn grant(
            tx: &mut $crate::database::Tx<'_>,
            ids: Vec<String>,
            length: std::time::Duration,
        ) -> diesel::QueryResult<()> {
            let leased = $table::leased_until.eq($crate::database::lease(tx, length));
            let counted = ($($table::$counter.eq($table::$counter + 1),)+);
            let update = $crate::database::update($table::table.filter($crate::database::among($table::id, ids)));
            tx.defer(update.set((leased, counted)))
        }
    };
}

/// Defines a lease queue on `$table`, with the columns `id`, `due_at`, `leased_until` and the fencing counter
/// `$counter`. `is_due` is the predicate of the partial index on `due_at`, with the same text as in the migration. It
/// has no parameters, because with parameters neither engine can know that the index covers the rows.
macro_rules! lease_queue {
    ($table:ident as $row:ident, $counter:ident) => {
        $crate::database::leases!($table, $counter);

        /// Claims at most `limit` rows that are due at `now` and have no lease. Rows that have been due for longest
        /// come first. Rows that another transaction has locked are skipped.
        fn claim_due(
            tx: &mut $crate::database::Tx<'_>,
            is_due: &'static str,
            now: domain::clock::Timestamp,
            length: std::time::Duration,
            limit: u32,
        ) -> diesel::QueryResult<Vec<$row>> {
            let at = $crate::database::engine_now(tx)?;
            let due = $table::due_at.le($crate::stored::millis(now));
            let query = $table::table
                .filter($crate::database::constant::<diesel::sql_types::Bool>(is_due).and(due))
                .filter(is_free(at))
                .order($table::due_at)
                .limit(i64::from(limit));
            let rows: Vec<$row> = $crate::database::lock_free!(tx, query.select($row::as_select()))?;
            if !rows.is_empty() {
                grant(tx, rows.iter().map(|row| row.id.clone()).collect(), length)?;
            }
            Ok(rows.into_iter().map(|row| $row { $counter: row.$counter + 1, ..row }).collect())
        }

        /// Selects at most `limit` rows whose due time is after `latest`, and makes these rows due now. A clock that
        /// was ahead has postponed them.
        fn bring_forward(
            tx: &mut $crate::database::Tx<'_>,
            is_due: &'static str,
            latest: domain::clock::Timestamp,
            now: domain::clock::Timestamp,
            limit: u32,
        ) -> diesel::QueryResult<()> {
            let too_late = $table::due_at.gt($crate::stored::millis(latest));
            let query = $table::table
                .filter($crate::database::constant::<diesel::sql_types::Bool>(is_due).and(too_late))
                .order($table::due_at)
                .limit(i64::from(limit))
                .select($table::id);
            let ids: Vec<String> = $crate::database::lock_free!(tx, query)?;
            if !ids.is_empty() {
                let update = $crate::database::update($table::table.filter($crate::database::among($table::id, ids)));
                $crate::database::execute!(tx, update.set($table::due_at.eq($crate::stored::millis(now))))?;
            }
            Ok(())
        }

        /// Selects the row if its fencing counter is still `count`, which means that there was no later claim.
        #[diesel::dsl::auto_type(no_type_alias)]
        fn fenced<'a>(id: &'a str, count: i32) -> _ {
            $table::table.find(id).filter($table::$counter.eq(count))
        }
    };
}
pub(crate) use {lease_queue, leases};
