//! Clients that disconnect. A disconnect before the point of no return ends the command; after it the command goes on.

use std::io::Write;

use crate::database::{Database, Item, charges, stock};
use crate::deadlines::is_idle;
use crate::extent::{PATIENCE, until};
use crate::invariants::violations;
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform, connect, send};

const ITEMS: &[Item] = &[("bun", 250, 100)];

crate::on_both_engines!(
    client_disconnect_before_the_point_of_no_return_changes_nothing,
    client_disconnect_after_the_point_of_no_return_still_places_the_order,
);

async fn client_disconnect_before_the_point_of_no_return_changes_nothing(place: Place) {
    stock(&place, ITEMS);
    let server = Server::launch(&place, &[]);
    let mut platform = Platform::at(server.address());
    let id = platform.checkout("bun", 2);
    let shown = platform.read(&id);
    let complete = Call::complete(&id, &fresh_key(), "success_token");

    let mut database = Database::open(&place);
    let before = database.snapshot();
    // The second time with another pipelined request, which must not hide the disconnect.
    for ahead in [Vec::new(), Call::get("/livez").bytes()] {
        database.lock_checkout(&id);
        let mut leaving = connect(server.address()).expect("a connection");
        leaving.write_all(&[complete.bytes(), ahead].concat()).expect("sent");
        until("the command is running", PATIENCE, || (platform.status_number("commands_in_flight") == 1).then_some(()));
        drop(leaving);
        // The lock is still held: the disconnect ends the command.
        until("the command has ended", PATIENCE, || (platform.status_number("commands_in_flight") == 0).then_some(()));
        database.unlock();
        until("the shop is idle", PATIENCE, || is_idle(&mut platform).then_some(()));
    }

    assert_client_gone_logged(&server);
    assert_eq!(database.snapshot(), before);
    assert_eq!(database.level("bun"), (100, 0));
    assert_eq!(platform.read(&id).body, shown.body);
    assert_eq!(charges(&place).len(), 0);

    // A client that comes back is served as if for the first time.
    assert_eq!(platform.reply_to(&complete).expect(200).checkout_status(), "completed");
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
    assert!(server.stop().status.success());
}

async fn client_disconnect_after_the_point_of_no_return_still_places_the_order(place: Place) {
    stock(&place, ITEMS);
    let server = Server::launch(&place, &[("TUCKSHOP_SIMULATION_SLOW_MS", "1500")]);
    let mut platform = Platform::at(server.address());
    let id = platform.checkout("bun", 2);
    let complete = Call::complete(&id, &fresh_key(), "slow_token");

    let mut leaving = connect(server.address()).expect("a connection");
    send(&mut leaving, &complete).expect("sent");
    let status_is = |platform: &mut Platform, status| (platform.read(&id).checkout_status() == status).then_some(());
    until("the completion is past its point of no return", PATIENCE, || {
        status_is(&mut platform, "complete_in_progress")
    });
    drop(leaving);
    assert_eq!(platform.status_number("commands_in_flight"), 1);
    until("the checkout is completed", PATIENCE, || status_is(&mut platform, "completed"));

    assert_client_gone_logged(&server);
    let order = platform.read(&id).order().expect("an order");
    platform.reply_to(&Call::get(&format!("/orders/{order}"))).expect(200);
    // A client that comes back with the same key gets the same order.
    assert_eq!(platform.reply_to(&complete).expect(200).order(), Some(order));
    let mut database = Database::open(&place);
    assert_eq!((database.level("bun"), charges(&place).len()), ((98, 0), 1));
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
    assert!(server.stop().status.success());
}

/// Asserts the log line of the request whose client disconnected.
fn assert_client_gone_logged(server: &Server) {
    let route = "/checkout-sessions/{id}/complete";
    let line = until("the request is logged", PATIENCE, || {
        server.log().into_iter().find(|line| line["msg"] == "request" && line["route"] == route)
    });
    assert_eq!((&line["outcome"], &line["status"]), (&serde_json::json!("client_gone"), &serde_json::json!(0)));
}
