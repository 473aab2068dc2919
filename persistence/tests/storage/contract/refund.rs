//! The refunds of a payment are never more than was captured, for any number of requests.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::fault::Failure;
use domain::money::Amount;
use domain::payment::{
    Attempt, AttemptId, AttemptStore, AuthorizationEnd, PaymentOutcome, PaymentReference, Refund, RefundId,
    RefundRefusal, RefundState, RefundStore, RefundWanted,
};
use tokio::task::JoinSet;

use crate::kit::data::{hours, noon, task};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

const HOUR: Duration = Duration::from_secs(60 * 60);

on_both_engines!(
    refunds_never_exceed_the_captured_amount,
    failed_refund_can_be_requested_again,
    concurrent_refunds_never_exceed_the_captured_amount,
    refund_requested_twice_is_stored_once,
    refund_without_a_capture_is_refused,
    refund_is_claimed_again_after_its_lease_ends,
    record_after_another_claim_changes_nothing,
    pending_refund_is_due_again_later,
    refund_postponed_by_a_clock_that_was_ahead_is_due,
    refunds_are_brought_forward_up_to_the_limit,
    ended_refund_is_never_claimed,
    concurrent_claimers_share_the_rows,
);

/// Makes a payment of 1500 with a reference, and settles it with this outcome.
async fn paid(shop: &Shop, key: &str, outcome: PaymentOutcome) -> Attempt {
    let (_, attempt) = shop.begun(&[("song", 3)], key).await;
    let reference = PaymentReference(format!("gateway-{key}"));
    shop.attempts.record_reference(&task(), attempt.id.clone(), reference).await.expect("recorded");
    shop.settle(&attempt, outcome).await;
    attempt
}

fn wanted(attempt: &AttemptId, amount: i64) -> RefundWanted {
    RefundWanted { id: RefundId::generate(noon()), attempt: attempt.clone(), amount: Amount::new(amount), now: noon() }
}

async fn request(shop: &Shop, wanted: RefundWanted) -> Result<Refund, RefundRefusal> {
    match shop.refunds.request(&task(), wanted).await {
        Ok(refund) => Ok(refund),
        Err(Failure::Refused(refused)) => Err(refused),
        Err(Failure::Fault(fault)) => panic!("{}", fault.chain()),
    }
}

async fn claim(shop: &Shop, lease: Duration) -> Vec<Refund> {
    shop.refunds.claim_due(&task(), noon(), lease, 10).await.expect("claimed")
}

async fn record(shop: &Shop, claimed: &Refund, state: RefundState) {
    shop.refunds.record(&task(), claimed, state, noon() + hours(1)).await.expect("recorded");
}

async fn refunds_never_exceed_the_captured_amount(place: Place) {
    let shop = place.shop().await;
    let attempt = paid(&shop, "k1", PaymentOutcome::Confirmed).await.id;
    let refund = request(&shop, wanted(&attempt, 1_000)).await.expect("recorded");
    assert_eq!((refund.money.amount, refund.state, refund.tries), (Amount::new(1_000), RefundState::Requested, 0));
    assert_eq!((refund.attempt, refund.reference.0.as_str()), (attempt.clone(), "gateway-k1"));
    let too_much = Err(RefundRefusal::TooMuch { left: Amount::new(500) });
    assert_eq!(request(&shop, wanted(&attempt, 501)).await, too_much);
    assert_eq!(request(&shop, wanted(&attempt, 0)).await, Err(RefundRefusal::NotPositive));
    request(&shop, wanted(&attempt, 500)).await.expect("recorded");
    assert_eq!(request(&shop, wanted(&attempt, 1)).await, Err(RefundRefusal::TooMuch { left: Amount::ZERO }));
    assert_eq!(place.raw().count("refund"), 2);
}

async fn failed_refund_can_be_requested_again(place: Place) {
    let shop = place.shop().await;
    let attempt = paid(&shop, "k1", PaymentOutcome::Confirmed).await.id;
    request(&shop, wanted(&attempt, 1_500)).await.expect("recorded");
    let claimed = claim(&shop, HOUR).await.remove(0);
    record(&shop, &claimed, RefundState::Failed("no".into())).await;
    request(&shop, wanted(&attempt, 1_500)).await.expect("recorded");
    assert_eq!(request(&shop, wanted(&attempt, 1)).await, Err(RefundRefusal::TooMuch { left: Amount::ZERO }));
}

