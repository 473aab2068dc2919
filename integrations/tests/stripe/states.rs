//! Which state the shop sees for each end of a payment, if no call fails.

use std::time::Duration;

use domain::fault::FaultKind;
use domain::payment::{Decline, GatewayState, PaymentGateway, Refund, RefundState};
use integrations::stripe::CaptureMethod;
use paysim::Outcome;

use crate::fixture::{Fixture, card, refund};

fn kind<T: std::fmt::Debug>(outcome: Result<T, domain::fault::Fault>) -> FaultKind {
    outcome.expect_err("a fault").kind()
}

#[tokio::test]
async fn payment_is_opened_confirmed_and_looked_up() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    assert_eq!(fixture.look_up(&opened).await, GatewayState::Opened);
    assert_eq!(fixture.captured(), (0, 0));
    assert_eq!(fixture.confirm(&opened, "pm_card_visa").await.expect("an answer"), GatewayState::Confirmed);
    assert_eq!(fixture.look_up(&opened).await, GatewayState::Confirmed);
    assert_eq!(fixture.captured(), (1, 3500));
    // With the metadata, the gateway's ledger can be compared with the shop's database.
    let ledger = fixture.sim.ledger();
    assert_eq!(ledger.by_metadata("attempt_id")[&opened.0.id.to_string()].captured, 3500);
    assert_eq!(ledger.by_metadata("checkout_id")[&opened.0.checkout.to_string()].captured, 3500);
}

#[tokio::test]
async fn repeated_calls_return_the_same_result() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    let again = fixture.gateway.open(&fixture.ctx(), &opened.0).await.expect("opens");
    assert_eq!(again, opened.1);
    for _ in 0..3 {
        assert_eq!(fixture.confirm(&opened, "pm_card_visa").await.expect("an answer"), GatewayState::Confirmed);
    }
    assert_eq!(fixture.captured(), (1, 3500));
}

/// The shop finds a payment even if its key has expired and the shop has not stored its reference.
#[tokio::test]
async fn payment_is_found_by_its_attempt_after_its_key_expired() {
    let fixture = Fixture::new();
    let (opened, other, never) = (fixture.opened().await, fixture.opened().await, crate::fixture::attempt());
    let find = async |attempt: &_| fixture.gateway.find(&fixture.ctx(), attempt).await;
    fixture.sim.advance(Duration::from_secs(25 * 60 * 60));
    for state in ["opened", "charged"] {
        assert_eq!(find(&opened.0).await.expect("an answer"), Some(opened.1.clone()), "{state}");
        assert_eq!(find(&other.0).await.expect("an answer"), Some(other.1.clone()), "{state}");
        assert_eq!(find(&never).await.expect("an answer"), None, "{state}");
        fixture.confirm(&opened, "pm_card_visa").await.expect("an answer");
    }
    assert_eq!(fixture.captured(), (1, 3500));

    // The payment is opened again after its key has expired, so there are two payments. The shop does not guess which
    // of them counts.
    fixture.gateway.open(&fixture.ctx(), &opened.0).await.expect("opens");
    fixture.sim.advance(Duration::from_secs(60 * 60));
    assert_eq!(kind(find(&opened.0).await), FaultKind::Internal);
    for fault in [paysim::Fault::Html, paysim::Fault::ErrorWithoutEffect] {
        fixture.fail(paysim::Operation::IntentSearch, 1_000, fault);
        assert_eq!(kind(find(&other.0).await), FaultKind::Unavailable, "{fault:?}");
        fixture.sim.clear_faults();
    }
}

