//! Wrong clocks: the clock of a machine jumps, or a process is suspended for longer than its leases last.

use std::path::PathBuf;

use faultkit::provided::FAKETIME;
use paysim::{Fault, Operation, Paysim};

use crate::database::{Database, Item, stock};
use crate::extent::{Chance, PATIENCE, until};
use crate::gateway::{self, VISA};
use crate::invariants::{State, violations};
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform, connect, receive, send};

crate::on_both_engines!(
    clock_jump_stops_no_task_and_charges_no_payment_twice,
    work_scheduled_by_a_fast_clock_runs_after_the_clock_is_corrected,
    slow_clock_captures_no_held_payment_early,
);

mod instances {
    crate::on_postgres!(suspended_instance_finds_its_payments_settled_by_another);
    use super::suspended_instance_finds_its_payments_settled_by_another;
}

const ITEMS: &[Item] = &[("bun", 250, 1_000)];
const SETTINGS: &[(&str, &str)] = &[
    ("TUCKSHOP_HTTP_PUBLIC_URL", "http://shop.example"),
    ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "1000"),
    ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "3000"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "100"),
];
/// A minute in microseconds. No operation takes as long, unless a jump of the clock is taken for a duration.
const MINUTE_US: u64 = 60_000_000;
const HOUR_MS: i64 = 60 * 60 * 1_000;

/// The clock of one process, which the test sets while the process runs. Durations are measured with the real clock.
struct FakeClock {
    library: String,
    file: PathBuf,
    shown: String,
}

impl FakeClock {
    fn of(place: &Place) -> Option<Self> {
        let library = FAKETIME.get()?;
        let file = place.directory().join("clock");
        Some(Self { library, shown: file.display().to_string(), file })
    }

    fn settings(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("LD_PRELOAD", &self.library),
            ("FAKETIME_TIMESTAMP_FILE", &self.shown),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }

    fn set(&self, offset: &str) {
        // The file is replaced atomically, because the process reads it all the time.
        let new = self.file.with_extension("new");
        std::fs::write(&new, offset).expect("written");
        std::fs::rename(&new, &self.file).expect("renamed");
        FAKETIME.used();
    }
}

async fn clock_jump_stops_no_task_and_charges_no_payment_twice(place: Place) {
    let Some(clock) = FakeClock::of(&place) else { return };
    stock(&place, ITEMS);
    let gateway = gateway::start();
    let own = gateway::settings(&gateway);
    let mut database = Database::open(&place);
    for jump in ["+1d", "-1h"] {
        println!("the clock jumps by {jump}");
        clock.set("+0");
        let server = Server::launch(&place, &[gateway::beside(&own, SETTINGS), clock.settings()].concat());
        let mut platform = Platform::at(server.address());
        let before = Call::pay(&platform.checkout("bun", 1), &fresh_key(), VISA);
        let bought = platform.reply_to(&before).expect(200);
        assert_eq!(bought.checkout_status(), "completed");

        // The clock jumps during a payment whose answer will be lost.
        let meanwhile = Call::pay(&platform.checkout("bun", 1), &fresh_key(), VISA);
        let mut caller = connect(server.address()).expect("a connection");
        let dealt = count_faults_dealt(&gateway);
        gateway.fail_next(Operation::IntentConfirm, 1, Fault::HangAfterEffect);
        send(&mut caller, &meanwhile).expect("sent");
        until("the payment is charged", PATIENCE, || (count_faults_dealt(&gateway) > dealt).then_some(()));
        clock.set(jump);
        let reply = receive(&mut caller).expect("an answer").expect(200);
        assert_eq!(reply.checkout_status(), "complete_in_progress", "{reply:?}");
        let reconciled = platform.retry_until_definite(&meanwhile, &mut Chance::of(1), PATIENCE).expect("an answer");
        assert_eq!((reconciled.status, reconciled.checkout_status()), (200, "completed"), "{reconciled:?}");

        // Recorded answers are replayed, and the shop sells.
        assert_eq!(platform.reply_to(&before).expect(200).body, bought.body);
        let after = Call::pay(&platform.checkout("bun", 1), &fresh_key(), VISA);
        assert_eq!(platform.reply_to(&after).expect(200).checkout_status(), "completed");
        until("every payment is settled", PATIENCE, || (database.undecided() == 0).then_some(()));
        let stopped = server.stop();
        assert!(stopped.status.success());
        let took = stopped.log.iter().filter_map(|line| line["elapsed_us"].as_u64()).max();
        assert!(took.is_some_and(|took| took < MINUTE_US), "{took:?} us");
        assert!(has_time_jump(&stopped.log), "the clock did not jump");
    }
    assert_sound(&place, &mut database, &gateway, 6);
}

