//! `INSERT` statements of several rows that each connection prepares once.
//!
//! Diesel prepares an insert of a slice again for every run, because the number of rows may differ. That costs Postgres
//! a second round trip. An array has a fixed number of rows, so its insert stays prepared.

/// Inserts the rows of a vector: four at a time, then two, then one. The last four rows at most are deferred, so that few
/// texts of deferred writes depend on the number of rows.
macro_rules! insert_all {
    ($tx:expr, $table:expr, $rows:expr) => {
        (|| -> diesel::QueryResult<()> {
            let mut rows = $rows;
            while rows.len() > 4
                && let Some(four) = $crate::database::take_first::<4, _>(&mut rows)
            {
                $crate::database::execute!($tx, diesel::insert_into($table).values(four))?;
            }
            if let Some(four) = $crate::database::take_first::<4, _>(&mut rows) {
                $tx.defer(diesel::insert_into($table).values(four))?;
            }
            if let Some(pair) = $crate::database::take_first::<2, _>(&mut rows) {
                $tx.defer(diesel::insert_into($table).values(pair))?;
            }
            for row in rows {
                $tx.defer(diesel::insert_into($table).values(row))?;
            }
            Ok(())
        })()
    };
}
pub(crate) use insert_all;

/// Removes the first `N` rows. `None` if there are fewer.
pub(crate) fn take_first<const N: usize, T>(rows: &mut Vec<T>) -> Option<[T; N]> {
    if rows.len() < N {
        return None;
    }
    let rest = rows.split_off(N);
    std::mem::replace(rows, rest).try_into().ok()
}
