//! Bulkheads: the calls to one destination share permits and a retry budget.
//!
//! A destination that hangs uses up only the permits of its bulkhead. There are limits for concurrent calls, for
//! waiting calls and for the number of bulkheads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::context::{RequestContext, Stopwatch};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::retry::budget::TpsBudget;

use super::error::Reason;

/// The limits of one destination.
#[derive(Clone, Copy, Debug)]
pub struct BulkheadLimits {
    /// The most concurrent calls.
    pub concurrency: usize,
    /// The most calls that may wait for a permit. Further calls are refused at once.
    pub waiting: usize,
    /// The longest time that a call waits for a permit.
    pub wait: Duration,
    /// The retries per second that are always allowed, even after few calls.
    pub retries_per_second: u32,
    /// The most destinations that are kept. When a further one is added, the destination that has been idle for the
    /// longest time is removed.
    pub destinations: usize,
}

impl Default for BulkheadLimits {
    fn default() -> Self {
        let wait = Duration::from_millis(500);
        Self { concurrency: 16, waiting: 64, wait, retries_per_second: 1, destinations: 1024 }
    }
}

/// The period over which calls and retries are counted for the retry budget.
const RETRY_PERIOD: Duration = Duration::from_secs(10);
/// The retries that each call of the period adds to the budget: five calls allow one retry. If all calls fail, the load
/// on the destination grows only by a fifth, and not by a multiple.
const RETRY_SHARE: f32 = 0.2;

/// The bulkheads of all destinations, by name.
pub(super) struct Bulkheads {
    limits: BulkheadLimits,
    by_name: Mutex<HashMap<String, Arc<Bulkhead>>>,
}

impl Bulkheads {
    pub(super) fn new(limits: BulkheadLimits) -> Self {
        Self { limits, by_name: Mutex::default() }
    }

    /// Returns the bulkhead of this name, and creates it if needed. `concurrency` has no effect on an existing
    /// bulkhead.
    ///
    /// # Errors
    /// `Busy` if there is no room for a new bulkhead, because all existing bulkheads are in use.
    pub(super) fn named(&self, name: &str, concurrency: Option<usize>) -> Result<Arc<Bulkhead>, Reason> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bulkhead) = by_name.get(name) {
            return Ok(Arc::clone(bulkhead));
        }
        if by_name.len() >= self.limits.destinations {
            let idle = by_name.iter().filter(|(_, bulkhead)| Arc::strong_count(bulkhead) == 1);
            let longest = idle.max_by_key(|(_, bulkhead)| bulkhead.idle_for()).map(|(name, _)| name.clone());
            by_name.remove(&longest.ok_or(Reason::Busy)?);
        }
        let bulkhead = Arc::new(Bulkhead::new(self.limits, concurrency.unwrap_or(self.limits.concurrency)));
        by_name.insert(name.to_owned(), Arc::clone(&bulkhead));
        Ok(bulkhead)
    }
}

pub(super) struct Bulkhead {
    wait: Duration,
    /// One admission for each running or waiting call. A call that gets no admission is refused at once.
    admissions: Arc<Semaphore>,
    /// One permit for each running call.
    permits: Arc<Semaphore>,
    used: Mutex<Stopwatch>,
    /// The retry budget. Each call deposits a share of a retry, and each retry withdraws one.
    pub(super) retries: TpsBudget,
}

/// The permit of a running call. Dropping this value releases the permit.
pub(super) struct Permit {
    _permit: OwnedSemaphorePermit,
    _admission: OwnedSemaphorePermit,
}

impl Bulkhead {
    fn new(limits: BulkheadLimits, concurrency: usize) -> Self {
        Self {
            wait: limits.wait,
            admissions: Arc::new(Semaphore::new(concurrency + limits.waiting)),
            permits: Arc::new(Semaphore::new(concurrency)),
            used: Mutex::new(Stopwatch::start()),
            retries: TpsBudget::new(RETRY_PERIOD, limits.retries_per_second, RETRY_SHARE),
        }
    }

    /// Waits for a permit. Fails at once if too many calls are waiting. Fails later at the deadline, at the limit of
    /// the wait, or if the call is cancelled.
    pub(super) async fn enter(&self, ctx: &RequestContext) -> Result<Permit, Reason> {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Stopwatch::start();
        let admission = Arc::clone(&self.admissions).try_acquire_owned().map_err(|_| Reason::Busy)?;
        let permit = Arc::clone(&self.permits).acquire_owned();
        let is_short = ctx.deadline().remaining() < self.wait;
        tokio::select! {
            biased;
            permit = tokio::time::timeout(self.wait.min(ctx.deadline().remaining()), permit) => match permit {
                Ok(Ok(permit)) => Ok(Permit { _permit: permit, _admission: admission }),
                Ok(Err(_)) => Err(Reason::Busy),
                Err(_) if is_short => Err(Reason::Deadline),
                Err(_) => Err(Reason::Busy),
            },
            () = ctx.cancellation().cancelled() => Err(Reason::Cancelled),
        }
    }

    fn idle_for(&self) -> Duration {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

#[cfg(test)]
#[path = "bulkhead_tests.rs"]
mod tests;
