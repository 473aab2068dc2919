//! The network between the shop and Postgres refuses connections, delays or drops packets, or breaks at a commit.

use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use faultkit::{Commit, Fault, Proxy};

use crate::database::{Database, Item, stock};
use crate::deadlines::is_idle;
use crate::extent::{PATIENCE, until};
use crate::invariants::violations;
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform, Reply, STILL, connect, receive, send};

crate::on_postgres!(
    refused_database_connections_answer_503_at_once_and_recover,
    slow_database_answers_504_by_the_deadline_and_sheds_the_rest,
    silent_database_is_answered_by_the_deadline_and_recovers,
    silent_database_does_not_prevent_graceful_shutdown,
    dead_pooled_connections_are_replaced,
    reset_before_the_commit_is_retried_once_and_answered,
    reset_after_the_commit_is_applied_once_and_answered,
    reset_after_the_commit_and_outage_is_unknown_until_the_key_is_read,
    outage_between_charge_and_order_is_retried_until_it_ends,
);

const ITEMS: &[Item] = &[("bun", 250, 1_000)];
/// The pool wait of production mode.
const SETTINGS: &[(&str, &str)] = &[
    ("TUCKSHOP_DATABASE_POOL_WAIT_MS", "500"),
    ("TUCKSHOP_DATABASE_POOL_SIZE", "2"),
    ("TUCKSHOP_CHECKOUT_COMPLETION_MINIMUM_MS", "100"),
];
/// Far more than the bounded waits of this file, and far less than an unbounded one.
const SOON: Duration = Duration::from_secs(2);

/// A shop that reaches its database through a proxy, and a direct connection to the database.
struct ProxiedShop {
    proxy: Proxy,
    server: Server,
    platform: Platform,
    database: Database,
}

impl ProxiedShop {
    fn open(place: &Place) -> Self {
        stock(place, ITEMS);
        let mut url = url::Url::parse(&place.database_url()).expect("a url");
        let upstream = (url.host_str().expect("a host"), url.port().unwrap_or(5432));
        let proxy = Proxy::start(upstream.to_socket_addrs().expect("resolves").next().expect("an address"));
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(proxy.address().port())).expect("a port");
        let settings = [STILL, SETTINGS, &[("TUCKSHOP_DATABASE_URL", url.as_str())]].concat();
        let server = Server::launch(place, &settings);
        let mut platform = Platform::at(server.address());
        until("the shop is ready", PATIENCE, || (platform.reply_to(&Call::get("/readyz")).status == 200).then_some(()));
        platform.wait_for_first_passes();
        Self { proxy, platform, server, database: Database::open(place) }
    }

    fn create(&mut self) -> Reply {
        self.platform.reply_to(&Call::create(&fresh_key(), "bun", 1))
    }

    /// Asserts that the shop sells and that every promise holds.
    fn assert_sound(mut self, place: &Place) {
        let id = until("the shop sells again", PATIENCE, || {
            let reply = self.platform.reply_to(&Call::create(&fresh_key(), "bun", 1));
            (reply.status == 201).then(|| reply.id())
        });
        let bought = self.platform.reply_to(&Call::complete(&id, &fresh_key(), "success_token")).expect(200);
        assert_eq!(bought.checkout_status(), "completed", "{bought:?}");
        let platform = &mut self.platform;
        until("the shop is idle", PATIENCE, || is_idle(platform).then_some(()));
        assert_eq!(violations(&self.database.state(place, ITEMS)), Vec::<String>::new());
        assert!(self.server.stop().status.success());
    }

    /// Waits until this many log lines have this message and these fields. Asserts that there are no more.
    #[track_caller]
    fn assert_logged(&self, times: usize, message: &str, facts: &[(&str, &str)]) {
        assert_eq!(self.wait_for_lines(times, message, facts), times, "{message}");
    }

    /// Waits for this many log lines and returns the number of lines.
    #[track_caller]
    fn wait_for_lines(&self, times: usize, message: &str, facts: &[(&str, &str)]) -> usize {
        let fits = |line: &&serde_json::Value| {
            line["msg"] == message && facts.iter().all(|(name, value)| line[*name] == *value)
        };
        let lines = || self.server.log().iter().filter(fits).count();
        until(message, PATIENCE, || (lines() >= times).then_some(()));
        lines()
    }
}

/// Runs the work and returns its duration too.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed())
}

