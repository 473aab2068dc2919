//! Every step of a completion x {the process is killed there, the step fails, the step runs twice}: afterwards the
//! order is paid once, or refused and never charged. The gateway's ledger is the judge.
//!
//! Nothing in the shop helps. It stops where what it waits for does not come: at the gateway, which hangs or answers
//! late; on Postgres at a commit, which the network breaks; on SQLite at the writers' lock, which somebody else holds.
//! Between two neighbouring points of one row nothing happens that could be lost. [`cells`] is the table.

use std::collections::BTreeSet;
use std::time::Instant;

use faultkit::Fault as Net;
use paysim::{Fault, Operation};

use crate::gateway::{DECLINED, VISA};
use crate::kit::Place;
use crate::steps_provoked::*;
use crate::steps_shop::Shop;

crate::on_both_engines!(fault_at_every_step_pays_once_or_refuses);

/// The steps, each as it is called in the code and the logs.
/// The last is what is left to do when an earlier one was not done.
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

/// What the buyer is told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Paid,
    Refused,
}
use End::{Paid, Refused};

struct Cell {
    what: What,
    /// Where: steps, and how far they came; neighbours with nothing between them are one row.
    at: &'static str,
    on: On,
    card: &'static str,
    ends: End,
    provoke: Provoked,
}

/// What cannot happen on SQLite. Only a commit of which the shop does not hear makes it record a reference again, and no
/// network is between it and its file; and one file has one process, with one reconciler.
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
            "begin_completion, after its commit; open, before the gateway did it",
            Both,
            Paid,
            killed_while(create, Fault::HangWithoutEffect),
        ),
        cell(
            Killed,
            "open, after the gateway did it; record_reference, before it began",
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
        cell(Killed, "settle, after its commit; answer, before it was read", Both, Paid, killed_when_it_is_settled()),
        cell(
            Killed,
            "reconcile, before it heard of the charge",
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
        cell(Fails, "open, before the gateway did it", Both, Paid, fails_while(create, Fault::HangWithoutEffect, 503)),
        cell(Fails, "open, before the gateway did it", Both, Paid, fails_while(create, Fault::ErrorWithoutEffect, 503)),
        cell(Fails, "open, after the gateway did it", Both, Paid, fails_while(create, Fault::HangAfterEffect, 503)),
        cell(Fails, "open, after the gateway did it", Both, Paid, fails_while(create, Fault::ErrorAfterEffect, 503)),
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
        cell(Fails, "reconcile, before it heard of the charge", Both, Paid, reconciling_fails()),
        // The step runs twice.
        cell(Twice, "begin_completion, by sixteen callers", Both, Paid, sixteen_callers()),
        cell(Twice, "begin_completion, after a commit unheard of", Postgres, Paid, again_at(By::Key(1))),
        cell(Twice, "open", Both, Paid, again_while(create, Fault::ResetAfterEffect)),
        cell(Twice, "record_reference, after a commit unheard of", Postgres, Paid, again_at(By::Reference)),
        cell(Twice, "confirm", Both, Paid, again_while(confirm, Fault::ResetAfterEffect)),
        cell(Twice, "settle, after a commit unheard of", Postgres, Paid, again_at(By::Key(2))),
        cell(Twice, "settle, by the reconciler and then by its owner", Both, Paid, overtaken(Fault::Late { ms: 800 })),
        cell(
            Twice,
            "settle, as not attempted, and then by its owner",
            Both,
            Paid,
            overtaken(Fault::LateEffect { ms: 800 }),
        ),
        cell(Twice, "answer, to whoever asks again; open; confirm", Both, Paid, again_while(confirm, Fault::Truncated)),
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
        cell(Twice, "settle of a refusal, after a commit unheard of", Postgres, Refused, again_at(By::Key(2))),
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
        let reply = shop.heal_and_insist(&purchase);
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
    assert_eq!(left_out, never, "cells that nothing provokes");
    shop.close();
}

/// Says which cell it was when a test fails within it.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- it was the cell {}", self.0);
        }
    }
}
