//! Only one worker has a message at a time, and an outdated record changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::outbox::{
    Channel, ClaimTerms, Claimed, EndpointHealth, Finality, MAX_ATTEMPTS, MessageState, OutboxStore, Recorded,
    Selection, SendOutcome, StaleClaim,
};
use tokio::task::JoinSet;

use super::{ACCEPTED, HOUR, ILL, WELL, again, at, failed, health, lapsing, seed, states};
use crate::kit::Place;
use crate::kit::data::{hours, noon, task};
use crate::on_both_engines;

on_both_engines!(
    claimed_message_is_claimed_again_after_its_lease_ends,
    message_is_claimed_when_due_and_by_its_channel_only,
    attempts_are_counted_by_the_claim,
    record_after_another_claim_changes_nothing,
    record_after_the_end_changes_nothing,
    record_of_a_claim_before_a_retry_changes_nothing,
    interrupted_attempt_fences_a_late_record,
    late_record_without_another_claim_counts,
    leases_of_an_endpoint_are_bounded,
    concurrent_claims_never_claim_the_same_message,
    message_whose_attempts_never_end_becomes_a_dead_letter,
);

mod locked {
    use super::{ClaimTerms, ILL, Place, WELL, at, noon, seed};
    use crate::kit::data::hours;
    use crate::kit::until;

    crate::on_postgres!(locked_endpoint_delays_no_claim, failing_endpoint_has_one_lease_under_concurrent_claims,);

    async fn locked_endpoint_delays_no_claim(place: Place) {
        let shop = place.shop().await;
        seed(&mut place.raw(), ILL, 1, 2);
        seed(&mut place.raw(), WELL, 2, 2);
        let mut other = place.raw();
        other.hold(&format!("SELECT id FROM destination WHERE id = '{ILL}'"));
        for _ in 0..2 {
            assert_eq!(shop.claimed(at(noon())).await.content.endpoint().0, WELL);
        }
        assert_eq!(shop.claim(at(noon() + hours(1))).await, None);
        other.release();
        assert_eq!(shop.claimed(at(noon())).await.content.endpoint().0, ILL);
    }

    /// The statement that chooses an endpoint pauses in the middle. It does not see what is committed during the pause.
    async fn failing_endpoint_has_one_lease_under_concurrent_claims(place: Place) {
        let shop = place.shop().await;
        seed(&mut place.raw(), ILL, 1, 4);
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.execute(
            "UPDATE destination SET failures = 1; ALTER TABLE delivery RENAME TO held; \
             CREATE FUNCTION pause() RETURNS boolean LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN true; END $$; \
             CREATE VIEW delivery AS SELECT * FROM held WHERE pause(); SELECT pg_advisory_lock(1)",
        );
        let meanwhile = async {
            until("it chooses", || observer.waiting() == 1).await;
            other.execute(&format!(
                "UPDATE held SET leased_until = {} WHERE id = (SELECT min(id) FROM held); \
                 UPDATE destination SET served_at = 1; SELECT pg_advisory_unlock(1)",
                i64::MAX
            ));
        };
        let terms = ClaimTerms { per_endpoint: 4, ..at(noon()) };
        let (claimed, ()) = tokio::join!(shop.claim(terms), meanwhile);
        assert_eq!(claimed, None);
        other.execute("UPDATE destination SET failures = 0");
        shop.claimed(terms).await;
    }
}

async fn claimed_message_is_claimed_again_after_its_lease_ends(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 1);
    let first = shop.claimed(at(noon())).await;
    // A lease ends at a time of the database's clock, whatever the shop's clock says.
    assert_eq!(shop.claim(at(noon() + hours(1_000))).await, None);
    place.raw().execute("UPDATE delivery SET leased_until = leased_until - 3600001");
    assert_eq!(shop.claimed(at(noon())).await.id, first.id);
}

