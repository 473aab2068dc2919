//! The mock payment handler keeps a provider's promises: judged by its ledger, across restarts, processes and kills.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::PortFuture;
use domain::checkout::CheckoutId;
use domain::clock::{Clock, Timestamp};
use domain::context::{Caller, Deadline, RequestContext, RequestId, Stopwatch, TraceContext};
use domain::fault::{Failure, Fault, FaultKind};
use domain::money::{Amount, Currency, Money};
use domain::payment::{
    Attempt, AttemptId, AttemptState, Credential, GatewayState, HandlerId, Instrument, PaymentChoice, PaymentGateway,
    PaymentReference,
};
use domain::secret::Secret;
use integrations::mock_gateway::{EntryKind, Ledger, LedgerEntry, MockConfig, MockPaymentHandler, OnFile};
use slog::{Discard, Drain, KV, Logger, OwnedKVList, Record, o};
use tempfile::TempDir;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

const NOON: Timestamp = datetime!(2026-04-08 12:00 UTC);
const SLOW: Duration = Duration::from_millis(300);
const AMPLE: Duration = Duration::from_secs(30);

/// Always noon.
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        NOON
    }
    fn pause(&self, _: &RequestContext, _: Duration) -> PortFuture<(), Fault> {
        Box::pin(async { Ok(()) })
    }
}

/// Keeps every log line, with its fields, as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn all(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").clone()
    }
}

impl Drain for Lines {
    type Ok = ();
    type Err = slog::Never;
    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        struct Fields(String);
        impl slog::Serializer for Fields {
            fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
                self.0.push_str(&format!(" {key}={value}"));
                Ok(())
            }
        }
        let mut fields = Fields(format!("{} {}", record.level(), record.msg()));
        record.kv().serialize(record, &mut fields).expect("infallible");
        values.serialize(record, &mut fields).expect("infallible");
        self.0.lock().expect("not poisoned").push(fields.0);
        Ok(())
    }
}

/// A ledger in a folder of its own, and as many handlers on it as a test asks for.
struct Shop {
    folder: TempDir,
    lines: Lines,
}

impl Shop {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), lines: Lines::default() }
    }
    fn path(&self) -> PathBuf {
        self.folder.path().join("payments.jsonl")
    }
    fn log(&self) -> Logger {
        Logger::root(self.lines.clone(), o!())
    }
    fn handler(&self) -> MockPaymentHandler {
        open_on(&self.path(), &self.log())
    }
    fn ctx(&self, budget: Duration) -> RequestContext {
        context(&self.log(), budget)
    }
    fn entries(&self) -> Vec<LedgerEntry> {
        Ledger::read(self.path()).expect("a readable ledger")
    }
    fn kinds(&self) -> Vec<EntryKind> {
        self.entries().iter().map(|entry| entry.entry).collect()
    }
    fn append(&self, bytes: &[u8]) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path()).expect("opens");
        file.write_all(bytes).expect("writes");
    }
    /// A line as the handler writes it, with its newline.
    fn line(&self, entry: &LedgerEntry) -> Vec<u8> {
        let mut line = serde_json::to_vec(entry).expect("serialises");
        line.push(b'\n');
        line
    }
}

fn open_on(path: &Path, log: &Logger) -> MockPaymentHandler {
    let config = MockConfig { ledger_path: path.to_owned(), slow: SLOW };
    let on_file: OnFile = Arc::new(|_, choice| {
        let found = (choice.instrument.id == "instr_1").then(|| token("success_token"));
        Box::pin(async { Ok(found) })
    });
    MockPaymentHandler::open(config, on_file, Arc::new(FixedClock), log).expect("opens")
}

fn context(log: &Logger, budget: Duration) -> RequestContext {
    let (id, trace) = (RequestId::generate(), TraceContext::start());
    RequestContext::new(log, id, trace, Caller::Anonymous, Deadline::after(budget), CancellationToken::new())
}

fn attempt() -> Attempt {
    Attempt {
        id: AttemptId::generate(NOON),
        checkout: CheckoutId::generate(NOON),
        handler: HandlerId("mock_payment_handler".to_owned()),
        money: Money { amount: Amount::new(3500), currency: Currency::parse("USD").expect("valid") },
        state: AttemptState::Opened,
        reference: None,
        checks: 0,
        created_at: NOON,
    }
}