#[tokio::test]
async fn declined_card_returns_a_reason_for_the_buyer() {
    let fixture = Fixture::new();
    for (token, message, codes) in [
        ("pm_card_chargeDeclined", "Your card was declined.", "code card_declined, decline_code generic_decline"),
        (
            "pm_card_chargeDeclinedInsufficientFunds",
            "Your card has insufficient funds.",
            "code card_declined, decline_code insufficient_funds",
        ),
        // The buyer does not learn that a card is lost or stolen.
        (
            "pm_card_visa_chargeDeclinedStolenCard",
            "Your card was declined.",
            "code card_declined, decline_code stolen_card",
        ),
        ("pm_card_chargeDeclinedExpiredCard", "Your card has expired.", "code expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "Your card's security code is incorrect.", "code incorrect_cvc"),
    ] {
        let opened = fixture.opened().await;
        for state in [fixture.confirm(&opened, token).await.expect("an answer"), fixture.look_up(&opened).await] {
            let GatewayState::Declined(Decline { reason, detail }) = state else { panic!("{token}: {state:?}") };
            assert_eq!(reason, message, "{token}");
            assert!(detail.starts_with(&format!("type card_error, {codes}")), "{token}: {detail}");
        }
    }
    assert_eq!(fixture.captured(), (0, 0));
}

#[tokio::test]
async fn unknown_payment_method_is_declined() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    let state = fixture.confirm(&opened, "pm_of_another_shop").await.expect("an answer");
    let GatewayState::Declined(Decline { reason, detail }) = state else { panic!("{state:?}") };
    assert_eq!(reason, "The payment was declined.");
    assert!(detail.contains("param payment_method") && !detail.contains("pm_of_another_shop"), "{detail}");
    assert_eq!(fixture.captured(), (0, 0));
}

#[tokio::test]
async fn payment_that_waits_for_the_buyer_can_be_cancelled() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    let state = fixture.confirm(&opened, "pm_card_threeDSecure2Required").await.expect("an answer");
    assert_eq!(state, GatewayState::ActionRequired);
    assert_eq!(fixture.look_up(&opened).await, GatewayState::ActionRequired);
    assert_eq!(fixture.cancel(&opened).await.expect("an answer"), GatewayState::Cancelled);
    assert!(fixture.sim.settle(&opened.1.0, Outcome::Succeeded).is_err(), "too late to pay");
    assert_eq!(fixture.captured(), (0, 0));
}

#[tokio::test]
async fn payment_in_processing_has_no_state() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    assert_eq!(kind(fixture.confirm(&opened, "pm_sim_processing").await), FaultKind::OutcomeUnknown);
    assert_eq!(kind(fixture.gateway.look_up(&fixture.ctx(), &opened.1).await), FaultKind::Unavailable);
    assert_eq!(kind(fixture.cancel(&opened).await), FaultKind::OutcomeUnknown);
    fixture.sim.settle(&opened.1.0, Outcome::Succeeded).expect("settled");
    assert_eq!(fixture.look_up(&opened).await, GatewayState::Confirmed);
    assert_eq!(fixture.cancel(&opened).await.expect("an answer"), GatewayState::Confirmed);
}

#[tokio::test]
async fn cancel_returns_the_final_state() {
    let fixture = Fixture::new();
    let open = fixture.opened().await;
    for _ in 0..2 {
        assert_eq!(fixture.cancel(&open).await.expect("an answer"), GatewayState::Cancelled);
    }
    // A later confirmation charges nothing.
    assert_eq!(fixture.confirm(&open, "pm_card_visa").await.expect("an answer"), GatewayState::Cancelled);
    assert_eq!(fixture.captured(), (0, 0));

    let charged = fixture.opened().await;
    fixture.confirm(&charged, "pm_card_visa").await.expect("an answer");
    assert_eq!(fixture.cancel(&charged).await.expect("an answer"), GatewayState::Confirmed);
    assert_eq!(fixture.captured(), (1, 3500));
}

