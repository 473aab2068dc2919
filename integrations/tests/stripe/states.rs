//! What each ending of a payment is to the shop, when nothing goes wrong on the way.

use std::time::Duration;

use domain::fault::FaultKind;
use domain::payment::{Decline, GatewayState, PaymentGateway, Refund, RefundState};
use integrations::stripe::CaptureMethod;
use paysim::Outcome;

use crate::place::{Place, card, refund};

fn kind<T: std::fmt::Debug>(outcome: Result<T, domain::fault::Fault>) -> FaultKind {
    outcome.expect_err("a fault").kind()
}

#[tokio::test]
async fn a_payment_is_opened_confirmed_and_looked_up() {
    let place = Place::new();
    let opened = place.opened().await;
    assert_eq!(place.look_up(&opened).await, GatewayState::Opened);
    assert_eq!(place.captured(), (0, 0));
    assert_eq!(place.confirm(&opened, "pm_card_visa").await.expect("an answer"), GatewayState::Confirmed);
    assert_eq!(place.look_up(&opened).await, GatewayState::Confirmed);
    assert_eq!(place.captured(), (1, 3500));
    // The ledger can be matched with the shop's own books.
    let ledger = place.sim.ledger();
    assert_eq!(ledger.by_metadata("attempt_id")[&opened.0.id.to_string()].captured, 3500);
    assert_eq!(ledger.by_metadata("checkout_id")[&opened.0.checkout.to_string()].captured, 3500);
}

#[tokio::test]
async fn asking_again_is_an_echo() {
    let place = Place::new();
    let opened = place.opened().await;
    let again = place.gateway.open(&place.ctx(), &opened.0).await.expect("opens");
    assert_eq!(again, opened.1);
    for _ in 0..3 {
        assert_eq!(place.confirm(&opened, "pm_card_visa").await.expect("an answer"), GatewayState::Confirmed);
    }
    assert_eq!(place.captured(), (1, 3500));
}

/// By then its key may be forgotten, and the shop may never have stored what the gateway calls it.
#[tokio::test]
async fn payment_is_found_by_its_attempt_without_its_reference_or_its_key() {
    let place = Place::new();
    let (opened, other, never) = (place.opened().await, place.opened().await, crate::place::attempt());
    let find = async |attempt: &_| place.gateway.find(&place.ctx(), attempt).await;
    place.sim.advance(Duration::from_secs(25 * 60 * 60));
    for state in ["opened", "charged"] {
        assert_eq!(find(&opened.0).await.expect("an answer"), Some(opened.1.clone()), "{state}");
        assert_eq!(find(&other.0).await.expect("an answer"), Some(other.1.clone()), "{state}");
        assert_eq!(find(&never).await.expect("an answer"), None, "{state}");
        place.confirm(&opened, "pm_card_visa").await.expect("an answer");
    }
    assert_eq!(place.captured(), (1, 3500));

    // Opened once more under a key that was forgotten. Which of the two counts is not for the shop to guess.
    place.gateway.open(&place.ctx(), &opened.0).await.expect("opens");
    place.sim.advance(Duration::from_secs(60 * 60));
    assert_eq!(kind(find(&opened.0).await), FaultKind::Internal);
    for fault in [paysim::Fault::Html, paysim::Fault::ErrorWithoutEffect] {
        place.fail(paysim::Operation::IntentSearch, 1_000, fault);
        assert_eq!(kind(find(&other.0).await), FaultKind::Unavailable, "{fault:?}");
        place.sim.clear_faults();
    }
}