async fn message_is_claimed_when_due_and_by_its_channel_only(place: Place) {
    let shop = place.shop().await;
    shop.order("k1").await;
    let early = noon() - time::Duration::milliseconds(1);
    assert_eq!(shop.claim(at(early)).await, None);
    let mail = shop.deliveries.claim(&task(), Channel::Mail, at(noon())).await.expect("asked");
    assert_eq!(mail, Claimed::default());
    shop.claimed(at(noon())).await;
}

async fn attempts_are_counted_by_the_claim(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 1);
    for attempt in 1..=3 {
        assert_eq!(shop.claimed(lapsing(noon())).await.attempts, attempt);
        assert_eq!(place.raw().number("SELECT attempts FROM delivery"), i64::from(attempt));
    }
}

async fn record_after_another_claim_changes_nothing(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 1);
    let paused = shop.claimed(lapsing(noon())).await;
    let second = shop.claimed(at(noon())).await;
    let before = place.raw().state();
    for outcome in [ACCEPTED, again(), SendOutcome::Interrupted] {
        assert_eq!(shop.record(&paused, outcome, noon()).await, Recorded::Stale(StaleClaim::Reclaimed));
        assert_eq!(place.raw().state(), before);
    }
    assert_eq!(shop.record(&second, ACCEPTED, noon()).await, Recorded::Ended(MessageState::Delivered));
}

async fn record_after_the_end_changes_nothing(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 1);
    let claimed = shop.claimed(at(noon())).await;
    assert_eq!(shop.record(&claimed, ACCEPTED, noon()).await, Recorded::Ended(MessageState::Delivered));
    let before = place.raw().state();
    let ended = Recorded::Stale(StaleClaim::Ended(MessageState::Delivered));
    assert_eq!(shop.record(&claimed, again(), noon()).await, ended);
    assert_eq!(place.raw().state(), before);
    place.raw().execute("DELETE FROM delivery");
    assert_eq!(shop.record(&claimed, again(), noon()).await, Recorded::Stale(StaleClaim::Forgotten));
}

/// After a retry by an operator, attempts are counted from one again. So the outdated record can have the same number
/// of attempts as a new claim.
async fn record_of_a_claim_before_a_retry_changes_nothing(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 2);
    let (late, gone) = (shop.claimed(at(noon())).await, shop.claimed(at(noon())).await);
    shop.record(&gone, failed(Finality::Gone), noon()).await;
    let dead = Recorded::Stale(StaleClaim::Ended(MessageState::Dead));
    assert_eq!(shop.record(&late, ACCEPTED, noon()).await, dead);
    assert_eq!(shop.deliveries.retry(&task(), Selection::One(late.id.clone()), noon(), 9).await.expect("asked"), 1);
    assert_eq!(shop.record(&late, ACCEPTED, noon()).await, Recorded::Stale(StaleClaim::MadeDue));

    let current = shop.claimed(at(noon())).await;
    assert_eq!((&current.id, current.attempts, current.claims), (&late.id, late.attempts, 2));
    let before = place.raw().state();
    for outcome in [ACCEPTED, again(), failed(Finality::Gone), SendOutcome::Interrupted] {
        assert_eq!(shop.record(&late, outcome, noon()).await, Recorded::Stale(StaleClaim::Reclaimed));
        assert_eq!(place.raw().state(), before);
    }
    assert_eq!(shop.record(&current, ACCEPTED, noon()).await, Recorded::Ended(MessageState::Delivered));
}

async fn interrupted_attempt_fences_a_late_record(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 1);
    let paused = shop.claimed(lapsing(noon())).await;
    let stopped = shop.claimed(lapsing(noon())).await;
    assert_eq!(shop.record(&stopped, SendOutcome::Interrupted, noon()).await, Recorded::Again(noon()));
    for late in [&paused, &stopped] {
        assert_eq!(shop.record(late, again(), noon()).await, Recorded::Stale(StaleClaim::MadeDue));
    }
    let third = shop.claimed(at(noon())).await;
    for late in [&paused, &stopped] {
        assert_eq!(shop.record(late, again(), noon()).await, Recorded::Stale(StaleClaim::Reclaimed));
    }
    assert_eq!(shop.record(&third, ACCEPTED, noon()).await, Recorded::Ended(MessageState::Delivered));
}

