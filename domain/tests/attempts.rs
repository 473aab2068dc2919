//! What the states of a payment attempt mean, and the names under which the gateway knows it.

use domain::checkout::CheckoutId;
use domain::clock::Timestamp;
use domain::money::{Amount, Currency, Money};
use domain::payment::{Attempt, AttemptId, AttemptState, Decline, HandlerId, PaymentOutcome, capture_due};
use time::macros::datetime;

const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

#[test]
fn each_call_of_the_gateway_has_a_key_of_its_attempt() {
    let attempt = Attempt {
        id: AttemptId::generate(NOW),
        checkout: CheckoutId::generate(NOW),
        handler: HandlerId("mock".to_owned()),
        money: Money { amount: Amount::new(500), currency: Currency::USD },
        state: AttemptState::Opened,
        reference: None,
        checks: 0,
        created_at: NOW,
    };
    assert_eq!(attempt.open_key(), format!("{}-open", attempt.id));
    assert_eq!(attempt.confirm_key(), format!("{}-confirm", attempt.id));
}

#[test]
fn state_says_whether_it_is_settled_and_whether_an_order_was_placed() {
    use AttemptState::{Authorized, Cancelled, Confirmed, Declined, Opened, Released, Unknown};
    for (state, settled, order) in [
        (Opened, false, false),
        (Unknown, false, false),
        (Authorized, true, true),
        (Confirmed, true, true),
        (Released, true, true),
        (Declined, true, false),
        (Cancelled, true, false),
    ] {
        assert_eq!((state.is_settled(), state.placed_an_order()), (settled, order), "{state:?}");
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
fn held_amount_is_due_a_day_before_the_card_schemes_let_it_go() {
    assert_eq!(capture_due(NOW), datetime!(2026-11-28 12:00 UTC));
}
