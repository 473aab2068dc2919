//! Thousands of purchases through a gateway that answers late, answers 500 after a charge, or never answers. On
//! Postgres two instances run, and sometimes one of them is killed. Every cent is accounted for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use paysim::{Fault, Mix, Operation, Share};

use crate::database::{Database, Item, stock};
use crate::extent::{Chance, extent};
use crate::gateway::{self, DECLINED, VISA};
use crate::invariants::{State, violations};
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server, Stopped};
use crate::outcomes::Outcomes;
use crate::platform::{Call, Platform, Reply};
use crate::shutdown::logged;

crate::on_both_engines!(every_purchase_is_paid_once_or_refused);

/// A plentiful item, a scarce item, and a free item, which needs no gateway.
const ITEMS: &[Item] = &[("bun", 250, 1_000_000), ("rare_bun", 900, 25), ("sample", 0, 1_000_000)];
const CARDS: [&str; 10] = [VISA, VISA, VISA, VISA, VISA, VISA, VISA, VISA, VISA, DECLINED];
const SEED: u64 = 0x50a_c000;
const BUYERS: u64 = 32;
/// Short timeouts, so that an unknown outcome is settled within seconds.
const SETTINGS: &[(&str, &str)] = &[
    ("TUCKSHOP_HTTP_PUBLIC_URL", "http://shop.example"),
    ("TUCKSHOP_DATABASE_POOL_WAIT_MS", "2000"),
    ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "300"),
    ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "1000"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "200"),
];
/// Later than any caller waits.
const LATE_MS: u64 = 600;
/// A payment that is undecided after this time stays undecided. The lease of a killed pass lasts a minute.
const PATIENCE: Duration = Duration::from_secs(180);
/// The longest that a payment may be undecided, in milliseconds: the time of its owner, of the reconciler, and the
/// minute of a killed pass. Each has a margin for a busy machine.
const WINDOW_MS: i64 = 40_000;
const WINDOW_OF_THE_KILLED_MS: i64 = 100_000;

/// One run, as its buyers see it.
struct Run {
    purchases: u64,
    begun: AtomicU64,
    outcomes: Mutex<Outcomes>,
    /// The current or last address of each instance.
    addresses: Mutex<Vec<SocketAddr>>,
}

async fn every_purchase_is_paid_once_or_refused(place: Place) {
    let began = Instant::now();
    stock(&place, ITEMS);
    let gateway = gateway::start();
    gateway.mix(fault_mix());
    let own = gateway::settings(&gateway);
    let settings = gateway::beside(&own, SETTINGS);
    let instances = if place.is_postgres() { 2 } else { 1 };
    let mut servers: Vec<Server> = (0..instances).map(|_| Server::launch(&place, &settings)).collect();
    let run = Run {
        purchases: extent(500, 10_000),
        begun: AtomicU64::new(0),
        outcomes: Mutex::default(),
        addresses: Mutex::new(servers.iter().map(Server::address).collect()),
    };
    println!("seed {SEED:#x}");

    let mut database = Database::open(&place);
    let mut chance = Chance::of(SEED);
    let (mut killed, mut longest_undecided_ms) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let buyer = |buyer| {
            let run = &run;
            scope.spawn(move || run.buy(buyer))
        };
        let buyers: Vec<_> = (0..BUYERS).map(buyer).collect();
        let pause =
            |chance: &mut Chance| Instant::now() + Duration::from_millis(chance.between(500, extent(2_000, 8_000)));
        let mut next_kill = pause(&mut chance);
        let mut leases_are_kept = extent(false, true);
        while !buyers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            longest_undecided_ms = longest_undecided_ms.max(database.undecided_for());
            if instances > 1 && run.is_buying() && Instant::now() >= next_kill {
                // The other instance goes on.
                let index = usize::from(chance.between(0, 2) == 1);
                killed.push(servers.remove(index).kill_and_wait());
                servers.insert(index, Server::launch(&place, &settings));
                run.addresses.lock().expect("addresses")[index] = servers[index].address();
                next_kill = pause(&mut chance);
            }
            if !run.is_buying() && !leases_are_kept {
                // The leases of killed passes end now, which saves a minute. Running passes must tolerate that too.
                database.end_leases();
                leases_are_kept = true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });

    let outcomes = run.outcomes.into_inner().expect("buyers do not panic");
    let mut platform = Platform::at(servers[0].address());
    let some = outcomes.acknowledged.iter().step_by(extent(1, 20));
    let unreadable = some.filter(|(_, order)| {
        let shown = platform.reply_to(&Call::get(&format!("/orders/{order}")));
        (shown.status, shown.json["id"].as_str()) != (200, Some(order))
    });
    let mut state = State {
        unreadable: unreadable.map(|(_, order)| order.clone()).collect(),
        charges: gateway::charges(&gateway),
        longest_undecided_ms,
        window_ms: if killed.is_empty() { WINDOW_MS } else { WINDOW_OF_THE_KILLED_MS },
        ..database.state(&place, ITEMS)
    };
    let stopped: Vec<Stopped> = servers.into_iter().map(Server::stop).collect();
    state.left_at_shutdown = stopped.iter().map(unfinished_work).collect();
    (state.acknowledged, state.refused) = (outcomes.acknowledged, outcomes.refused);

    let looked_up: usize = killed.iter().chain(&stopped).map(looked_up).sum();
    println!(
        "{}: {} purchases, {} orders, {} refused, {looked_up} outcomes looked up, undecided for {} ms at most, \
         {} kills, {} charged in {} payments, faults {:?}, {} s",
        if place.is_postgres() { "Postgres, two instances" } else { "SQLite" },
        run.purchases,
        state.orders.len(),
        state.refused.len(),
        state.longest_undecided_ms,
        killed.len(),
        state.charges.iter().map(|charge| charge.amount).sum::<i64>(),
        state.charges.len(),
        gateway.faults_dealt(),
        began.elapsed().as_secs(),
    );
    assert_eq!(violations(&state), Vec::<String>::new());
    assert_eq!((state.acknowledged.len() + state.refused.len()) as u64, run.purchases);
    assert_eq!(state.acknowledged.len(), state.orders.len(), "an order without an acknowledgement");
    assert_eq!(gateway.ledger().totals().held, 0, "the gateway still holds money");
    // A run without faults proves nothing.
    assert!(["late", "late_effect", "error_after_effect"].iter().all(|fault| gateway.faults_dealt()[fault] > 0));
    assert!(looked_up > 0 && !state.refused.is_empty() && (instances == 1 || !killed.is_empty()));
}

