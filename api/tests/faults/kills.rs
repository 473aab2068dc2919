//! The process is killed repeatedly at random moments, and no acknowledged purchase is lost.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use crate::database::{Database, Item, stock};
use crate::extent::{Chance, extent, until};
use crate::invariants::violations;
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::outcomes::Outcomes;
use crate::platform::{Call, Platform};

/// A plentiful item, a scarce item, and a free item, which needs no gateway.
const ITEMS: &[Item] = &[("bun", 250, 100_000), ("rare_bun", 900, 25), ("sample", 0, 100_000)];
const TOKENS: [&str; 6] =
    ["success_token", "success_token", "fail_token", "slow_token", "hang_token", "charge_then_fail_token"];
const BUYERS: u64 = 8;
const SETTINGS: &[(&str, &str)] = &[
    ("TUCKSHOP_DATABASE_POOL_WAIT_MS", "500"),
    ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "300"),
    ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "900"),
    ("TUCKSHOP_SIMULATION_SLOW_MS", "100"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "100"),
];
/// The lease of a killed pass lasts a minute.
const PATIENCE: Duration = Duration::from_secs(120);

crate::on_both_engines!(kills_at_random_moments_lose_nothing);

async fn kills_at_random_moments_lose_nothing(place: Place) {
    stock(&place, ITEMS);
    let outcomes = Mutex::new(Outcomes::default());
    for round in 0..extent(3, 20) {
        let seed = 0x7c5_0000 + round;
        let mut chance = Chance::of(seed);
        let moment = chance.between(100, 2_000);
        println!("round {round}: seed {seed:#x}, killed after {moment} ms");
        let server = Server::launch(&place, SETTINGS);
        let address = server.address();
        std::thread::scope(|scope| {
            for buyer in 0..BUYERS {
                let (outcomes, chance) = (&outcomes, Chance::of(seed << 8 | buyer));
                scope.spawn(move || buy_until_the_server_is_gone(address, chance, outcomes));
            }
            // Not a wait for a condition: the moment is the fault.
            std::thread::sleep(Duration::from_millis(moment));
            server.kill_and_wait();
        });
    }
    if extent(true, false) {
        // The leases of killed passes would last a minute. No process is running, so the test ends them.
        Database::open(&place).end_leases();
    }

    let server = Server::launch(&place, SETTINGS);
    let mut outcomes = outcomes.into_inner().expect("buyers do not panic");
    let (mut platform, mut chance) = (Platform::at(server.address()), Chance::of(0));
    let open = std::mem::take(&mut outcomes.open);
    println!("{} acknowledged, {} refused, {} open", outcomes.acknowledged.len(), outcomes.refused.len(), open.len());
    // A gateway that never answers decides nothing. Such a purchase ends with a free key, and a retry hangs again.
    let (hanging, open): (Vec<_>, Vec<_>) = open.into_iter().partition(|(_, call)| call.mentions("hang_token"));
    for (checkout, call) in open {
        let reply = platform.retry_until_definite(&call, &mut chance, PATIENCE).expect("an answer");
        outcomes.record(checkout, call, Some(reply));
    }
    assert!(outcomes.open.is_empty(), "undecided: {:?}", outcomes.open);
    let mut database = Database::open(&place);
    until("every payment is settled", PATIENCE, || (database.undecided() == 0).then_some(()));
    for (checkout, _) in hanging {
        assert_ne!(platform.read(&checkout).checkout_status(), "complete_in_progress", "{checkout}");
    }

    let mut state = database.state(&place, ITEMS);
    let unreadable = outcomes.acknowledged.iter().filter(|(_, order)| {
        let shown = platform.reply_to(&Call::get(&format!("/orders/{order}")));
        (shown.status, shown.json["id"].as_str()) != (200, Some(order))
    });
    state.unreadable = unreadable.map(|(_, order)| order.clone()).collect();
    (state.acknowledged, state.refused) = (outcomes.acknowledged, outcomes.refused);
    println!(
        "in the end {} orders, {} acknowledged, {} refused, {} attempts, {} charges",
        state.orders.len(),
        state.acknowledged.len(),
        state.refused.len(),
        state.attempts.len(),
        state.charges.len()
    );
    assert!(!state.acknowledged.is_empty() && !state.refused.is_empty(), "the load had no effect");
    assert_eq!(violations(&state), Vec::<String>::new());
    assert!(server.stop().status.success());
}

/// Buys repeatedly until the server is gone. Sometimes repeats a completion without a definite answer.
fn buy_until_the_server_is_gone(address: SocketAddr, mut chance: Chance, outcomes: &Mutex<Outcomes>) {
    let mut platform = Platform::at(address);
    loop {
        let left_open =
            (chance.between(0, 3) == 0).then(|| outcomes.lock().expect("outcomes").open.pop_front()).flatten();
        let (checkout, call) = match left_open {
            Some(open) => open,
            None => {
                let sku = *chance.one_of(&["bun", "bun", "bun", "rare_bun", "sample"]);
                let create = Call::create(&fresh_key(), sku, chance.between(1, 4));
                match platform.ask(&create) {
                    Err(_) => return,
                    // The item is sold out, or the shop sheds load: there is no checkout to complete.
                    Ok(reply) if reply.status != 201 => continue,
                    Ok(reply) => {
                        let id = reply.id();
                        let token = *chance.one_of(&TOKENS);
                        let complete = Call::complete(&id, &fresh_key(), token);
                        (id, complete)
                    }
                }
            }
        };
        let reply = platform.ask(&call).ok();
        let is_gone = reply.is_none();
        outcomes.lock().expect("outcomes").record(checkout, call, reply);
        if is_gone {
            return;
        }
    }
}
