//! Payment attempts as the reconciler uses them.

use std::collections::HashSet;
use std::time::Duration;

use domain::checkout::{BeginCompletion, CheckoutStore};
use domain::money::Amount;
use domain::payment::{
    Attempt, AttemptState, AttemptStore, HandlerId, LONGEST_WAIT_UNSETTLED, PaymentChoice, PaymentOutcome,
    PaymentReference, RefundId, RefundStore, RefundWanted,
};
use domain::secret::Secret;

use crate::kit::Place;
use crate::kit::data::{ALICE, PATIENCE, alice, begin, hours, instrument, noon, recorded, task};
use crate::on_both_engines;

const HOUR: Duration = Duration::from_secs(60 * 60);

on_both_engines!(
    only_unsettled_attempts_that_are_due_are_claimed,
    attempt_is_leased_to_its_owner_or_one_claimer,
    claim_counts_a_check_and_fences_the_claim_before,
    longest_due_attempts_are_claimed_first_up_to_the_limit,
    unknown_outcome_is_due_at_once_and_later_after_postponement,
    attempt_postponed_by_a_clock_that_was_ahead_is_due,
    attempts_are_brought_forward_up_to_the_limit,
    reference_is_stored_with_its_attempt,
    concurrent_claimers_share_the_rows,
    row_that_cannot_be_read_is_logged_and_delays_no_other,
    stored_credential_is_found_under_its_handler_only,
);

mod locked {
    use super::{AttemptStore, HOUR, Place, hours, noon, task};

    crate::on_postgres!(locked_attempt_delays_no_claim);

    async fn locked_attempt_delays_no_claim(place: Place) {
        let shop = place.shop().await;
        let (_, held) = shop.begun(&[("song", 1)], "k1").await;
        let (_, free) = shop.begun(&[("song", 1)], "k2").await;
        let mut other = place.raw();
        other.hold(&format!("SELECT id FROM payment_attempt WHERE id = '{}'", held.id));
        let later = noon() + hours(1);
        let claimed = shop.attempts.claim_due(&task(), later, HOUR, 10).await.expect("claimed");
        assert_eq!(claimed.iter().map(|attempt| &attempt.id).collect::<Vec<_>>(), [&free.id]);
        other.release();
    }
}

async fn only_unsettled_attempts_that_are_due_are_claimed(place: Place) {
    let shop = place.shop().await;
    let (_, due) = shop.begun(&[("song", 1)], "k1").await;
    let (_, settled) = shop.begun(&[("song", 1)], "k2").await;
    shop.settle(&settled, PaymentOutcome::Confirmed).await;
    let claim = |now| shop.attempts.claim_due(&task(), now, HOUR, 10);
    let early = noon() - time::Duration::milliseconds(1);
    assert!(claim(early).await.expect("claimed").is_empty());
    let claimed = claim(noon()).await.expect("claimed");
    assert_eq!(claimed, [Attempt { checks: 1, ..due }]);
}

/// The lease ends at a time of the database's clock, whatever the shop's clock says.
async fn attempt_is_leased_to_its_owner_or_one_claimer(place: Place) {
    let shop = place.shop().await;
    let checkout = shop.opened(&[("song", 1)], "k1").await;
    let begin = BeginCompletion { owned_for: HOUR, ..begin(&checkout.id, "k1") };
    shop.checkouts.begin_completion(&alice(), begin).await.expect("begun");
    let (_, left_behind) = shop.begun(&[("song", 1)], "k2").await;
    let claim = || shop.attempts.claim_due(&task(), noon() + hours(1_000), HOUR, 10);
    let claimed = claim().await.expect("claimed");
    assert_eq!(claimed.iter().map(|attempt| &attempt.id).collect::<Vec<_>>(), [&left_behind.id]);
    assert!(claim().await.expect("claimed").is_empty());
}

