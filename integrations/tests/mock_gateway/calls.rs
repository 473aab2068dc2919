//! The calls of the gateway: tokens, keys, deadlines and logs.

use std::time::Duration;

use domain::context::Stopwatch;
use domain::fault::{Failure, FaultKind};
use domain::money::{Amount, Money};
use domain::payment::{Attempt, GatewayState, Instrument, PaymentChoice, PaymentGateway, PaymentReference};
use integrations::mock_gateway::EntryKind;

use crate::kit::{SLOW, Shop, attempt, token};
use crate::shared::AMPLE;

#[tokio::test]
async fn each_token_behaves_as_documented() {
    let declined = |reason: &str| Ok(GatewayState::Declined(reason.into()));
    let unknown_token = "The token is not known to the mock payment handler";
    for (value, answer, entry) in [
        ("success_token", Ok(GatewayState::Confirmed), EntryKind::Charged),
        ("slow_token", Ok(GatewayState::Confirmed), EntryKind::Charged),
        ("charge_then_fail_token", Err(FaultKind::OutcomeUnknown), EntryKind::Charged),
        ("fail_token", declined("The card was declined"), EntryKind::Declined),
        ("tok_visa", declined(unknown_token), EntryKind::Declined),
        ("", declined(unknown_token), EntryKind::Declined),
    ] {
        let shop = Shop::new();
        let (handler, ctx, attempt) = (shop.handler(), shop.ctx(AMPLE), attempt());
        let reference = handler.open(&ctx, &attempt).await.expect("opens");
        assert_eq!(handler.look_up(&ctx, &reference).await.expect("known"), GatewayState::Opened);

        let watch = Stopwatch::start();
        // The second call returns the result of the first, and writes nothing.
        for _ in 0..2 {
            let answered = handler.confirm(&ctx, &attempt, &reference, &token(value)).await;
            assert_eq!(answered.map_err(|fault| fault.kind()), answer, "{value}");
        }
        assert!(value != "slow_token" || watch.elapsed() >= SLOW * 2, "slow_token is late for each call");
        assert_eq!(shop.kinds(), [EntryKind::Opened, entry], "{value}");
        let expected = match entry {
            EntryKind::Charged => Ok(GatewayState::Confirmed),
            _ => answer,
        };
        assert_eq!(handler.look_up(&ctx, &reference).await.map_err(|fault| fault.kind()), expected, "{value}");
    }
}

#[tokio::test]
async fn repeated_open_returns_the_same_payment() {
    let shop = Shop::new();
    let (handler, ctx, first) = (shop.handler(), shop.ctx(AMPLE), attempt());
    let reference = handler.open(&ctx, &first).await.expect("opens");
    assert_eq!(handler.open(&ctx, &first).await.expect("the same"), reference);
    handler.confirm(&ctx, &first, &reference, &token("success_token")).await.expect("answers");
    assert_eq!(handler.open(&ctx, &first).await.expect("the same"), reference);
    assert_ne!(handler.open(&ctx, &attempt()).await.expect("opens"), reference);
    assert_eq!(shop.kinds(), [EntryKind::Opened, EntryKind::Charged, EntryKind::Opened]);

    let dearer = Attempt { money: Money { amount: Amount::new(3501), ..first.money }, ..first };
    let fault = handler.open(&ctx, &dearer).await.expect_err("the key is in use");
    assert!(matches!(fault, Failure::Fault(fault) if fault.kind() == FaultKind::Internal));
}

#[tokio::test]
async fn charge_and_cancellation_exclude_each_other() {
    let shop = Shop::new();
    let (handler, ctx, attempt) = (shop.handler(), shop.ctx(AMPLE), attempt());

    let reference = handler.open(&ctx, &attempt).await.expect("opens");
    handler.confirm(&ctx, &attempt, &reference, &token("success_token")).await.expect("answers");
    assert_eq!(handler.cancel(&ctx, &reference).await.expect("answers"), GatewayState::Confirmed);

    let late = self::attempt();
    let reference = handler.open(&ctx, &late).await.expect("opens");
    for _ in 0..2 {
        assert_eq!(handler.cancel(&ctx, &reference).await.expect("answers"), GatewayState::Cancelled);
    }
    for value in ["success_token", "slow_token", "charge_then_fail_token", "fail_token"] {
        let answer = handler.confirm(&ctx, &late, &reference, &token(value)).await.expect("answers");
        assert_eq!(answer, GatewayState::Cancelled, "{value}");
    }
    use EntryKind::{Cancelled, Charged, Opened};
    assert_eq!(shop.kinds(), [Opened, Charged, Opened, Cancelled]);
}