#[tokio::test]
async fn authorized_payment_is_captured_once() {
    let fixture = Fixture::with(CaptureMethod::Manual);
    let opened = fixture.opened().await;
    assert_eq!(fixture.confirm(&opened, "pm_card_visa").await.expect("an answer"), GatewayState::Authorized);
    assert_eq!(fixture.look_up(&opened).await, GatewayState::Authorized);
    assert_eq!(fixture.captured(), (0, 0));
    for _ in 0..2 {
        assert_eq!(fixture.capture(&opened).await.expect("an answer"), GatewayState::Confirmed);
    }
    assert_eq!(fixture.captured(), (1, 3500));
}

#[tokio::test]
async fn cancelled_or_expired_authorization_cannot_be_captured() {
    let fixture = Fixture::with(CaptureMethod::Manual);
    let (cancelled, expired) = (fixture.opened().await, fixture.opened().await);
    for opened in [&cancelled, &expired] {
        fixture.confirm(opened, "pm_card_visa").await.expect("an answer");
    }
    assert_eq!(fixture.cancel(&cancelled).await.expect("an answer"), GatewayState::Cancelled);
    fixture.sim.advance(Duration::from_secs(8 * 24 * 60 * 60));
    for opened in [&cancelled, &expired] {
        assert_eq!(fixture.capture(opened).await.expect("an answer"), GatewayState::Cancelled);
    }
    assert_eq!(fixture.captured(), (0, 0));
    assert_eq!(fixture.sim.ledger().totals().held, 0);
}

#[tokio::test]
async fn refunds_never_exceed_the_captured_amount() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    assert!(matches!(fixture.refund(&refund(&opened, 100, 1)).await.expect("an answer"), RefundState::Failed(_)));
    fixture.confirm(&opened, "pm_card_visa").await.expect("an answer");
    let first = refund(&opened, 3000, 1);
    for _ in 0..2 {
        assert_eq!(fixture.refund(&first).await.expect("an answer"), RefundState::Succeeded);
    }
    assert!(matches!(fixture.refund(&refund(&opened, 501, 0)).await.expect("an answer"), RefundState::Failed(_)));
    assert_eq!(fixture.refund(&refund(&opened, 500, 0)).await.expect("an answer"), RefundState::Succeeded);
    assert_eq!(fixture.sim.ledger().totals().refunded, 3500);
}

/// A page has a hundred refunds. A refund on a later page must not be made twice.
#[tokio::test]
async fn refund_is_found_on_a_later_page() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    fixture.confirm(&opened, "pm_card_visa").await.expect("an answer");
    let look_up = async |which: &_| fixture.gateway.look_up_refund(&fixture.ctx(), which).await;
    let (oldest, never_made) = (refund(&opened, 1, 1), refund(&opened, 1, 1));
    fixture.refund(&oldest).await.expect("an answer");
    for made in 2..=301 {
        fixture.refund(&refund(&opened, 1, 1)).await.expect("an answer");
        if matches!(made, 101 | 300) {
            assert_eq!(look_up(&oldest).await.expect("an answer"), Some(RefundState::Succeeded), "{made}");
            assert_eq!(look_up(&never_made).await.expect("an answer"), None, "{made}");
        }
    }
    // If there are more refunds than the shop reads, the state of the refund is unknown.
    assert_eq!(kind(look_up(&oldest).await), FaultKind::Unavailable);
    let again = Refund { tries: 2, ..oldest };
    assert_eq!(kind(fixture.refund(&again).await), FaultKind::Unavailable);
    assert_eq!(fixture.sim.ledger().totals().refunded, 301);
}

#[tokio::test]
async fn api_key_and_token_are_not_logged() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    for token in ["pm_card_visa", "pm_other"] {
        let _ = fixture.gateway.confirm(&fixture.ctx(), &opened.0, &opened.1, &card(token)).await;
    }
    let lines = fixture.lines.all();
    assert!(lines.iter().any(|line| line.contains("op=payment.confirm") && line.contains("status=200")), "{lines:?}");
    for line in lines {
        assert!(!line.contains("sk_test") && !line.contains("pm_") && !line.contains("pi_"), "{line}");
    }
}
