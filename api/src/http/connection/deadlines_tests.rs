//! Tests of `deadlines.rs`.

use super::*;
use std::future::poll_fn;

#[tokio::test(start_paused = true)]
async fn earliest_deadline_is_due_first_and_a_later_one_may_be_moved() {
    let start = Instant::now();
    let after = |millis| Some(start + Duration::from_millis(millis));
    let mut deadlines = Deadlines { read: after(300), write: after(100), again: after(200), sleep: None };
    for (due, millis) in [(Due::Write, 100), (Due::Again, 200)] {
        assert_eq!(poll_fn(|cx| deadlines.poll(cx)).await, due);
        assert_eq!(start.elapsed().as_millis(), millis);
    }
    deadlines.read = after(1_000);
    deadlines.write = after(900);
    let _ = poll_fn(|cx| Poll::Ready(deadlines.poll(cx))).await;
    deadlines.write = None;
    assert_eq!(poll_fn(|cx| deadlines.poll(cx)).await, Due::Read);
    assert_eq!(start.elapsed().as_millis(), 1_000);
    assert!(poll_fn(|cx| Poll::Ready(deadlines.poll(cx))).await.is_pending());
}
