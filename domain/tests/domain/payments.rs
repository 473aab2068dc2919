//! The payment tasks for capture, refund and reconciliation: what each answer of the gateway leads to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::fault::{Fault, FaultKind};
use domain::money::Amount;
use domain::payment::{
    Attempt, AttemptState, AuthorizedAttempt, CAPTURE_BATCH, Decline, GatewayState, LONGEST_PASS, PaymentCapture,
    PaymentReconciler, PaymentReference, PaymentRefunder, RECONCILE_BATCH, REFUND_BATCH, RefundState,
};
use domain::task::{BackgroundTask, Progress};

use crate::kit::{FakePorts, Lines, NOW, Script, attempt, hours, refund, task_context};

fn held(has_units: bool) -> AuthorizedAttempt {
    AuthorizedAttempt { attempt: attempt(AttemptState::Authorized), has_units }
}

type MakeTask = fn(Arc<FakePorts>) -> Box<dyn BackgroundTask>;

const CAPTURE: MakeTask =
    |ports| Box::new(PaymentCapture { attempts: ports.clone(), gateway: ports.clone(), clock: ports });
const REFUND: MakeTask =
    |ports| Box::new(PaymentRefunder { refunds: ports.clone(), gateway: ports.clone(), clock: ports });
const RECONCILE: MakeTask = |ports| {
    Box::new(PaymentReconciler {
        attempts: ports.clone(),
        checkouts: ports.clone(),
        gateway: Some(ports.clone()),
        clock: ports,
    })
};

/// Runs one pass of a task. Returns the result of the pass, the calls of its ports, and its log lines.
async fn logged_pass(make: MakeTask, script: Script) -> (Result<Progress, Fault>, Vec<String>, Vec<String>) {
    let (ports, lines) = (FakePorts::of(script), Lines::default());
    let progress = make(ports.clone()).pass(&task_context(&lines, LONGEST_PASS)).await;
    (progress, ports.calls(), lines.all().iter().map(ToString::to_string).collect())
}

/// Runs one pass, which must succeed. Returns the progress of the pass and the calls of its ports.
async fn pass(make: MakeTask, script: Script) -> (Progress, Vec<String>) {
    let (progress, calls, _) = logged_pass(make, script).await;
    (progress.expect("a pass"), calls)
}

#[tokio::test]
async fn authorized_payment_is_captured_if_its_order_wants_units_and_cancelled_if_not() {
    use GatewayState::{ActionRequired, Authorized, Cancelled, Confirmed, Declined};
    let (unreachable, unknown) = (FaultKind::Unavailable, FaultKind::OutcomeUnknown);
    for (wanted, answer, expected) in [
        (true, Ok(Confirmed), ["capture", "captured"]),
        // The amount was released by the gateway, and nothing was charged.
        (true, Ok(Cancelled), ["capture", "released"]),
        (true, Ok(Authorized), ["capture", "postpone 60"]),
        (true, Ok(ActionRequired), ["capture", "postpone 60"]),
        (true, Ok(Declined("no".into())), ["capture", "postpone 3600"]),
        (true, Err(unreachable), ["capture", "postpone 60"]),
        (true, Err(unknown), ["capture", "postpone 60"]),
        (false, Ok(Cancelled), ["cancel", "released"]),
        // The payment was captured before the cancellation.
        (false, Ok(Confirmed), ["cancel", "captured"]),
        (false, Ok(Authorized), ["cancel", "postpone 60"]),
        (false, Err(unreachable), ["cancel", "postpone 60"]),
    ] {
        let about = format!("{wanted} {answer:?}");
        let answer = Some(answer);
        let (capture_answer, cancel_answer) = if wanted { (answer, None) } else { (None, answer) };
        let script =
            Script { held: vec![held(wanted)], capture: capture_answer, cancel: cancel_answer, ..Script::default() };
        assert_eq!(pass(CAPTURE, script).await, (Progress::Done(1), expected.map(str::to_owned).to_vec()), "{about}");
    }
}

#[tokio::test]
async fn declined_capture_logs_no_text_for_the_buyer() {
    let decline = Decline { reason: "Alice, call your bank.".to_owned(), detail: "code card_declined".to_owned() };
    let capture = Some(Ok(GatewayState::Declined(decline)));
    let (_, _, lines) = logged_pass(CAPTURE, Script { held: vec![held(true)], capture, ..Script::default() }).await;
    let lines = lines.join("\n");
    assert!(lines.contains("code card_declined") && !lines.contains("Alice"), "{lines}");
}