async fn refused_database_connections_answer_503_at_once_and_recover(place: Place) {
    let mut shop = ProxiedShop::open(&place);
    let id = shop.create().expect(201).id();
    let before = shop.database.snapshot();
    for round in 1..=2 {
        shop.proxy.set(Fault::Refuse);
        for _ in 0..3 {
            let create = shop.server.post(
                "/checkout-sessions",
                &serde_json::json!({"line_items": [
                {"item": {"id": "bun"}, "quantity": 1}]}),
            );
            let read = shop.server.get(&format!("/checkout-sessions/{id}"));
            for call in [create, read] {
                let began = Instant::now();
                let answer = call.await.problem(503, "unavailable");
                assert_eq!(answer.header("retry-after"), Some("1"));
                assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
            }
        }
        let ready = shop.platform.reply_to(&Call::get("/readyz")).expect(503);
        assert_eq!(ready.json["reason"], "unavailable");
        shop.platform.reply_to(&Call::get("/livez")).expect(200);
        shop.platform.reply_to(&Call::get("/statusz")).expect(200);
        // One line per change, whatever the number of requests.
        shop.assert_logged(round, "the database cannot be reached", &[]);

        shop.proxy.set(Fault::Pass);
        let platform = &mut shop.platform;
        let ((), back) = timed(|| {
            until("the shop is ready", PATIENCE, || {
                (platform.reply_to(&Call::get("/readyz")).status == 200).then_some(())
            });
        });
        assert!(back < 2 * SOON, "{back:?}");
        // The recovery is logged at the next use of the database.
        let (server, again) = (&shop.server, "the database is reached again");
        until(again, PATIENCE, || {
            platform.reply_to(&Call::get("/readyz")).expect(200);
            let lines = server.log().iter().filter(|line| line["msg"] == again).count();
            (lines >= round).then_some(())
        });
        shop.assert_logged(round, again, &[]);
    }
    assert_eq!(shop.database.snapshot(), before);
    shop.assert_sound(&place);
}

