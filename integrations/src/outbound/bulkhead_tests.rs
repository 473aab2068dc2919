//! Tests of `bulkhead.rs`.

use tower::retry::budget::Budget;

use super::*;

#[tokio::test]
async fn five_calls_earn_one_retry_for_one_period() {
    let limits = BulkheadLimits { retries_per_second: 0, ..BulkheadLimits::default() };
    let bulkhead = Bulkhead::new(limits, 1);
    let spent = || (0..1000).take_while(|_| bulkhead.retries.withdraw()).count();
    assert_eq!(spent(), 0);
    (0..14).for_each(|_| bulkhead.retries.deposit());
    assert_eq!(spent(), 2);
}

#[test]
fn only_idle_destinations_are_removed() {
    let limits = BulkheadLimits { destinations: 2, ..BulkheadLimits::default() };
    let bulkheads = Bulkheads::new(limits);
    let (one, two) = (bulkheads.named("one", None), bulkheads.named("two", None));
    assert!(matches!(bulkheads.named("three", None), Err(Reason::Busy)));
    drop(one);
    assert!(bulkheads.named("three", None).is_ok());
    assert!(Arc::ptr_eq(&two.expect("there"), &bulkheads.named("two", None).expect("still there")));
    assert_eq!(bulkheads.by_name.lock().expect("sound").len(), 2);
}