#[tokio::test]
async fn authorized_payment_without_a_reference_does_not_delay_others() {
    let nameless = AuthorizedAttempt {
        attempt: Attempt { reference: None, ..attempt(AttemptState::Authorized) },
        has_units: true,
    };
    let answer = Some(Ok(GatewayState::Confirmed));
    let script = Script { held: vec![nameless, held(true)], capture: answer, ..Script::default() };
    assert_eq!(pass(CAPTURE, script).await.1, ["postpone 60", "capture", "captured"]);
}

#[tokio::test]
async fn refund_is_requested_until_it_has_ended() {
    use RefundState::{Failed, Pending, Requested, Succeeded};
    for (state, answer, expected) in [
        (Requested, Ok(Succeeded), "record Succeeded 3600"),
        (Requested, Ok(Pending), "record Pending 3600"),
        (Requested, Ok(Failed("no".to_owned())), "record Failed(\"no\") 3600"),
        (Requested, Err(FaultKind::Unavailable), "record Requested 60"),
        (Requested, Err(FaultKind::OutcomeUnknown), "record Requested 60"),
        (Pending, Ok(Succeeded), "record Succeeded 3600"),
        (Pending, Err(FaultKind::Unavailable), "record Pending 60"),
    ] {
        let about = format!("{state:?} {answer:?}");
        let script = Script { refunds: vec![refund(state, hours(23))], refund: Some(answer), ..Script::default() };
        let (progress, calls) = pass(REFUND, script).await;
        assert_eq!((progress, calls), (Progress::Done(1), vec!["refund".to_owned(), expected.to_owned()]), "{about}");
    }
}

/// The gateway may have forgotten the idempotency key, so a second request could refund twice.
#[tokio::test]
async fn refund_with_an_expired_key_is_looked_up_and_not_requested_again() {
    use RefundState::{Pending, Requested, Succeeded};
    for (state, found, expected) in [
        (Requested, Ok(None), "record Requested 3600"),
        (Requested, Ok(Some(Succeeded)), "record Succeeded 3600"),
        (Pending, Ok(Some(Pending)), "record Pending 3600"),
        (Pending, Err(FaultKind::Unavailable), "record Pending 60"),
    ] {
        let about = format!("{state:?} {found:?}");
        let old = refund(state, hours(23) + Duration::from_millis(1));
        let script = Script { refunds: vec![old], found: Some(found), ..Script::default() };
        assert_eq!(pass(REFUND, script).await.1, ["look_up_refund".to_owned(), expected.to_owned()], "{about}");
    }
}

#[tokio::test]
async fn refund_unfinished_after_a_day_logs_a_warning() {
    use RefundState::{Pending, Succeeded};
    for (age, answer, level) in [(22, Pending, "INFO"), (24, Pending, "WARN"), (24, Succeeded, "INFO")] {
        let (refund_answer, found) = (Some(Ok(answer.clone())), Some(Ok(Some(answer.clone()))));
        let refunds = vec![refund(Pending, hours(age))];
        let script = Script { refunds, refund: refund_answer, found, ..Script::default() };
        let (_, _, lines) = logged_pass(REFUND, script).await;
        assert!(matches!(lines.as_slice(), [line] if line.starts_with(level)), "{age} {answer:?} {lines:?}");
        assert_eq!(lines[0].contains("payment.refund_pending"), level == "WARN", "{lines:?}");
    }
}

#[tokio::test]
async fn attempt_is_settled_by_its_gateway_state_and_cancelled_first_if_open() {
    use GatewayState::{ActionRequired, Authorized, Cancelled, Confirmed, Declined, Opened};
    for (look_up, cancel, expected) in [
        (Confirmed, None, vec!["look_up", "settle confirmed"]),
        (Authorized, None, vec!["look_up", "settle authorized"]),
        (Declined("no".into()), None, vec!["look_up", "settle declined"]),
        (Cancelled, None, vec!["look_up", "settle not_attempted"]),
        (Opened, Some(Ok(Cancelled)), vec!["look_up", "cancel", "settle not_attempted"]),
        (Opened, Some(Ok(Confirmed)), vec!["look_up", "cancel", "settle confirmed"]),
        (Opened, Some(Ok(Opened)), vec!["look_up", "cancel", "postpone 1"]),
        (ActionRequired, Some(Ok(Cancelled)), vec!["look_up", "cancel", "settle action_required"]),
        // The buyer authenticated before the cancellation.
        (ActionRequired, Some(Ok(Confirmed)), vec!["look_up", "cancel", "settle confirmed"]),
        (ActionRequired, Some(Ok(Authorized)), vec!["look_up", "cancel", "settle authorized"]),
        (ActionRequired, Some(Ok(ActionRequired)), vec!["look_up", "cancel", "postpone 1"]),
        (ActionRequired, Some(Err(FaultKind::OutcomeUnknown)), vec!["look_up", "cancel", "postpone 1"]),
    ] {
        let about = format!("{look_up:?} {cancel:?}");
        let due = vec![attempt(AttemptState::Unknown)];
        let script = Script { due, look_up: Some(Ok(look_up)), cancel, ..Script::default() };
        assert_eq!(pass(RECONCILE, script).await.1, expected, "{about}");
    }
}

