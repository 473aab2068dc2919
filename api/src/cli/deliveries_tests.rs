//! Tests of `deliveries.rs`.

use domain::context::{Deadline, TraceContext};
use slog::{Discard, Logger, o};
use tokio_util::sync::CancellationToken;

use super::*;

#[test]
fn batches_continue_after_one_that_is_not_full_until_one_changes_nothing() {
    let (log, until) = (Logger::root(Discard, o!()), Deadline::after(Duration::from_secs(60)));
    let ctx = RequestContext::for_task(&log, "test", TraceContext::start(), until, CancellationToken::new());
    for (most, done) in [(5_000, 1_002), (1_000, 1_002), (999, 999), (1, 500)] {
        let mut batches = [500, 499, 3, 0, 7].into_iter();
        assert_eq!(in_batches(&ctx, most, || Ok(batches.next().expect("a batch"))), Ok(done));
    }
}

#[test]
fn age_is_shown_in_its_two_largest_units() {
    for (seconds, shown) in [(59, "59s"), (61, "1m 1s"), (7_260, "2h 1m"), (90_000, "1d 1h"), (864_000, "10d 0h")] {
        assert_eq!(age(Duration::from_secs(seconds)), shown);
    }
}
