//! Payment attempts: their states, their idempotency keys at the gateway, and when a capture is due.

use std::time::Duration;

use domain::payment::{AttemptState, Decline, PaymentOutcome, RefundState, capture_due};
use time::macros::datetime;

use crate::kit::{NOW, attempt, refund};

#[test]
fn each_gateway_call_has_a_key_derived_from_its_attempt_or_refund() {
    let attempt = attempt(AttemptState::Opened);
    let refund = refund(RefundState::Requested, Duration::ZERO);
    assert_eq!(refund.key(), refund.id.as_str());
    assert_eq!(attempt.open_key(), format!("{}-open", attempt.id));
    assert_eq!(attempt.confirm_key(), format!("{}-confirm", attempt.id));
}

#[test]
fn attempt_is_settled_unless_it_is_opened_or_unknown() {
    use AttemptState::{Authorized, Cancelled, Confirmed, Declined, Opened, Released, Unknown};
    for (state, is_settled) in [
        (Opened, false),
        (Unknown, false),
        (Authorized, true),
        (Confirmed, true),
        (Released, true),
        (Declined, true),
        (Cancelled, true),
    ] {
        assert_eq!(state.is_settled(), is_settled, "{state:?}");
    }
}

#[test]
fn only_a_declined_payment_has_a_detail() {
    let decline = Decline { reason: "Declined".to_owned(), detail: "insufficient_funds".to_owned() };
    assert_eq!(PaymentOutcome::Declined(decline).detail(), Some("insufficient_funds"));
    for outcome in [PaymentOutcome::Confirmed, PaymentOutcome::NotAttempted, PaymentOutcome::ActionRequired] {
        assert_eq!(outcome.detail(), None, "{outcome:?}");
    }
}

#[test]
fn capture_is_due_a_day_before_the_gateway_releases_the_amount() {
    assert_eq!(capture_due(NOW), datetime!(2026-11-28 12:00 UTC));
}
