//! A failover under load: the primary of a synchronous pair of Postgres servers is lost, and its standby is promoted.
//!
//! Two instances sell through one proxy, which represents the address of a cluster. A failover starts at a commit: the
//! proxy forwards or drops it and resets every connection. The old primary does not return. The address then leads to
//! the standby, which is still read-only. At that moment some payments are opened at the gateway and others are
//! charged, and the shop has recorded neither.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::{Connection, PgConnection};
use faultkit::provided::POSTGRES_PROGRAMS;
use faultkit::{Commit, Fault as Net, PostgresServer, Proxy};
use paysim::{Fault, Operation, Paysim};

use crate::database::{Database, Item, stock_with};
use crate::extent::{Chance, PATIENCE, extent, until};
use crate::gateway::{self, VISA};
use crate::invariants::{State, violations};
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform, Reply};

const ITEMS: &[Item] = &[("bun", 250, 1_000_000)];
const BUYERS: u64 = 6;
const SEED: u64 = 0xfa11_04e4;
/// The grace period of a completion after its point of no return.
const GRACE_MS: i64 = 10_000;
/// By then a purchase that was hit by a failover is an order, or its key is free.
const LIMIT_MS: i64 = GRACE_MS + 1_000;
/// One pass of the reconciler on a busy machine, for a purchase without an owner because its first commit was lost.
const LOOK_MS: i64 = 2_000;
/// The delay of the gateway's answers. The database is down by then, and the call has not timed out.
const LATE_MS: u64 = 1_500;
/// The time without a writable database. It is longer than the delay of the gateway.
const OUTAGE: Duration = Duration::from_millis(2_500);
/// Background tasks run again this soon after the database is writable.
const AWAKE: Duration = Duration::from_secs(3);
const SETTINGS: &[(&str, &str)] = &[
    ("TUCKSHOP_HTTP_PUBLIC_URL", "http://shop.example"),
    ("TUCKSHOP_DATABASE_POOL_WAIT_MS", "500"),
    ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "3000"),
    ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "10000"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "500"),
];

/// Breaks a commit before or after the server has executed it.
type Broken = fn(Commit) -> Net;

/// The start of each failover: the first or the second commit that names the key of a purchase. The first begins the
/// completion, the second settles it.
const BEGINNINGS: [(u64, Broken); 4] =
    [(1, Net::ResetAfterCommit), (2, Net::ResetBeforeCommit), (1, Net::ResetBeforeCommit), (2, Net::ResetAfterCommit)];

mod postgres {
    use crate::kit::{Place, run};

    #[test]
    fn failover_loses_no_order_and_refuses_no_good_card() {
        let Some(bin) = super::programs() else { return };
        run(Place::directory_only(), |place| super::failover_loses_no_order_and_refuses_no_good_card(place, bin));
    }

    #[test]
    fn new_primary_is_found_in_a_list_of_servers() {
        let Some(bin) = super::programs() else { return };
        run(Place::directory_only(), |place| super::new_primary_is_found_in_a_list_of_servers(place, bin));
    }
}

fn programs() -> Option<PathBuf> {
    let bin = POSTGRES_PROGRAMS.get().map(PathBuf::from)?;
    if !bin.join("pg_basebackup").is_file() {
        POSTGRES_PROGRAMS.skip("there is no pg_basebackup");
        return None;
    }
    Some(bin)
}

