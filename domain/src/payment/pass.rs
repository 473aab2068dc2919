//! The code that the three payment tasks share: how many items a pass claims, and how it handles them.

use std::time::Duration;

use crate::fault::Fault;
use crate::task::Progress;

/// The longest time that a pass of a payment task takes, even if each call and each write uses all of its time. The
/// supervisor must not cancel a pass sooner. A pass takes longer only if a connection breaks during a commit: then
/// storage needs its commit grace to find out whether the commit happened.
pub const LONGEST_PASS: Duration = Duration::from_secs(60);
/// The longest time to claim the items that are due.
pub(super) const TIME_TO_CLAIM: Duration = Duration::from_secs(5);

/// How long a claimed item is leased: until its pass has ended, and a little longer, because a gateway call of a pass that
/// was cut off may still be under way. After a crash another pass claims the item again.
pub(super) const LEASE: Duration = LONGEST_PASS.saturating_add(Duration::from_secs(10));

/// How long the shop trusts a gateway to remember an idempotency key. Gateways forget a key after a day. A request with
/// a forgotten key is a new request and could move money twice.
pub(super) const KEY_TRUSTED_FOR: Duration = Duration::from_secs(23 * 60 * 60);

/// The highest number of items that a pass may claim, if each item takes at most `longest`.
pub(super) const fn items_per_pass(longest: Duration) -> u32 {
    let items = LONGEST_PASS.saturating_sub(TIME_TO_CLAIM).as_millis() / longest.as_millis();
    assert!(items > 0 && items <= 100, "a pass has no time for one item, or far too much");
    items as u32
}

/// Handles the claimed items one after the other, and returns the progress of the pass. A fault of one item does not
/// stop the pass: the first fault is returned after the last item. `limit` is the highest number of items that the pass
/// may claim.
pub(super) async fn handle_each<T, F>(
    claimed: Vec<T>,
    limit: u32,
    mut handle: impl FnMut(T) -> F,
) -> Result<Progress, Fault>
where
    F: Future<Output = Result<(), Fault>>,
{
    let count = u32::try_from(claimed.len()).unwrap_or(u32::MAX);
    let mut first_fault = None;
    for item in claimed {
        first_fault = first_fault.or(handle(item).await.err());
    }
    first_fault.map_or(Ok(Progress::of(count, count >= limit)), Err)
}

#[cfg(test)]
#[path = "pass_tests.rs"]
mod tests;