/// 5 % of the answers are late, half of these with a late charge; 3 % are 500 after a charge; 2 % never come.
fn fault_mix() -> Mix {
    let share = |per_mille, fault| Share { per_mille, fault };
    let shares = vec![
        share(25, Fault::Late { ms: LATE_MS }),
        share(25, Fault::LateEffect { ms: LATE_MS }),
        share(30, Fault::ErrorAfterEffect),
        share(10, Fault::HangAfterEffect),
        share(10, Fault::HangWithoutEffect),
    ];
    Mix { seed: SEED, operation: Operation::IntentConfirm, shares }
}

/// The unfinished work of a stopped process; empty if it ended cleanly.
fn unfinished_work(stopped: &Stopped) -> String {
    let drained = logged(&stopped.log, "shutdown.drained").unwrap_or_default();
    match (stopped.status.code(), drained["left"].as_str()) {
        (Some(0), Some(left)) => left.to_owned(),
        (code, left) => format!("ended with {code:?} and left {left:?}"),
    }
}

/// The number of payments that the process had to look up.
fn looked_up(stopped: &Stopped) -> usize {
    stopped.log.iter().filter(|line| line["msg"] == "payment attempt reconciled").count()
}

impl Run {
    fn is_buying(&self) -> bool {
        self.begun.load(Ordering::SeqCst) < self.purchases
    }

    /// Buys repeatedly, retries open completions, and ends when none is open.
    fn buy(&self, buyer: u64) {
        let mut buyer = Buyer { chance: Chance::of(SEED << 8 | buyer), platforms: BTreeMap::new() };
        let mut since = Instant::now();
        loop {
            let asks_again = !self.is_buying() || buyer.chance.between(0, 4) == 0;
            let open = asks_again.then(|| self.outcomes.lock().expect("outcomes").open.pop_front()).flatten();
            let Some((checkout, call)) = open.or_else(|| self.begin(&mut buyer)) else {
                let outcomes = self.outcomes.lock().expect("outcomes");
                if outcomes.decided() as u64 == self.purchases {
                    return;
                }
                assert!(since.elapsed() < PATIENCE, "{} decided; open: {:?}", outcomes.decided(), outcomes.open);
                drop(outcomes);
                buyer.pause();
                continue;
            };
            let reply = buyer.ask(self, &call);
            let mut outcomes = self.outcomes.lock().expect("outcomes");
            let before = outcomes.decided();
            outcomes.record(checkout, call, reply);
            let is_decided = outcomes.decided() > before;
            drop(outcomes);
            if is_decided {
                since = Instant::now();
            } else {
                assert!(since.elapsed() < PATIENCE, "no completion was decided for {PATIENCE:?}");
                buyer.pause();
            }
        }
    }

    /// Creates a checkout and returns it with its completion, unless enough purchases have begun.
    fn begin(&self, buyer: &mut Buyer) -> Option<(String, Call)> {
        let one_more = |begun| (begun < self.purchases).then_some(begun + 1);
        self.begun.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        let began = Instant::now();
        let mut create = buyer.create_call();
        loop {
            match buyer.ask(self, &create) {
                Some(reply) if reply.status == 201 => {
                    let id = reply.id();
                    let card = *buyer.chance.one_of(&CARDS);
                    let call = Call::pay(&id, &fresh_key(), card);
                    return Some((id, call));
                }
                // The item is sold out: buy another.
                Some(reply) if reply.status == 200 => create = buyer.create_call(),
                Some(reply) => assert!(matches!(reply.status, 503 | 504), "{create:?} was answered with {reply:?}"),
                None => {}
            }
            assert!(began.elapsed() < PATIENCE, "no checkout could be created: {create:?}");
            buyer.pause();
        }
    }
}

/// A buyer with a connection to each instance.
struct Buyer {
    chance: Chance,
    platforms: BTreeMap<SocketAddr, Platform>,
}

impl Buyer {
    fn create_call(&mut self) -> Call {
        let sku = *self.chance.one_of(&["bun", "bun", "bun", "rare_bun", "sample"]);
        Call::create(&fresh_key(), sku, self.chance.between(1, 4))
    }

    /// Sends the request to any instance. `None` without a complete answer.
    fn ask(&mut self, run: &Run, call: &Call) -> Option<Reply> {
        let address = *self.chance.one_of(&run.addresses.lock().expect("addresses"));
        let platform = self.platforms.entry(address).or_insert_with(|| Platform::at(address));
        platform.ask(call).ok()
    }

    /// The pause of a buyer, not a wait for a condition.
    fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(self.chance.between(20, 200)));
    }
}