#[tokio::test]
async fn payment_is_found_by_its_attempt_in_every_process() {
    let shop = Shop::new();
    let (one, other, ctx, attempt) = (shop.handler(), shop.handler(), shop.ctx(AMPLE), attempt());
    assert_eq!(other.find(&ctx, &attempt).await.expect("answers"), None);
    let reference = one.open(&ctx, &attempt).await.expect("opens");
    assert_eq!(other.find(&ctx, &attempt).await.expect("answers"), Some(reference));
    assert_eq!(other.find(&ctx, &self::attempt()).await.expect("answers"), None);
    assert_eq!(shop.kinds(), [EntryKind::Opened]);
}

#[tokio::test]
async fn unknown_payment_is_an_internal_fault() {
    let shop = Shop::new();
    let (handler, ctx) = (shop.handler(), shop.ctx(AMPLE));
    let unknown_reference = PaymentReference("mock_unknown".to_owned());
    let confirmed = handler.confirm(&ctx, &attempt(), &unknown_reference, &token("success_token")).await;
    for answer in
        [handler.look_up(&ctx, &unknown_reference).await, handler.cancel(&ctx, &unknown_reference).await, confirmed]
    {
        let fault = answer.expect_err("unknown");
        assert_eq!(fault.kind(), FaultKind::Internal);
        assert!(fault.chain().contains("no payment mock_unknown"), "{}", fault.chain());
    }
    assert_eq!(shop.kinds(), []);
}

#[tokio::test]
async fn call_without_response_ends_at_its_deadline() {
    let shop = Shop::new();
    let (handler, ctx, attempt) = (shop.handler(), shop.ctx(AMPLE), attempt());
    let reference = handler.open(&ctx, &attempt).await.expect("opens");

    let watch = Stopwatch::start();
    let hurried = shop.ctx(Duration::from_millis(100));
    let fault = handler.confirm(&hurried, &attempt, &reference, &token("hang_token")).await.expect_err("no answer");
    assert_eq!(fault.kind(), FaultKind::OutcomeUnknown);
    assert!(watch.elapsed() >= Duration::from_millis(100), "{:?}", watch.elapsed());
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    assert!(hurried.timings().gateway.microseconds() >= 90_000);
    assert_eq!(handler.cancel(&ctx, &reference).await.expect("answers"), GatewayState::Cancelled);

    // A charge remains a charge even if its response is too late.
    let late = self::attempt();
    let reference = handler.open(&ctx, &late).await.expect("opens");
    let hurried = shop.ctx(SLOW / 2);
    let fault = handler.confirm(&hurried, &late, &reference, &token("slow_token")).await.expect_err("too late");
    assert_eq!(fault.kind(), FaultKind::OutcomeUnknown);
    assert_eq!(handler.cancel(&ctx, &reference).await.expect("answers"), GatewayState::Confirmed);
}

#[tokio::test]
async fn call_after_cancellation_or_deadline_has_no_effect() {
    let shop = Shop::new();
    let (handler, attempt) = (shop.handler(), attempt());
    let reference = handler.open(&shop.ctx(AMPLE), &attempt).await.expect("opens");
    let gone = shop.ctx(AMPLE);
    gone.cancellation().cancel();
    for (ctx, kind) in [(gone, FaultKind::Cancelled), (shop.ctx(Duration::ZERO), FaultKind::DeadlineExceeded)] {
        let failed = handler.open(&ctx, &self::attempt()).await.expect_err("refused");
        assert!(matches!(failed, Failure::Fault(fault) if fault.kind() == kind));
        let confirmed = handler.confirm(&ctx, &attempt, &reference, &token("success_token")).await;
        assert_eq!(confirmed.expect_err("refused").kind(), kind);
        assert_eq!(handler.look_up(&ctx, &reference).await.expect_err("refused").kind(), kind);
        assert_eq!(handler.cancel(&ctx, &reference).await.expect_err("refused").kind(), kind);
    }
    assert_eq!(shop.kinds(), [EntryKind::Opened]);
}

#[tokio::test]
async fn stored_instruments_are_looked_up_in_the_shop() {
    let shop = Shop::new();
    let handler = shop.handler();
    let choice = |id: &str| PaymentChoice {
        instrument: Instrument {
            id: id.to_owned(),
            handler: handler.handler().id,
            kind: "card".to_owned(),
            selected: true,
            display: None,
        },
        credential: None,
    };
    let found = handler.on_file(&shop.ctx(AMPLE), &choice("instr_1")).await.expect("answers");
    assert_eq!(found, Some(token("success_token")));
    assert_eq!(handler.on_file(&shop.ctx(AMPLE), &choice("instr_2")).await.expect("answers"), None);
    let late = handler.on_file(&shop.ctx(Duration::ZERO), &choice("instr_1")).await;
    assert_eq!(late.expect_err("refused").kind(), FaultKind::DeadlineExceeded);
}
