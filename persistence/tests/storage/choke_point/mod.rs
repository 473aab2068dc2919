//! What a caller is told when the database is slow, busy, broken or gone; and that what it is told is true.

mod commit;
mod deadlines;
mod faults;
mod file_identity;
mod pool;
mod reruns;
mod room;
mod sqlite_file;

use std::time::Duration;

/// Far more than any of the waits that are tested, far less than a wait that nobody bounded.
const SOON: Duration = Duration::from_secs(2);

/// The row that completing a checkout of a song must lock.
const THE_SONG: &str = "SELECT sku FROM stock WHERE sku = 'song'";