fn token(value: &str) -> Credential {
    Credential { kind: "token".to_owned(), token: Secret::new(value) }
}

#[tokio::test]
async fn each_token_answers_and_charges_as_documented() {
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
        // Twice: the second call is an echo of the first, and leaves no trace.
        for _ in 0..2 {
            let answered = handler.confirm(&ctx, &attempt, &reference, &token(value)).await;
            assert_eq!(answered.map_err(|fault| fault.kind()), answer, "{value}");
        }
        assert!(value != "slow_token" || watch.elapsed() >= SLOW * 2, "slow_token is late each time");
        assert_eq!(shop.kinds(), [EntryKind::Opened, entry], "{value}");
        let expected = match entry {
            EntryKind::Charged => Ok(GatewayState::Confirmed),
            _ => answer,
        };
        assert_eq!(handler.look_up(&ctx, &reference).await.map_err(|fault| fault.kind()), expected, "{value}");
    }
}

#[tokio::test]
async fn the_ledger_says_what_was_asked_for() {
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
async fn opening_again_with_the_same_key_names_the_same_payment() {
    let shop = Shop::new();
    let (handler, ctx, first) = (shop.handler(), shop.ctx(AMPLE), attempt());
    let reference = handler.open(&ctx, &first).await.expect("opens");
    assert_eq!(handler.open(&ctx, &first).await.expect("echoes"), reference);
    handler.confirm(&ctx, &first, &reference, &token("success_token")).await.expect("answers");
    assert_eq!(handler.open(&ctx, &first).await.expect("echoes"), reference);
    assert_ne!(handler.open(&ctx, &attempt()).await.expect("opens"), reference);
    assert_eq!(shop.kinds(), [EntryKind::Opened, EntryKind::Charged, EntryKind::Opened]);

    let dearer = Attempt { money: Money { amount: Amount::new(3501), ..first.money }, ..first };
    let fault = handler.open(&ctx, &dearer).await.expect_err("the key is taken");
    assert!(matches!(fault, Failure::Fault(fault) if fault.kind() == FaultKind::Internal));
}

#[tokio::test]
async fn a_charge_and_a_cancellation_exclude_each_other() {
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
async fn payment_is_found_by_its_attempt_by_every_process() {
    let shop = Shop::new();
    let (one, other, ctx, attempt) = (shop.handler(), shop.handler(), shop.ctx(AMPLE), attempt());
    assert_eq!(other.find(&ctx, &attempt).await.expect("answers"), None);
    let reference = one.open(&ctx, &attempt).await.expect("opens");
    assert_eq!(other.find(&ctx, &attempt).await.expect("answers"), Some(reference));
    assert_eq!(other.find(&ctx, &self::attempt()).await.expect("answers"), None);
    assert_eq!(shop.kinds(), [EntryKind::Opened]);
}

#[tokio::test]
async fn a_payment_nobody_opened_is_a_contradiction() {
    let shop = Shop::new();
    let (handler, ctx) = (shop.handler(), shop.ctx(AMPLE));
    let unheard_of = PaymentReference("mock_unheard_of".to_owned());
    let confirmed = handler.confirm(&ctx, &attempt(), &unheard_of, &token("success_token")).await;
    for answer in [handler.look_up(&ctx, &unheard_of).await, handler.cancel(&ctx, &unheard_of).await, confirmed] {
        let fault = answer.expect_err("unknown");
        assert_eq!(fault.kind(), FaultKind::Internal);
        assert!(fault.chain().contains("no payment mock_unheard_of"), "{}", fault.chain());
    }
    assert_eq!(shop.kinds(), []);
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let shop = Shop::new();
    let (ctx, charged, declined, opened) = (shop.ctx(AMPLE), attempt(), attempt(), attempt());
    let before = shop.handler();
    let charged_as = before.open(&ctx, &charged).await.expect("opens");
    let declined_as = before.open(&ctx, &declined).await.expect("opens");
    let opened_as = before.open(&ctx, &opened).await.expect("opens");
    before
        .confirm(&ctx, &charged, &charged_as, &token("charge_then_fail_token"))
        .await
        .expect_err("the answer is lost");
    let refusal = before.confirm(&ctx, &declined, &declined_as, &token("fail_token")).await.expect("answers");
    drop(before);

    let after = shop.handler();
    assert_eq!(after.look_up(&ctx, &charged_as).await.expect("known"), GatewayState::Confirmed);
    assert_eq!(after.look_up(&ctx, &declined_as).await.expect("known"), refusal);
    assert_eq!(after.look_up(&ctx, &opened_as).await.expect("known"), GatewayState::Opened);
    assert_eq!(after.open(&ctx, &opened).await.expect("echoes"), opened_as);
    let again = after.confirm(&ctx, &charged, &charged_as, &token("success_token")).await.expect("echoes");
    assert_eq!(again, GatewayState::Confirmed);
    assert_eq!(shop.kinds().iter().filter(|kind| **kind == EntryKind::Charged).count(), 1);
}

#[tokio::test]
async fn two_handlers_on_one_ledger_are_one_provider() {
    let shop = Shop::new();
    let (one, other, ctx, attempt) = (shop.handler(), shop.handler(), shop.ctx(AMPLE), attempt());
    let reference = one.open(&ctx, &attempt).await.expect("opens");
    assert_eq!(other.open(&ctx, &attempt).await.expect("echoes"), reference);
    other.confirm(&ctx, &attempt, &reference, &token("success_token")).await.expect("answers");
    assert_eq!(one.look_up(&ctx, &reference).await.expect("known"), GatewayState::Confirmed);
    assert_eq!(one.cancel(&ctx, &reference).await.expect("answers"), GatewayState::Confirmed);
    assert_eq!(shop.kinds(), [EntryKind::Opened, EntryKind::Charged]);
}

#[test]
fn whoever_races_there_is_one_opening_and_one_end() {
    const ROUNDS: usize = 100;
    let shop = Shop::new();
    let attempts: Vec<Attempt> = (0..ROUNDS).map(|_| attempt()).collect();
    let start = std::sync::Barrier::new(3);
    // Each racer has a handler of its own on the file, as processes would.
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
            assert_eq!(racer[round], mine[1].state(), "everyone is told the same end");
        }
    }
}

