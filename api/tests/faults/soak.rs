//! Thousands of purchases through a gateway that answers late, answers 500 after it has charged, or never answers; on
//! Postgres with two instances, of which now one, now the other is killed. Every cent is accounted for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use paysim::{Fault, Mix, Operation, Share};

use crate::books::{Books, Item, stock};
use crate::extent::{Chance, extent};
use crate::gateway::{self, DECLINED, VISA};
use crate::invariants::{State, violations};
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server, Stopped};
use crate::memory::Memory;
use crate::platform::{Call, Platform, Reply};
use crate::shutdown::logged;

crate::on_both_engines!(every_purchase_is_paid_once_or_refused);

/// Plenty of one, too few of another, and one that costs nothing and so is never brought to the gateway.
const ITEMS: &[Item] = &[("bun", 250, 1_000_000), ("rare_bun", 900, 25), ("sample", 0, 1_000_000)];
const CARDS: [&str; 10] = [VISA, VISA, VISA, VISA, VISA, VISA, VISA, VISA, VISA, DECLINED];
const SEED: u64 = 0x50a_c000;
const BUYERS: u64 = 32;
/// Hasty, so that what the gateway does takes seconds rather than minutes to find out.
const SETTINGS: &[(&str, &str)] = &[
    ("TUCKSHOP_HTTP_PUBLIC_URL", "http://shop.example"),
    ("TUCKSHOP_DATABASE_POOL_WAIT_MS", "2000"),
    ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "300"),
    ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "1000"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "200"),
];
/// Later than anyone waits for it.
const LATE_MS: u64 = 600;
/// What nobody has decided by then never will be: a pass that was killed keeps what it had claimed for a minute.
const PATIENCE: Duration = Duration::from_secs(180);
/// The longest that a payment may be undecided, in milliseconds: its owner's time, and the reconciler's; and the minute
/// of one that was killed. Each with a good half minute for a machine with other things to do.
const WINDOW_MS: i64 = 40_000;
const WINDOW_OF_THE_KILLED_MS: i64 = 100_000;

/// One run, as its buyers see it.
struct Run {
    purchases: u64,
    begun: AtomicU64,
    memory: Mutex<Memory>,
    /// Where each instance is, or was.
    addresses: Mutex<Vec<SocketAddr>>,
}

async fn every_purchase_is_paid_once_or_refused(place: Place) {
    let began = Instant::now();
    stock(&place, ITEMS);
    let gateway = gateway::start();
    gateway.mix(lies());
    let own = gateway::settings(&gateway);
    let settings = gateway::beside(&own, SETTINGS);
    let instances = if place.is_postgres() { 2 } else { 1 };
    let mut servers: Vec<Server> = (0..instances).map(|_| Server::launch(&place, &settings)).collect();
    let run = Run {
        purchases: extent(500, 10_000),
        begun: AtomicU64::new(0),
        memory: Mutex::default(),
        addresses: Mutex::new(servers.iter().map(Server::address).collect()),
    };
    println!("seed {SEED:#x}");

    let mut books = Books::open(&place);
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
            longest_undecided_ms = longest_undecided_ms.max(books.undecided_for());
            if instances > 1 && run.is_buying() && Instant::now() >= next_kill {
                // The other one goes on.
                let index = usize::from(chance.between(0, 2) == 1);
                killed.push(servers.remove(index).kill9());
                servers.insert(index, Server::launch(&place, &settings));
                run.addresses.lock().expect("addresses")[index] = servers[index].address();
                next_kill = pause(&mut chance);
            }
            if !run.is_buying() && !leases_are_kept {
                // A minute less to wait for what the dead had claimed. The living must be able to bear it as well.
                books.end_leases();
                leases_are_kept = true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });

    let memory = run.memory.into_inner().expect("buyers do not panic");
    let mut platform = Platform::at(servers[0].address());
    let some = memory.acknowledged.iter().step_by(extent(1, 20));
    let unreadable = some.filter(|(_, order)| {
        let shown = platform.must(&Call::get(&format!("/orders/{order}")));
        (shown.status, shown.json["id"].as_str()) != (200, Some(order))
    });
    let mut state = State {
        unreadable: unreadable.map(|(_, order)| order.clone()).collect(),
        charges: gateway::charges(&gateway),
        longest_undecided_ms,
        window_ms: if killed.is_empty() { WINDOW_MS } else { WINDOW_OF_THE_KILLED_MS },
        ..books.state(&place, ITEMS)
    };
    let stopped: Vec<Stopped> = servers.into_iter().map(Server::stop).collect();
    state.left_at_shutdown = stopped.iter().map(left).collect();
    (state.acknowledged, state.refused) = (memory.acknowledged, memory.refused);

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
    assert_eq!(state.acknowledged.len(), state.orders.len(), "an order of which nobody was told");
    assert_eq!(gateway.ledger().totals().held, 0, "held for nobody");
    // A run that met nothing proves nothing.
    assert!(["late", "late_effect", "error_after_effect"].iter().all(|fault| gateway.faults_dealt()[fault] > 0));
    assert!(looked_up > 0 && !state.refused.is_empty() && (instances == 1 || !killed.is_empty()));
}

