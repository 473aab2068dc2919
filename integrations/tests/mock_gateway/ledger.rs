//! The ledger: its lines, restarts, several handlers on one file, and torn lines.

use std::sync::Arc;

use domain::payment::{Attempt, GatewayState, PaymentGateway};
use integrations::mock_gateway::{EntryKind, LedgerEntry, MockConfig, MockPaymentHandler, OnFile};
use slog::{Discard, Logger, o};

use crate::kit::{FixedClock, SLOW, Shop, attempt, context, open_on, token};
use crate::shared::AMPLE;

#[tokio::test]
async fn ledger_records_each_call() {
    let shop = Shop::new();
    let (handler, ctx, attempt) = (shop.handler(), shop.ctx(AMPLE), attempt());
    let reference = handler.open(&ctx, &attempt).await.expect("opens");
    handler.confirm(&ctx, &attempt, &reference, &token("fail_token")).await.expect("answers");

    let text = std::fs::read_to_string(shop.path()).expect("text");
    let written: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("one object per line")).collect();
    let (reference, id) = (&reference.0, attempt.id.as_str());
    assert_eq!(
        written,
        [
            serde_json::json!({"at": "2026-04-08T12:00:00Z", "entry": "opened", "reference": reference, "attempt": id,
                "key": attempt.open_key(), "amount": 3500, "currency": "USD"}),
            serde_json::json!({"at": "2026-04-08T12:00:00Z", "entry": "declined", "reference": reference, "attempt": id,
                "key": attempt.confirm_key(), "amount": 3500, "currency": "USD", "reason": "The card was declined"}),
        ]
    );
}

#[tokio::test]
async fn payments_survive_a_restart() {
    let shop = Shop::new();
    let (ctx, charged, declined, opened) = (shop.ctx(AMPLE), attempt(), attempt(), attempt());
    let before = shop.handler();
    let charged_as = before.open(&ctx, &charged).await.expect("opens");
    let declined_as = before.open(&ctx, &declined).await.expect("opens");
    let opened_as = before.open(&ctx, &opened).await.expect("opens");
    before
        .confirm(&ctx, &charged, &charged_as, &token("charge_then_fail_token"))
        .await
        .expect_err("the response is lost");
    let refusal = before.confirm(&ctx, &declined, &declined_as, &token("fail_token")).await.expect("answers");
    drop(before);

    let after = shop.handler();
    assert_eq!(after.look_up(&ctx, &charged_as).await.expect("known"), GatewayState::Confirmed);
    assert_eq!(after.look_up(&ctx, &declined_as).await.expect("known"), refusal);
    assert_eq!(after.look_up(&ctx, &opened_as).await.expect("known"), GatewayState::Opened);
    assert_eq!(after.open(&ctx, &opened).await.expect("the same"), opened_as);
    let again = after.confirm(&ctx, &charged, &charged_as, &token("success_token")).await.expect("the same");
    assert_eq!(again, GatewayState::Confirmed);
    assert_eq!(shop.kinds().iter().filter(|kind| **kind == EntryKind::Charged).count(), 1);
}

#[tokio::test]
async fn handlers_with_one_ledger_act_as_one_gateway() {
    let shop = Shop::new();
    let (one, other, ctx, attempt) = (shop.handler(), shop.handler(), shop.ctx(AMPLE), attempt());
    let reference = one.open(&ctx, &attempt).await.expect("opens");
    assert_eq!(other.open(&ctx, &attempt).await.expect("the same"), reference);
    other.confirm(&ctx, &attempt, &reference, &token("success_token")).await.expect("answers");
    assert_eq!(one.look_up(&ctx, &reference).await.expect("known"), GatewayState::Confirmed);
    assert_eq!(one.cancel(&ctx, &reference).await.expect("answers"), GatewayState::Confirmed);
    assert_eq!(shop.kinds(), [EntryKind::Opened, EntryKind::Charged]);
}

#[test]
fn concurrent_calls_open_and_end_a_payment_once() {
    const ROUNDS: usize = 100;
    let shop = Shop::new();
    let attempts: Vec<Attempt> = (0..ROUNDS).map(|_| attempt()).collect();
    let start = std::sync::Barrier::new(3);
    // Each thread has a separate handler on the file, as a separate process would have.
    let race = |racer: usize| {
        let handler = open_on(&shop.path(), &Logger::root(Discard, o!()));
        let ctx = context(&Logger::root(Discard, o!()), AMPLE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let mut answers = Vec::new();
        for attempt in &attempts {
            start.wait();
            answers.push(runtime.block_on(async {
                let reference = handler.open(&ctx, attempt).await.expect("opens");
                match racer {
                    0 => handler.cancel(&ctx, &reference).await,
                    _ => handler.confirm(&ctx, attempt, &reference, &token("success_token")).await,
                }
                .expect("answers")
            }));
        }
        answers
    };
    let answers = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..3).map(|racer| scope.spawn(move || race(racer))).collect();
        racers.into_iter().map(|racer| racer.join().expect("no panic")).collect::<Vec<_>>()
    });

    let entries = shop.entries();
    assert_eq!(entries.len(), 2 * ROUNDS);
    for (round, attempt) in attempts.iter().enumerate() {
        let mine: Vec<_> = entries.iter().filter(|entry| entry.attempt == attempt.id).collect();
        assert_eq!(mine.len(), 2, "{mine:?}");
        assert_eq!(mine[0].entry, EntryKind::Opened);
        for racer in &answers {
            assert_eq!(racer[round], mine[1].state(), "all callers get the same result");
        }
    }
}