#[tokio::test]
async fn half_a_line_counts_for_nothing_and_spoils_nothing() {
    let shop = Shop::new();
    let (running, ctx, attempt) = (shop.handler(), shop.ctx(AMPLE), attempt());
    let reference = running.open(&ctx, &attempt).await.expect("opens");
    let charge = LedgerEntry { entry: EntryKind::Charged, ..shop.entries()[0].clone() };
    let line = shop.line(&charge);
    shop.append(&line[..line.len() / 2]);
    assert_eq!(shop.kinds(), [EntryKind::Opened]);

    // One handler starts on the torn line, another meets it while it runs.
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
async fn a_line_that_lacks_only_its_newline_counts_for_everyone() {
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
async fn a_call_without_an_answer_ends_with_its_deadline() {
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

    // A charge whose answer is too late is a charge all the same.
    let late = self::attempt();
    let reference = handler.open(&ctx, &late).await.expect("opens");
    let hurried = shop.ctx(SLOW / 2);
    let fault = handler.confirm(&hurried, &late, &reference, &token("slow_token")).await.expect_err("too late");
    assert_eq!(fault.kind(), FaultKind::OutcomeUnknown);
    assert_eq!(handler.cancel(&ctx, &reference).await.expect("answers"), GatewayState::Confirmed);
}

#[tokio::test]
async fn nothing_is_begun_for_a_caller_who_is_gone_or_out_of_time() {
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
async fn instruments_on_file_are_asked_for_where_they_are_kept() {
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

#[tokio::test]
async fn tokens_reach_neither_log_nor_ledger_nor_faults() {
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
fn a_ledger_that_cannot_be_opened_is_named() {
    let shop = Shop::new();
    let config = MockConfig { ledger_path: shop.folder.path().join("no/such/folder"), slow: SLOW };
    let on_file: OnFile = Arc::new(|_, _| Box::pin(async { Ok(None) }));
    let error = MockPaymentHandler::open(config, on_file, Arc::new(FixedClock), &shop.log()).err().expect("no folder");
    assert!(error.to_string().contains("no/such/folder"), "{error}");
}
