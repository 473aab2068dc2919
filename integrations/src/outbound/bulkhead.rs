//! What the calls to one destination share: places, and an allowance of retries.
//!
//! A destination that hangs holds its own places and nobody else's. Everything here is bounded: calls at once, calls
//! that wait, and the destinations that are remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::context::{RequestContext, Stopwatch};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Reason;

/// How much of the network one destination may have.
#[derive(Clone, Copy, Debug)]
pub struct BulkheadLimits {
    /// Calls under way at once.
    pub concurrent: usize,
    /// Calls that may wait for a place; more are refused at once.
    pub waiting: usize,
    /// How long a call waits for a place, at most.
    pub wait: Duration,
    /// Retries that a destination may always have, per ten seconds, however few its calls are.
    pub retry_floor: u32,
    /// Destinations remembered at once. Idle ones are forgotten first.
    pub destinations: usize,
}

impl Default for BulkheadLimits {
    fn default() -> Self {
        let wait = Duration::from_millis(500);
        Self { concurrent: 16, waiting: 64, wait, retry_floor: 10, destinations: 1024 }
    }
}

/// The bulkheads of all destinations, by name.
pub(super) struct Bulkheads {
    limits: BulkheadLimits,
    by_name: Mutex<HashMap<String, Arc<Bulkhead>>>,
}

impl Bulkheads {
    pub(super) fn new(limits: BulkheadLimits) -> Self {
        Self { limits, by_name: Mutex::default() }
    }

    /// The bulkhead of that name. `Busy` when there is no room to remember one more, since every other is in use.
    /// `concurrent` is heeded by the first call only.
    pub(super) fn named(&self, name: &str, concurrent: Option<usize>) -> Result<Arc<Bulkhead>, Reason> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bulkhead) = by_name.get(name) {
            return Ok(Arc::clone(bulkhead));
        }
        if by_name.len() >= self.limits.destinations {
            let idle = by_name.iter().filter(|(_, bulkhead)| Arc::strong_count(bulkhead) == 1);
            let longest = idle.max_by_key(|(_, bulkhead)| bulkhead.idle_for()).map(|(name, _)| name.clone());
            by_name.remove(&longest.ok_or(Reason::Busy)?);
        }
        let bulkhead = Arc::new(Bulkhead::new(self.limits, concurrent.unwrap_or(self.limits.concurrent)));
        by_name.insert(name.to_owned(), Arc::clone(&bulkhead));
        Ok(bulkhead)
    }
}

pub(super) struct Bulkhead {
    wait: Duration,
    /// For calls under way and calls that wait: whoever gets none is refused at once.
    admissions: Arc<Semaphore>,
    /// For calls under way.
    places: Arc<Semaphore>,
    used: Mutex<Stopwatch>,
    budget: Mutex<RetryBudget>,
}

/// A call that is under way. Dropped, it makes room for the next.
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    _admission: OwnedSemaphorePermit,
}

impl Bulkhead {
    fn new(limits: BulkheadLimits, concurrent: usize) -> Self {
        Self {
            wait: limits.wait,
            admissions: Arc::new(Semaphore::new(concurrent + limits.waiting)),
            places: Arc::new(Semaphore::new(concurrent)),
            used: Mutex::new(Stopwatch::start()),
            budget: Mutex::new(RetryBudget::new(limits.retry_floor)),
        }
    }

    /// Waits for a place: not past the deadline, not past the limit, not for a caller who left.
    pub(super) async fn enter(&self, ctx: &RequestContext) -> Result<Place, Reason> {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Stopwatch::start();
        let admission = Arc::clone(&self.admissions).try_acquire_owned().map_err(|_| Reason::Busy)?;
        let place = Arc::clone(&self.places).acquire_owned();
        let is_short = ctx.deadline().remaining() < self.wait;
        tokio::select! {
            biased;
            place = tokio::time::timeout(self.wait.min(ctx.deadline().remaining()), place) => match place {
                Ok(Ok(place)) => Ok(Place { _place: place, _admission: admission }),
                Ok(Err(_)) => Err(Reason::Busy),
                Err(_) if is_short => Err(Reason::Deadline),
                Err(_) => Err(Reason::Busy),
            },
            () = ctx.cancellation().cancelled() => Err(Reason::Cancelled),
        }
    }