#[tokio::test]
async fn a_declined_card_says_why_in_words_for_the_buyer() {
    let place = Place::new();
    for (token, message, codes) in [
        ("pm_card_chargeDeclined", "Your card was declined.", "code card_declined, decline_code generic_decline"),
        (
            "pm_card_chargeDeclinedInsufficientFunds",
            "Your card has insufficient funds.",
            "code card_declined, decline_code insufficient_funds",
        ),
        // Lost and stolen are between the bank and the shop.
        (
            "pm_card_visa_chargeDeclinedStolenCard",
            "Your card was declined.",
            "code card_declined, decline_code stolen_card",
        ),
        ("pm_card_chargeDeclinedExpiredCard", "Your card has expired.", "code expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "Your card's security code is incorrect.", "code incorrect_cvc"),
    ] {
        let opened = place.opened().await;
        for state in [place.confirm(&opened, token).await.expect("an answer"), place.look_up(&opened).await] {
            let GatewayState::Declined(Decline { reason, detail }) = state else { panic!("{token}: {state:?}") };
            assert_eq!(reason, message, "{token}");
            assert!(detail.starts_with(&format!("type card_error, {codes}")), "{token}: {detail}");
        }
    }
    assert_eq!(place.captured(), (0, 0));
}

#[tokio::test]
async fn a_payment_method_that_does_not_exist_is_declined() {
    let place = Place::new();
    let opened = place.opened().await;
    let state = place.confirm(&opened, "pm_of_somebody_else").await.expect("an answer");
    let GatewayState::Declined(Decline { reason, detail }) = state else { panic!("{state:?}") };
    assert_eq!(reason, "The payment was declined.");
    assert!(detail.contains("param payment_method") && !detail.contains("pm_of_somebody_else"), "{detail}");
    assert_eq!(place.captured(), (0, 0));
}

#[tokio::test]
async fn a_payment_that_waits_for_the_buyer_can_be_cancelled() {
    let place = Place::new();
    let opened = place.opened().await;
    let state = place.confirm(&opened, "pm_card_threeDSecure2Required").await.expect("an answer");
    assert_eq!(state, GatewayState::ActionRequired);
    assert_eq!(place.look_up(&opened).await, GatewayState::ActionRequired);
    assert_eq!(place.cancel(&opened).await.expect("an answer"), GatewayState::Cancelled);
    assert!(place.sim.settle(&opened.1.0, Outcome::Succeeded).is_err(), "too late to pay");
    assert_eq!(place.captured(), (0, 0));
}

#[tokio::test]
async fn a_payment_that_the_bank_still_decides_on_is_no_answer() {
    let place = Place::new();
    let opened = place.opened().await;
    assert_eq!(kind(place.confirm(&opened, "pm_sim_processing").await), FaultKind::OutcomeUnknown);
    assert_eq!(kind(place.gateway.look_up(&place.ctx(), &opened.1).await), FaultKind::Unavailable);
    assert_eq!(kind(place.cancel(&opened).await), FaultKind::OutcomeUnknown);
    place.sim.settle(&opened.1.0, Outcome::Succeeded).expect("settled");
    assert_eq!(place.look_up(&opened).await, GatewayState::Confirmed);
    assert_eq!(place.cancel(&opened).await.expect("an answer"), GatewayState::Confirmed);
}

#[tokio::test]
async fn cancelling_says_what_it_came_to() {
    let place = Place::new();
    let open = place.opened().await;
    for _ in 0..2 {
        assert_eq!(place.cancel(&open).await.expect("an answer"), GatewayState::Cancelled);
    }
    // A confirmation that comes after it charges nobody.
    assert_eq!(place.confirm(&open, "pm_card_visa").await.expect("an answer"), GatewayState::Cancelled);
    assert_eq!(place.captured(), (0, 0));

    let charged = place.opened().await;
    place.confirm(&charged, "pm_card_visa").await.expect("an answer");
    assert_eq!(place.cancel(&charged).await.expect("an answer"), GatewayState::Confirmed);
    assert_eq!(place.captured(), (1, 3500));
}

#[tokio::test]
async fn what_is_held_is_captured_once_and_whole() {
    let place = Place::with(CaptureMethod::Manual);
    let opened = place.opened().await;
    assert_eq!(place.confirm(&opened, "pm_card_visa").await.expect("an answer"), GatewayState::Authorized);
    assert_eq!(place.look_up(&opened).await, GatewayState::Authorized);
    assert_eq!(place.captured(), (0, 0));
    for _ in 0..2 {
        assert_eq!(place.capture(&opened).await.expect("an answer"), GatewayState::Confirmed);
    }
    assert_eq!(place.captured(), (1, 3500));
}

#[tokio::test]
async fn what_is_held_no_more_cannot_be_captured() {
    let place = Place::with(CaptureMethod::Manual);
    let (cancelled, expired) = (place.opened().await, place.opened().await);
    for opened in [&cancelled, &expired] {
        place.confirm(opened, "pm_card_visa").await.expect("an answer");
    }
    assert_eq!(place.cancel(&cancelled).await.expect("an answer"), GatewayState::Cancelled);
    place.sim.advance(Duration::from_secs(8 * 24 * 60 * 60));
    for opened in [&cancelled, &expired] {
        assert_eq!(place.capture(opened).await.expect("an answer"), GatewayState::Cancelled);
    }
    assert_eq!(place.captured(), (0, 0));
    assert_eq!(place.sim.ledger().totals().held, 0);
}

#[tokio::test]
async fn no_more_is_given_back_than_was_taken() {
    let place = Place::new();
    let opened = place.opened().await;
    assert!(matches!(place.refund(&refund(&opened, 100, 1)).await.expect("an answer"), RefundState::Failed(_)));
    place.confirm(&opened, "pm_card_visa").await.expect("an answer");
    let first = refund(&opened, 3000, 1);
    for _ in 0..2 {
        assert_eq!(place.refund(&first).await.expect("an answer"), RefundState::Succeeded);
    }
    assert!(matches!(place.refund(&refund(&opened, 501, 0)).await.expect("an answer"), RefundState::Failed(_)));
    assert_eq!(place.refund(&refund(&opened, 500, 0)).await.expect("an answer"), RefundState::Succeeded);
    assert_eq!(place.sim.ledger().totals().refunded, 3500);
}

/// A page has a hundred. What is not on the first is not said to be missing: it would be given back twice.
#[tokio::test]
async fn a_refund_is_found_among_more_than_a_page_of_them() {
    let place = Place::new();
    let opened = place.opened().await;
    place.confirm(&opened, "pm_card_visa").await.expect("an answer");
    let look_up = async |which: &_| place.gateway.look_up_refund(&place.ctx(), which).await;
    let (oldest, never_made) = (refund(&opened, 1, 1), refund(&opened, 1, 1));
    place.refund(&oldest).await.expect("an answer");
    for made in 2..=301 {
        place.refund(&refund(&opened, 1, 1)).await.expect("an answer");
        if matches!(made, 101 | 300) {
            assert_eq!(look_up(&oldest).await.expect("an answer"), Some(RefundState::Succeeded), "{made}");
            assert_eq!(look_up(&never_made).await.expect("an answer"), None, "{made}");
        }
    }
    // Nobody makes so many; if anybody does, the shop does not know.
    assert_eq!(kind(look_up(&oldest).await), FaultKind::Unavailable);
    let again = Refund { tries: 2, ..oldest };
    assert_eq!(kind(place.refund(&again).await), FaultKind::Unavailable);
    assert_eq!(place.sim.ledger().totals().refunded, 301);
}

#[tokio::test]
async fn neither_the_shops_key_nor_the_buyers_token_is_logged() {
    let place = Place::new();
    let opened = place.opened().await;
    for token in ["pm_card_visa", "pm_other"] {
        let _ = place.gateway.confirm(&place.ctx(), &opened.0, &opened.1, &card(token)).await;
    }
    let lines = place.lines.all();
    assert!(lines.iter().any(|line| line.contains("op=payment.confirm") && line.contains("status=200")), "{lines:?}");
    for line in lines {
        assert!(!line.contains("sk_test") && !line.contains("pm_") && !line.contains("pi_"), "{line}");
    }
}
