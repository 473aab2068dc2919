//! What operators see of messages, and what they can do with them.

use domain::clock::Timestamp;
use domain::outbox::{
    Channel, ClaimTerms, Endpoint, Finality, MessageFilter, MessageState, NextAttempt, OutboxMessageId, OutboxStore,
    Receipt, Recorded, Selection,
};
use domain::page::Limit;

use super::{ACCEPTED, HOUR, ILL, WELL, again, at, failed, health, lapsing, seed, states};
use crate::kit::data::{hours, noon, task};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

on_both_engines!(
    messages_are_listed_newest_first_by_state_and_endpoint,
    dead_letter_can_be_retried,
    all_dead_letters_of_an_endpoint_can_be_retried,
    all_dead_letters_can_be_retried_in_portions,
    retried_message_has_all_its_attempts,
    ended_or_leased_message_is_not_retried,
    waiting_message_is_retried_after_the_older_ones_of_its_order,
    retry_of_an_endpoint_ends_its_backoff,
    operator_ends_a_waiting_message,
    endpoints_are_listed_with_their_health,
    next_step_of_a_message_shows_backoff_and_lease,
    endpoint_without_dead_letters_can_be_enabled,
    ended_messages_are_purged_and_dead_letters_later,
    purge_of_messages_is_bounded,
);

/// Makes `count` messages dead letters and returns their ids.
pub(super) async fn dead(shop: &Shop, count: u32) -> Vec<OutboxMessageId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let claimed = shop.claimed(at(noon())).await;
        shop.record(&claimed, failed(Finality::Refused), noon()).await;
        ids.push(claimed.id);
    }
    ids
}

async fn retry(shop: &Shop, which: Selection, limit: u32) -> u32 {
    shop.deliveries.retry(&task(), which, noon(), limit).await.expect("asked")
}

async fn forget(shop: &Shop, before: Timestamp, dead_before: Timestamp, limit: u32) -> u32 {
    shop.deliveries.forget(&task(), before, dead_before, limit).await.expect("asked").total()
}

async fn messages_are_listed_newest_first_by_state_and_endpoint(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 3);
    dead(&shop, 1).await;
    seed(&mut place.raw(), WELL, 2, 2);
    let list = |state, destination: Option<&str>, limit| {
        let filter = MessageFilter { state, endpoint: destination.map(|to| Endpoint(to.to_owned())) };
        let (shop, ctx) = (&shop, task());
        async move {
            let (mut listed, mut after) = (Vec::new(), None);
            for _ in 0..9 {
                let page = shop.deliveries.list(&ctx, filter.clone(), after, Limit::new(limit)).await.expect("listed");
                assert!(page.items.len() <= limit as usize);
                listed.extend(page.items.iter().map(|message| message.id.as_str()[28..].to_owned()));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            listed
        }
    };
    assert_eq!(list(None, None, 9).await, ["02000002", "02000001", "01000003", "01000002", "01000001"]);
    for limit in 1..=5 {
        assert_eq!(list(None, None, limit).await, list(None, None, 9).await, "in pages of {limit}");
    }
    assert_eq!(list(Some(MessageState::Dead), None, 9).await, ["01000001"]);
    assert_eq!(list(Some(MessageState::Pending), Some(ILL), 9).await, ["01000003", "01000002"]);
    assert_eq!(list(None, Some(WELL), 1).await, ["02000002", "02000001"]);
    assert!(list(Some(MessageState::Delivered), None, 9).await.is_empty());
    assert!(list(None, Some("webhook:https://nobody.example/"), 9).await.is_empty());
}

async fn dead_letter_can_be_retried(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 2);
    let ids = dead(&shop, 2).await;
    assert_eq!(retry(&shop, Selection::One(ids[1].clone()), 10).await, 1);
    assert_eq!(shop.claimed(at(noon())).await.id, ids[1]);
    assert_eq!(shop.claim(at(noon())).await, None);
    assert_eq!(retry(&shop, Selection::One(OutboxMessageId::generate(noon())), 10).await, 0);
}

