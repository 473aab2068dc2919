//! Faults: how a chain of causes is written.

use domain::fault::{Fault, FaultKind};

#[test]
fn chain_names_each_cause_once() {
    let fault = Fault::new(FaultKind::Unavailable, "order.read").caused_by("connection refused");
    assert_eq!(fault.chain(), "order.read failed: unavailable: connection refused");
}

#[derive(Debug, thiserror::Error)]
#[error("the pool is empty: {0}")]
struct Repeats(#[source] std::io::Error);

#[test]
fn cause_that_repeats_its_error_is_left_out() {
    let fault = |kind| Fault::new(kind, "payment.open");
    for (inner, expected) in [
        (fault(FaultKind::Unavailable), "payment.open failed: unavailable: no answer"),
        (fault(FaultKind::Internal), "payment.open failed: unavailable: internal: no answer"),
        (
            Fault::new(FaultKind::Unavailable, "order.read"),
            "payment.open failed: unavailable: order.read failed: unavailable: no answer",
        ),
    ] {
        let restated = fault(FaultKind::Unavailable).caused_by(inner.caused_by("no answer"));
        assert_eq!(restated.chain(), expected);
    }
    let refused = Repeats(std::io::Error::other("connection refused"));
    let fault = Fault::new(FaultKind::Unavailable, "order.read").caused_by(refused);
    assert_eq!(fault.chain(), "order.read failed: unavailable: the pool is empty: connection refused");
}