/// The clock is a day ahead and the gateway does not answer, so the next lookup is scheduled for tomorrow. After the
/// correction the lookup happens today.
async fn work_scheduled_by_a_fast_clock_runs_after_the_clock_is_corrected(place: Place) {
    let Some(clock) = FakeClock::of(&place) else { return };
    stock(&place, ITEMS);
    let gateway = gateway::start();
    let own = gateway::settings(&gateway);
    clock.set("+1d");
    let server = Server::launch(&place, &[gateway::beside(&own, SETTINGS), clock.settings()].concat());
    let (mut platform, mut database) = (Platform::at(server.address()), Database::open(&place));
    gateway.fail_next(Operation::IntentConfirm, 1, Fault::HangAfterEffect);
    gateway.fail_next(Operation::IntentRetrieve, 1_000, Fault::ErrorWithoutEffect);
    let call = Call::pay(&platform.checkout("bun", 1), &fresh_key(), VISA);
    let reply = platform.reply_to(&call).expect(200);
    assert_eq!(reply.checkout_status(), "complete_in_progress", "{reply:?}");
    until("the next lookup is postponed", PATIENCE, || {
        let mut log = server.log().into_iter();
        log.find(|line| line["msg"] == "payment attempt could not be reconciled")
    });

    // The gateway recovers and the clock is corrected at the same time.
    server.suspend();
    let put_off = "FROM payment_attempt WHERE state = 'unknown' AND leased_until IS NULL";
    let resting = database.rows(["due_at"], put_off);
    clock.set("+0");
    gateway.clear_faults();
    server.resume();
    if let [[due_at]] = resting.as_slice() {
        assert!(due_at.parse::<i64>().expect("a number") > now_ms() + HOUR_MS, "{due_at} is not tomorrow");
    }
    until("every payment is settled", PATIENCE, || (database.undecided() == 0).then_some(()));
    assert_eq!(platform.reply_to(&call).expect(200).checkout_status(), "completed");
    let stopped = server.stop();
    assert!(stopped.status.success());
    assert!(has_time_jump(&stopped.log), "the clock did not jump");
    assert_sound(&place, &mut database, &gateway, 1);
}

/// A machine may start with a clock that is far behind, and read held payments before the clock is corrected.
async fn slow_clock_captures_no_held_payment_early(place: Place) {
    const SIX_DAYS_MS: i64 = 6 * 24 * HOUR_MS;
    const DUE_NOW: &str = "UPDATE payment_attempt SET due_at = 0 WHERE state = 'authorized' AND due_at";
    let Some(clock) = FakeClock::of(&place) else { return };
    stock(&place, ITEMS);
    let gateway = gateway::start();
    let own = gateway::settings(&gateway);
    clock.set("+0");
    let manual = [("TUCKSHOP_PAYMENT_CAPTURE", "manual"), ("TUCKSHOP_TASKS_PAYMENT_CAPTURE_MS", "100")];
    let settings = [gateway::beside(&own, SETTINGS), manual.to_vec(), clock.settings()].concat();
    let server = Server::launch(&place, &settings);
    let (mut platform, mut database) = (Platform::at(server.address()), Database::open(&place));
    let mut buy = || {
        let call = Call::pay(&platform.checkout("bun", 1), &fresh_key(), VISA);
        assert_eq!(platform.reply_to(&call).expect(200).checkout_status(), "completed");
    };
    let captured = |count| {
        until("the payment is captured", PATIENCE, || (gateway.ledger().totals().captures == count).then_some(()))
    };
    buy();
    let due_at = database.number("due_at", "FROM payment_attempt");
    assert!(due_at > now_ms() + SIX_DAYS_MS - HOUR_MS, "the capture is due too early");

    // The capture of another payment shows that the task looks for due payments, with the wrong clock and after the
    // correction.
    clock.set("-30d");
    buy();
    database.execute(&format!("{DUE_NOW} <> {due_at}"));
    captured(1);
    clock.set("+0");
    buy();
    database.execute(&format!("{DUE_NOW} > {due_at}"));
    captured(2);
    let as_it_was = format!("FROM payment_attempt WHERE state = 'authorized' AND due_at = {due_at}");
    assert_eq!(database.number("count(*)", &as_it_was), 1);
    database.execute(&format!("{DUE_NOW} = {due_at}"));
    captured(3);
    let confirmed = "FROM payment_attempt WHERE state = 'confirmed'";
    until("the captures are recorded", PATIENCE, || (database.number("count(*)", confirmed) == 3).then_some(()));
    let stopped = server.stop();
    assert!(stopped.status.success());
    assert!(has_time_jump(&stopped.log), "the clock did not jump");
    assert_sound(&place, &mut database, &gateway, 3);
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("before the year 292278994")
}