async fn all_dead_letters_of_an_endpoint_can_be_retried(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 3);
    let claimed = shop.claimed(at(noon())).await;
    assert_eq!(shop.record(&claimed, failed(Finality::Gone), noon()).await, Recorded::Disabled { others: 2 });
    seed(&mut place.raw(), WELL, 2, 1);
    dead(&shop, 1).await;
    assert_eq!(retry(&shop, Selection::Of(Endpoint(ILL.to_owned())), 10).await, 3);
    assert_eq!(health(&mut place.raw(), ILL), "0 - -");
    assert_eq!(
        (states(&mut place.raw(), ILL), states(&mut place.raw(), WELL)),
        (vec!["pending 3".into()], vec!["dead 1".into()])
    );
    for _ in 0..3 {
        assert_eq!(shop.claimed(at(noon())).await.content.endpoint().0, ILL);
    }
}

async fn all_dead_letters_can_be_retried_in_portions(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 2);
    seed(&mut place.raw(), WELL, 2, 3);
    dead(&shop, 5).await;
    let mut revived = Vec::new();
    while revived.last() != Some(&0) {
        revived.push(retry(&shop, Selection::All, 2).await);
    }
    assert_eq!(revived, [2, 2, 1, 0]);
    assert_eq!(
        (states(&mut place.raw(), ILL), states(&mut place.raw(), WELL)),
        (vec!["pending 2".into()], vec!["pending 3".into()])
    );
}

async fn retried_message_has_all_its_attempts(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1);
    let mut now = noon();
    loop {
        let claimed = shop.claimed(at(now)).await;
        match shop.record(&claimed, again(), now).await {
            Recorded::Again(due) => now = due,
            recorded => break assert_eq!(recorded, Recorded::Ended(MessageState::Dead)),
        }
    }
    assert_eq!(retry(&shop, Selection::All, 10).await, 1);
    let claimed = shop.claimed(at(noon())).await;
    assert_eq!(claimed.attempts, 1);
    assert!(matches!(shop.record(&claimed, again(), noon()).await, Recorded::Again(_)));
}

async fn ended_or_leased_message_is_not_retried(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 3);
    let claimed = shop.claimed(at(noon())).await;
    shop.record(&claimed, ACCEPTED, noon()).await;
    let under_way = shop.claimed(at(noon())).await;
    let before = place.raw().state();
    for which in [Selection::One(claimed.id), Selection::One(under_way.id), Selection::All] {
        assert_eq!(retry(&shop, which, 10).await, 0);
    }
    assert_eq!(place.raw().state(), before);
}

async fn waiting_message_is_retried_after_the_older_ones_of_its_order(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    shop.news(&order, &["one", "two"]).await;
    let ids = place.raw().texts("SELECT id AS value FROM delivery ORDER BY sequence");
    let ids: Vec<_> = ids.iter().map(|id| OutboxMessageId::parse(id).expect("an id")).collect();
    let Recorded::Again(due) = shop.record(&shop.claimed(at(noon())).await, again(), noon()).await else {
        panic!("not again")
    };
    assert_eq!(shop.claim(at(noon())).await, None);
    // The retry makes the second message due, and the first message before it. The third message follows after both.
    assert_eq!(retry(&shop, Selection::One(ids[1].clone()), 10).await, 2);
    let listed = shop.listed().await;
    let due_at = |id: &OutboxMessageId| listed.iter().find(|message| message.id == *id).map(|message| message.due_at);
    assert_eq!(ids.iter().map(due_at).collect::<Vec<_>>(), [noon(), noon(), due].map(Some));
    for id in ids {
        let claimed = shop.claimed(at(noon())).await;
        assert_eq!((claimed.id.clone(), claimed.attempts), (id, 1));
        assert_eq!(retry(&shop, Selection::One(claimed.id.clone()), 10).await, 0, "it is leased");
        shop.record(&claimed, ACCEPTED, noon()).await;
    }
}