async fn concurrent_refunds_never_exceed_the_captured_amount(place: Place) {
    let shop = Arc::new(place.shop().await);
    let attempt = paid(&shop, "k1", PaymentOutcome::Confirmed).await.id;
    let mut askers = JoinSet::new();
    for _ in 0..8 {
        let (shop, wanted) = (shop.clone(), wanted(&attempt, 400));
        askers.spawn(async move { request(&shop, wanted).await });
    }
    let answers = askers.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    assert_eq!(place.raw().number("SELECT sum(amount) FROM refund"), 1_200);
}

async fn refund_requested_twice_is_stored_once(place: Place) {
    let shop = place.shop().await;
    let attempt = paid(&shop, "k1", PaymentOutcome::Confirmed).await.id;
    let wish = wanted(&attempt, 1_000);
    let (one, other) = tokio::join!(request(&shop, wish.clone()), request(&shop, wish.clone()));
    assert_eq!(one.expect("recorded"), other.expect("known"));
    let claimed = claim(&shop, HOUR).await.remove(0);
    record(&shop, &claimed, RefundState::Succeeded).await;
    let before = place.raw().state();
    assert_eq!(request(&shop, wish).await.expect("known").state, RefundState::Succeeded);
    assert_eq!(place.raw().state(), before);
}

async fn refund_without_a_capture_is_refused(place: Place) {
    let shop = place.shop().await;
    let (_, open) = shop.begun(&[("song", 1)], "open").await;
    let mut attempts = vec![open.id, AttemptId::generate(noon())];
    for (key, outcome) in [
        ("held", PaymentOutcome::Authorized),
        ("declined", PaymentOutcome::Declined("no".into())),
        ("cancelled", PaymentOutcome::NotAttempted),
        ("escalated", PaymentOutcome::ActionRequired),
    ] {
        attempts.push(paid(&shop, key, outcome).await.id);
    }
    let before = place.raw().state();
    for attempt in &attempts {
        assert_eq!(request(&shop, wanted(attempt, 1)).await, Err(RefundRefusal::NotCaptured), "{attempt}");
    }
    assert_eq!(place.raw().state(), before);
    // After its capture a held payment can be refunded. A voided payment cannot.
    let held = &attempts[2];
    shop.attempts.record_captured(&task(), held.clone(), AuthorizationEnd::Captured).await.expect("recorded");
    request(&shop, wanted(held, 1)).await.expect("recorded");
}

async fn refund_is_claimed_again_after_its_lease_ends(place: Place) {
    let shop = place.shop().await;
    let attempt = paid(&shop, "k1", PaymentOutcome::Confirmed).await.id;
    let requested = request(&shop, wanted(&attempt, 1_000)).await.expect("recorded");
    let early = noon() - time::Duration::milliseconds(1);
    assert!(shop.refunds.claim_due(&task(), early, HOUR, 10).await.expect("claimed").is_empty());
    let claimed = claim(&shop, HOUR).await;
    assert_eq!(claimed, [Refund { tries: 1, ..requested }]);
    let later = noon() + hours(1_000);
    assert!(shop.refunds.claim_due(&task(), later, HOUR, 10).await.expect("claimed").is_empty());
    place.raw().execute("UPDATE refund SET leased_until = 1");
    assert_eq!(claim(&shop, HOUR).await[0].tries, 2);
}

async fn record_after_another_claim_changes_nothing(place: Place) {
    let shop = place.shop().await;
    let attempt = paid(&shop, "k1", PaymentOutcome::Confirmed).await.id;
    request(&shop, wanted(&attempt, 1_000)).await.expect("recorded");
    let paused = claim(&shop, Duration::ZERO).await.remove(0);
    let second = claim(&shop, HOUR).await.remove(0);
    let before = place.raw().state();
    record(&shop, &paused, RefundState::Failed("late".into())).await;
    assert_eq!(place.raw().state(), before);
    record(&shop, &second, RefundState::Succeeded).await;
    assert_eq!(place.raw().texts("SELECT state AS value FROM refund"), ["succeeded"]);
}

