//! A table of every step of a completion and three faults: the process is killed at the step, the step fails, or the
//! step runs twice. Afterwards the order is paid once, or it is refused and never charged. The ledger of the gateway is
//! the evidence.
//!
//! The shop contains no code for this test. It is stopped while it waits: for the gateway, which hangs or answers late;
//! on Postgres for a commit, which the network breaks; on SQLite for the write lock, which the test holds. Two
//! neighbouring points in one row have no effect between them that could be lost. [`cells`] is the table.

use std::collections::BTreeSet;
use std::time::Instant;

use faultkit::Fault as Net;
use paysim::{Fault, Operation};

use crate::gateway::{DECLINED, VISA};
use crate::kit::Place;
use crate::steps_provoked::*;
use crate::steps_shop::Shop;

crate::on_both_engines!(fault_at_every_step_pays_once_or_refuses);

/// The steps, with their names in the code and the logs. The last step does what an earlier one left undone.
const STEPS: [&str; 7] = ["begin_completion", "open", "record_reference", "confirm", "settle", "answer", "reconcile"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Killed,
    Fails,
    Twice,
}
use What::{Fails, Killed, Twice};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Both,
    Sqlite,
    Postgres,
}
use On::{Both, Postgres, Sqlite};

/// The definite answer to the buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Paid,
    Refused,
}
use End::{Paid, Refused};

struct Cell {
    what: What,
    /// The steps and how far they came. Neighbouring points without an effect between them are one row.
    at: &'static str,
    on: On,
    card: &'static str,
    ends: End,
    provoke: Provoked,
}

/// Faults that are impossible on SQLite. A reference is recorded twice only after an unknown commit, and
/// SQLite has no network to its file. Two reconcilers need two processes, and an SQLite file has one.
const NEVER_TWICE_ON_SQLITE: [(&str, What); 2] = [("record_reference", Twice), ("reconcile", Twice)];