/// The lease has ended, but no other attempt has begun, so the late record counts.
async fn late_record_without_another_claim_counts(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 1);
    let late = shop.claimed(lapsing(noon())).await;
    assert_eq!(shop.record(&late, ACCEPTED, noon()).await, Recorded::Ended(MessageState::Delivered));
}

async fn leases_of_an_endpoint_are_bounded(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 5);
    seed(&mut place.raw(), WELL, 2, 1);
    let terms = ClaimTerms { per_endpoint: 2, ..at(noon()) };
    let mut taken = Vec::new();
    while let Some(claimed) = shop.claim(terms).await {
        taken.push(claimed);
    }
    let mut where_to: Vec<_> = taken.iter().map(|claimed| claimed.content.endpoint().0).collect();
    where_to.sort_unstable();
    assert_eq!(where_to, [ILL, ILL, WELL]);
    let of_ill = taken.iter().find(|claimed| claimed.content.endpoint().0 == ILL).expect("one");
    shop.record(of_ill, ACCEPTED, noon()).await;
    shop.claimed(terms).await;
    assert_eq!(shop.claim(terms).await, None);
    // A lease that has ended does not count.
    let lapsed = ClaimTerms { lease: Duration::ZERO, ..terms };
    place.raw().execute("UPDATE delivery SET leased_until = 1 WHERE leased_until IS NOT NULL");
    for _ in 0..3 {
        shop.claimed(lapsed).await;
    }
}

async fn concurrent_claims_never_claim_the_same_message(place: Place) {
    let shop = Arc::new(place.shop().await);
    for series in 1..=4 {
        seed(&mut place.raw(), &format!("webhook:https://p{series}.example/"), series, 5);
    }
    let mut claimers = JoinSet::new();
    for _ in 0..4 {
        let shop = shop.clone();
        claimers.spawn(async move {
            let (mut taken, mut in_vain) = (Vec::new(), 0);
            // A claim skips an endpoint that another claimer has locked, so one `None` does not mean that no message is
            // left.
            while in_vain < 3 {
                match shop
                    .claim(ClaimTerms { now: noon(), lease: HOUR, per_endpoint: 5, reach: EndpointHealth::Failing })
                    .await
                {
                    Some(delivery) => taken.push(delivery.id.to_string()),
                    None => in_vain += 1,
                }
            }
            taken
        });
    }
    let mut taken = claimers.join_all().await.concat();
    while let Some(left) = shop.claim(at(noon())).await {
        taken.push(left.id.to_string());
    }
    assert_eq!(taken.len(), 20);
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>().len(), 20);
    assert_eq!(place.raw().number("SELECT sum(attempts) FROM delivery"), 20);
}

async fn message_whose_attempts_never_end_becomes_a_dead_letter(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1);
    for _ in 0..MAX_ATTEMPTS {
        shop.claimed(lapsing(noon())).await;
    }
    seed(&mut place.raw(), ILL, 2, 1);
    // The dead letter delays no other message, and its endpoint stays healthy.
    let claim = shop.deliveries.claim(&task(), Channel::Webhook, at(noon())).await.expect("asked");
    let next = claim.message.expect("the next one");
    assert_eq!((next.attempts, states(&mut place.raw(), ILL)), (1, vec!["dead 1".to_owned(), "pending 1".to_owned()]));
    let given_up = shop.listed().await.into_iter().find(|message| message.state == MessageState::Dead).expect("dead");
    let messages = claim.given_up.iter().map(|message| (&message.id, &message.last_error)).collect::<Vec<_>>();
    assert_eq!(messages, [(&given_up.id, &given_up.last_error)]);
    assert_eq!((given_up.attempts, given_up.last_error.as_deref()), (MAX_ATTEMPTS, Some("no attempt ended")));
    assert_eq!(health(&mut place.raw(), ILL), "0 - -");
}