async fn retry_of_an_endpoint_ends_its_backoff(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 4);
    seed(&mut place.raw(), WELL, 2, 1);
    place.raw().execute(&format!("UPDATE delivery SET due_at = {} WHERE destination = '{WELL}'", i64::MAX / 2));
    let terms = ClaimTerms { per_endpoint: 9, ..at(noon()) };
    let first = shop.claimed(terms).await;
    let under_way = shop.claimed(terms).await;
    shop.record(&first, failed(Finality::Again { after: Some(HOUR) }), noon()).await;
    assert_eq!(shop.claim(terms).await, None);
    // One message waits for its next attempt, two messages are due and wait for the backoff of the endpoint, one is
    // leased.
    assert_eq!(retry(&shop, Selection::Of(Endpoint(ILL.to_owned())), 10).await, 1);
    assert_eq!(health(&mut place.raw(), ILL), "0 - -");
    let mut taken = Vec::new();
    while let Some(claimed) = shop.claim(terms).await {
        assert_eq!((claimed.content.endpoint().0.as_str(), claimed.attempts), (ILL, 1));
        taken.push(claimed.id);
    }
    assert_eq!(taken.len(), 3);
    assert!(!taken.contains(&under_way.id));
    assert_eq!(shop.record(&under_way, ACCEPTED, noon()).await, Recorded::Ended(MessageState::Delivered));
}

async fn give_up(shop: &Shop, which: Selection, limit: u32) -> u32 {
    shop.deliveries.give_up(&task(), which, noon(), limit).await.expect("asked")
}

async fn operator_ends_a_waiting_message(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 4);
    seed(&mut place.raw(), WELL, 2, 1);
    place.raw().execute(&format!("UPDATE destination SET served_at = 1 WHERE id = '{WELL}'"));
    let under_way = shop.claimed(at(noon())).await;
    assert_eq!(give_up(&shop, Selection::One(under_way.id.clone()), 10).await, 0, "it is leased");
    assert_eq!(give_up(&shop, Selection::Of(Endpoint(ILL.to_owned())), 2).await, 2);
    assert_eq!(give_up(&shop, Selection::Of(Endpoint(ILL.to_owned())), 2).await, 1);
    assert_eq!(states(&mut place.raw(), ILL), ["dead 3", "pending 1"]);
    let dead = shop.listed().await.into_iter().find(|message| message.state == MessageState::Dead).expect("dead");
    assert_eq!(dead.last_error.as_deref(), Some("given up by hand"));
    assert_eq!(states(&mut place.raw(), WELL), ["pending 1"]);
    assert_eq!(shop.record(&under_way, ACCEPTED, noon()).await, Recorded::Ended(MessageState::Delivered));

    // A newer message of the same order no longer waits.
    let order = shop.order("k1").await;
    shop.news(&order, &["one"]).await;
    place.raw().execute(&format!("UPDATE destination SET served_at = 2 WHERE id <> '{}'", super::alice()));
    let older = shop.claimed(at(noon())).await;
    assert_eq!(older.order, order);
    shop.record(&older, again(), noon()).await;
    assert_eq!(give_up(&shop, Selection::One(older.id.clone()), 10).await, 1);
    let newer = shop.listed().await.into_iter().find(|message| message.order == order && message.id != older.id);
    assert_eq!(newer.map(|newer| (newer.state, newer.due_at)), Some((MessageState::Pending, noon())));
    assert_eq!(give_up(&shop, Selection::All, 10).await, 0, "never everything at once");
}