#[tokio::test]
async fn write_that_is_retried_logs_its_first_fault_only() {
    let failing = Mutex::new(vec![("settle", FaultKind::Unavailable), ("settle", FaultKind::Contention)]);
    let due = vec![attempt(AttemptState::Unknown)];
    let script = Script { due, failing, look_up: Some(Ok(GatewayState::Confirmed)), ..Script::default() };
    let (_, calls, lines) = logged_pass(RECONCILE, script).await;
    assert_eq!(calls.iter().filter(|call| *call == "settle confirmed").count(), 3);
    let faults: Vec<_> = lines.iter().filter(|line| line.contains("write is retried until it is recorded")).collect();
    assert!(matches!(faults.as_slice(), [line] if line.contains("error_code=unavailable")), "{lines:?}");
}

#[tokio::test]
async fn reconciled_and_postponed_attempts_are_logged_with_their_reference() {
    for (look_up, message) in [
        (Ok(GatewayState::Confirmed), "payment attempt reconciled"),
        (Err(FaultKind::Unavailable), "payment attempt could not be reconciled"),
    ] {
        let script = Script { due: vec![attempt(AttemptState::Unknown)], look_up: Some(look_up), ..Script::default() };
        let lines = Lines::default();
        let task = RECONCILE(FakePorts::of(script));
        task.pass(&task_context(&lines, LONGEST_PASS)).await.expect("the attempt is settled or postponed");
        let logged: Vec<_> =
            lines.all().iter().map(|line| (line.message.clone(), line.field("reference").to_owned())).collect();
        assert_eq!(logged, [(message.to_owned(), "ref".to_owned())]);
    }
}

/// After a restore from a backup, the database lacks a charge that was made after the backup. The gateway has the
/// charge, but may have forgotten the idempotency key. Then a second opening would create a second payment.
#[tokio::test]
async fn payment_without_a_reference_is_opened_again_while_its_key_is_trusted_and_looked_up_afterwards() {
    use GatewayState::{Authorized, Cancelled, Confirmed, Opened};
    let there = || Some(Ok(Some(PaymentReference("found".to_owned()))));
    let (young, old) = (hours(23), hours(23) + Duration::from_millis(1));
    let opened = "record_reference opened";
    for (age, payment, look_up, expected, alert) in [
        (young, None, Opened, vec!["open", opened, "look_up", "cancel", "settle not_attempted"], None),
        (young, None, Confirmed, vec!["open", opened, "look_up", "settle confirmed"], None),
        // The reference is stored, because a later capture needs it.
        (young, None, Authorized, vec!["open", opened, "look_up", "settle authorized"], None),
        (
            old,
            there(),
            Opened,
            vec!["find", "record_reference found", "look_up", "cancel", "settle not_attempted"],
            Some("WARN"),
        ),
        (old, there(), Confirmed, vec!["find", "record_reference found", "look_up", "settle confirmed"], Some("WARN")),
        (
            old,
            there(),
            Authorized,
            vec!["find", "record_reference found", "look_up", "settle authorized"],
            Some("WARN"),
        ),
        (old, Some(Ok(None)), Opened, vec!["find", "settle not_attempted"], Some("ERRO")),
        (old, Some(Err(FaultKind::Unavailable)), Opened, vec!["find", "postpone 1"], Some("ERRO")),
        (old, Some(Err(FaultKind::Internal)), Opened, vec!["find", "postpone 1"], Some("ERRO")),
    ] {
        let about = format!("{age:?} {payment:?} {look_up:?}");
        let attempt = Attempt { reference: None, created_at: NOW - age, ..attempt(AttemptState::Opened) };
        let (id, checkout) = (attempt.id.clone(), attempt.checkout.clone());
        let cancel = Some(Ok(Cancelled));
        let script = Script { due: vec![attempt], payment, look_up: Some(Ok(look_up)), cancel, ..Script::default() };
        let (progress, calls, lines) = logged_pass(RECONCILE, script).await;
        assert_eq!(progress.expect("a pass"), Progress::Done(1), "{about}");
        assert_eq!(calls, expected, "{about}");
        let alerts: Vec<_> = lines.iter().filter(|line| line.contains("error_code=payment.")).collect();
        match (alert, alerts.as_slice()) {
            (None, []) => {}
            (Some(level), [line]) => {
                let named =
                    ["op=payment.reconcile".to_owned(), format!("attempt_id={id}"), format!("checkout_id={checkout}")];
                assert!(line.starts_with(level) && named.iter().all(|field| line.contains(field)), "{about}: {line}");
            }
            _ => panic!("{about}: {lines:?}"),
        }
    }
}

