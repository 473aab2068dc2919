//! The health of an endpoint decides when it is served: how far a claim reaches, and when a backoff ends early.

use std::time::Duration;

use domain::outbox::{ClaimTerms, EndpointHealth, Finality, PROBE_PAUSE};

use super::{ACCEPTED, HOUR, ILL, WELL, again, at, failed, seed};
use crate::kit::data::{ALICE, hours, noon};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

on_both_engines!(
    claim_reaches_no_endpoint_beyond_its_terms,
    new_event_ends_the_backoff_of_an_endpoint_for_one_attempt,
    new_event_waits_for_retry_after,
    message_without_a_permit_loses_no_attempt,
);

async fn claim_reaches_no_endpoint_beyond_its_terms(place: Place) {
    // The earlier results of an endpoint, and the health that follows from them.
    let histories = [
        (vec![], EndpointHealth::New),
        (vec![again()], EndpointHealth::Failing),
        (vec![ACCEPTED], EndpointHealth::Proven),
        (vec![ACCEPTED, again()], EndpointHealth::Proven),
        (vec![ACCEPTED, again(), again()], EndpointHealth::Failing),
        (vec![again(), again(), ACCEPTED], EndpointHealth::Proven),
    ];
    let shop = place.shop().await;
    for (series, (history, health)) in (1..).zip(&histories) {
        let to = format!("webhook:https://p{series}.example/");
        seed(&mut place.raw(), &to, series, 9);
        let mut now = noon();
        for outcome in history {
            now += hours(1);
            let claimed = shop.claimed(at(now)).await;
            shop.record(&claimed, outcome.clone(), now).await;
        }
        now += hours(1);
        for reach in [EndpointHealth::Proven, EndpointHealth::New, EndpointHealth::Failing] {
            let claimed = shop.claim(ClaimTerms { reach, lease: Duration::ZERO, ..at(now) }).await;
            let expected = (*health <= reach).then_some(*health);
            assert_eq!(claimed.map(|claimed| claimed.health), expected, "{history:?} {reach:?}");
        }
        place.raw().execute(&format!("UPDATE destination SET disabled_at = 1 WHERE id = '{to}'"));
    }
}

/// Records so many failures that Alice's platform backs off for a minute from noon on.
async fn resting(place: &Place, shop: &Shop) {
    seed(&mut place.raw(), &super::alice(), 1, 20);
    place.raw().execute("UPDATE delivery SET due_at = due_at - 3600000");
    for earlier in (0..12).rev() {
        let now = noon() - time::Duration::minutes(2 * earlier);
        let claimed = shop.claimed(at(now)).await;
        shop.record(&claimed, again(), now).await;
    }
    assert_eq!(shop.claim(at(noon() + PROBE_PAUSE)).await, None, "{ALICE} rests");
}

async fn new_event_ends_the_backoff_of_an_endpoint_for_one_attempt(place: Place) {
    let shop = place.shop().await;
    resting(&place, &shop).await;
    shop.order("k1").await;
    place.raw().execute(&format!(
        "UPDATE delivery SET due_at = due_at + 1000 WHERE order_id IN (SELECT id FROM orders WHERE owner = '{ALICE}')"
    ));
    let moment = time::Duration::milliseconds(1);
    assert_eq!(shop.claim(at(noon() + PROBE_PAUSE - moment)).await, None);
    let probe = shop.claimed(at(noon() + PROBE_PAUSE)).await;
    assert_eq!(probe.health, EndpointHealth::Failing);
    assert_eq!(shop.claim(at(noon() + PROBE_PAUSE)).await, None, "one try at a time");
    let now = noon() + PROBE_PAUSE;
    shop.record(&probe, again(), now).await;
    assert_eq!(shop.claim(at(now + 2 * PROBE_PAUSE)).await, None, "nothing new came since");
    shop.claimed(at(now + Duration::from_secs(60))).await;
}

async fn new_event_waits_for_retry_after(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 3);
    let claimed = shop.claimed(at(noon())).await;
    let asked = Duration::from_secs(30);
    shop.record(&claimed, failed(Finality::Again { after: Some(asked) }), noon()).await;
    let later = (noon() + Duration::from_secs(1)).unix_timestamp() * 1_000;
    place.raw().execute(&format!("UPDATE delivery SET due_at = {later} WHERE attempts = 0"));
    assert_eq!(shop.claim(at(noon() + asked - Duration::from_millis(1))).await, None);
    shop.claimed(at(noon() + asked)).await;
}

async fn message_without_a_permit_loses_no_attempt(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1);
    let mut now = noon();
    for _ in 0..20 {
        let claimed = shop.claimed(ClaimTerms { reach: EndpointHealth::New, lease: HOUR, ..at(now) }).await;
        assert_eq!((claimed.attempts, claimed.health), (1, EndpointHealth::New));
        shop.record(&claimed, failed(Finality::NoPermit), now).await;
        now += Duration::from_secs(6);
    }
}
