//! Several instances on one database. This is possible on Postgres only.

use std::time::Duration;

use crate::database::{Database, Item, charges, stock};
use crate::extent::{PATIENCE, until};
use crate::invariants::violations;
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform, connect, send};
use crate::races::{assert_same_order, sixteen_at_once};

const ITEMS: &[Item] = &[("bun", 250, 100)];
/// The public URL of all instances, so that their answers are equal.
const PUBLIC_URL: (&str, &str) = ("TUCKSHOP_HTTP_PUBLIC_URL", "http://shop.example");

mod postgres {
    use crate::kit::{Place, run};

    #[test]
    fn three_instances_starting_on_an_empty_database_serve_one_shop() {
        if let Some(place) = Place::postgres() {
            run(place, super::three_instances_starting_on_an_empty_database_serve_one_shop);
        }
    }

    #[test]
    fn instance_settles_the_payments_of_a_killed_instance() {
        if let Some(place) = Place::postgres() {
            run(place, super::instance_settles_the_payments_of_a_killed_instance);
        }
    }
}

async fn three_instances_starting_on_an_empty_database_serve_one_shop(place: Place) {
    let settings = [PUBLIC_URL, ("TUCKSHOP_SIMULATION_SLOW_MS", "300")];
    let servers: Vec<Server> = std::thread::scope(|scope| {
        let starting = [(); 3].map(|()| scope.spawn(|| Server::launch(&place, &settings)));
        starting.into_iter().map(|thread| thread.join().expect("the instance listens")).collect()
    });
    let mut database = Database::open(&place);
    let migrations = database.number("count(*)", "FROM __diesel_schema_migrations");
    assert_eq!(migrations, database.number("count(DISTINCT version)", "FROM __diesel_schema_migrations"));
    for server in &servers {
        let reply = Platform::at(server.address()).reply_to(&Call::get("/readyz"));
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    // Each instance may have found an empty database. The demo catalogue is imported once.
    assert!(database.number("count(*)", "FROM variant") >= 10);
    let (on_hand, held) = database.level("gift_card");
    assert_eq!((on_hand, held), (100_000, 0));

    let mut platform = Platform::at(servers[0].address());
    for token in ["success_token", "slow_token"] {
        let complete = Call::complete(&platform.checkout("gift_card", 2), &fresh_key(), token);
        let addresses: [_; 16] = std::array::from_fn(|index| servers[index % servers.len()].address());
        assert_same_order(&sixteen_at_once(&addresses, &complete));
    }
    assert_eq!((database.level("gift_card"), charges(&place).len()), ((99_996, 0), 2));
    let state = database.state(&place, &[("gift_card", 1_000, 100_000)]);
    assert_eq!((state.orders.len(), state.attempts.len()), (2, 2));
    assert_eq!(violations(&state), Vec::<String>::new());
    for server in servers {
        assert!(server.stop().status.success());
    }
}

async fn instance_settles_the_payments_of_a_killed_instance(place: Place) {
    stock(&place, ITEMS);
    // The owner has six seconds and one more. After that its lease ends.
    let settings = [
        PUBLIC_URL,
        ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "2000"),
        ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "6000"),
        ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "100"),
    ];
    let (owner, other) = (Server::launch(&place, &settings), Server::launch(&place, &settings));
    let mut platform = Platform::at(other.address());
    let id = platform.checkout("bun", 2);
    let complete = Call::complete(&id, &fresh_key(), "hang_token");
    let mut cut_off = connect(owner.address()).expect("a connection");
    send(&mut cut_off, &complete).expect("sent");
    until("the payment is under way", PATIENCE, || {
        (platform.read(&id).checkout_status() == "complete_in_progress").then_some(())
    });
    let mut database = Database::open(&place);
    until("the payment is opened at the gateway", PATIENCE, || {
        (database.number("count(*)", "FROM payment_attempt WHERE reference IS NOT NULL") == 1).then_some(())
    });
    owner.kill_and_wait();
    assert_eq!(database.level("bun"), (100, 2));

    until("the other instance has settled the payment", PATIENCE, || (database.undecided() == 0).then_some(()));
    let line = until("the other instance has logged it", PATIENCE, || {
        other.log().into_iter().find(|line| line["msg"] == "payment attempt reconciled")
    });
    assert_eq!((&line["checkout_id"], &line["payment"]), (&serde_json::json!(id), &serde_json::json!("not_attempted")));
    assert_eq!((database.level("bun"), charges(&place).len()), ((100, 0), 0));
    // Nothing was charged, so nothing is recorded under the key, and another card may be used.
    assert_eq!(platform.read(&id).checkout_status(), "ready_for_complete");
    let again = Call::complete(&id, &fresh_key(), "success_token");
    let paid = platform
        .retry_until_definite(&again, &mut crate::extent::Chance::of(1), Duration::from_secs(20))
        .expect("an answer");
    assert_eq!((paid.status, paid.checkout_status()), (200, "completed"), "{paid:?}");
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
    assert!(other.stop().status.success());
}
