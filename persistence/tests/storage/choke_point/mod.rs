//! The fault that a caller gets if the database is slow, busy, broken or gone. Each test checks that the fault is true.

mod commit;
mod deadlines;
mod faults;
mod file_identity;
mod full_disk;
mod pool;
mod reruns;
mod sqlite_file;

use std::time::Duration;

/// A limit for the time until an answer: far more than any wait under test, far less than an unbounded wait.
const SOON: Duration = Duration::from_secs(2);

/// The row that completing a checkout of a song must lock.
const THE_SONG: &str = "SELECT sku FROM stock WHERE sku = 'song'";
