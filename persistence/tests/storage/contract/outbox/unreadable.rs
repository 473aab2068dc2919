//! A stored message that cannot be read becomes a dead letter, and delays no other message.

use domain::outbox::{Channel, MessageState, OutboxStore};
use domain::page::Limit;

use super::{WELL, at, seed, states};
use crate::kit::Place;
use crate::kit::data::{noon, task};
use crate::on_both_engines;

on_both_engines!(unreadable_message_is_given_up_and_the_others_are_claimed_and_listed);

async fn unreadable_message_is_given_up_and_the_others_are_claimed_and_listed(place: Place) {
    let shop = place.shop().await;
    for (damage, is_shown) in [
        // A time in the year 10000, and a time before the earliest time that can be expressed.
        ("occurred_at = 253402387139000", true),
        ("occurred_at = -9000000000000000000", true),
        ("id = 'msg_1'", false),
    ] {
        let mut raw = place.raw();
        raw.execute("DELETE FROM delivery; DELETE FROM orders; DELETE FROM destination");
        seed(&mut raw, WELL, 1, 2);
        let oldest = "(SELECT id FROM (SELECT id, due_at FROM delivery) d ORDER BY due_at LIMIT 1)";
        raw.execute(&format!("UPDATE delivery SET {damage} WHERE id = {oldest}"));
        assert_eq!(shop.listed().await.len(), if is_shown { 2 } else { 1 }, "{damage}");

        let claimed = shop.deliveries.claim(&task(), Channel::Webhook, at(noon())).await.expect("claimed");
        assert!(claimed.message.is_some(), "{damage}");
        assert_eq!(states(&mut raw, WELL), ["dead 1", "pending 1"], "{damage}");
        let reasons = raw.texts("SELECT last_error AS value FROM delivery WHERE state = 'dead'");
        assert!(reasons[0].starts_with("the stored message cannot be read"), "{reasons:?}");

        let listed = shop.listed().await;
        let dead = listed.iter().find(|summary| summary.state == MessageState::Dead);
        assert_eq!((dead.is_some(), claimed.given_up.len()), (is_shown, usize::from(is_shown)), "{damage}");
        if let Some(dead) = dead {
            assert_eq!(dead.last_error.as_ref(), Some(&reasons[0]));
        }
        let endpoints = shop.deliveries.endpoints(&task(), None, Limit::new(10)).await.expect("listed").items;
        assert_eq!((endpoints[0].pending, endpoints[0].dead), (1, 1), "{damage}");
    }
}