async fn claim_counts_a_check_and_fences_the_claim_before(place: Place) {
    let shop = place.shop().await;
    shop.begun(&[("song", 1)], "k1").await;
    let claim = |now| shop.attempts.claim_due(&task(), now, Duration::ZERO, 10);
    let first = claim(noon()).await.expect("claimed").remove(0);
    let second = claim(noon()).await.expect("claimed").remove(0);
    assert_eq!((first.checks, second.checks), (1, 2));
    shop.attempts.postpone(&task(), &first, noon() + LONGEST_WAIT_UNSETTLED).await.expect("refused in silence");
    let third = claim(noon()).await.expect("claimed").remove(0);
    shop.attempts.postpone(&task(), &third, noon() + LONGEST_WAIT_UNSETTLED).await.expect("postponed");
    assert!(claim(noon() + LONGEST_WAIT_UNSETTLED / 2).await.expect("claimed").is_empty());
}

async fn longest_due_attempts_are_claimed_first_up_to_the_limit(place: Place) {
    let shop = place.shop().await;
    let mut ids = Vec::new();
    for round in 0..3 {
        let (_, attempt) = shop.begun(&[("song", 1)], &format!("k{round}")).await;
        shop.attempts.postpone(&task(), &attempt, noon() - hours(round)).await.expect("postponed");
        ids.insert(0, attempt.id);
    }
    let claim = |limit| shop.attempts.claim_due(&task(), noon(), HOUR, limit);
    let claimed = claim(2).await.expect("claimed");
    assert_eq!(claimed.iter().map(|attempt| &attempt.id).collect::<Vec<_>>(), [&ids[0], &ids[1]]);
    let rest = claim(2).await.expect("claimed");
    assert_eq!(rest.iter().map(|attempt| &attempt.id).collect::<Vec<_>>(), [&ids[2]]);
}

async fn unknown_outcome_is_due_at_once_and_later_after_postponement(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    shop.attempts.record_unknown(&task(), attempt.id.clone(), noon()).await.expect("recorded");
    let claim = |now| shop.attempts.claim_due(&task(), now, HOUR, 10);
    let claimed = claim(noon()).await.expect("claimed");
    assert_eq!(claimed.iter().map(|attempt| attempt.state).collect::<Vec<_>>(), [AttemptState::Unknown]);
    shop.attempts.postpone(&task(), &claimed[0], noon() + LONGEST_WAIT_UNSETTLED).await.expect("postponed");
    assert!(claim(noon() + LONGEST_WAIT_UNSETTLED / 2).await.expect("claimed").is_empty());
    assert_eq!(claim(noon() + LONGEST_WAIT_UNSETTLED).await.expect("claimed").len(), 1);
}

async fn attempt_postponed_by_a_clock_that_was_ahead_is_due(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let claim = |now| shop.attempts.claim_due(&task(), now, HOUR, 10);
    let tomorrow = noon() + hours(24);
    let claimed = claim(tomorrow).await.expect("claimed").remove(0);
    shop.attempts.postpone(&task(), &claimed, tomorrow + LONGEST_WAIT_UNSETTLED).await.expect("postponed");
    // If that clock is right, the attempt waits until its due time. If the clock is set back, the attempt is due at
    // once.
    assert!(claim(tomorrow).await.expect("claimed").is_empty());
    let claimed = claim(noon()).await.expect("claimed");
    assert_eq!(claimed.iter().map(|attempt| &attempt.id).collect::<Vec<_>>(), [&attempt.id]);
}

async fn attempts_are_brought_forward_up_to_the_limit(place: Place) {
    let shop = place.shop().await;
    let tomorrow = noon() + hours(24);
    for key in ["k1", "k2", "k3"] {
        let (_, attempt) = shop.begun(&[("song", 1)], key).await;
        shop.attempts.postpone(&task(), &attempt, tomorrow).await.expect("postponed");
    }
    for left in [2, 1, 0] {
        let claimed = shop.attempts.claim_due(&task(), noon(), HOUR, 1).await.expect("claimed");
        let at_noon = noon().unix_timestamp() * 1_000;
        let late = place.raw().number(&format!("SELECT count(*) FROM payment_attempt WHERE due_at > {at_noon}"));
        assert_eq!((claimed.len(), late), (1, left));
    }
}

