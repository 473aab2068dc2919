//! `INSERT` statements of several rows that each connection prepares once.
//!
//! Diesel prepares an insert of a slice again for every run, because the number of rows may differ. That costs Postgres
//! a second round trip. An array has a fixed number of rows, so its insert stays prepared.

/// Inserts the rows of a slice: four at a time, then two, then one.
macro_rules! insert_all {
    ($tx:expr, $table:expr, $rows:expr) => {
        (|| -> diesel::QueryResult<()> {
            let (fours, rest) = $rows.as_chunks::<4>();
            for rows in fours {
                $crate::database::execute!($tx, diesel::insert_into($table).values(rows))?;
            }
            let (pairs, rest) = rest.as_chunks::<2>();
            for rows in pairs {
                $crate::database::execute!($tx, diesel::insert_into($table).values(rows))?;
            }
            for row in rest {
                $crate::database::execute!($tx, diesel::insert_into($table).values(row))?;
            }
            Ok(())
        })()
    };
}
pub(crate) use insert_all;
