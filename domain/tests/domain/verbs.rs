//! What a new checkout is given, and the tasks that only delete.

use std::time::Duration;

use domain::checkout::{CheckoutExpiry, CheckoutRequest, NewCheckout};
use domain::idempotency::{IdempotencyPurge, RETENTION};
use domain::money::Currency;
use domain::task::{BackgroundTask, Progress};

use crate::kit::{NOW, Ports, World, context, seconds_from_now};

#[test]
fn new_checkout_has_its_own_id_and_page_and_expires() {
    let new = || NewCheckout::of(CheckoutRequest::default(), NOW, Currency::USD, Duration::from_secs(60));
    let (one, other) = (new(), new());
    assert_eq!((one.currency, seconds_from_now(one.expires_at)), (Currency::USD, 60));
    assert!(one.id != other.id && one.page != other.page);
}

#[tokio::test]
async fn pass_that_reached_its_limit_runs_again_at_once() {
    let day = Duration::from_secs(24 * 60 * 60);
    for (expired, expected) in [
        ((0, 0), Progress::Idle),
        ((1, 0), Progress::Done(1)),
        ((0, 2), Progress::Done(2)),
        ((499, 499), Progress::Done(998)),
        ((500, 0), Progress::More(500)),
        ((0, 500), Progress::More(500)),
        ((500, 500), Progress::More(1_000)),
        ((499, 500), Progress::More(999)),
        ((500, 499), Progress::More(999)),
    ] {
        let ports = Ports::of(World { expired, ..World::default() });
        let task = CheckoutExpiry { checkouts: ports.clone(), clock: ports.clone(), retention: day };
        assert_eq!(task.pass(&context(day)).await.expect("a pass"), expected, "{expired:?}");
        assert_eq!(ports.calls(), ["expire 0 -86400 500"]);
        assert_eq!(task.name(), "checkout_expiry");
    }
    for (purged, expected) in
        [(0, Progress::Idle), (1, Progress::Done(1)), (999, Progress::Done(999)), (1_000, Progress::More(1_000))]
    {
        let ports = Ports::of(World { purged, ..World::default() });
        let task = IdempotencyPurge { store: ports.clone(), clock: ports.clone() };
        assert_eq!(task.pass(&context(day)).await.expect("a pass"), expected, "{purged}");
        assert_eq!(ports.calls(), [format!("purge -{} 1000", RETENTION.as_secs())]);
        assert_eq!(task.name(), "idempotency_purge");
    }
}
