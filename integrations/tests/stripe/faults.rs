//! A gateway that is slow, down, or lies: what the shop is told is true, and the ledger has one charge at most.

use std::time::Duration;

use domain::context::Stopwatch;
use domain::fault::{Failure, FaultKind};
use domain::money::Amount;
use domain::payment::{Decline, GatewayState, PaymentGateway, RefundState};
use domain::secret::Secret;
use futures_util::future::join_all;
use integrations::stripe::{CaptureMethod, HttpPaymentGateway, StripeConfig};
use paysim::Fault::{
    Drip, ErrorAfterEffect, ErrorWithoutEffect, HangAfterEffect, HangWithoutEffect, Html, Huge, InUse, Late,
    LateEffect, RateLimited, ResetAfterEffect, ResetWithoutEffect, Truncated,
};
use paysim::Operation::{IntentCancel, IntentCapture, IntentConfirm, IntentCreate, IntentRetrieve, RefundCreate};

use crate::place::{ATTEMPT, CALL, Place, attempt, config, impatient, outbound, refund};
use crate::shared::{Lines, SOON, ctx_with};

const ALWAYS: u64 = 1000;

fn kind<T: std::fmt::Debug, E: Into<Failure<Decline>> + std::fmt::Debug>(outcome: Result<T, E>) -> FaultKind {
    match outcome.expect_err("a fault").into() {
        Failure::Fault(fault) => fault.kind(),
        Failure::Refused(decline) => panic!("refused: {decline:?}"),
    }
}

/// PAY1.
#[tokio::test]
async fn a_gateway_that_cannot_be_reached_has_charged_nothing() {
    // A port that nobody listens on, and one behind which nobody speaks TLS.
    let closed = faultkit::Port::keep();
    let sim = Place::new().sim;
    for url in [format!("http://{}", closed.address()), format!("https://{}", sim.address())] {
        let gateway = HttpPaymentGateway::new(outbound(), config(url)).expect("configured");
        let lines = Lines::default();
        let outcome = gateway.open(&ctx_with(&lines, CALL), &attempt()).await;
        assert_eq!(kind(outcome), FaultKind::Unavailable);
        let [line] = lines.all().try_into().expect("one line");
        assert!(line.contains("outcome=unreachable") && line.contains("effect=none"), "{line}");
        assert!(!line.contains("attempts=1 "), "it was not tried again: {line}");
    }
}

/// PAY2, PAY3, PAY7, PAY8: an answer is lost once, and the key brings it back.
#[tokio::test]
async fn an_answer_that_is_lost_once_is_fetched_with_the_same_key() {
    let faults = [
        HangAfterEffect,
        HangWithoutEffect,
        ResetAfterEffect,
        ResetWithoutEffect,
        Drip,
        Truncated,
        Html,
        Huge,
        InUse,
        Late { ms: 700 },
        LateEffect { ms: 700 },
    ];
    join_all(faults.map(is_lost_once)).await;
}

async fn is_lost_once(fault: paysim::Fault) {
    let (place, name) = (Place::new(), fault.name());
    let opened = place.opened().await;
    place.fail(IntentConfirm, 1, fault);
    let state = place.confirm(&opened, "pm_card_visa").await;
    assert_eq!(state.expect(name), GatewayState::Confirmed, "{name}");
    assert_eq!(place.captured(), (1, 3500), "{name}");
    assert_eq!(place.sim.faults_dealt()[name], 1);
}

/// PAY2, PAY3, PAY7, PAY8: it stays lost.
#[tokio::test]
async fn an_answer_that_stays_lost_leaves_the_outcome_unknown_and_can_be_asked_for() {
    let faults = [
        (HangAfterEffect, true),
        (HangWithoutEffect, false),
        (ResetAfterEffect, true),
        (ResetWithoutEffect, false),
        (ErrorAfterEffect, true),
        (ErrorWithoutEffect, false),
        (Drip, true),
        (Truncated, true),
        (Html, true),
        (Huge, true),
        (InUse, false),
    ];
    // Side by side, each with a gateway of its own: most of it is waiting.
    join_all(faults.map(|(fault, charges)| stays_lost(fault, charges))).await;
}

