//! Completion, step by step: which step fails decides what is recorded and what the caller hears.

#[path = "worlds/completion.rs"]
mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::checkout::{Answer, Begun, Checkout, CheckoutRefusal, Outcome, Status};
use domain::fault::{Failure, FaultKind};
use domain::idempotency::KeyRefusal;
use domain::payment::{AttemptId, GatewayState};
use world::*;

#[tokio::test]
async fn the_reference_is_stored_before_anything_is_charged() {
    let (answer, told, heard) = complete(World { price: 100, ..World::default() }).await;
    assert_eq!(status(answer), Status::Completed);
    assert!(told);
    assert_eq!(heard, ["begin", "open", "record_reference", "confirm", "settle confirmed"]);
}

#[tokio::test]
async fn a_caller_without_enough_time_is_refused_before_anything_happens() {
    let (answer, told, heard) =
        complete_within(Duration::from_millis(500), World { price: 100, ..World::default() }).await;
    assert!(matches!(answer, Err(Failure::Fault(fault)) if fault.kind() == FaultKind::DeadlineExceeded));
    assert!(!told);
    assert_eq!(heard, Vec::<String>::new());
}

#[tokio::test]
async fn what_could_not_be_opened_is_given_back_at_once() {
    for kind in [FaultKind::Unavailable, FaultKind::OutcomeUnknown] {
        let (answer, _, heard) = complete(World { price: 100, open: Some(kind), ..World::default() }).await;
        assert!(matches!(answer, Err(Failure::Fault(fault)) if fault.kind() == FaultKind::Unavailable));
        assert_eq!(heard, ["begin", "open", "settle not_attempted"]);
    }
}

#[tokio::test]
async fn a_lost_answer_is_recorded_as_unknown_and_nothing_is_released() {
    for kind in [FaultKind::OutcomeUnknown, FaultKind::Unavailable, FaultKind::Internal] {
        let (answer, _, heard) = complete(World { price: 100, confirm: Some(Err(kind)), ..World::default() }).await;
        assert_eq!(status(answer), Status::CompleteInProgress);
        assert_eq!(heard, ["begin", "open", "record_reference", "confirm", "record_unknown"]);
    }
}

#[tokio::test]
async fn a_declined_payment_is_settled_as_declined() {
    let declined = GatewayState::Declined("no".into());
    let (answer, _, heard) = complete(World { price: 100, confirm: Some(Ok(declined)), ..World::default() }).await;
    assert!(matches!(answer.expect("an outcome").outcome, Outcome::Declined(_)));
    assert_eq!(heard.last().map(String::as_str), Some("settle declined"));
}

