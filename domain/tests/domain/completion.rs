//! Completion, step by step: the failing step decides what is recorded and what the caller gets.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::checkout::{
    Answer, Checkout, CheckoutId, CheckoutRefusal, CompleteCheckout, CompleteCommand, CompletionLimits,
    CompletionState, Outcome, Status,
};
use domain::context::Deadline;
use domain::fault::{Failure, FaultKind};
use domain::idempotency::{Fingerprint, Key, KeyClaim, KeyRefusal};
use domain::payment::{AttemptId, Credential, GatewayState, HandlerId, Instrument, PaymentChoice};
use domain::secret::Secret;

use crate::kit::{FakePorts, NOW, Script, checkout, context, details, instrument};

/// The input of one completion: the scripted results of the ports, and what the caller gives.
struct Completion {
    script: Script,
    /// The time that the caller has left.
    time: Duration,
    grace: Duration,
    /// `None` if the caller gives no instrument.
    choice: Option<PaymentChoice>,
}

impl Completion {
    fn of(script: Script) -> Self {
        let credential = Some(Credential { kind: "token".to_owned(), token: Secret::new("t") });
        Self {
            script,
            time: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            choice: Some(PaymentChoice { instrument: instrument(), credential }),
        }
    }

    async fn run(self) -> Completed {
        let limits = CompletionLimits {
            minimum: Duration::from_secs(1),
            grace: self.grace,
            gateway_call: Duration::from_secs(4),
        };
        let ports = FakePorts::of(self.script);
        let use_case = CompleteCheckout {
            checkouts: ports.clone(),
            attempts: ports.clone(),
            gateway: Some(ports.clone()),
            clock: ports.clone(),
            limits,
        };
        let notified = Arc::new(Mutex::new(false));
        let command = CompleteCommand {
            claim: KeyClaim {
                principal: "https://platform.example/".to_owned(),
                operation: "checkout.complete",
                resource: String::new(),
                key: Key::parse("key").expect("valid"),
                fingerprint: Fingerprint("f".to_owned()),
            },
            id: CheckoutId::generate(NOW),
            choice: self.choice,
            on_point_of_no_return: {
                let notified = notified.clone();
                Box::new(move |_| *notified.lock().expect("not poisoned") = true)
            },
        };
        let answer = use_case.run(&context(self.time), command).await;
        let notified = *notified.lock().expect("not poisoned");
        let began = *ports.0.began.lock().expect("not poisoned");
        let deadlines = ports.0.given.lock().expect("not poisoned").iter().map(|(deadline, _)| *deadline).collect();
        let pauses = ports.0.pauses.lock().expect("not poisoned").iter().map(Duration::as_millis).collect();
        Completed { answer, notified, calls: ports.calls(), began, deadlines, pauses }
    }
}

struct Completed {
    answer: Result<Answer, Failure<CheckoutRefusal>>,
    /// Whether the callback of the point of no return was called.
    notified: bool,
    calls: Vec<String>,
    /// The moment at which transaction 1 began.
    began: Option<Instant>,
    /// The deadlines of the calls after transaction 1.
    deadlines: Vec<Deadline>,
    /// The pauses in milliseconds.
    pauses: Vec<u128>,
}

type Run = (Result<Answer, Failure<CheckoutRefusal>>, bool, Vec<String>);

async fn complete(script: Script) -> Run {
    let Completed { answer, notified, calls, .. } = Completion::of(script).run().await;
    (answer, notified, calls)
}

async fn complete_within(time: Duration, script: Script) -> Run {
    let Completed { answer, notified, calls, .. } = Completion { time, ..Completion::of(script) }.run().await;
    (answer, notified, calls)
}

fn status(answer: Result<Answer, Failure<CheckoutRefusal>>) -> Status {
    match answer.expect("an outcome").outcome {
        Outcome::Checkout(checkout) => checkout.status,
        other => panic!("{other:?}"),
    }
}

/// A checkout of one rose for 100 minor units.
fn rose() -> Checkout {
    checkout(Status::ReadyForComplete, details(100, Vec::new()))
}

#[tokio::test]
async fn reference_is_stored_before_the_charge() {
    let (answer, notified, calls) = complete(Script { price: 100, ..Script::default() }).await;
    assert_eq!(status(answer), Status::Completed);
    assert!(notified);
    assert_eq!(calls, ["begin", "open", "record_reference opened", "confirm", "settle confirmed"]);
}

#[tokio::test]
async fn caller_without_enough_time_is_refused_before_anything_happens() {
    let (answer, notified, calls) =
        complete_within(Duration::from_millis(500), Script { price: 100, ..Script::default() }).await;
    assert!(matches!(answer, Err(Failure::Fault(fault)) if fault.kind() == FaultKind::DeadlineExceeded));
    assert!(!notified);
    assert_eq!(calls, Vec::<String>::new());
}

