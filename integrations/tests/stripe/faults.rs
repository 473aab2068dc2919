//! The gateway is slow, fails or sends wrong responses. The shop still returns a correct result, and the gateway's
//! ledger has at most one charge.

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

use crate::fixture::{ATTEMPT, CALL, Fixture, attempt, config, impatient, outbound, refund};
use crate::shared::{Lines, SOON, ctx_with};

const ALWAYS: u64 = 1000;

fn kind<T: std::fmt::Debug, E: Into<Failure<Decline>> + std::fmt::Debug>(outcome: Result<T, E>) -> FaultKind {
    match outcome.expect_err("a fault").into() {
        Failure::Fault(fault) => fault.kind(),
        Failure::Refused(decline) => panic!("refused: {decline:?}"),
    }
}

/// PAY1 in docs/FAILURES.md.
#[tokio::test]
async fn unreachable_gateway_has_charged_nothing() {
    // One port has no listener, and the other port has no TLS.
    let closed = faultkit::Port::keep();
    let sim = Fixture::new().sim;
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

/// PAY2, PAY3, PAY7 and PAY8 in docs/FAILURES.md: one response is lost, and the retry with the same key gets it.
#[tokio::test]
async fn response_lost_once_is_replayed_by_the_same_key() {
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
    let (fixture, name) = (Fixture::new(), fault.name());
    let opened = fixture.opened().await;
    fixture.fail(IntentConfirm, 1, fault);
    let state = fixture.confirm(&opened, "pm_card_visa").await;
    assert_eq!(state.expect(name), GatewayState::Confirmed, "{name}");
    assert_eq!(fixture.captured(), (1, 3500), "{name}");
    assert_eq!(fixture.sim.faults_dealt()[name], 1);
}

/// PAY2, PAY3, PAY7 and PAY8 in docs/FAILURES.md: all responses are lost.
#[tokio::test]
async fn response_that_stays_lost_leaves_outcome_unknown_until_lookup() {
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
    // The cases run concurrently, because each of them mostly waits. Each case has a separate gateway.
    join_all(faults.map(|(fault, charges)| stays_lost(fault, charges))).await;
}

async fn stays_lost(fault: paysim::Fault, charges: bool) {
    let (fixture, name) = (Fixture::new(), fault.name());
    let opened = fixture.opened().await;
    fixture.fail(IntentConfirm, ALWAYS, fault);
    let watch = Stopwatch::start();
    assert_eq!(kind(fixture.confirm(&opened, "pm_card_visa").await), FaultKind::OutcomeUnknown, "{name}");
    assert!(watch.elapsed() < CALL + ATTEMPT, "{name} took {:?}", watch.elapsed());
    let (state, charged) = if charges { (GatewayState::Confirmed, (1, 3500)) } else { (GatewayState::Opened, (0, 0)) };
    assert_eq!(fixture.look_up(&opened).await, state, "{name}");
    let ended = if charges { GatewayState::Confirmed } else { GatewayState::Cancelled };
    assert_eq!(fixture.cancel(&opened).await.expect(name), ended, "{name}");
    assert_eq!(fixture.captured(), charged, "{name}");
}

/// PAY3 in docs/FAILURES.md: the gateway stores a 500 for its key, so a retry with this key cannot succeed.
#[tokio::test]
async fn replayed_500_ends_the_retries() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    assert_eq!(kind(fixture.confirm(&opened, "pm_sim_charge_then_500").await), FaultKind::OutcomeUnknown);
    let line = fixture.lines.all().pop().expect("a line");
    assert!(line.contains("status=500") && line.contains("attempts=2"), "{line}");
}

/// PAY4 in docs/FAILURES.md.
#[tokio::test]
async fn key_in_use_is_retried_until_it_is_free() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    fixture.fail(IntentConfirm, 3, InUse);
    assert_eq!(fixture.confirm(&opened, "pm_card_visa").await.expect("an answer"), GatewayState::Confirmed);
    assert_eq!(fixture.captured(), (1, 3500));
}

/// PAY5 in docs/FAILURES.md.
#[tokio::test]
async fn key_of_another_request_logs_an_error_and_charges_nothing() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    fixture.confirm(&opened, "pm_card_visa").await.expect("an answer");
    assert_eq!(kind(fixture.confirm(&opened, "pm_card_mastercard").await), FaultKind::Internal);
    let lines = fixture.lines.all();
    let is_alarm = |line: &&String| line.starts_with("ERRO") && line.contains("error_code=payment.key_mismatch");
    assert_eq!(lines.iter().filter(is_alarm).count(), 1, "{lines:?}");
    assert_eq!(fixture.captured(), (1, 3500));
}

#[tokio::test]
async fn retry_after_of_the_gateway_is_kept_if_there_is_time() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    fixture.fail(IntentConfirm, 1, RateLimited { retry_after_seconds: 1 });
    let watch = Stopwatch::start();
    assert_eq!(fixture.confirm(&opened, "pm_card_visa").await.expect("an answer"), GatewayState::Confirmed);
    assert!(watch.elapsed() >= Duration::from_secs(1));

    let opened = fixture.opened().await;
    fixture.fail(IntentConfirm, 1, RateLimited { retry_after_seconds: 60 });
    let watch = Stopwatch::start();
    assert_eq!(kind(fixture.confirm(&opened, "pm_card_visa").await), FaultKind::Unavailable);
    assert!(watch.elapsed() < SOON);
    assert_eq!(fixture.look_up(&opened).await, GatewayState::Opened);
}