#[tokio::test]
async fn a_charge_that_cannot_be_recorded_is_never_called_a_failure() {
    // A fault that does not pass is not tried again; whatever becomes of giving up, the answer is the same.
    for kind in [FaultKind::Internal, FaultKind::StorageFull, FaultKind::DeadlineExceeded, FaultKind::Cancelled] {
        for (method, calls) in [
            ("record_reference", vec!["begin", "open", "record_reference", "give up"]),
            ("settle", vec!["begin", "open", "record_reference", "confirm", "settle confirmed", "give up"]),
        ] {
            for give_up in [vec![], vec![("postpone", FaultKind::Unavailable)]] {
                let failing = Mutex::new(give_up);
                let world = World { price: 100, broken: Some((method, kind)), failing, ..World::default() };
                let (answer, told, heard) = complete(world).await;
                assert_eq!(status(answer), Status::CompleteInProgress);
                assert!(told);
                assert_eq!(heard, calls, "{kind:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_happened_outside_is_recorded_as_soon_as_storage_is_back() {
    use FaultKind::{Contention, OutcomeUnknown, Unavailable};
    let lost = Some(Err(OutcomeUnknown));
    for (method, call, confirm, expected) in [
        ("record_reference", "record_reference", None, Status::Completed),
        ("settle", "settle confirmed", None, Status::Completed),
        ("record_unknown", "record_unknown", lost, Status::CompleteInProgress),
    ] {
        for kinds in [vec![Unavailable], vec![Contention], vec![OutcomeUnknown, Unavailable, Contention, Unavailable]] {
            let tries = kinds.len() + 1;
            let failing = Mutex::new(kinds.into_iter().map(|kind| (method, kind)).collect());
            let world = World { price: 100, failing, confirm: confirm.clone(), ..World::default() };
            let (answer, _, heard) = complete(world).await;
            assert_eq!(status(answer), expected, "{method}");
            assert_eq!(heard.iter().filter(|one| *one == call).count(), tries, "{method}");
            assert_eq!(heard.iter().filter(|one| *one == "pause").count(), tries - 1, "{method}");
            assert!(!heard.contains(&"give up".to_owned()), "{method}");
        }
    }
}

#[tokio::test]
async fn when_the_grace_is_over_the_attempt_is_given_up() {
    for method in ["record_reference", "settle"] {
        let broken = Some((method, FaultKind::Unavailable));
        let world = World { price: 100, broken, grace: Some(Duration::from_millis(100)), ..World::default() };
        let (answer, _, heard) = complete(world).await;
        assert_eq!(status(answer), Status::CompleteInProgress);
        assert!(heard.iter().filter(|one| *one == "pause").count() > 1, "{method}");
        assert!(heard.len() == 100 || heard.last().is_some_and(|last| last == "give up"), "{method}: {heard:?}");
    }
}

#[tokio::test]
async fn payment_that_the_gateway_refuses_to_open_is_settled_as_refused() {
    let (answer, _, heard) = complete(World { price: 100, refuses: true, ..World::default() }).await;
    assert!(matches!(answer.expect("an outcome").outcome, Outcome::Declined(_)));
    assert_eq!(heard, ["begin", "open", "settle declined"]);
}

#[tokio::test]
async fn payment_that_was_cancelled_meanwhile_was_not_attempted() {
    let world = World { price: 100, confirm: Some(Ok(GatewayState::Cancelled)), ..World::default() };
    let (answer, _, heard) = complete(world).await;
    assert!(matches!(answer, Err(Failure::Fault(fault)) if fault.kind() == FaultKind::Unavailable));
    assert_eq!(heard.last().map(String::as_str), Some("settle not_attempted"));
}

#[tokio::test]
async fn attempt_that_was_overtaken_is_answered_with_the_later_one() {
    let paid = Checkout { status: Status::Completed, attempt: Some(AttemptId::generate(NOW)), ..checkout(100) };
    for other in [Outcome::Checkout(paid), Outcome::Declined(checkout(100))] {
        let confirm = Some(Ok(GatewayState::Cancelled));
        let world = World { price: 100, confirm, overtaken_by: Some(other.clone()), ..World::default() };
        let (answer, _, _) = complete(world).await;
        assert_eq!(answer.expect("an outcome").outcome, other);
    }
}

#[tokio::test]
async fn what_was_answered_is_answered_again_without_the_instrument() {
    let answered = Answer { outcome: Outcome::Checkout(checkout(100)), replayed: true };
    let standing = Mutex::new(vec![Begun::Answered(answered.clone())]);
    let (answer, _, heard) = complete(World { no_credential: true, standing, ..World::default() }).await;
    assert_eq!((answer.expect("an outcome"), heard), (answered, vec![]));
    for begun in [Begun::InProgress, Begun::Free, Begun::Unknown(checkout(100))] {
        let standing = Mutex::new(vec![begun]);
        let (answer, _, heard) = complete(World { no_credential: true, standing, ..World::default() }).await;
        let refused = CheckoutRefusal::UnknownInstrument;
        assert!(matches!(answer, Err(Failure::Refused(refusal)) if refusal == refused));
        assert_eq!(heard, Vec::<String>::new());
    }
}

#[tokio::test]
async fn without_an_instrument_only_what_costs_nothing_is_completed() {
    let (answer, _, heard) = complete(World { no_instrument: true, ..World::default() }).await;
    assert_eq!(status(answer), Status::Completed);
    assert_eq!(heard, ["begin", "settle confirmed"]);
    // Storage refuses to begin anything else; should it not, nothing is charged and nothing is placed.
    let (answer, _, heard) = complete(World { price: 100, no_instrument: true, ..World::default() }).await;
    assert_eq!(status(answer), Status::CompleteInProgress);
    assert_eq!(heard, ["begin", "give up"]);
}

#[tokio::test]
async fn pauses_grow_and_are_bounded() {
    let millis = |pauses: &Mutex<Vec<Duration>>| -> Vec<u128> {
        pauses.lock().expect("not poisoned").iter().map(Duration::as_millis).collect()
    };
    let pauses = Arc::new(Mutex::new(Vec::new()));
    let answered = Begun::Answered(Answer { outcome: Outcome::Checkout(checkout(100)), replayed: true });
    let standing = vec![Begun::InProgress; 6].into_iter().chain([answered]).collect();
    let world = World {
        begun: Mutex::new(vec![Begun::InProgress]),
        standing: Mutex::new(standing),
        pauses: pauses.clone(),
        ..World::default()
    };
    let _ = complete(world).await;
    assert_eq!(millis(&pauses), [20, 40, 80, 160, 250, 250, 250]);

    let pauses = Arc::new(Mutex::new(Vec::new()));
    let failing = Mutex::new(vec![("settle", FaultKind::Unavailable); 7]);
    let _ = complete(World { price: 100, failing, pauses: pauses.clone(), ..World::default() }).await;
    assert_eq!(millis(&pauses), [20, 40, 80, 160, 320, 500, 500]);
}

#[tokio::test]
async fn key_that_was_given_back_is_claimed_by_a_waiter() {
    let standing = Mutex::new(vec![Begun::InProgress, Begun::Free]);
    for begun in [vec![Begun::InProgress], vec![Begun::Free]] {
        let standing = Mutex::new(standing.lock().expect("not poisoned").clone());
        let world = World { price: 100, begun: Mutex::new(begun), standing, ..World::default() };
        let (answer, told, heard) = complete(world).await;
        assert_eq!(status(answer), Status::Completed);
        assert!(told);
        assert_eq!(heard[..4], ["begin", "pause", "pause", "begin"]);
    }
}

#[tokio::test]
async fn waiter_without_enough_time_does_not_claim_a_free_key() {
    let world = World {
        begun: Mutex::new(vec![Begun::InProgress]),
        standing: Mutex::new(vec![Begun::InProgress, Begun::Free]),
        slow_pause: true,
        ..World::default()
    };
    let (answer, told, heard) = complete_within(Duration::from_millis(1_020), world).await;
    assert!(matches!(answer, Err(Failure::Fault(fault)) if fault.kind() == FaultKind::DeadlineExceeded));
    assert!(!told);
    assert_eq!(heard, ["begin", "pause", "pause"]);
}

#[tokio::test]
async fn what_costs_nothing_is_not_brought_to_the_gateway() {
    let (answer, _, heard) = complete(World::default()).await;
    assert_eq!(status(answer), Status::Completed);
    assert_eq!(heard, ["begin", "settle confirmed"]);
}

#[tokio::test]
async fn a_repetition_waits_for_the_owner_and_calls_no_gateway() {
    let answered = Answer { outcome: Outcome::Checkout(checkout(100)), replayed: true };
    let world = World {
        begun: Mutex::new(vec![Begun::InProgress]),
        standing: Mutex::new(vec![Begun::InProgress, Begun::InProgress, Begun::Answered(answered.clone())]),
        ..World::default()
    };
    let (answer, told, heard) = complete(world).await;
    assert_eq!(answer.expect("an outcome"), answered);
    assert!(!told);
    assert_eq!(heard, ["begin", "pause", "pause", "pause"]);
}

#[tokio::test]
async fn a_repetition_out_of_time_is_told_to_come_back() {
    let world = World {
        begun: Mutex::new(vec![Begun::InProgress]),
        standing: Mutex::new(vec![Begun::InProgress]),
        ..World::default()
    };
    // The pauses of this world take no time, so it is the real deadline that ends the waiting.
    let (answer, _, _) = complete_within(Duration::from_millis(1_300), world).await;
    let refused = CheckoutRefusal::Key(KeyRefusal::InProgress);
    assert!(matches!(answer, Err(Failure::Refused(refusal)) if refusal == refused));
}

#[tokio::test]
async fn while_the_outcome_is_unknown_a_repetition_is_shown_how_things_stand() {
    let world = World { begun: Mutex::new(vec![Begun::Unknown(checkout(100))]), ..World::default() };
    let (answer, _, heard) = complete(world).await;
    // Not a repetition of an answer: there is none yet.
    assert!(!answer.expect("an outcome").replayed);
    assert_eq!(heard, ["begin"]);
}

#[tokio::test]
async fn what_waits_for_the_buyer_is_cancelled_at_the_gateway_before_its_stock_is_released() {
    let world = World { price: 100, confirm: Some(Ok(GatewayState::ActionRequired)), ..World::default() };
    let (_, _, heard) = complete(world).await;
    assert_eq!(heard, ["begin", "open", "record_reference", "confirm", "cancel", "settle action_required"]);
}

#[tokio::test]
async fn what_is_held_for_a_later_capture_places_the_order() {
    let world = World { price: 100, confirm: Some(Ok(GatewayState::Authorized)), ..World::default() };
    let (_, _, heard) = complete(world).await;
    assert_eq!(heard.last().map(String::as_str), Some("settle authorized"));
}