#[tokio::test]
async fn payment_that_could_not_be_opened_is_released_at_once() {
    for kind in [FaultKind::Unavailable, FaultKind::OutcomeUnknown] {
        let (answer, _, calls) = complete(Script { price: 100, open: Some(kind), ..Script::default() }).await;
        assert!(matches!(answer, Err(Failure::Fault(fault)) if fault.kind() == FaultKind::Unavailable));
        assert_eq!(calls, ["begin", "open", "settle not_attempted"]);
    }
}

#[tokio::test]
async fn lost_answer_is_recorded_as_unknown_and_nothing_is_released() {
    for kind in [FaultKind::OutcomeUnknown, FaultKind::Unavailable, FaultKind::Internal] {
        let (answer, _, calls) = complete(Script { price: 100, confirm: Some(Err(kind)), ..Script::default() }).await;
        assert_eq!(status(answer), Status::CompleteInProgress);
        assert_eq!(calls, ["begin", "open", "record_reference opened", "confirm", "record_unknown"]);
    }
}

#[tokio::test]
async fn declined_payment_is_settled_as_declined() {
    let declined = GatewayState::Declined("no".into());
    let (answer, _, calls) = complete(Script { price: 100, confirm: Some(Ok(declined)), ..Script::default() }).await;
    assert!(matches!(answer.expect("an outcome").outcome, Outcome::Declined(_)));
    assert_eq!(calls.last().map(String::as_str), Some("settle declined"));
}

#[tokio::test]
async fn charge_that_cannot_be_recorded_is_answered_as_in_progress() {
    // A permanent fault is not retried. The answer does not depend on whether the lease could be released.
    for kind in [FaultKind::Internal, FaultKind::StorageFull, FaultKind::DeadlineExceeded, FaultKind::Cancelled] {
        for (method, expected) in [
            ("record_reference", vec!["begin", "open", "record_reference opened", "postpone 0"]),
            ("settle", vec!["begin", "open", "record_reference opened", "confirm", "settle confirmed", "postpone 0"]),
        ] {
            for postpone in [vec![], vec![("postpone", FaultKind::Unavailable)]] {
                let failing = Mutex::new(postpone);
                let script = Script { price: 100, broken: Some((method, kind)), failing, ..Script::default() };
                let (answer, notified, calls) = complete(script).await;
                assert_eq!(status(answer), Status::CompleteInProgress);
                assert!(notified);
                assert_eq!(calls, expected, "{kind:?}");
            }
        }
    }
}

#[tokio::test]
async fn write_after_the_charge_is_retried_until_storage_is_back() {
    use FaultKind::{Contention, OutcomeUnknown, Unavailable};
    let lost = Some(Err(OutcomeUnknown));
    for (method, call, confirm, expected) in [
        ("record_reference", "record_reference opened", None, Status::Completed),
        ("settle", "settle confirmed", None, Status::Completed),
        ("record_unknown", "record_unknown", lost, Status::CompleteInProgress),
    ] {
        for kinds in [vec![Unavailable], vec![Contention], vec![OutcomeUnknown, Unavailable, Contention, Unavailable]] {
            let attempts = kinds.len() + 1;
            let failing = Mutex::new(kinds.into_iter().map(|kind| (method, kind)).collect());
            let script = Script { price: 100, failing, confirm: confirm.clone(), ..Script::default() };
            let (answer, _, calls) = complete(script).await;
            assert_eq!(status(answer), expected, "{method}");
            assert_eq!(calls.iter().filter(|one| *one == call).count(), attempts, "{method}");
            assert_eq!(calls.iter().filter(|one| *one == "pause").count(), attempts - 1, "{method}");
            assert!(!calls.contains(&"postpone 0".to_owned()), "{method}");
        }
    }
}

#[tokio::test]
async fn lease_is_released_when_the_grace_has_ended() {
    for method in ["record_reference", "settle"] {
        let broken = Some((method, FaultKind::Unavailable));
        let completion = Completion::of(Script { price: 100, broken, ..Script::default() });
        let completion = Completion { grace: Duration::from_millis(100), ..completion };
        let Completed { answer, calls, .. } = completion.run().await;
        assert_eq!(status(answer), Status::CompleteInProgress);
        assert!(calls.iter().filter(|one| *one == "pause").count() > 1, "{method}");
        assert!(calls.len() == 100 || calls.last().is_some_and(|last| last == "postpone 0"), "{method}: {calls:?}");
    }
}