    /// Counts a call, which earns a fifth of a retry.
    pub(super) fn count_call(&self) {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).earn();
    }

    /// Takes one retry from the allowance; `false` when it is used up.
    pub(super) fn take_retry(&self) -> bool {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).spend()
    }

    fn idle_for(&self) -> Duration {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Retries in proportion to calls: when everything fails, the load on a destination in trouble grows by a fifth and not
/// by a multiple. The floor lets a destination with few calls have any at all.
struct RetryBudget {
    /// In thousandths of a retry.
    balance: u64,
    floor: u64,
    refilled: Stopwatch,
}

impl RetryBudget {
    const RETRY: u64 = 1000;
    const EARNED_BY_A_CALL: u64 = Self::RETRY / 5;
    /// A good hour does not pay for a storm.
    const MOST: u64 = 100 * Self::RETRY;
    const FLOOR_PERIOD: Duration = Duration::from_secs(10);

    fn new(floor: u32) -> Self {
        let floor = u64::from(floor) * Self::RETRY;
        Self { balance: floor, floor, refilled: Stopwatch::start() }
    }

    fn earn(&mut self) {
        self.balance = (self.balance + Self::EARNED_BY_A_CALL).min(Self::MOST.max(self.floor));
    }

    fn spend(&mut self) -> bool {
        self.refill(self.refilled.elapsed());
        let is_enough = self.balance >= Self::RETRY;
        if is_enough {
            self.balance -= Self::RETRY;
        }
        is_enough
    }

    /// Restores the floor, evenly over its period.
    fn refill(&mut self, elapsed: Duration) {
        let share = u128::from(self.floor) * elapsed.as_millis() / Self::FLOOR_PERIOD.as_millis();
        let share = u64::try_from(share).unwrap_or(u64::MAX);
        if share == 0 {
            return;
        }
        self.refilled = Stopwatch::start();
        if self.balance < self.floor {
            self.balance = self.balance.saturating_add(share).min(self.floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(budget: &mut RetryBudget) -> usize {
        (0..1000).take_while(|_| budget.spend()).count()
    }

    #[test]
    fn the_floor_can_be_spent_once_and_comes_back_with_time() {
        let mut budget = RetryBudget::new(10);
        assert_eq!(spent(&mut budget), 10);
        budget.refill(Duration::from_secs(5));
        assert_eq!(spent(&mut budget), 5);
        budget.refill(Duration::from_secs(3600));
        assert_eq!(spent(&mut budget), 10, "never more than the floor");
    }

    #[test]
    fn five_calls_earn_one_retry_up_to_a_limit() {
        let mut budget = RetryBudget::new(0);
        assert_eq!(spent(&mut budget), 0);
        (0..14).for_each(|_| budget.earn());
        assert_eq!(spent(&mut budget), 2);
        (0..100_000).for_each(|_| budget.earn());
        assert_eq!(spent(&mut budget), 100);
    }

    #[test]
    fn only_idle_destinations_are_forgotten() {
        let limits = BulkheadLimits { destinations: 2, ..BulkheadLimits::default() };
        let bulkheads = Bulkheads::new(limits);
        let (one, two) = (bulkheads.named("one", None), bulkheads.named("two", None));
        assert!(matches!(bulkheads.named("three", None), Err(Reason::Busy)));
        drop(one);
        assert!(bulkheads.named("three", None).is_ok());
        assert!(Arc::ptr_eq(&two.expect("there"), &bulkheads.named("two", None).expect("still there")));
        assert_eq!(bulkheads.by_name.lock().expect("sound").len(), 2);
    }
}