#[tokio::test]
async fn payment_that_the_gateway_refuses_to_open_again_is_settled_as_declined() {
    let due = vec![Attempt { reference: None, ..attempt(AttemptState::Opened) }];
    let script = Script { due, open_refused: true, ..Script::default() };
    assert_eq!(pass(RECONCILE, script).await.1, ["open", "settle declined"]);
}

#[tokio::test]
async fn zero_amount_is_settled_without_the_gateway() {
    let mut free = attempt(AttemptState::Opened);
    free.money.amount = Amount::ZERO;
    assert_eq!(pass(RECONCILE, Script { due: vec![free], ..Script::default() }).await.1, ["settle confirmed"]);
}

#[tokio::test]
async fn declined_capture_ends_when_the_gateway_would_have_released_the_amount() {
    let week = 7 * 24;
    for (age, expected) in
        [(hours(week) - Duration::from_millis(1), ["capture", "postpone 3600"]), (hours(week), ["capture", "released"])]
    {
        let mut held = held(true);
        held.attempt.created_at = NOW - age;
        let capture_answer = Some(Ok(GatewayState::Declined("no".into())));
        let script = Script { held: vec![held], capture: capture_answer, ..Script::default() };
        let (_, calls, lines) = logged_pass(CAPTURE, script).await;
        assert_eq!(calls, expected, "{age:?}");
        let lines = lines.join("\n");
        assert!(lines.contains("ERRO") && lines.contains("payment.capture_declined"), "{lines}");
    }
}

#[tokio::test]
async fn pass_retries_its_writes_until_storage_is_back() {
    let lost = |method| Mutex::new(vec![(method, FaultKind::Unavailable), (method, FaultKind::OutcomeUnknown)]);
    let twice_more = |first: &[&str], call: &str| -> Vec<String> {
        let again = [call, "pause", call, "pause", call];
        first.iter().copied().chain(again).map(str::to_owned).collect()
    };
    let confirmed = || Some(Ok(GatewayState::Confirmed));
    let due = || vec![attempt(AttemptState::Unknown)];

    let script = Script { due: due(), look_up: confirmed(), failing: lost("settle"), ..Script::default() };
    assert_eq!(pass(RECONCILE, script).await.1, twice_more(&["look_up"], "settle confirmed"));
    let script = Script { due: due(), failing: lost("postpone"), ..Script::default() };
    assert_eq!(pass(RECONCILE, script).await.1, twice_more(&["look_up"], "postpone 1"));
    let script =
        Script { held: vec![held(true)], capture: confirmed(), failing: lost("record_captured"), ..Script::default() };
    assert_eq!(pass(CAPTURE, script).await.1, twice_more(&["capture"], "captured"));
    let script = Script { held: vec![held(true)], failing: lost("postpone"), ..Script::default() };
    assert_eq!(pass(CAPTURE, script).await.1, twice_more(&["capture"], "postpone 60"));
    let refunds = vec![refund(RefundState::Requested, hours(1))];
    let script =
        Script { refunds, refund: Some(Ok(RefundState::Succeeded)), failing: lost("record"), ..Script::default() };
    assert_eq!(pass(REFUND, script).await.1, twice_more(&["refund"], "record Succeeded 3600"));
}