#[tokio::test]
async fn later_429_leaves_the_outcome_of_an_earlier_attempt_unknown() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    fixture.fail(IntentConfirm, 1, ResetAfterEffect);
    fixture.fail(IntentConfirm, 1, RateLimited { retry_after_seconds: 60 });
    assert_eq!(kind(fixture.confirm(&opened, "pm_card_visa").await), FaultKind::OutcomeUnknown);
    assert_eq!(fixture.captured(), (1, 3500));
}

#[tokio::test]
async fn refused_api_key_logs_an_error_for_the_operator() {
    let fixture = Fixture::new();
    let config = StripeConfig { secret_key: Secret::new("sk_test_other"), ..config(fixture.sim.url()) };
    let gateway = HttpPaymentGateway::new(outbound(), config).expect("configured");
    assert_eq!(kind(gateway.open(&fixture.ctx(), &attempt()).await), FaultKind::Internal);
    let lines = fixture.lines.all();
    let is_logged = |line: &String| line.starts_with("ERRO") && line.contains("error_code=payment.key_refused");
    assert!(lines.iter().any(is_logged), "{lines:?}");
}

#[tokio::test]
async fn too_small_amount_is_declined() {
    let fixture = Fixture::new();
    let mut attempt = attempt();
    attempt.money.amount = Amount::new(1);
    for _ in 0..2 {
        let refused = fixture.gateway.open(&fixture.ctx(), &attempt).await.expect_err("refused");
        let Failure::Refused(decline) = refused else { panic!("{refused:?}") };
        assert_eq!(decline.reason, "The amount is too small to be paid this way.");
        assert!(decline.detail.contains("amount_too_small"), "{}", decline.detail);
    }
    assert_eq!(fixture.captured(), (0, 0));
}

#[tokio::test]
async fn other_calls_are_repeated_after_a_lost_response() {
    for fault in [ResetAfterEffect, ResetWithoutEffect, HangAfterEffect, Truncated, Html, ErrorAfterEffect] {
        let (fixture, name) = (Fixture::with(CaptureMethod::Manual), fault.name());
        // Opening a payment is not tested with a 500. The gateway stores a 500 for its key, so no retry can open the
        // payment.
        if fault != ErrorAfterEffect {
            fixture.fail(IntentCreate, 1, fault);
        }
        let (opened, let_go) = (fixture.opened().await, fixture.opened().await);
        for held in [&opened, &let_go] {
            assert_eq!(fixture.confirm(held, "pm_card_visa").await.expect(name), GatewayState::Authorized, "{name}");
        }
        fixture.fail(IntentRetrieve, 1, fault);
        assert_eq!(fixture.look_up(&opened).await, GatewayState::Authorized, "{name}");
        fixture.fail(IntentCapture, 1, fault);
        assert_eq!(fixture.capture(&opened).await.expect(name), GatewayState::Confirmed, "{name}");
        fixture.fail(IntentCancel, 1, fault);
        assert_eq!(fixture.cancel(&let_go).await.expect(name), GatewayState::Cancelled, "{name}");
        assert_eq!(fixture.captured(), (1, 3500), "{name}");
    }
}

/// PAY13 and PAY14 in docs/FAILURES.md.
#[tokio::test]
async fn refund_with_lost_response_is_found_and_not_made_twice() {
    let fixture = Fixture::new();
    let opened = fixture.opened().await;
    fixture.confirm(&opened, "pm_card_visa").await.expect("an answer");
    let mut refund = refund(&opened, 1000, 1);
    fixture.fail(RefundCreate, 1, ErrorAfterEffect);
    assert_eq!(kind(fixture.refund(&refund).await), FaultKind::OutcomeUnknown);
    // First the key still exists and would replay the 500. Later the key has expired.
    for later in [Duration::ZERO, Duration::from_secs(25 * 60 * 60)] {
        fixture.sim.advance(later);
        refund.tries += 1;
        assert_eq!(fixture.refund(&refund).await.expect("an answer"), RefundState::Succeeded);
    }
    assert_eq!(fixture.sim.ledger().totals().refunded, 1000);
}

/// PAY12 in docs/FAILURES.md, for the calls of the gateway.
#[tokio::test]
async fn failing_gateway_gets_few_retries() {
    let fixture = Fixture::new();
    fixture.sim.fail_next(IntentCreate, ALWAYS, ResetWithoutEffect);
    let gateway = HttpPaymentGateway::new(impatient(), config(fixture.sim.url())).expect("configured");
    let watch = Stopwatch::start();
    for _ in 0..20 {
        assert_eq!(kind(gateway.open(&fixture.ctx(), &attempt()).await), FaultKind::OutcomeUnknown);
    }
    // 20 calls, 10 retries (one for each second of the period), 4 retries (a fifth of the calls), and one more retry
    // for each second that the test takes.
    let most = 20 + 10 + 4 + watch.elapsed().as_secs() + 1;
    let made = fixture.sim.faults_dealt()["reset_without_effect"];
    assert!((30..=most).contains(&made), "{made}");
    assert!(fixture.lines.all().iter().any(|line| line.contains("outcome=retry_budget_exhausted")));
}