async fn pending_refund_is_due_again_later(place: Place) {
    let shop = place.shop().await;
    let attempt = paid(&shop, "k1", PaymentOutcome::Confirmed).await.id;
    request(&shop, wanted(&attempt, 1_000)).await.expect("recorded");
    for state in [RefundState::Pending, RefundState::Requested] {
        let claimed = claim(&shop, HOUR).await.remove(0);
        record(&shop, &claimed, state.clone()).await;
        assert!(claim(&shop, HOUR).await.is_empty());
        let later = noon() + hours(1);
        let again = shop.refunds.claim_due(&task(), later, HOUR, 10).await.expect("claimed").remove(0);
        assert_eq!((again.state.clone(), again.tries), (state, claimed.tries + 1));
        shop.refunds.record(&task(), &again, again.state.clone(), noon()).await.expect("recorded");
    }
}

async fn refund_postponed_by_a_clock_that_was_ahead_is_due(place: Place) {
    let shop = place.shop().await;
    let attempt = paid(&shop, "k1", PaymentOutcome::Confirmed).await.id;
    request(&shop, wanted(&attempt, 1_000)).await.expect("recorded");
    let claimed = claim(&shop, HOUR).await.remove(0);
    let put_off = noon() + hours(25);
    shop.refunds.record(&task(), &claimed, RefundState::Pending, put_off).await.expect("recorded");
    assert!(shop.refunds.claim_due(&task(), put_off - HOUR, HOUR, 10).await.expect("claimed").is_empty());
    assert_eq!(claim(&shop, HOUR).await[0].tries, 2);
}

async fn refunds_are_brought_forward_up_to_the_limit(place: Place) {
    let shop = place.shop().await;
    let attempt = paid(&shop, "k1", PaymentOutcome::Confirmed).await.id;
    for _ in 0..3 {
        request(&shop, wanted(&attempt, 100)).await.expect("recorded");
    }
    for claimed in claim(&shop, HOUR).await {
        let tomorrow = noon() + hours(24);
        shop.refunds.record(&task(), &claimed, RefundState::Pending, tomorrow).await.expect("recorded");
    }
    for left in [2, 1, 0] {
        let claimed = shop.refunds.claim_due(&task(), noon(), HOUR, 1).await.expect("claimed");
        let at_noon = noon().unix_timestamp() * 1_000;
        let late = place.raw().number(&format!("SELECT count(*) FROM refund WHERE due_at > {at_noon}"));
        assert_eq!((claimed.len(), late), (1, left));
    }
}

async fn ended_refund_is_never_claimed(place: Place) {
    let shop = place.shop().await;
    let attempt = paid(&shop, "k1", PaymentOutcome::Confirmed).await.id;
    for state in [RefundState::Succeeded, RefundState::Failed("no".into())] {
        let wish = wanted(&attempt, 500);
        request(&shop, wish.clone()).await.expect("recorded");
        let claimed = claim(&shop, Duration::ZERO).await.remove(0);
        record(&shop, &claimed, state.clone()).await;
        // A refund that has ended keeps its state, whatever its claimer records after that.
        record(&shop, &claimed, RefundState::Pending).await;
        assert_eq!(request(&shop, wish).await.expect("known").state, state);
        let later = noon() + hours(1_000);
        assert!(shop.refunds.claim_due(&task(), later, HOUR, 10).await.expect("claimed").is_empty());
    }
}

async fn concurrent_claimers_share_the_rows(place: Place) {
    let shop = place.shop().await;
    let attempt = paid(&shop, "k1", PaymentOutcome::Confirmed).await.id;
    for _ in 0..10 {
        request(&shop, wanted(&attempt, 100)).await.expect("recorded");
    }
    let mut claimed = Vec::new();
    while claimed.len() < 10 {
        let ctx = task();
        let take = || shop.refunds.claim_due(&ctx, noon(), HOUR, 3);
        let (one, other) = tokio::join!(take(), take());
        let (one, other) = (one.expect("claimed"), other.expect("claimed"));
        assert!(!one.is_empty() || !other.is_empty(), "some are left and none is claimed");
        claimed.extend(one.into_iter().chain(other).map(|refund| refund.id.to_string()));
    }
    assert_eq!((claimed.len(), claimed.into_iter().collect::<HashSet<_>>().len()), (10, 10));
}