async fn reference_is_stored_with_its_attempt(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 1)], "k1").await;
    let reference = PaymentReference("gateway-1".into());
    shop.attempts.record_reference(&task(), attempt.id.clone(), reference.clone()).await.expect("recorded");
    let later = noon() + hours(1);
    let claimed = shop.attempts.claim_due(&task(), later, Duration::ZERO, 10).await.expect("claimed");
    assert_eq!(claimed[0].reference, Some(reference));
}

async fn concurrent_claimers_share_the_rows(place: Place) {
    let shop = place.shop().await;
    let mut due = HashSet::new();
    for round in 0..10 {
        due.insert(shop.begun(&[("song", 1)], &format!("k{round}")).await.1.id.to_string());
    }
    let later = noon() + hours(1);
    let claim = |limit| {
        let (shop, ctx) = (&shop, task());
        async move { shop.attempts.claim_due(&ctx, later, HOUR, limit).await.expect("claimed") }
    };
    let mut claimed = Vec::new();
    while claimed.len() < due.len() {
        let (one, other) = tokio::join!(claim(3), claim(3));
        assert!(!one.is_empty() || !other.is_empty(), "some are left and none is claimed");
        claimed.extend(one.into_iter().chain(other).map(|attempt| attempt.id.to_string()));
    }
    let distinct: HashSet<String> = claimed.iter().cloned().collect();
    assert_eq!((claimed.len(), distinct), (due.len(), due));
}

async fn row_that_cannot_be_read_is_logged_and_delays_no_other(place: Place) {
    let shop = place.shop().await;
    for key in ["open-1", "open-2", "held-1", "held-2", "paid-1", "paid-2"] {
        let (_, attempt) = shop.begun(&[("song", 1)], key).await;
        let id = attempt.id.clone();
        shop.attempts.record_reference(&task(), id, PaymentReference(key.to_owned())).await.expect("recorded");
        match &key[..4] {
            "held" => drop(shop.settle(&attempt, PaymentOutcome::Authorized).await),
            "paid" => {
                shop.settle(&attempt, PaymentOutcome::Confirmed).await;
                let (attempt, amount) = (attempt.id, Amount::new(100));
                let wanted = RefundWanted { id: RefundId::generate(noon()), attempt, amount, now: noon() };
                shop.refunds.request(&task(), wanted).await.expect("requested");
            }
            _ => {}
        }
    }
    place.raw().execute(
        "UPDATE payment_attempt SET currency = '?' WHERE reference LIKE '%-1';
         UPDATE refund SET currency = '?' WHERE attempt_id IN (SELECT id FROM payment_attempt WHERE reference = 'paid-1')",
    );
    let ((ctx, logs), later) = (recorded(ALICE, PATIENCE), noon() + hours(1_000));
    let open = shop.attempts.claim_due(&ctx, later, HOUR, 10).await.expect("claimed");
    let held = shop.attempts.claim_authorized(&ctx, later, HOUR, 10).await.expect("claimed");
    let refunds = shop.refunds.claim_due(&ctx, later, HOUR, 10).await.expect("claimed");
    let references = open.iter().chain(held.iter().map(|held| &held.attempt)).map(|attempt| attempt.reference.as_ref());
    let references = references.chain(refunds.iter().map(|refund| Some(&refund.reference)));
    assert_eq!(references.flatten().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["open-2", "held-2", "paid-2"]);
    for op in ["payment.claim_due", "payment.claim_held", "refund.claim_due"] {
        assert_eq!(logs.count(&format!("claimed row cannot be read op={op}")), 1, "{logs:?}");
    }
}

async fn stored_credential_is_found_under_its_handler_only(place: Place) {
    let shop = place.shop().await;
    let choice = PaymentChoice { instrument: instrument(), credential: None };
    let found = shop.instruments.credential(&alice(), &choice).await.expect("read").expect("on file");
    assert_eq!((found.kind.as_str(), found.token), ("card", Secret::new("success_token")));
    let mut elsewhere = choice.clone();
    elsewhere.instrument.handler = HandlerId("other".into());
    assert_eq!(shop.instruments.credential(&alice(), &elsewhere).await.expect("read"), None);
    let mut unknown = choice;
    unknown.instrument.id = "instr_2".into();
    assert_eq!(shop.instruments.credential(&alice(), &unknown).await.expect("read"), None);
}
