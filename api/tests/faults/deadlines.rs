//! A request with a short time limit is refused in time and has no effect.

use std::time::{Duration, Instant};

use crate::database::{Database, Item, stock};
use crate::extent::{PATIENCE, until};
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform};

const ITEMS: &[Item] = &[("bun", 250, 100)];

crate::on_both_engines!(deadline_of_300_ms_against_a_held_lock_answers_504_without_effect);

async fn deadline_of_300_ms_against_a_held_lock_answers_504_without_effect(place: Place) {
    stock(&place, ITEMS);
    let server = Server::launch(&place, &[("TUCKSHOP_CHECKOUT_COMPLETION_MINIMUM_MS", "50")]);
    let mut platform = Platform::at(server.address());
    let id = platform.checkout("bun", 2);
    let shown = platform.read(&id);
    let (update, complete) =
        (Call::update(&id, &fresh_key(), "bun", 5), Call::complete(&id, &fresh_key(), "success_token"));

    let mut database = Database::open(&place);
    let before = database.snapshot();
    database.lock_checkout(&id);
    for call in [&update, &complete] {
        let began = Instant::now();
        let reply = platform.reply_to(&call.clone().within(300)).expect(504);
        assert!(reply.has_code("deadline_exceeded"), "{reply:?}");
        // The request waited for the lock, and not much longer than its limit.
        let waited = began.elapsed();
        assert!((Duration::from_millis(200)..Duration::from_secs(2)).contains(&waited), "{waited:?}");
    }
    database.unlock();
    until("the shop is idle", PATIENCE, || is_idle(&mut platform).then_some(()));

    assert_eq!(database.snapshot(), before);
    assert_eq!(database.level("bun"), (100, 0));
    assert_eq!(platform.read(&id).body, shown.body);

    // The keys are free: the same requests succeed now.
    let updated = platform.reply_to(&update).expect(200);
    assert_eq!(updated.json["line_items"][0]["quantity"], 5);
    let completed = platform.reply_to(&complete).expect(200);
    assert_eq!(completed.checkout_status(), "completed", "{completed:?}");
    assert_eq!(database.level("bun"), (95, 0));
    assert!(server.stop().status.success());
}

/// Whether no command is running and no abandoned transaction is open.
pub fn is_idle(platform: &mut Platform) -> bool {
    platform.status_number("commands_in_flight") == 0 && platform.status_number("transactions_abandoned") == 0
}