#[tokio::test]
async fn payment_that_the_gateway_refuses_to_open_is_settled_as_declined() {
    let (answer, _, calls) = complete(Script { price: 100, open_refused: true, ..Script::default() }).await;
    assert!(matches!(answer.expect("an outcome").outcome, Outcome::Declined(_)));
    assert_eq!(calls, ["begin", "open", "settle declined"]);
}

#[tokio::test]
async fn cancelled_payment_is_settled_as_not_attempted() {
    let script = Script { price: 100, confirm: Some(Ok(GatewayState::Cancelled)), ..Script::default() };
    let (answer, _, calls) = complete(script).await;
    assert!(matches!(answer, Err(Failure::Fault(fault)) if fault.kind() == FaultKind::Unavailable));
    assert_eq!(calls.last().map(String::as_str), Some("settle not_attempted"));
}

#[tokio::test]
async fn overtaken_attempt_is_answered_with_the_later_outcome() {
    let paid = Checkout { status: Status::Completed, attempt: Some(AttemptId::generate(NOW)), ..rose() };
    for other in [Outcome::Checkout(paid), Outcome::Declined(rose())] {
        let confirm = Some(Ok(GatewayState::Cancelled));
        let script = Script { price: 100, confirm, overtaken_by: Some(other.clone()), ..Script::default() };
        let (answer, _, _) = complete(script).await;
        assert_eq!(answer.expect("an outcome").outcome, other);
    }
}

/// The lease begins in transaction 1, which may take as long as the request. An owner that counted its grace from the end
/// of that transaction would work on after its lease.
#[tokio::test]
async fn owner_stops_within_the_grace_from_the_beginning_of_transaction_1() {
    let completion = Completion::of(Script { price: 100, ..Script::default() });
    let grace = completion.grace;
    let Completed { began, deadlines, .. } = completion.run().await;
    let end = began.expect("begun") + grace;
    assert!(!deadlines.is_empty());
    assert!(deadlines.iter().all(|deadline| deadline.instant() <= end), "{deadlines:?} after {end:?}");
}