async fn stays_lost(fault: paysim::Fault, charges: bool) {
    let (place, name) = (Place::new(), fault.name());
    let opened = place.opened().await;
    place.fail(IntentConfirm, ALWAYS, fault);
    let watch = Stopwatch::start();
    assert_eq!(kind(place.confirm(&opened, "pm_card_visa").await), FaultKind::OutcomeUnknown, "{name}");
    assert!(watch.elapsed() < CALL + ATTEMPT, "{name} took {:?}", watch.elapsed());
    let (state, charged) = if charges { (GatewayState::Confirmed, (1, 3500)) } else { (GatewayState::Opened, (0, 0)) };
    assert_eq!(place.look_up(&opened).await, state, "{name}");
    let ended = if charges { GatewayState::Confirmed } else { GatewayState::Cancelled };
    assert_eq!(place.cancel(&opened).await.expect(name), ended, "{name}");
    assert_eq!(place.captured(), charged, "{name}");
}

/// PAY3: a 500 is kept for its key, so asking again is idle.
#[tokio::test]
async fn a_500_that_was_kept_for_the_key_is_not_asked_for_a_third_time() {
    let place = Place::new();
    let opened = place.opened().await;
    assert_eq!(kind(place.confirm(&opened, "pm_sim_charge_then_500").await), FaultKind::OutcomeUnknown);
    let line = place.lines.all().pop().expect("a line");
    assert!(line.contains("status=500") && line.contains("attempts=2"), "{line}");
}

/// PAY4.
#[tokio::test]
async fn a_key_that_is_in_use_is_waited_for() {
    let place = Place::new();
    let opened = place.opened().await;
    place.fail(IntentConfirm, 3, InUse);
    assert_eq!(place.confirm(&opened, "pm_card_visa").await.expect("an answer"), GatewayState::Confirmed);
    assert_eq!(place.captured(), (1, 3500));
}

/// PAY5.
#[tokio::test]
async fn one_key_for_two_requests_is_an_alarm_and_charges_nothing_more() {
    let place = Place::new();
    let opened = place.opened().await;
    place.confirm(&opened, "pm_card_visa").await.expect("an answer");
    assert_eq!(kind(place.confirm(&opened, "pm_card_mastercard").await), FaultKind::Internal);
    let lines = place.lines.all();
    let is_alarm = |line: &&String| line.starts_with("ERRO") && line.contains("error_code=payment.key_mismatch");
    assert_eq!(lines.iter().filter(is_alarm).count(), 1, "{lines:?}");
    assert_eq!(place.captured(), (1, 3500));
}

#[tokio::test]
async fn a_gateway_that_asks_for_a_pause_gets_it_if_there_is_time() {
    let place = Place::new();
    let opened = place.opened().await;
    place.fail(IntentConfirm, 1, RateLimited { retry_after_seconds: 1 });
    let watch = Stopwatch::start();
    assert_eq!(place.confirm(&opened, "pm_card_visa").await.expect("an answer"), GatewayState::Confirmed);
    assert!(watch.elapsed() >= Duration::from_secs(1));

    let opened = place.opened().await;
    place.fail(IntentConfirm, 1, RateLimited { retry_after_seconds: 60 });
    let watch = Stopwatch::start();
    assert_eq!(kind(place.confirm(&opened, "pm_card_visa").await), FaultKind::Unavailable);
    assert!(watch.elapsed() < SOON);
    assert_eq!(place.look_up(&opened).await, GatewayState::Opened);
}

#[tokio::test]
async fn being_sent_away_later_says_nothing_of_an_earlier_attempt() {
    let place = Place::new();
    let opened = place.opened().await;
    place.fail(IntentConfirm, 1, ResetAfterEffect);
    place.fail(IntentConfirm, 1, RateLimited { retry_after_seconds: 60 });
    assert_eq!(kind(place.confirm(&opened, "pm_card_visa").await), FaultKind::OutcomeUnknown);
    assert_eq!(place.captured(), (1, 3500));
}