async fn endpoints_are_listed_with_their_health(place: Place) {
    let shop = place.shop().await;
    let list = async |after, limit| {
        let page = shop.deliveries.endpoints(&task(), after, Limit::new(limit)).await.expect("listed");
        (page.items, page.next)
    };
    let find = async |name: &str| shop.deliveries.endpoint(&task(), Endpoint(name.to_owned())).await.expect("found");
    assert_eq!(list(None, 9).await, (vec![], None));
    seed(&mut place.raw(), ILL, 1, 5);
    dead(&shop, 1).await;
    let claimed = shop.claimed(at(noon())).await;
    shop.record(&claimed, failed(Finality::Again { after: Some(HOUR) }), noon()).await;
    seed(&mut place.raw(), WELL, 2, 2);
    shop.claimed(at(noon())).await;
    place.raw().execute(&format!("UPDATE destination SET disabled_at = 1000 WHERE id = '{WELL}'"));

    let fares = |it: &domain::outbox::EndpointSummary| (it.pending, it.dead, it.leased);
    let (listed, next) = list(None, 9).await;
    assert_eq!(next, None);
    assert_eq!(listed.iter().map(|it| it.id.0.as_str()).collect::<Vec<_>>(), [ILL, WELL]);
    assert_eq!(listed.iter().map(fares).collect::<Vec<_>>(), [(4, 1, 0), (2, 0, 1)]);
    let (ill, well) = (&listed[0], &listed[1]);
    assert_eq!((ill.channel, ill.failing_since, ill.disabled_at), (Channel::Webhook, Some(noon()), None));
    assert_eq!((ill.backoff_until, well.failing_since), (noon() + hours(1), None));
    assert_eq!(well.disabled_at.map(Timestamp::unix_timestamp), Some(1));
    // The events of the seeded messages are one millisecond apart, and the last of them is at noon.
    assert_eq!(ill.oldest_pending, Some(noon() - std::time::Duration::from_millis(3)));
    let (first, next) = list(None, 1).await;
    assert_eq!(first, listed[..1]);
    assert_eq!(list(next, 1).await, (listed[1..].to_vec(), None));
    assert_eq!(find(WELL).await.as_ref(), listed.last());
    assert_eq!(find("webhook:https://nobody.example/").await, None);
}

async fn next_step_of_a_message_shows_backoff_and_lease(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 3);
    let next = async || shop.listed().await.into_iter().map(|message| message.next).collect::<Vec<_>>();
    let due = |before| Some(NextAttempt::At(noon() - std::time::Duration::from_millis(before)));
    assert_eq!(next().await, [due(0), due(1), due(2)]);
    dead(&shop, 1).await;
    let claimed = shop.claimed(at(noon())).await;
    let listed = next().await;
    assert!(matches!(listed[..], [Some(NextAttempt::At(_)), Some(NextAttempt::Leased(_)), None]), "{listed:?}");
    shop.record(&claimed, failed(Finality::Again { after: Some(HOUR) }), noon()).await;
    let rested = Some(NextAttempt::At(noon() + hours(1)));
    assert_eq!(next().await, [rested, rested, None]);
    place.raw().execute("UPDATE destination SET disabled_at = 1");
    assert_eq!(next().await, [Some(NextAttempt::GivenUp), Some(NextAttempt::GivenUp), None]);
}

async fn endpoint_without_dead_letters_can_be_enabled(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1);
    place.raw().execute("UPDATE destination SET disabled_at = 1");
    assert_eq!(shop.claim(lapsing(noon())).await, None);
    assert_eq!(retry(&shop, Selection::Of(Endpoint(ILL.to_owned())), 10).await, 0);
    shop.claimed(at(noon())).await;
}

async fn ended_messages_are_purged_and_dead_letters_later(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 4);
    for outcome in [ACCEPTED, domain::outbox::SendOutcome::Received(Receipt::Unwanted), failed(Finality::Refused)] {
        let claimed = shop.claimed(at(noon())).await;
        shop.record(&claimed, outcome, noon()).await;
    }
    let later = noon() + hours(1);
    assert_eq!(forget(&shop, noon(), noon(), 10).await, 0);
    assert_eq!(forget(&shop, later, noon(), 10).await, 2);
    assert_eq!(states(&mut place.raw(), WELL), ["dead 1", "pending 1"]);
    assert_eq!(forget(&shop, later, later, 10).await, 1);
    assert_eq!(states(&mut place.raw(), WELL), ["pending 1"]);
}

async fn purge_of_messages_is_bounded(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 5);
    dead(&shop, 5).await;
    let later = noon() + hours(1);
    assert_eq!(forget(&shop, later, later, 3).await, 3);
    assert_eq!(forget(&shop, later, later, 3).await, 2);
}