#[tokio::test]
async fn outcome_is_replayed_without_the_instrument() {
    let answered = Answer { outcome: Outcome::Checkout(rose()), replayed: true };
    let of_another_shop = Instrument { handler: HandlerId("other".to_owned()), ..instrument() };
    let of_another_type = Instrument { kind: "bank_transfer".to_owned(), ..instrument() };
    for (unknown, refused) in [
        (instrument(), CheckoutRefusal::UnknownInstrument),
        (of_another_shop, CheckoutRefusal::UnknownHandler),
        (of_another_type, CheckoutRefusal::UnknownInstrumentType),
    ] {
        let complete = async |states| {
            let script = Script { states: Mutex::new(states), ..Script::default() };
            let choice = Some(PaymentChoice { instrument: unknown.clone(), credential: None });
            let Completed { answer, calls, .. } = Completion { choice, ..Completion::of(script) }.run().await;
            (answer, calls.into_iter().filter(|call| call != "pause").collect::<Vec<_>>())
        };
        let earlier = CompletionState::Answered(answered.clone());
        for states in [vec![earlier.clone()], vec![CompletionState::InProgress, earlier]] {
            let (answer, calls) = complete(states).await;
            assert_eq!((answer.expect("an outcome"), calls), (answered.clone(), vec![]));
        }
        let paying = rose();
        let (answer, _) = complete(vec![CompletionState::Unknown(paying.clone())]).await;
        assert_eq!(answer.expect("the state"), Answer { outcome: Outcome::Checkout(paying), replayed: false });
        for states in [vec![CompletionState::Free], vec![CompletionState::InProgress, CompletionState::Free]] {
            let (answer, calls) = complete(states).await;
            assert!(matches!(answer, Err(Failure::Refused(refusal)) if refusal == refused));
            assert_eq!(calls, Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn checkout_without_an_instrument_completes_only_if_it_costs_nothing() {
    let complete = async |price| {
        let script = Script { price, ..Script::default() };
        let Completed { answer, calls, .. } = Completion { choice: None, ..Completion::of(script) }.run().await;
        (answer, calls)
    };
    let (answer, calls) = complete(0).await;
    assert_eq!(status(answer), Status::Completed);
    assert_eq!(calls, ["begin", "settle confirmed"]);
    // Real storage refuses to begin the completion of a checkout with an amount to pay and no instrument. The fake
    // begins it, and even then nothing is charged and no order is placed.
    let (answer, calls) = complete(100).await;
    assert_eq!(status(answer), Status::CompleteInProgress);
    assert_eq!(calls, ["begin", "postpone 0"]);
}

#[tokio::test]
async fn pauses_double_up_to_a_limit() {
    let answered = CompletionState::Answered(Answer { outcome: Outcome::Checkout(rose()), replayed: true });
    let states = Mutex::new(vec![CompletionState::InProgress; 6].into_iter().chain([answered]).collect());
    let script = Script { begun: Mutex::new(vec![CompletionState::InProgress]), states, ..Script::default() };
    assert_eq!(Completion::of(script).run().await.pauses, [20, 40, 80, 160, 250, 250, 250]);

    let failing = Mutex::new(vec![("settle", FaultKind::Unavailable); 7]);
    let script = Script { price: 100, failing, ..Script::default() };
    assert_eq!(Completion::of(script).run().await.pauses, [20, 40, 80, 160, 320, 500, 500]);
}

#[tokio::test]
async fn released_key_is_claimed_by_a_waiting_caller() {
    let states = Mutex::new(vec![CompletionState::InProgress, CompletionState::Free]);
    for begun in [vec![CompletionState::InProgress], vec![CompletionState::Free]] {
        let states = Mutex::new(states.lock().expect("not poisoned").clone());
        let script = Script { price: 100, begun: Mutex::new(begun), states, ..Script::default() };
        let (answer, notified, calls) = complete(script).await;
        assert_eq!(status(answer), Status::Completed);
        assert!(notified);
        assert_eq!(calls[..4], ["begin", "pause", "pause", "begin"]);
    }
}

#[tokio::test]
async fn waiting_caller_without_enough_time_does_not_claim_a_released_key() {
    let script = Script {
        begun: Mutex::new(vec![CompletionState::InProgress]),
        states: Mutex::new(vec![CompletionState::InProgress, CompletionState::Free]),
        slow_pause: true,
        ..Script::default()
    };
    let (answer, notified, calls) = complete_within(Duration::from_millis(1_020), script).await;
    assert!(matches!(answer, Err(Failure::Fault(fault)) if fault.kind() == FaultKind::DeadlineExceeded));
    assert!(!notified);
    assert_eq!(calls, ["begin", "pause", "pause"]);
}

#[tokio::test]
async fn zero_amount_is_not_sent_to_the_gateway() {
    let (answer, _, calls) = complete(Script::default()).await;
    assert_eq!(status(answer), Status::Completed);
    assert_eq!(calls, ["begin", "settle confirmed"]);
}

#[tokio::test]
async fn repeated_request_waits_for_the_owner_and_calls_no_gateway() {
    let answered = Answer { outcome: Outcome::Checkout(rose()), replayed: true };
    let script = Script {
        begun: Mutex::new(vec![CompletionState::InProgress]),
        states: Mutex::new(vec![
            CompletionState::InProgress,
            CompletionState::InProgress,
            CompletionState::Answered(answered.clone()),
        ]),
        ..Script::default()
    };
    let (answer, notified, calls) = complete(script).await;
    assert_eq!(answer.expect("an outcome"), answered);
    assert!(!notified);
    assert_eq!(calls, ["begin", "pause", "pause", "pause"]);
}

#[tokio::test]
async fn repeated_request_out_of_time_is_refused_as_in_progress() {
    let script = Script {
        begun: Mutex::new(vec![CompletionState::InProgress]),
        states: Mutex::new(vec![CompletionState::InProgress]),
        ..Script::default()
    };
    // The pauses of this test double take no time, so the real deadline ends the polling.
    let (answer, _, _) = complete_within(Duration::from_millis(1_300), script).await;
    let refused = CheckoutRefusal::Key(KeyRefusal::InProgress);
    assert!(matches!(answer, Err(Failure::Refused(refusal)) if refusal == refused));
}

#[tokio::test]
async fn repeated_request_with_unknown_outcome_gets_the_current_checkout() {
    let script = Script { begun: Mutex::new(vec![CompletionState::Unknown(rose())]), ..Script::default() };
    let (answer, _, calls) = complete(script).await;
    // The answer is not a replay, because there is no outcome yet.
    assert!(!answer.expect("an outcome").replayed);
    assert_eq!(calls, ["begin"]);
}

#[tokio::test]
async fn payment_that_requires_the_buyer_is_cancelled_before_its_stock_is_released() {
    let script = Script { price: 100, confirm: Some(Ok(GatewayState::ActionRequired)), ..Script::default() };
    let (_, _, calls) = complete(script).await;
    assert_eq!(calls, ["begin", "open", "record_reference opened", "confirm", "cancel", "settle action_required"]);
}

#[tokio::test]
async fn authorized_payment_places_the_order() {
    let script = Script { price: 100, confirm: Some(Ok(GatewayState::Authorized)), ..Script::default() };
    let (_, _, calls) = complete(script).await;
    assert_eq!(calls.last().map(String::as_str), Some("settle authorized"));
}