async fn new_primary_is_found_in_a_list_of_servers(place: Place, bin: PathBuf) {
    let primary = PostgresServer::create(&bin);
    let standby = primary.standby();
    primary.wait_for_standby();
    let ports = [&standby, &primary].map(|server| server.address().port());
    let url = format!("postgres:///postgres?host=127.0.0.1,127.0.0.1&port={},{}&user=postgres", ports[0], ports[1]);
    let settings = [("TUCKSHOP_DATABASE_URL", url.as_str()), ("TUCKSHOP_DATABASE_ALLOW_PLAINTEXT", "true")];
    stock_with(&place, &settings, ITEMS);
    let server = Server::launch(&place, &settings);
    POSTGRES_PROGRAMS.used();
    let mut platform = Platform::at(server.address());
    let buy = |platform: &mut Platform| {
        let created =
            platform.retry_until_definite(&Call::create(&fresh_key(), "bun", 1), &mut Chance::of(SEED), PATIENCE);
        let checkout = created.expect("an answer").expect(201).id();
        let call = Call::complete(&checkout, &fresh_key(), "success_token");
        let paid =
            platform.retry_until_definite(&call, &mut Chance::of(SEED), PATIENCE).expect("an answer").expect(200);
        paid.order().expect("an order")
    };
    let before = buy(&mut platform);
    drop(primary);
    let refused = platform.reply_to(&Call::create(&fresh_key(), "bun", 1)).expect(503);
    assert!(refused.has_code("unavailable"), "a read-only server was used: {refused:?}");

    // An address that accepts any server reaches the standby, which takes no writes.
    let any = format!("postgres://postgres@{}/postgres?target_session_attrs=any", standby.address());
    let on_any = [("TUCKSHOP_DATABASE_URL", any.as_str()), ("TUCKSHOP_DATABASE_MIGRATE", "refuse"), settings[1]];
    Platform::at(Server::launch(&place, &on_any).address()).reply_to(&Call::get("/readyz")).expect(503);
    standby.promote();
    let after = buy(&mut platform);
    for order in [&before, &after] {
        let shown = platform.reply_to(&Call::get(&format!("/orders/{order}"))).expect(200);
        assert_eq!(shown.json["id"], order.as_str());
    }
    let mut database = Database::Postgres(PgConnection::establish(&standby.url()).expect("a connection"));
    assert_eq!(violations(&database.state(&place, ITEMS)), Vec::<String>::new());
    drop(database);
    assert!(server.stop().status.success());
}

async fn failover_loses_no_order_and_refuses_no_good_card(place: Place, bin: PathBuf) {
    let mut cluster = Cluster::start(&bin);
    let gateway = gateway::start();
    let own = gateway::settings(&gateway);
    let url = format!("postgres://postgres@{}/postgres", cluster.proxy.address());
    let settings = [&gateway::beside(&own, SETTINGS)[..], &[("TUCKSHOP_DATABASE_URL", &url)]].concat();
    stock_with(&place, &settings, ITEMS);
    let servers = [(); 2].map(|()| Server::launch(&place, &settings));
    POSTGRES_PROGRAMS.used();

    let market = Market {
        addresses: [0, 1].map(|index| servers[index].address()),
        done: AtomicBool::new(false),
        seen: Mutex::default(),
    };
    let mut complaints = Vec::new();
    std::thread::scope(|scope| {
        let done = StopOnDrop(&market.done);
        for buyer in 0..BUYERS {
            let market = &market;
            scope.spawn(move || market.buy(buyer));
        }
        for round in 0..extent(1, 6) {
            until("the buyers buy", PATIENCE, || (market.acknowledged() > 20 * (round + 1)).then_some(()));
            complaints.extend(fail_over(&mut cluster, &gateway, &market, round));
            // The new primary gets a standby too, so that the roles alternate.
            cluster.pair();
        }
        drop(done);
    });

    let mut database = cluster.database();
    until("every payment is settled", PATIENCE, || (database.undecided() == 0).then_some(()));
    let seen = market.seen.into_inner().expect("buyers do not panic");
    let state =
        State { charges: gateway::charges(&gateway), acknowledged: seen.acknowledged, ..database.state(&place, ITEMS) };
    complaints.extend(seen.complaints);
    complaints.extend(violations(&state));
    if state.acknowledged.len() != state.orders.len() {
        complaints.push(format!("{} orders, {} acknowledged", state.orders.len(), state.acknowledged.len()));
    }
    let held = gateway.ledger().totals().held;
    complaints.extend((held != 0).then(|| format!("the gateway holds {held}")));
    let lost = |line: &&serde_json::Value| line["msg"] == "the database cannot be reached";
    for server in &servers {
        let lost = server.log().iter().filter(lost).count() as u64;
        if lost > extent(1, 6) {
            complaints.push(format!("an instance reports the loss of its database {lost} times"));
        }
    }
    println!("{} orders, {} complaints", state.orders.len(), complaints.len());
    assert_eq!(complaints, Vec::<String>::new());
    for server in servers {
        assert!(server.stop().status.success());
    }
}

