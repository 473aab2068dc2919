//! Concurrent requests: for the last units and with one key.

use std::sync::{Barrier, Mutex};
use std::time::Duration;

use crate::database::{Database, Item, charges, stock};
use crate::extent::{Chance, PATIENCE, until};
use crate::invariants::violations;
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform, Reply};

/// Longer than the shop sheds load because other requests are faster.
const RACE: Duration = Duration::from_secs(90);

/// The pool wait of production mode: a request that waits half a second for a connection is refused.
const SETTINGS: &[(&str, &str)] = &[("TUCKSHOP_DATABASE_POOL_WAIT_MS", "500"), ("TUCKSHOP_SIMULATION_SLOW_MS", "300")];

crate::on_both_engines!(two_hundred_buyers_race_for_ten_units, sixteen_parallel_completes_with_one_key_make_one_order,);

async fn two_hundred_buyers_race_for_ten_units(place: Place) {
    const BUYERS: u64 = 200;
    const ITEMS: &[Item] = &[("last_ones", 250, 10)];
    stock(&place, ITEMS);
    let server = Server::launch(&place, SETTINGS);
    let address = server.address();
    let (all_have_a_checkout, answers) = (Barrier::new(BUYERS as usize), Mutex::new(Vec::new()));

    std::thread::scope(|scope| {
        for buyer in 0..BUYERS {
            let (all_have_a_checkout, answers) = (&all_have_a_checkout, &answers);
            scope.spawn(move || {
                let (mut platform, mut chance) = (Platform::at(address), Chance::of(buyer));
                let create = Call::create(&fresh_key(), "last_ones", 1);
                let created = platform.retry_until_definite(&create, &mut chance, RACE);
                // Whatever the outcome, no thread may be left waiting at the start.
                all_have_a_checkout.wait();
                let id = created.expect("an answer").expect(201).id();
                let complete = Call::complete(&id, &fresh_key(), "success_token");
                let reply = platform.retry_until_definite(&complete, &mut chance, RACE).expect("an answer");
                answers.lock().expect("answers").push((id, reply));
            });
        }
    });

    let answers = answers.into_inner().expect("answers");
    let (bought, rest): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, reply)| reply.order().is_some());
    for (_, reply) in &rest {
        assert!(reply.status == 200 && reply.has_code("out_of_stock"), "{reply:?}");
    }
    assert_eq!((bought.len(), rest.len()), (10, 190));

    let mut database = Database::open(&place);
    until("every payment is settled", PATIENCE, || (database.undecided() == 0).then_some(()));
    assert_eq!(database.level("last_ones"), (0, 0));
    let mut state = database.state(&place, ITEMS);
    assert_eq!((state.orders.len(), state.charges.len()), (10, 10));
    state.acknowledged = bought.iter().filter_map(|(id, reply)| Some((id.clone(), reply.order()?))).collect();
    state.refused = rest.into_iter().map(|(id, _)| id).collect();
    assert_eq!(violations(&state), Vec::<String>::new());
    assert!(server.stop().status.success());
}

async fn sixteen_parallel_completes_with_one_key_make_one_order(place: Place) {
    const ITEMS: &[Item] = &[("bun", 250, 100)];
    stock(&place, ITEMS);
    let server = Server::launch(&place, SETTINGS);
    let mut platform = Platform::at(server.address());
    // A payment that ends at once, and one during which the other callers wait.
    for token in ["success_token", "slow_token"] {
        let complete = Call::complete(&platform.checkout("bun", 2), &fresh_key(), token);
        let addresses = [server.address(); 16];
        assert_same_order(&sixteen_at_once(&addresses, &complete));
    }
    let mut database = Database::open(&place);
    assert_eq!(database.level("bun"), (96, 0));
    assert_eq!(charges(&place).len(), 2);
    let state = database.state(&place, ITEMS);
    assert_eq!((state.orders.len(), state.attempts.len()), (2, 2));
    assert_eq!(violations(&state), Vec::<String>::new());
    let stopped = server.stop();
    assert!(stopped.status.success());
    let lines = stopped.log.iter().filter(|line| {
        line["msg"] == "request" && line["route"] == "/checkout-sessions/{id}/complete" && line["status"] == 200
    });
    assert_eq!(lines.count(), 32, "not one line for each request");
    assert_eq!(
        stopped.log.iter().filter(|line| line["msg"] == "payment answered").count(),
        2,
        "a payment for each key"
    );
}

/// Sends the same request to each address at the same moment.
pub fn sixteen_at_once(addresses: &[std::net::SocketAddr; 16], call: &Call) -> Vec<Reply> {
    let start = Barrier::new(addresses.len());
    std::thread::scope(|scope| {
        let asking = addresses.map(|address| {
            let start = &start;
            scope.spawn(move || {
                let mut platform = Platform::at(address);
                platform.reply_to(&Call::get("/livez"));
                start.wait();
                platform.reply_to(call)
            })
        });
        asking.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    })
}

/// Asserts that every answer shows the same order in the same bytes.
pub fn assert_same_order(replies: &[Reply]) {
    assert_eq!(replies.len(), 16);
    for reply in replies {
        assert_eq!((reply.status, reply.checkout_status()), (200, "completed"), "{reply:?}");
        assert_eq!(reply.body, replies[0].body);
    }
}
