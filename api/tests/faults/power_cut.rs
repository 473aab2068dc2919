//! The power fails, at any moment, and nothing that was acknowledged is lost.
//!
//! Nobody pulls a plug here. A shop sells under strace, which records what it writes, what it syncs, and what it answers.
//! From that the disk is built as a power cut leaves it: at the moment at which an answer goes out nothing is kept but
//! what was synced, and at a moment between two answers some of the rest as well, by chance. Each such disk is put before
//! the shop. What the model of the disk takes for granted is said in `disk.rs`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};

use crate::books::{Books, Item, stock};
use crate::disk::{DATABASE, Disk, Image, LOG, Unsynced, image, restore};
use crate::extent::{Chance, PATIENCE, extent, until};
use crate::invariants::violations;
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::memory::Memory;
use crate::platform::{Call, Platform};
use crate::recording::{self, Event, read, recorder, strace};

crate::on_sqlite!(power_cut_loses_no_acknowledged_write);

/// Plenty of one, and one that costs nothing and so is never brought to the gateway.
const ITEMS: &[Item] = &[("bun", 250, 100_000), ("sample", 0, 100_000)];
const TOKENS: [&str; 4] = ["success_token", "success_token", "fail_token", "charge_then_fail_token"];
const BUYERS: u64 = 4;
const SETTINGS: &[(&str, &str)] = &[("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "100")];
const SEED: u64 = 0x0ff;

/// What a buyer was told exists, and when the answer began to leave.
struct Told {
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
    let memory = Mutex::new((Memory::default(), Vec::new()));
    std::thread::scope(|scope| {
        for buyer in 0..BUYERS {
            let (memory, address) = (&memory, server.address());
            scope.spawn(move || buy(address, Chance::of(SEED << 8 | buyer), memory));
        }
    });
    end(server);
    let (memory, checkouts) = memory.into_inner().expect("buyers do not panic");
    let events = read(&recorded, place.directory());
    let orders = told(&events, memory.acknowledged.iter().map(|(_, order)| order));
    let checkouts = told(&events, checkouts.iter());
    let disk = Disk::new(before, &events);
    println!("{} checkouts, {} orders, {} calls", checkouts.len(), orders.len(), events.len());

    let mut chance = Chance::of(SEED);
    let cuts = moments(&orders, &disk);
    let mut unsynced = 0;
    for (cut, next) in &cuts {
        let images = [(*cut, disk.after_power_cut(*cut, Unsynced::Lost).0), {
            // In the middle of a write, or right after it.
            let writes = disk.began(LOG).chain(disk.began(DATABASE)).filter(|began| (*cut..*next).contains(began));
            let between = chance.one_of(&writes.chain([*cut]).collect::<Vec<_>>()) + 1;
            let (image, open) = disk.after_power_cut(between, Unsynced::Random(&mut chance));
            unsynced += open;
            (between, image)
        }];
        for (moment, image) in images {
            let (place, lost) = found(&image, moment, [&orders, &checkouts]);
            assert_eq!(lost, BTreeSet::new(), "seed {SEED:#x}, power cut at call {moment}");
            let acknowledged = memory.acknowledged.iter();
            let acknowledged = acknowledged.filter(|(_, id)| known(&orders, moment).any(|told| told == id));
            goes_on(&place, acknowledged.cloned().collect(), memory.refused.clone());
        }
    }
    println!("{} power cuts, {unsynced} changes not synced: nothing lost", cuts.len() * 2);
    assert!(unsynced > 0, "no power cut met anything that was not synced");

    // The same disk, less careful, does lose orders: else all this would prove nothing.
    // At a checkpoint it syncs too, so the moments of the control are spread over all orders.
    let careless = disk.with_synchronous_normal();
    let control = spread(&orders, extent(20, 60));
    let loses = control.iter().filter(|(cut, _)| {
        let (image, _) = careless.after_power_cut(*cut, Unsynced::Lost);
        !found(&image, *cut, [&orders, &[]]).1.is_empty()
    });
    let loses = loses.count();
    println!("with synchronous=NORMAL orders would be lost in {loses} of {} power cuts", control.len());
    assert!(loses * 2 > control.len(), "synchronous=NORMAL loses orders in {loses} of {}", control.len());
}

fn buy(address: SocketAddr, mut chance: Chance, memory: &Mutex<(Memory, Vec<String>)>) {
    let mut platform = Platform::at(address);
    for _ in 0..extent(20, 100) {
        let checkout = platform.checkout(chance.one_of::<&str>(&["bun", "bun", "sample"]), chance.between(1, 4));
        memory.lock().expect("memory").1.push(checkout.clone());
        let call = Call::complete(&checkout, &fresh_key(), chance.one_of::<&str>(&TOKENS));
        let reply = platform.must(&call);
        memory.lock().expect("memory").0.remember(checkout, call, Some(reply));
    }
}

/// Kills the shop itself; strace, which started it, ends with it.
fn end(server: Server) {
    let listens = server.log().into_iter().find(|line| line["msg"] == "listening").expect("it listens");
    let pid = listens["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).expect("a process");
    kill_process(pid, Signal::KILL).expect("it runs");
    server.wait(PATIENCE);
}

/// In the order in which they were told.
fn told<'a>(events: &[Event], ids: impl Iterator<Item = &'a String>) -> Vec<Told> {
    let sent = events.iter().filter_map(|event| match &event.call {
        recording::Call::Send { bytes } => Some((event.began, String::from_utf8_lossy(bytes))),
        _ => None,
    });
    let sent: Vec<_> = sent.collect();
    let mut told: Vec<Told> = ids
        .map(|id| {
            let moment = sent.iter().find(|(_, bytes)| bytes.contains(id)).map(|(moment, _)| *moment);
            Told { moment: moment.expect("it was sent"), id: id.clone() }
        })
        .collect();
    told.sort_by_key(|told| told.moment);
    told
}

/// What had been told when the power failed, the answer that was about to leave included.
fn known(told: &[Told], cut: usize) -> impl Iterator<Item = &str> {
    told.iter().filter(move |told| told.moment <= cut).map(|told| told.id.as_str())
}

/// Moments at which an order was acknowledged, each with the one after it: some from the first to the last, and some
/// between which the log was carried over to the database.
fn moments(orders: &[Told], disk: &Disk) -> Vec<(usize, usize)> {
    let (count, checkpoints) = extent((5, 1), (60, 6));
    let all = spans(orders);
    let carried_over = |(from, to): &(usize, usize)| disk.began(DATABASE).any(|began| (*from..*to).contains(&began));
    let checkpoint: Vec<_> = all.iter().copied().filter(carried_over).take(checkpoints).collect();
    assert_eq!(checkpoint.len(), checkpoints, "the log was carried over too rarely: buy more");
    spread(orders, count).into_iter().chain(checkpoint).collect()
}

/// From the answer to one order to the answer to the next.
fn spans(orders: &[Told]) -> Vec<(usize, usize)> {
    orders.windows(2).map(|two| (two[0].moment, two[1].moment)).collect()
}

/// So many of these spans, evenly spread.
fn spread(orders: &[Told], count: usize) -> Vec<(usize, usize)> {
    let all = spans(orders);
    assert!(all.len() >= count, "only {} orders", orders.len());
    (0..count).map(|cut| all[cut * (all.len() - 1) / (count - 1)]).collect()
}

/// A sound database with what it lacks of what was told before the power cut.
fn found(image: &Image, cut: usize, told: [&[Told]; 2]) -> (Place, BTreeSet<String>) {
    let place = Place::sqlite();
    restore(image, place.directory());
    let mut books = Books::open(&place);
    assert_eq!(books.text("SELECT integrity_check AS value FROM pragma_integrity_check"), "ok", "at call {cut}");
    let there = books.rows(["id"], "FROM (SELECT id FROM orders UNION SELECT id FROM checkout) AS there");
    let there: BTreeSet<_> = there.into_iter().map(|[id]| id).collect();
    let known = told.into_iter().flat_map(|told| known(told, cut));
    let lost = known.filter(|id| !there.contains(*id)).map(str::to_owned).collect();
    (place, lost)
}

/// The shop opens again with what was left, settles what was under way, and keeps every promise.
fn goes_on(place: &Place, acknowledged: Vec<(String, String)>, refused: Vec<String>) {
    let mut books = Books::open(place);
    // Whoever had claimed something is dead.
    books.end_leases();
    let server = Server::launch(place, SETTINGS);
    until("everything is settled", PATIENCE, || (books.undecided() == 0).then_some(()));
    let state = books.state(place, ITEMS);
    let state = crate::invariants::State { acknowledged, refused, ..state };
    assert_eq!(violations(&state), Vec::<String>::new());
    assert!(server.stop().status.success());
}
