//! What operators do with messages while another transaction changes them. The races are forced.

use domain::outbox::{Endpoint, OutboxStore, Purged, Selection};

use super::operators::dead;
use super::{ILL, again, alice, at, seed, states};
use crate::kit::data::{hours, noon, task};
use crate::kit::{Place, until};

crate::on_postgres!(
    retried_message_is_not_purged,
    message_retried_meanwhile_is_left_alone,
    message_to_an_endpoint_that_is_enabled_meanwhile_is_pending,
    dead_letter_that_is_stored_meanwhile_is_retried,
    message_whose_older_one_ends_meanwhile_is_due_at_once,
    event_waits_for_the_end_of_the_oldest_pending_message,
);

/// Runs `work` while another transaction changes a message by `sql`. `work` waits for the row, and the other
/// transaction then commits.
async fn meanwhile<T>(place: &Place, sql: &str, work: impl Future<Output = T>) -> T {
    let (mut other, mut observer) = (place.raw(), place.raw());
    other.execute(&format!("BEGIN; {sql}"));
    let commit = async {
        until("it waits for the row", || observer.waiting() == 1).await;
        other.execute("COMMIT");
    };
    tokio::join!(work, commit).0
}

async fn retried_message_is_not_purged(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1);
    dead(&shop, 1).await;
    let revive = "UPDATE delivery SET state = 'pending', ended_at = NULL, attempts = 0";
    let (ctx, later) = (task(), noon() + hours(1));
    let forgotten = meanwhile(&place, revive, shop.deliveries.forget(&ctx, later, later, 10)).await;
    assert_eq!(forgotten.expect("asked"), Purged::default());
    assert_eq!(states(&mut place.raw(), ILL), ["pending 1"]);
}

async fn message_retried_meanwhile_is_left_alone(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1);
    dead(&shop, 1).await;
    let claimed = format!(
        "UPDATE delivery SET state = 'pending', ended_at = NULL, attempts = 1, leased_until = {}",
        i64::MAX / 2
    );
    let ctx = task();
    let revived = meanwhile(&place, &claimed, shop.deliveries.retry(&ctx, Selection::All, noon(), 10)).await;
    assert_eq!(revived.expect("asked"), 0);
    assert_eq!(place.raw().number("SELECT attempts FROM delivery"), 1);
}

async fn message_to_an_endpoint_that_is_enabled_meanwhile_is_pending(place: Place) {
    let shop = place.shop().await;
    shop.order("k1").await;
    place.raw().execute("UPDATE destination SET disabled_at = 1");
    meanwhile(&place, "UPDATE destination SET disabled_at = NULL", shop.order("k2")).await;
    assert_eq!(states(&mut place.raw(), &alice()), ["pending 2"]);
}

/// An order has seen that the endpoint is disabled, and stores a dead letter.
async fn dead_letter_that_is_stored_meanwhile_is_retried(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1);
    let ordering = "SELECT id FROM destination FOR SHARE; UPDATE delivery SET state = 'dead', ended_at = 1";
    let (ctx, to) = (task(), Selection::Of(Endpoint(ILL.to_owned())));
    let retried = meanwhile(&place, ordering, shop.deliveries.retry(&ctx, to, noon(), 10)).await;
    assert_eq!(retried.expect("asked"), 1);
    assert_eq!(states(&mut place.raw(), ILL), ["pending 1"]);
}

async fn message_whose_older_one_ends_meanwhile_is_due_at_once(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    let placed = shop.claimed(at(noon())).await;
    shop.record(&placed, again(), noon()).await;
    let ending = "UPDATE delivery SET state = 'delivered', ended_at = 1";
    meanwhile(&place, ending, shop.news(&order, &["one"])).await;
    let due = "SELECT due_at FROM delivery WHERE state = 'pending'";
    assert_eq!(place.raw().number(due), noon().unix_timestamp() * 1_000);
}

/// The oldest message may be on its way, and its record makes the newer ones due. So it matters more than the message that is
/// due last.
async fn event_waits_for_the_end_of_the_oldest_pending_message(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    shop.news(&order, &["one"]).await;
    place.raw().execute("UPDATE delivery SET due_at = due_at + 3600000 WHERE sequence = 1");
    let ending = "UPDATE delivery SET state = 'delivered', ended_at = 1 WHERE sequence = 0";
    meanwhile(&place, ending, shop.news(&order, &["two"])).await;
    assert_eq!(states(&mut place.raw(), &alice()), ["delivered 1", "pending 2"]);
}