#[tokio::test]
async fn item_that_cannot_be_recorded_does_not_delay_others() {
    let broken = |method| Mutex::new(vec![(method, FaultKind::Internal)]);
    let two = |asked: &str, recorded: &str| [asked, recorded, asked, recorded].map(str::to_owned).to_vec();

    let due = vec![attempt(AttemptState::Unknown); 2];
    let (progress, calls, _) =
        logged_pass(RECONCILE, Script { due, failing: broken("postpone"), ..Script::default() }).await;
    assert_eq!(
        (progress.map_err(|fault| fault.kind()), calls),
        (Err(FaultKind::Internal), two("look_up", "postpone 1"))
    );

    let script = Script { held: vec![held(true); 2], failing: broken("postpone"), ..Script::default() };
    let (progress, calls, _) = logged_pass(CAPTURE, script).await;
    assert_eq!(
        (progress.map_err(|fault| fault.kind()), calls),
        (Err(FaultKind::Internal), two("capture", "postpone 60"))
    );

    let refunds = vec![refund(RefundState::Requested, hours(1)); 2];
    let answer = Some(Ok(RefundState::Succeeded));
    let (progress, calls, _) =
        logged_pass(REFUND, Script { refunds, refund: answer, failing: broken("record"), ..Script::default() }).await;
    assert_eq!(
        (progress.map_err(|fault| fault.kind()), calls),
        (Err(FaultKind::Internal), two("refund", "record Succeeded 3600"))
    );
}

#[test]
fn tasks_have_their_documented_names() {
    let names = [CAPTURE, REFUND, RECONCILE].map(|make| make(FakePorts::of(Script::default())).name());
    assert_eq!(names, ["payment_capture", "payment_refunder", "payment_reconciler"]);
}

fn batches() -> [u32; 3] {
    [CAPTURE_BATCH, REFUND_BATCH, RECONCILE_BATCH]
}

/// A script with as many items as each task may claim in one pass.
fn full() -> Script {
    let [held_now, refunds, due] = batches().map(|batch| batch as usize);
    Script {
        held: vec![held(true); held_now],
        refunds: vec![refund(RefundState::Requested, hours(1)); refunds],
        due: vec![attempt(AttemptState::Unknown); due],
        look_up: Some(Ok(GatewayState::Confirmed)),
        capture: Some(Ok(GatewayState::Confirmed)),
        refund: Some(Ok(RefundState::Succeeded)),
        ..Script::default()
    }
}

#[tokio::test]
async fn pass_that_reached_its_limit_runs_again_at_once() {
    let found = [pass(CAPTURE, full()).await.0, pass(REFUND, full()).await.0, pass(RECONCILE, full()).await.0];
    assert_eq!(found, batches().map(Progress::More));
    let idle = [
        pass(CAPTURE, Script::default()).await,
        pass(REFUND, Script::default()).await,
        pass(RECONCILE, Script::default()).await,
    ];
    assert!(idle.iter().all(|(progress, calls)| *progress == Progress::Idle && calls.is_empty()), "{idle:?}");
}

/// Adds up the longest times of all steps: each gateway call may use its whole deadline, and each write may fail until
/// its deadline.
#[tokio::test]
async fn full_pass_ends_within_the_longest_pass() {
    for make in [CAPTURE, REFUND, RECONCILE] {
        let methods = ["settle", "postpone", "record", "record_captured"];
        let broken = methods.map(|method| vec![(method, FaultKind::Internal); 100]).concat();
        let ports = FakePorts::of(Script { failing: Mutex::new(broken), ..full() });
        let task = make(ports.clone());
        // The context has more time than a pass, so that it does not shorten the deadline of a step.
        let ctx = task_context(&Lines::default(), LONGEST_PASS * 2);
        assert!(task.pass(&ctx).await.is_err(), "{}", task.name());
        let given = ports.0.given.lock().expect("not poisoned").clone();
        let together: Duration = given.iter().map(|(_, time)| *time).sum();
        assert!(together <= LONGEST_PASS && given.len() > 1, "{}: {together:?}", task.name());
    }
}

#[tokio::test]
async fn wait_between_two_checks_doubles_up_to_a_minute() {
    for (checks, seconds) in [(0, 1), (1, 1), (2, 2), (4, 8), (6, 32), (7, 60), (u32::MAX, 60)] {
        let due = vec![Attempt { checks, ..attempt(AttemptState::Unknown) }];
        let (_, calls) = pass(RECONCILE, Script { due, ..Script::default() }).await;
        assert_eq!(calls, ["look_up".to_owned(), format!("postpone {seconds}")], "{checks}");
    }
}