/// 5 % late, of which half are charged late too; 3 % charged and answered with 500; 2 % never answered.
fn lies() -> Mix {
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

/// What a process left when it was asked to stop; empty when it ended as it should.
fn left(stopped: &Stopped) -> String {
    let drained = logged(&stopped.log, "shutdown.drained").unwrap_or_default();
    match (stopped.status.code(), drained["left"].as_str()) {
        (Some(0), Some(left)) => left.to_owned(),
        (code, left) => format!("ended with {code:?} and left {left:?}"),
    }
}

/// How many payments it had to ask about.
fn looked_up(stopped: &Stopped) -> usize {
    stopped.log.iter().filter(|line| line["msg"] == "payment attempt reconciled").count()
}

impl Run {
    fn is_buying(&self) -> bool {
        self.begun.load(Ordering::SeqCst) < self.purchases
    }

    /// Buys one thing after the other, asks again about what was left open, and ends when nothing is.
    fn buy(&self, buyer: u64) {
        let mut buyer = Buyer { chance: Chance::of(SEED << 8 | buyer), platforms: BTreeMap::new() };
        let mut since = Instant::now();
        loop {
            let asks_again = !self.is_buying() || buyer.chance.between(0, 4) == 0;
            let open = asks_again.then(|| self.memory.lock().expect("memory").open.pop_front()).flatten();
            let Some((checkout, call)) = open.or_else(|| self.begin(&mut buyer)) else {
                let memory = self.memory.lock().expect("memory");
                if memory.decided() as u64 == self.purchases {
                    return;
                }
                assert!(since.elapsed() < PATIENCE, "{} decided; open: {:?}", memory.decided(), memory.open);
                drop(memory);
                buyer.pause();
                continue;
            };
            let reply = buyer.ask(self, &call);
            let mut memory = self.memory.lock().expect("memory");
            let before = memory.decided();
            memory.remember(checkout, call, reply);
            let is_decided = memory.decided() > before;
            drop(memory);
            if is_decided {
                since = Instant::now();
            } else {
                assert!(since.elapsed() < PATIENCE, "nothing has been decided for {PATIENCE:?}");
                buyer.pause();
            }
        }
    }

    /// A new checkout and the call that completes it, unless enough are begun.
    fn begin(&self, buyer: &mut Buyer) -> Option<(String, Call)> {
        let one_more = |begun| (begun < self.purchases).then_some(begun + 1);
        self.begun.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        let began = Instant::now();
        let mut create = buyer.creation();
        loop {
            match buyer.ask(self, &create) {
                Some(reply) if reply.status == 201 => {
                    let id = reply.id();
                    let card = *buyer.chance.one_of(&CARDS);
                    let call = Call::pay(&id, &fresh_key(), card);
                    return Some((id, call));
                }
                // Sold out: something else, then.
                Some(reply) if reply.status == 200 => create = buyer.creation(),
                Some(reply) => assert!(matches!(reply.status, 503 | 504), "{create:?} was answered with {reply:?}"),
                None => {}
            }
            assert!(began.elapsed() < PATIENCE, "nothing can be created: {create:?}");
            buyer.pause();
        }
    }
}

/// A buyer, with a connection to each instance.
struct Buyer {
    chance: Chance,
    platforms: BTreeMap<SocketAddr, Platform>,
}

impl Buyer {
    fn creation(&mut self) -> Call {
        let sku = *self.chance.one_of(&["bun", "bun", "bun", "rare_bun", "sample"]);
        Call::create(&fresh_key(), sku, self.chance.between(1, 4))
    }

    /// Asks any instance; `None` without a whole answer.
    fn ask(&mut self, run: &Run, call: &Call) -> Option<Reply> {
        let address = *self.chance.one_of(&run.addresses.lock().expect("addresses"));
        let platform = self.platforms.entry(address).or_insert_with(|| Platform::at(address));
        platform.ask(call).ok()
    }

    /// A buyer's own patience, not a wait for anything.
    fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(self.chance.between(20, 200)));
    }
}
