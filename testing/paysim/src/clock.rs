//! The simulator's own time: the machine's, and whatever it was advanced by. It never goes back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Default)]
pub(crate) struct Clock {
    advanced_seconds: AtomicI64,
}

impl Clock {
    /// Seconds since 1970, as Stripe writes every time.
    #[expect(clippy::disallowed_methods, reason = "this is the simulator's clock")]
    pub fn now(&self) -> i64 {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(machine).unwrap_or(i64::MAX).saturating_add(self.advanced_seconds.load(Ordering::SeqCst))
    }

    pub fn advance(&self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX / 4);
        self.advanced_seconds.fetch_add(seconds.min(i64::MAX / 4), Ordering::SeqCst);
    }
}
