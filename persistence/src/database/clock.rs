//! The database's own clock: what several instances agree on, whatever their own clocks say.

use diesel::dsl::select;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::backend::Tx;
use super::constant::constant;

const SQLITE: &str = "CAST(unixepoch('subsec') * 1000 AS BIGINT)";
/// Not `now()`, which stands still from the beginning of the transaction: a wait for a lock would be taken off the lease.
const POSTGRES: &str = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

/// Milliseconds since 1970. Good for leases and nothing else: business time comes from the caller.
pub(crate) fn engine_now(tx: &mut Tx<'_>) -> QueryResult<i64> {
    match tx {
        Tx::Sqlite(conn) => select(constant::<BigInt>(SQLITE)).get_result(*conn),
        Tx::Postgres(conn) => select(constant::<BigInt>(POSTGRES)).get_result(*conn),
    }
}

/// When a lease taken now for this long lapses.
pub(crate) fn lease(tx: &mut Tx<'_>, length: std::time::Duration) -> QueryResult<i64> {
    let millis = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    Ok(engine_now(tx)?.saturating_add(millis))
}