#[tokio::test]
async fn a_key_that_the_gateway_refuses_is_the_operators_to_mend() {
    let place = Place::new();
    let config = StripeConfig { secret_key: Secret::new("sk_test_other"), ..config(place.sim.url()) };
    let gateway = HttpPaymentGateway::new(outbound(), config).expect("configured");
    assert_eq!(kind(gateway.open(&place.ctx(), &attempt()).await), FaultKind::Internal);
    let lines = place.lines.all();
    let is_told = |line: &String| line.starts_with("ERRO") && line.contains("error_code=payment.key_refused");
    assert!(lines.iter().any(is_told), "{lines:?}");
}

#[tokio::test]
async fn amount_that_is_too_small_is_refused_for_good_and_not_out_of_reach() {
    let place = Place::new();
    let mut attempt = attempt();
    attempt.money.amount = Amount::new(1);
    for _ in 0..2 {
        let refused = place.gateway.open(&place.ctx(), &attempt).await.expect_err("refused");
        let Failure::Refused(decline) = refused else { panic!("{refused:?}") };
        assert_eq!(decline.reason, "The amount is too small to be paid this way.");
        assert!(decline.detail.contains("amount_too_small"), "{}", decline.detail);
    }
    assert_eq!(place.captured(), (0, 0));
}

#[tokio::test]
async fn the_other_calls_survive_a_lost_answer_too() {
    for fault in [ResetAfterEffect, ResetWithoutEffect, HangAfterEffect, Truncated, Html, ErrorAfterEffect] {
        let (place, name) = (Place::with(CaptureMethod::Manual), fault.name());
        // A 500 to an opening is kept for its key; the attempt is given up then, and nobody is charged.
        if fault != ErrorAfterEffect {
            place.fail(IntentCreate, 1, fault);
        }
        let (opened, let_go) = (place.opened().await, place.opened().await);
        for held in [&opened, &let_go] {
            assert_eq!(place.confirm(held, "pm_card_visa").await.expect(name), GatewayState::Authorized, "{name}");
        }
        place.fail(IntentRetrieve, 1, fault);
        assert_eq!(place.look_up(&opened).await, GatewayState::Authorized, "{name}");
        place.fail(IntentCapture, 1, fault);
        assert_eq!(place.capture(&opened).await.expect(name), GatewayState::Confirmed, "{name}");
        place.fail(IntentCancel, 1, fault);
        assert_eq!(place.cancel(&let_go).await.expect(name), GatewayState::Cancelled, "{name}");
        assert_eq!(place.captured(), (1, 3500), "{name}");
    }
}

/// PAY13, PAY14.
#[tokio::test]
async fn a_refund_whose_answer_was_lost_is_found_and_not_made_twice() {
    let place = Place::new();
    let opened = place.opened().await;
    place.confirm(&opened, "pm_card_visa").await.expect("an answer");
    let mut refund = refund(&opened, 1000, 1);
    place.fail(RefundCreate, 1, ErrorAfterEffect);
    assert_eq!(kind(place.refund(&refund).await), FaultKind::OutcomeUnknown);
    // With its key, which replays the 500, and without it, which would give more back.
    for later in [Duration::ZERO, Duration::from_secs(25 * 60 * 60)] {
        place.sim.advance(later);
        refund.tries += 1;
        assert_eq!(place.refund(&refund).await.expect("an answer"), RefundState::Succeeded);
    }
    assert_eq!(place.sim.ledger().totals().refunded, 1000);
}

/// PAY12, as far as the gateway's side of it.
#[tokio::test]
async fn a_gateway_in_trouble_is_not_stormed() {
    let place = Place::new();
    place.sim.fail_next(IntentCreate, ALWAYS, ResetWithoutEffect);
    let gateway = HttpPaymentGateway::new(impatient(), config(place.sim.url())).expect("configured");
    let watch = Stopwatch::start();
    for _ in 0..20 {
        assert_eq!(kind(gateway.open(&place.ctx(), &attempt()).await), FaultKind::OutcomeUnknown);
    }
    // 20 calls, a floor of 10 retries, a fifth of the calls, and one retry for each second that it took.
    let most = 20 + 10 + 4 + watch.elapsed().as_secs() + 1;
    let made = place.sim.faults_dealt()["reset_without_effect"];
    assert!((30..=most).contains(&made), "{made}");
    assert!(place.lines.all().iter().any(|line| line.contains("outcome=retry_budget_exhausted")));
}