fn cells() -> Vec<Cell> {
    let cell = |what, at, on, ends, provoke| Cell { what, at, on, card: VISA, ends, provoke };
    let (create, confirm) = (Operation::IntentCreate, Operation::IntentConfirm);
    let mut cells = vec![
        // The process is killed.
        cell(Killed, "begin_completion, before its commit", Sqlite, Paid, killed_at_the_lock()),
        cell(
            Killed,
            "begin_completion, before its commit",
            Postgres,
            Paid,
            killed_at(By::Key(1), Net::ResetBeforeCommit),
        ),
        cell(
            Killed,
            "begin_completion, after its commit",
            Postgres,
            Paid,
            killed_at(By::Key(1), Net::ResetAfterCommit),
        ),
        cell(
            Killed,
            "begin_completion, after its commit; open, before the gateway acts",
            Both,
            Paid,
            killed_while(create, Fault::HangWithoutEffect),
        ),
        cell(
            Killed,
            "open, after the gateway acted; record_reference, before it began",
            Both,
            Paid,
            killed_while(create, Fault::HangAfterEffect),
        ),
        cell(
            Killed,
            "record_reference, before its commit",
            Sqlite,
            Paid,
            killed_at_the_lock_after(create, "outbound call"),
        ),
        cell(
            Killed,
            "record_reference, before its commit",
            Postgres,
            Paid,
            killed_at(By::Reference, Net::ResetBeforeCommit),
        ),
        cell(
            Killed,
            "record_reference, after its commit",
            Postgres,
            Paid,
            killed_at(By::Reference, Net::ResetAfterCommit),
        ),
        cell(
            Killed,
            "record_reference, after its commit; confirm, before the charge",
            Both,
            Paid,
            killed_while(confirm, Fault::HangWithoutEffect),
        ),
        cell(
            Killed,
            "confirm, after the charge; settle, before it began",
            Both,
            Paid,
            killed_while(confirm, Fault::HangAfterEffect),
        ),
        cell(Killed, "settle, before its commit", Sqlite, Paid, killed_at_the_lock_after(confirm, "payment answered")),
        cell(Killed, "settle, before its commit", Postgres, Paid, killed_at(By::Key(2), Net::ResetBeforeCommit)),
        cell(Killed, "settle, after its commit", Postgres, Paid, killed_at(By::Key(2), Net::ResetAfterCommit)),
        cell(Killed, "settle, after its commit; answer, before it was read", Both, Paid, killed_after_the_settlement()),
        cell(
            Killed,
            "reconcile, before its lookup",
            Both,
            Paid,
            killed_while_reconciling(Fault::HangAfterEffect, Operation::IntentRetrieve, Fault::HangWithoutEffect),
        ),
        cell(
            Killed,
            "reconcile, before it cancelled",
            Both,
            Paid,
            killed_while_reconciling(Fault::HangWithoutEffect, Operation::IntentCancel, Fault::HangWithoutEffect),
        ),
        cell(
            Killed,
            "reconcile, after it cancelled",
            Both,
            Paid,
            killed_while_reconciling(Fault::HangWithoutEffect, Operation::IntentCancel, Fault::HangAfterEffect),
        ),
        // The step fails.
        cell(Fails, "begin_completion, before its commit", Sqlite, Paid, refused_at_the_lock()),
        cell(
            Fails,
            "begin_completion, before its commit",
            Postgres,
            Paid,
            fails_at(By::Key(1), Net::ResetBeforeCommit, &[503]),
        ),
        cell(
            Fails,
            "begin_completion, after its commit",
            Postgres,
            Paid,
            fails_at(By::Key(1), Net::ResetAfterCommit, &[503]),
        ),
        cell(Fails, "open, before the gateway acts", Both, Paid, fails_while(create, Fault::HangWithoutEffect, 503)),
        cell(Fails, "open, before the gateway acts", Both, Paid, fails_while(create, Fault::ErrorWithoutEffect, 503)),
        cell(Fails, "open, after the gateway acted", Both, Paid, fails_while(create, Fault::HangAfterEffect, 503)),
        cell(Fails, "open, after the gateway acted", Both, Paid, fails_while(create, Fault::ErrorAfterEffect, 503)),
        cell(Fails, "record_reference, before its commit", Sqlite, Paid, left_to_the_reconciler_after(create)),
        cell(
            Fails,
            "record_reference, before its commit",
            Postgres,
            Paid,
            fails_at(By::Reference, Net::ResetBeforeCommit, &[200]),
        ),
        cell(
            Fails,
            "record_reference, after its commit",
            Postgres,
            Paid,
            fails_at(By::Reference, Net::ResetAfterCommit, &[200]),
        ),
        cell(Fails, "confirm, before the charge", Both, Paid, fails_while(confirm, Fault::HangWithoutEffect, 200)),
        cell(Fails, "confirm, before the charge", Both, Paid, fails_while(confirm, Fault::ErrorWithoutEffect, 200)),
        cell(Fails, "confirm, after the charge", Both, Paid, fails_while(confirm, Fault::HangAfterEffect, 200)),
        cell(Fails, "confirm, after the charge", Both, Paid, fails_while(confirm, Fault::ErrorAfterEffect, 200)),
        cell(Fails, "settle, before its commit", Sqlite, Paid, left_to_the_reconciler_after(confirm)),
        cell(Fails, "settle, before its commit", Postgres, Paid, fails_at(By::Key(2), Net::ResetBeforeCommit, &[200])),
        cell(Fails, "settle, after its commit", Postgres, Paid, fails_at(By::Key(2), Net::ResetAfterCommit, &[200])),
        cell(Fails, "answer, its caller has left", Both, Paid, left_by_its_caller()),
        cell(Fails, "reconcile, before its lookup", Both, Paid, reconciling_fails()),
        // The step runs twice.
        cell(Twice, "begin_completion, by sixteen callers", Both, Paid, sixteen_callers()),
        cell(Twice, "begin_completion, after an unknown commit", Postgres, Paid, repeated_at(By::Key(1))),
        cell(Twice, "open", Both, Paid, repeated_while(create, Fault::ResetAfterEffect)),
        cell(Twice, "record_reference, after an unknown commit", Postgres, Paid, repeated_at(By::Reference)),
        cell(Twice, "confirm", Both, Paid, repeated_while(confirm, Fault::ResetAfterEffect)),
        cell(Twice, "settle, after an unknown commit", Postgres, Paid, repeated_at(By::Key(2))),
        cell(Twice, "settle, by the reconciler and then by its owner", Both, Paid, overtaken(Fault::Late { ms: 800 })),
        cell(
            Twice,
            "settle, as not attempted, and then by its owner",
            Both,
            Paid,
            overtaken(Fault::LateEffect { ms: 800 }),
        ),
        cell(
            Twice,
            "answer, to a repeated request; open; confirm",
            Both,
            Paid,
            repeated_while(confirm, Fault::Truncated),
        ),
        cell(Twice, "reconcile, by two instances", Postgres, Paid, two_reconcilers()),
    ];
    let declined = [
        cell(
            Killed,
            "settle of a refusal, before its commit",
            Postgres,
            Refused,
            killed_at(By::Key(2), Net::ResetBeforeCommit),
        ),
        cell(
            Killed,
            "settle of a refusal, after its commit",
            Postgres,
            Refused,
            killed_at(By::Key(2), Net::ResetAfterCommit),
        ),
        cell(
            Killed,
            "settle of a refusal, before it began",
            Both,
            Refused,
            killed_while(confirm, Fault::HangAfterEffect),
        ),
        cell(Twice, "settle of a refusal, after an unknown commit", Postgres, Refused, repeated_at(By::Key(2))),
        cell(
            Twice,
            "settle of a refusal, by the reconciler and then by its owner",
            Both,
            Refused,
            overtaken(Fault::Late { ms: 800 }),
        ),
    ];
    cells.extend(declined.into_iter().map(|cell| Cell { card: DECLINED, ..cell }));
    cells
}