/// Causes one failover. Returns the complaints about everything that was late.
fn fail_over(cluster: &mut Cluster, gateway: &Paysim, market: &Market, round: u64) -> Vec<String> {
    // Two purchases wait to record their opened payment, and two to record their charge.
    let late = || gateway.faults_dealt().get("late").copied().unwrap_or(0);
    let before = late();
    gateway.fail_next(Operation::IntentCreate, 2, Fault::Late { ms: LATE_MS });
    gateway.fail_next(Operation::IntentConfirm, 2, Fault::Late { ms: LATE_MS });
    until("four answers are late", PATIENCE, || (late() == before + 4).then_some(()));

    let (nth, at) = BEGINNINGS[(round % 4) as usize];
    let mut platform = Platform::at(market.addresses[0]);
    let (checkout, key) = (platform.checkout("bun", 1), fresh_key());
    cluster.proxy.set(at(Commit::naming(&key).nth(nth).and_die()));
    std::thread::scope(|scope| {
        let (checkout, call) = (&checkout, Call::pay(&checkout, &key, VISA));
        scope.spawn(move || {
            let reply = market.retry_until_definite(&mut platform, &call, &mut Chance::of(SEED + round));
            market.record(checkout, reply);
        });
        until("the failover begins", PATIENCE, || (cluster.proxy.fired() == 1).then_some(()));
        let began = Instant::now();
        cluster.promote_standby(began);
        let (promoted, took) = (Instant::now(), began.elapsed());
        let late_background_tasks = market.addresses.map(|address| scope.spawn(move || late_background_tasks(address)));
        let mut database = cluster.database();
        let caught: Vec<Caught> = undecided(&mut database).into_values().collect();
        let acknowledged = market.acknowledged();
        until("an order is acknowledged", PATIENCE, || (market.acknowledged() > acknowledged).then_some(()));
        println!(
            "failover {round}: begun at commit {nth}, no writes for {} ms, an order {} ms later, {} purchases caught",
            took.as_millis(),
            promoted.elapsed().as_millis(),
            caught.len()
        );
        // A purchase whose first commit was lost has no owner: the reconciler ends it.
        let limit = |caught: &Caught| LIMIT_MS + if nth == 1 && caught.checkout == *checkout { LOOK_MS } else { 0 };
        let mut late = late_ends(&mut database, caught, limit);
        late.extend(
            late_background_tasks
                .into_iter()
                .filter_map(|late_background_tasks| late_background_tasks.join().expect("an answer")),
        );
        late
    })
}

/// A payment that was under way when the database was lost.
struct Caught {
    id: String,
    checkout: String,
    created_at_ms: i64,
}

fn undecided(database: &mut Database) -> BTreeMap<String, Caught> {
    let of = "FROM payment_attempt WHERE state IN ('opened', 'unknown')";
    let rows = database.rows(["id", "checkout_id", "created_at"], of).into_iter();
    let caught = rows.map(|[id, checkout, created_at]| Caught {
        created_at_ms: created_at.parse().expect("a number"),
        checkout,
        id: id.clone(),
    });
    caught.map(|caught| (caught.id.clone(), caught)).collect()
}

/// Waits until all of them are settled. Returns complaints about those that were undecided for too long.
fn late_ends(database: &mut Database, mut caught: Vec<Caught>, limit_ms: impl Fn(&Caught) -> i64) -> Vec<String> {
    let mut late = Vec::new();
    until("every caught payment is settled", 2 * PATIENCE, || {
        let (open, now) = (undecided(database), now_ms());
        let (still, settled): (Vec<_>, Vec<_>) = caught.drain(..).partition(|caught| open.contains_key(&caught.id));
        for attempt in settled {
            let took = now - attempt.created_at_ms;
            println!("  {} settled after {took} ms", attempt.id);
            if took > limit_ms(&attempt) {
                late.push(format!("{} of {} is settled only after {took} ms", attempt.id, attempt.checkout));
            }
        }
        caught = still;
        caught.is_empty().then_some(())
    });
    late
}

/// The time according to the clock of the instances.
fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    now.as_millis().try_into().expect("before the year 292278994")
}