#[tokio::test]
async fn torn_line_is_ignored() {
    let shop = Shop::new();
    let (running, ctx, attempt) = (shop.handler(), shop.ctx(AMPLE), attempt());
    let reference = running.open(&ctx, &attempt).await.expect("opens");
    let charge = LedgerEntry { entry: EntryKind::Charged, ..shop.entries()[0].clone() };
    let line = shop.line(&charge);
    shop.append(&line[..line.len() / 2]);
    assert_eq!(shop.kinds(), [EntryKind::Opened]);

    // `started` reads the torn line at start. `running` reads it with its next call.
    let started = shop.handler();
    for handler in [&started, &running] {
        assert_eq!(handler.look_up(&ctx, &reference).await.expect("known"), GatewayState::Opened);
    }
    assert_eq!(running.cancel(&ctx, &reference).await.expect("answers"), GatewayState::Cancelled);
    assert_eq!(started.look_up(&ctx, &reference).await.expect("known"), GatewayState::Cancelled);
    assert_eq!(shop.handler().look_up(&ctx, &reference).await.expect("known"), GatewayState::Cancelled);
    assert_eq!(shop.kinds(), [EntryKind::Opened, EntryKind::Cancelled]);
    assert!(shop.lines.all().iter().any(|line| line.starts_with("WARN payment ledger has an unreadable line")));
}

#[tokio::test]
async fn line_without_line_feed_counts_for_every_process() {
    let shop = Shop::new();
    let (handler, ctx, attempt) = (shop.handler(), shop.ctx(AMPLE), attempt());
    let reference = handler.open(&ctx, &attempt).await.expect("opens");
    let charge = LedgerEntry { entry: EntryKind::Charged, ..shop.entries()[0].clone() };
    let line = shop.line(&charge);
    shop.append(&line[..line.len() - 1]);

    assert_eq!(shop.kinds(), [EntryKind::Opened, EntryKind::Charged]);
    assert_eq!(handler.cancel(&ctx, &reference).await.expect("answers"), GatewayState::Confirmed);
    assert_eq!(shop.handler().look_up(&ctx, &reference).await.expect("known"), GatewayState::Confirmed);
    handler.open(&ctx, &self::attempt()).await.expect("opens");
    assert_eq!(shop.kinds(), [EntryKind::Opened, EntryKind::Charged, EntryKind::Opened]);
}

#[tokio::test]
async fn tokens_are_not_in_logs_ledger_or_faults() {
    let shop = Shop::new();
    let handler = shop.handler();
    let mut seen = String::new();
    let values = ["success_token", "fail_token", "slow_token", "hang_token", "charge_then_fail_token", "tok_private"];
    for value in values {
        let (ctx, attempt, credential) = (shop.ctx(SLOW * 2), attempt(), token(value));
        let reference = handler.open(&ctx, &attempt).await.expect("opens");
        let answer = handler.confirm(&ctx, &attempt, &reference, &credential).await;
        seen.push_str(&format!("{credential:?} {answer:?}\n"));
        seen.push_str(&answer.err().map(|fault| fault.chain()).unwrap_or_default());
        assert!(ctx.timings().gateway.microseconds() > 0);
    }
    let lines = shop.lines.all();
    assert_eq!(lines.len(), 2 * values.len(), "one line per call: {lines:#?}");
    let charged = lines.iter().find(|line| line.contains("op=payment.confirm")).expect("a line");
    for part in ["gateway answered", "attempt_id=pay_", "gateway_state=charged", "elapsed_us=", "request_id=req_"] {
        assert!(charged.contains(part), "{charged}");
    }
    seen.push_str(&lines.join("\n"));
    seen.push_str(&std::fs::read_to_string(shop.path()).expect("text"));
    for value in values {
        assert!(!seen.contains(value), "{value} in {seen}");
    }
}

#[test]
fn error_names_the_ledger_that_cannot_be_opened() {
    let shop = Shop::new();
    let config = MockConfig { ledger_path: shop.folder.path().join("no/such/folder"), slow: SLOW };
    let on_file: OnFile = Arc::new(|_, _| Box::pin(async { Ok(None) }));
    let error = MockPaymentHandler::open(config, on_file, Arc::new(FixedClock), &shop.log()).err().expect("no folder");
    assert!(error.to_string().contains("no/such/folder"), "{error}");
}
