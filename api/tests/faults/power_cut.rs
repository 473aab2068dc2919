//! A power cut at any moment loses no acknowledged write.
//!
//! The power is not really cut. A shop sells under strace, which records its writes, its syncs and its answers. From
//! the record the test builds the disk that a power cut leaves. At the moment of an answer only synced data is kept; at
//! a moment between two answers a random part of the rest is kept too. Then a shop is started on each such disk. The
//! model of the disk is described in `disk.rs`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};

use crate::database::{Database, Item, stock};
use crate::disk::{DATABASE, Disk, Image, LOG, Unsynced, image, restore};
use crate::extent::{Chance, PATIENCE, extent, until};
use crate::invariants::violations;
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::outcomes::Outcomes;
use crate::platform::{Call, Platform};
use crate::recording::{self, Event, read, recorder, strace};

crate::on_sqlite!(power_cut_loses_no_acknowledged_write);

/// A plentiful item, and a free item, which needs no gateway.
const ITEMS: &[Item] = &[("bun", 250, 100_000), ("sample", 0, 100_000)];
const TOKENS: [&str; 4] = ["success_token", "success_token", "fail_token", "charge_then_fail_token"];
const BUYERS: u64 = 4;
const SETTINGS: &[(&str, &str)] = &[("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "100")];
const SEED: u64 = 0x0ff;

/// The id of an order or checkout that a buyer got, and the moment at which the answer was sent.
struct Answered {
    moment: usize,
    id: String,
}

async fn power_cut_loses_no_acknowledged_write(place: Place) {
    let Some(strace) = strace("power cuts") else { return };
    stock(&place, ITEMS);
    let before = image(place.directory());
    let recorded = place.directory().join("calls");
    let shown = recorded.display().to_string();
    let server = Server::launch_under(&recorder(&strace, &shown), &place, SETTINGS);
    let outcomes = Mutex::new((Outcomes::default(), Vec::new()));
    std::thread::scope(|scope| {
        for buyer in 0..BUYERS {
            let (outcomes, address) = (&outcomes, server.address());
            scope.spawn(move || buy(address, Chance::of(SEED << 8 | buyer), outcomes));
        }
    });
    kill_traced(server);
    let (outcomes, checkouts) = outcomes.into_inner().expect("buyers do not panic");
    let events = read(&recorded, place.directory());
    let orders = answers(&events, outcomes.acknowledged.iter().map(|(_, order)| order));
    let checkouts = answers(&events, checkouts.iter());
    let disk = Disk::new(before, &events);
    println!("{} checkouts, {} orders, {} calls", checkouts.len(), orders.len(), events.len());

    let mut chance = Chance::of(SEED);
    let cuts = moments(&orders, &disk);
    let mut unsynced = 0;
    for (cut, next) in &cuts {
        let images = [(*cut, disk.after_power_cut(*cut, Unsynced::Lost).0), {
            // During a write or right after it.
            let writes =
                disk.write_starts(LOG).chain(disk.write_starts(DATABASE)).filter(|began| (*cut..*next).contains(began));
            let between = chance.one_of(&writes.chain([*cut]).collect::<Vec<_>>()) + 1;
            let (image, open) = disk.after_power_cut(between, Unsynced::Random(&mut chance));
            unsynced += open;
            (between, image)
        }];
        for (moment, image) in images {
            let (place, lost) = recovered(&image, moment, [&orders, &checkouts]);
            assert_eq!(lost, BTreeSet::new(), "seed {SEED:#x}, power cut at call {moment}");
            let acknowledged = outcomes.acknowledged.iter();
            let acknowledged =
                acknowledged.filter(|(_, id)| answered_before(&orders, moment).any(|answered| answered == id));
            assert_recovers(&place, acknowledged.cloned().collect(), outcomes.refused.clone());
        }
    }
    println!("{} power cuts, {unsynced} changes not synced: no order lost", cuts.len() * 2);
    assert!(unsynced > 0, "every change was synced at every power cut");

    // The negative control: the same disk with fewer syncs does lose orders. It also syncs at a checkpoint, so the
    // moments of the control are spread over all orders.
    let less_synced = disk.with_synchronous_normal();
    let control = spread(&orders, extent(20, 60));
    let loses = control.iter().filter(|(cut, _)| {
        let (image, _) = less_synced.after_power_cut(*cut, Unsynced::Lost);
        !recovered(&image, *cut, [&orders, &[]]).1.is_empty()
    });
    let loses = loses.count();
    println!("with synchronous=NORMAL orders would be lost in {loses} of {} power cuts", control.len());
    assert!(loses * 2 > control.len(), "synchronous=NORMAL loses orders in {loses} of {}", control.len());
}

fn buy(address: SocketAddr, mut chance: Chance, outcomes: &Mutex<(Outcomes, Vec<String>)>) {
    let mut platform = Platform::at(address);
    for _ in 0..extent(20, 100) {
        let checkout = platform.checkout(chance.one_of::<&str>(&["bun", "bun", "sample"]), chance.between(1, 4));
        outcomes.lock().expect("outcomes").1.push(checkout.clone());
        let call = Call::complete(&checkout, &fresh_key(), chance.one_of::<&str>(&TOKENS));
        let reply = platform.reply_to(&call);
        outcomes.lock().expect("outcomes").0.record(checkout, call, Some(reply));
    }
}

/// Kills the shop itself. Then strace, which started it, ends.
fn kill_traced(server: Server) {
    let listens = server.log().into_iter().find(|line| line["msg"] == "listening").expect("the line `listening`");
    let pid = listens["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).expect("a process");
    kill_process(pid, Signal::KILL).expect("the process runs");
    server.wait(PATIENCE);
}

/// The answers with these ids in the order in which they were sent.
fn answers<'a>(events: &[Event], ids: impl Iterator<Item = &'a String>) -> Vec<Answered> {
    let sent = events.iter().filter_map(|event| match &event.call {
        recording::Call::Send { bytes } => Some((event.began, String::from_utf8_lossy(bytes))),
        _ => None,
    });
    let sent: Vec<_> = sent.collect();
    let mut answers: Vec<Answered> = ids
        .map(|id| {
            let moment = sent.iter().find(|(_, bytes)| bytes.contains(id)).map(|(moment, _)| *moment);
            Answered { moment: moment.expect("the answer with the id"), id: id.clone() }
        })
        .collect();
    answers.sort_by_key(|answered| answered.moment);
    answers
}

/// The ids answered before the power cut, including the answer that was about to be sent.
fn answered_before(answers: &[Answered], cut: usize) -> impl Iterator<Item = &str> {
    answers.iter().filter(move |answered| answered.moment <= cut).map(|answered| answered.id.as_str())
}

/// Moments of acknowledged orders, each with the next one: some spread over the whole run, and some with a checkpoint
/// between them.
fn moments(orders: &[Answered], disk: &Disk) -> Vec<(usize, usize)> {
    let (count, checkpoints) = extent((5, 1), (60, 6));
    let all = spans(orders);
    let has_checkpoint =
        |(from, to): &(usize, usize)| disk.write_starts(DATABASE).any(|began| (*from..*to).contains(&began));
    let checkpoint: Vec<_> = all.iter().copied().filter(has_checkpoint).take(checkpoints).collect();
    assert_eq!(checkpoint.len(), checkpoints, "there were too few checkpoints: buy more");
    spread(orders, count).into_iter().chain(checkpoint).collect()
}

/// The spans from the answer to one order to the answer to the next.
fn spans(orders: &[Answered]) -> Vec<(usize, usize)> {
    orders.windows(2).map(|two| (two[0].moment, two[1].moment)).collect()
}

/// This many spans, evenly spread.
fn spread(orders: &[Answered], count: usize) -> Vec<(usize, usize)> {
    let all = spans(orders);
    assert!(all.len() >= count, "only {} orders", orders.len());
    (0..count).map(|cut| all[cut * (all.len() - 1) / (count - 1)]).collect()
}

/// Opens the database of the image and checks its integrity. Returns it with the answered ids that it lacks.
fn recovered(image: &Image, cut: usize, answers: [&[Answered]; 2]) -> (Place, BTreeSet<String>) {
    let place = Place::sqlite();
    restore(image, place.directory());
    let mut database = Database::open(&place);
    assert_eq!(database.text("SELECT integrity_check AS value FROM pragma_integrity_check"), "ok", "at call {cut}");
    let there = database.rows(["id"], "FROM (SELECT id FROM orders UNION SELECT id FROM checkout) AS there");
    let there: BTreeSet<_> = there.into_iter().map(|[id]| id).collect();
    let known = answers.into_iter().flat_map(|answers| answered_before(answers, cut));
    let lost = known.filter(|id| !there.contains(*id)).map(str::to_owned).collect();
    (place, lost)
}

/// Starts a shop on what is left. The shop settles every open payment and keeps every promise.
fn assert_recovers(place: &Place, acknowledged: Vec<(String, String)>, refused: Vec<String>) {
    let mut database = Database::open(place);
    // The holders of the leases are dead.
    database.end_leases();
    let server = Server::launch(place, SETTINGS);
    until("every payment is settled", PATIENCE, || (database.undecided() == 0).then_some(()));
    let state = database.state(place, ITEMS);
    let state = crate::invariants::State { acknowledged, refused, ..state };
    assert_eq!(violations(&state), Vec::<String>::new());
    assert!(server.stop().status.success());
}