/// A complaint if background tasks still back off a while after the database is writable.
fn late_background_tasks(address: SocketAddr) -> Option<String> {
    let (mut platform, began) = (Platform::at(address), Instant::now());
    loop {
        let status = platform.reply_to(&Call::get("/statusz")).expect(200).json;
        let tasks = status["tasks"].as_object().expect("tasks");
        let failing: Vec<_> = tasks.iter().filter(|(_, task)| task["failing_for"] != 0).map(|(name, _)| name).collect();
        if failing.is_empty() {
            return None;
        }
        if began.elapsed() > AWAKE {
            return Some(format!("{failing:?} of {address} back off for more than {AWAKE:?}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A primary, its synchronous standby, and the address that leads to the current primary.
struct Cluster {
    primary: PostgresServer,
    standby: Option<PostgresServer>,
    proxy: Proxy,
}

impl Cluster {
    fn start(bin: &Path) -> Self {
        let primary = PostgresServer::create(bin);
        let proxy = Proxy::start(primary.address());
        let mut cluster = Self { primary, standby: None, proxy };
        cluster.pair();
        cluster
    }

    /// Adds a standby that has every commit before the commit is acknowledged.
    fn pair(&mut self) {
        self.standby = Some(self.primary.standby());
        self.primary.wait_for_standby();
    }

    /// Stops the primary, whose connections are reset already. Lets the shop connect to the read-only standby, and
    /// promotes the standby at the end of the outage.
    fn promote_standby(&mut self, began: Instant) {
        let standby = self.standby.take().expect("a pair");
        drop(std::mem::replace(&mut self.primary, standby));
        self.proxy.set_upstream(self.primary.address());
        let before = self.proxy.accepted();
        self.proxy.set(Net::Pass);
        until("the shop has met the standby", PATIENCE, || (self.proxy.accepted() > before + 1).then_some(()));
        until("the outage has lasted long enough", PATIENCE, || (began.elapsed() >= OUTAGE).then_some(()));
        self.primary.promote();
    }

    fn database(&self) -> Database {
        Database::Postgres(PgConnection::establish(&self.primary.url()).expect("a connection"))
    }
}

#[derive(Default)]
struct Seen {
    acknowledged: Vec<(String, String)>,
    complaints: Vec<String>,
}

/// The buyers and their observations.
struct Market {
    addresses: [SocketAddr; 2],
    done: AtomicBool,
    seen: Mutex<Seen>,
}

/// Ends the purchases when dropped, also when the test fails, because its threads are joined.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Market {
    fn acknowledged(&self) -> u64 {
        self.seen.lock().expect("seen").acknowledged.len() as u64
    }

    fn buy(&self, buyer: u64) {
        let mut chance = Chance::of(SEED << 8 | buyer);
        let mut platforms: BTreeMap<SocketAddr, Platform> = BTreeMap::new();
        while !self.done.load(Ordering::SeqCst) {
            let address = *chance.one_of(&self.addresses);
            let platform = platforms.entry(address).or_insert_with(|| Platform::at(address));
            let created = self.retry_until_definite(
                platform,
                &Call::create(&fresh_key(), "bun", chance.between(1, 4)),
                &mut chance,
            );
            if created.status != 201 {
                self.complain(format!("a checkout is not created: {created:?}"));
                continue;
            }
            let call = Call::pay(&created.id(), &fresh_key(), VISA);
            let reply = self.retry_until_definite(platform, &call, &mut chance);
            self.record(&created.id(), reply);
        }
    }

    /// Repeats a call with its key until the answer is definite. Panics at an answer that is no reason to repeat.
    fn retry_until_definite(&self, platform: &mut Platform, call: &Call, chance: &mut Chance) -> Reply {
        platform
            .retry_until_definite(call, chance, 2 * PATIENCE)
            .expect("an instance answers, whatever its database does")
    }

    /// Asserts that the good card was charged and that the buyer has an order.
    fn record(&self, checkout: &str, reply: Reply) {
        match (reply.status, reply.checkout_status(), reply.order()) {
            (200, "completed", Some(order)) => {
                self.seen.lock().expect("seen").acknowledged.push((checkout.to_owned(), order));
            }
            _ => {
                let (status, messages) = (reply.status, &reply.json["messages"]);
                self.complain(format!("{checkout}: a good card is answered with {status}, {messages}"));
            }
        }
    }

    fn complain(&self, what: String) {
        self.seen.lock().expect("seen").complaints.push(what);
    }
}