async fn fault_at_every_step_pays_once_or_refuses(place: Place) {
    let mut shop = Shop::open(&place);
    let here = if place.is_postgres() { Postgres } else { Sqlite };
    let mut seen = BTreeSet::new();
    for cell in cells().into_iter().filter(|cell| [Both, here].contains(&cell.on)) {
        let began = Instant::now();
        let named = Named(format!("{:?}: {} ({:?})", cell.what, cell.at, cell.ends));
        let purchase = shop.begin(cell.card);
        (cell.provoke)(&mut shop, &purchase);
        let reply = shop.heal_and_retry(&purchase);
        let ended = match (reply.status, reply.checkout_status()) {
            (200, "completed") => Paid,
            (402, "ready_for_complete") => Refused,
            _ => panic!("{}: {reply:?}", named.0),
        };
        assert_eq!(ended, cell.ends, "{}", named.0);
        assert_eq!(shop.violations(), Vec::<String>::new(), "{}", named.0);
        println!("{} ms: {}", began.elapsed().as_millis(), named.0);
        let steps = STEPS.iter().filter(|step| cell.at.split("; ").any(|at| at.starts_with(**step)));
        seen.extend(steps.map(|step| (*step, cell.what)));
    }
    let all = STEPS.iter().flat_map(|step| [Killed, Fails, Twice].map(|what| (*step, what)));
    let left_out: Vec<_> = all.filter(|wanted| !seen.contains(wanted)).collect();
    let never: &[_] = if here == Sqlite { &NEVER_TWICE_ON_SQLITE } else { &[] };
    assert_eq!(left_out, never, "no cell provokes these faults");
    shop.close();
}

/// Prints the cell if a test fails within it.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- failed in the cell {}", self.0);
        }
    }
}
