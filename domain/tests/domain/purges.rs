//! The tasks that only delete rows or expire checkouts.

use std::time::Duration;

use domain::checkout::{CheckoutExpiry, Expired};
use domain::idempotency::{IdempotencyPurge, RETENTION};
use domain::task::{BackgroundTask, Progress};

use crate::kit::{FakePorts, Script, context};

#[tokio::test]
async fn pass_that_reached_its_limit_runs_again_at_once() {
    let day = Duration::from_secs(24 * 60 * 60);
    for ((canceled, deleted), expected) in [
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
        let expired = Expired { canceled, deleted };
        let ports = FakePorts::of(Script { expired, ..Script::default() });
        let task = CheckoutExpiry { checkouts: ports.clone(), clock: ports.clone(), retention: day };
        assert_eq!(task.pass(&context(day)).await.expect("a pass"), expected, "{expired:?}");
        assert_eq!(ports.calls(), ["expire 0 -86400 500"]);
        assert_eq!(task.name(), "checkout_expiry");
    }
    for (purged, expected) in
        [(0, Progress::Idle), (1, Progress::Done(1)), (999, Progress::Done(999)), (1_000, Progress::More(1_000))]
    {
        let ports = FakePorts::of(Script { purged, ..Script::default() });
        let task = IdempotencyPurge { store: ports.clone(), clock: ports.clone() };
        assert_eq!(task.pass(&context(day)).await.expect("a pass"), expected, "{purged}");
        assert_eq!(ports.calls(), [format!("purge -{} 1000", RETENTION.as_secs())]);
        assert_eq!(task.name(), "idempotency_purge");
    }
}