/// Whether two consecutive log lines are half an hour or more apart.
fn has_time_jump(log: &[serde_json::Value]) -> bool {
    let hours = |line: &serde_json::Value| Some(line["at"].as_str()?.get(..13)?.to_owned());
    let hours: std::collections::BTreeSet<_> = log.iter().filter_map(hours).collect();
    hours.len() > 1
}

fn count_faults_dealt(gateway: &Paysim) -> u64 {
    gateway.faults_dealt().values().sum()
}

fn assert_sound(place: &Place, database: &mut Database, gateway: &Paysim, orders: usize) {
    let state = State { charges: gateway::charges(gateway), ..database.state(place, ITEMS) };
    assert_eq!((state.orders.len(), violations(&state)), (orders, Vec::new()));
}

async fn suspended_instance_finds_its_payments_settled_by_another(place: Place) {
    stock(&place, ITEMS);
    let gateway = gateway::start();
    let own = gateway::settings(&gateway);
    let settings = gateway::beside(&own, SETTINGS);
    let (suspended, other) = (Server::launch(&place, &settings), Server::launch(&place, &settings));
    let (mut platform, mut database) = (Platform::at(other.address()), Database::open(&place));
    // The gateway charges before its answer is read, charges only later, and never charges.
    let faults = [Fault::Late { ms: 400 }, Fault::LateEffect { ms: 60_000 }, Fault::HangWithoutEffect];
    for fault in faults {
        println!("{fault:?}");
        let call = Call::pay(&platform.checkout("bun", 1), &fresh_key(), VISA);
        let mut caller = connect(suspended.address()).expect("a connection");
        let dealt = count_faults_dealt(&gateway);
        gateway.fail_next(Operation::IntentConfirm, 1, fault);
        send(&mut caller, &call).expect("sent");
        until("the gateway has the request", PATIENCE, || (count_faults_dealt(&gateway) > dealt).then_some(()));
        suspended.suspend();
        // This happens after the suspended instance has lost its lease. The instance still assumes that it holds it.
        until("the other instance has settled the payment", PATIENCE, || (database.undecided() == 0).then_some(()));
        // A payment that was not charged counts as not attempted: the same key pays for it now.
        let settled = platform.reply_to(&call).expect(200);
        suspended.resume();
        let late = receive(&mut caller).expect("an answer");
        assert!(matches!(late.status, 200 | 503), "{late:?}");
        for server in [&suspended, &other] {
            let mut platform = Platform::at(server.address());
            until("the instance is idle", PATIENCE, || crate::deadlines::is_idle(&mut platform).then_some(()));
            assert_eq!(platform.reply_to(&call).expect(200).body, settled.body);
        }
    }
    assert_sound(&place, &mut database, &gateway, 3);
    for server in [suspended, other] {
        assert!(server.stop().status.success());
    }
}