async fn slow_database_answers_504_by_the_deadline_and_sheds_the_rest(place: Place) {
    let mut shop = ProxiedShop::open(&place);
    let before = shop.database.snapshot();
    shop.proxy.set(Fault::Latency(Duration::from_millis(200)));
    let address = shop.server.address();
    let replies: Vec<(Reply, Duration)> = std::thread::scope(|scope| {
        let asking = [(); 12].map(|()| {
            scope.spawn(move || {
                let call = Call::create(&fresh_key(), "bun", 1).within(900);
                timed(|| Platform::at(address).reply_to(&call))
            })
        });
        asking.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    for (reply, took) in &replies {
        let late = reply.status == 504 && reply.has_code("deadline_exceeded");
        let shed = reply.status == 503 && reply.has_code("unavailable");
        assert!((late || shed) && *took < SOON, "{took:?} {reply:?}");
    }
    let late = replies.iter().filter(|(reply, _)| reply.status == 504).count();
    assert!(late >= 2 && late < replies.len(), "{late} late, the rest shed");
    assert!(shop.proxy.open() <= 4, "twice the pool at most: {}", shop.proxy.open());
    shop.wait_for_lines(1, "transaction abandoned: its caller is gone or out of time", &[]);
    let shed = replies.len() - late;
    shop.assert_logged(shed, "request failed", &[("error_code", "unavailable")]);
    shop.assert_logged(late, "request failed", &[("error_code", "deadline_exceeded")]);
    shop.proxy.set(Fault::Pass);
    let platform = &mut shop.platform;
    until("the shop is idle", PATIENCE, || is_idle(platform).then_some(()));
    assert_eq!(shop.database.snapshot(), before, "a refused request had an effect");
    shop.assert_sound(&place);
}

async fn silent_database_is_answered_by_the_deadline_and_recovers(place: Place) {
    let mut shop = ProxiedShop::open(&place);
    shop.create().expect(201);
    let before = shop.database.snapshot();
    shop.proxy.set(Fault::Blackhole);
    for _ in 0..8 {
        let call = Call::create(&fresh_key(), "bun", 1).within(800);
        let (reply, took) = timed(|| shop.platform.reply_to(&call));
        assert!(matches!(reply.status, 503 | 504), "{reply:?}");
        assert!(took < SOON, "{took:?}");
    }
    let stuck = shop.platform.status_number("transactions_abandoned");
    assert!((1..=4).contains(&stuck), "{stuck}");
    let stuck = usize::try_from(stuck).expect("few");
    shop.assert_logged(stuck, "transaction abandoned: its caller is gone or out of time", &[]);
    shop.platform.reply_to(&Call::get("/livez")).expect(200);
    shop.platform.reply_to(&Call::get("/readyz")).expect(503);
    shop.proxy.set(Fault::Pass);
    let platform = &mut shop.platform;
    until("the shop is idle", PATIENCE, || is_idle(platform).then_some(()));
    assert_eq!(shop.database.snapshot(), before, "a refused request had an effect");
    shop.assert_sound(&place);
}

/// Blocked threads do not keep the process alive.
async fn silent_database_does_not_prevent_graceful_shutdown(place: Place) {
    let mut shop = ProxiedShop::open(&place);
    shop.create().expect(201);
    shop.proxy.set(Fault::Blackhole);
    let reply = shop.platform.reply_to(&Call::create(&fresh_key(), "bun", 1).within(800)).expect(504);
    assert!(reply.has_code("deadline_exceeded"), "{reply:?}");
    let ProxiedShop { server, mut database, .. } = shop;
    let (stopped, took) = timed(|| server.stop());
    assert!(took < Duration::from_secs(20), "{took:?}");
    let is_logged = |message: &str| stopped.log.iter().any(|line| line["msg"] == message);
    assert!(is_logged("shutdown begins") && is_logged("shutdown done"), "{:?}", stopped.log);
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
}

/// The shop replaces as many silent connections as the pool has. Beyond that it sheds load.
async fn dead_pooled_connections_are_replaced(place: Place) {
    /// Twice the size of the pool.
    const MAX_CONNECTIONS: usize = 4;
    let mut shop = ProxiedShop::open(&place);
    shop.create().expect(201);
    // Usually one or two connections are open. The pool may open another before the last one is established.
    let open = shop.proxy.open();
    shop.proxy.set(Fault::Forget);
    let ask = |shop: &mut ProxiedShop| {
        let (reply, took) = timed(|| shop.platform.reply_to(&Call::create(&fresh_key(), "bun", 1).within(800)));
        assert!(took < SOON, "{took:?}");
        reply.status
    };
    let answers: Vec<u16> = std::iter::repeat_with(|| ask(&mut shop)).take(open + 1).collect();
    let late = answers.iter().take_while(|status| **status == 504).count();
    assert!((1..=open).contains(&late), "{answers:?} with {open} open");
    assert_eq!(shop.platform.status_number("transactions_abandoned"), late as u64);
    if late < MAX_CONNECTIONS {
        assert_eq!(answers[late], 201, "{answers:?}");
        shop.platform.reply_to(&Call::get("/readyz")).expect(200);
    }

    let replaced = std::iter::repeat_with(|| {
        shop.proxy.set(Fault::Forget);
        ask(&mut shop)
    });
    let until_shed: Vec<u16> = replaced.take(8).collect();
    assert_eq!(until_shed.last(), Some(&503), "{until_shed:?}");
    assert_eq!(shop.platform.status_number("transactions_abandoned"), MAX_CONNECTIONS as u64);
    shop.platform.reply_to(&Call::get("/livez")).expect(200);
    shop.platform.reply_to(&Call::get("/readyz")).expect(503);
    // Only closing the connections ends the waits.
    shop.proxy.set(Fault::Reset);
    shop.proxy.set(Fault::Pass);
    shop.assert_sound(&place);
}

async fn reset_before_the_commit_is_retried_once_and_answered(place: Place) {
    assert_every_write_is_applied_once_and_answered(&place, Fault::ResetBeforeCommit);
}

async fn reset_after_the_commit_is_applied_once_and_answered(place: Place) {
    assert_every_write_is_applied_once_and_answered(&place, Fault::ResetAfterCommit);
}

/// The connection breaks in the commit of each write, and of both transactions of a completion.
fn assert_every_write_is_applied_once_and_answered(place: &Place, fault: impl Fn(Commit) -> Fault) {
    let mut shop = ProxiedShop::open(place);
    let mut broken = 0;
    let mut write = |shop: &mut ProxiedShop, nth: u64, call: &dyn Fn(&str) -> Call, status: u16| {
        let key = fresh_key();
        shop.proxy.set(fault(Commit::naming(&key).nth(nth)));
        let reply = shop.platform.reply_to(&call(&key)).expect(status);
        assert_eq!(shop.proxy.fired(), 1, "the connection was not broken");
        shop.proxy.set(Fault::Pass);
        broken += 1;
        shop.assert_logged(broken, "commit outcome was unknown", &[("resolution", "resolved")]);
        // The key keeps the same answer.
        assert_eq!(shop.platform.reply_to(&call(&key)).expect(status).body, reply.body);
        reply
    };
    let id = write(&mut shop, 1, &|key| Call::create(key, "bun", 2), 201).id();
    let updated = write(&mut shop, 1, &|key| Call::update(&id, key, "bun", 3), 200);
    assert_eq!(updated.json["line_items"][0]["quantity"], 3);
    for (nth, token, status) in [(1, "success_token", 200), (2, "success_token", 200), (2, "fail_token", 402)] {
        let id = shop.platform.checkout("bun", 3);
        let completed = write(&mut shop, nth, &|key| Call::complete(&id, key, token), status);
        assert_eq!(completed.checkout_status() == "completed", status == 200, "{completed:?}");
    }
    let state = shop.database.state(place, ITEMS);
    assert_eq!((state.checkouts.len(), state.orders.len(), state.charges.len()), (4, 2, 2));
    shop.assert_sound(place);
}

/// The database is lost in the commit that places the order, for longer than the shop looks for that commit. The charge
/// was made: the order is placed when the database is back, and the caller gets it.
async fn outage_between_charge_and_order_is_retried_until_it_ends(place: Place) {
    let mut shop = ProxiedShop::open(&place);
    let mut broken = 0;
    for fault in [Fault::ResetBeforeCommit, Fault::ResetAfterCommit] {
        let (id, key) = (shop.platform.checkout("bun", 1), fresh_key());
        let complete = Call::complete(&id, &key, "success_token");
        shop.proxy.set(fault(Commit::naming(&key).nth(2).and_die()));
        let mut caller = connect(shop.server.address()).expect("a connection");
        send(&mut caller, &complete).expect("sent");
        broken += 1;
        shop.assert_logged(broken, "commit outcome was unknown", &[("resolution", "deferred")]);
        shop.proxy.set(Fault::Pass);
        let reply = receive(&mut caller).expect("an answer").expect(200);
        assert_eq!(reply.checkout_status(), "completed", "{reply:?}");
        assert_eq!(shop.platform.reply_to(&complete).expect(200).body, reply.body);
    }
    let state = shop.database.state(&place, ITEMS);
    assert_eq!((state.orders.len(), state.charges.len()), (2, 2));
    shop.assert_sound(&place);
}

async fn reset_after_the_commit_and_outage_is_unknown_until_the_key_is_read(place: Place) {
    let mut shop = ProxiedShop::open(&place);
    let key = fresh_key();
    let create = Call::create(&key, "bun", 2);
    shop.proxy.set(Fault::ResetAfterCommit(Commit::naming(&key).and_die()));
    let (reply, took) = timed(|| shop.platform.reply_to(&create));
    assert!(reply.expect(503).has_code("outcome_unknown") && took < 3 * SOON, "{took:?}");
    shop.assert_logged(1, "commit outcome was unknown", &[("resolution", "deferred")]);
    let there = |database: &mut Database| database.number("count(*)", "FROM checkout");
    assert_eq!(there(&mut shop.database), 1, "the write did not happen");
    shop.proxy.set(Fault::Pass);
    let platform = &mut shop.platform;
    until("the key replays the answer", PATIENCE, || (platform.reply_to(&create).status == 201).then_some(()));
    assert_eq!(there(&mut shop.database), 1);

    // The same during a completion: the gateway was not called, and the key still ends it.
    let (id, key) = (shop.platform.checkout("bun", 2), fresh_key());
    let complete = Call::complete(&id, &key, "success_token");
    shop.proxy.set(Fault::ResetAfterCommit(Commit::naming(&key).and_die()));
    assert!(shop.platform.reply_to(&complete).expect(503).has_code("outcome_unknown"));
    assert_eq!(shop.database.level("bun"), (1_000, 2));
    shop.proxy.set(Fault::Pass);
    // The owner has stopped waiting, so the reconciler takes over when the lease ends.
    shop.database.end_leases();
    let ProxiedShop { proxy, server, mut database, .. } = shop;
    assert!(server.stop().status.success());
    drop(proxy);
    let server = Server::launch(&place, &[("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "100")]);
    until("every payment is settled", PATIENCE, || (database.undecided() == 0).then_some(()));
    let mut platform = Platform::at(server.address());
    assert_eq!(platform.reply_to(&complete).expect(200).checkout_status(), "completed");
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
}
