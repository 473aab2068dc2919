//! The faults of the table of steps, caused from outside. Each function stops, breaks or repeats a completion at a
//! step, and returns when the fault has happened. The caller then repairs the shop.

use faultkit::{Commit, Fault as Net};
use paysim::{Fault, Operation};

use crate::extent::{PATIENCE, until};
use crate::platform::{Platform, Reply, receive};
use crate::races::sixteen_at_once;
use crate::steps_shop::{Purchase, Shop};

pub type Provoked = Box<dyn Fn(&mut Shop<'_>, &Purchase)>;

/// A commit of a completion: one that names the idempotency key (the first begins the completion, the second settles
/// it), or the one that names the payment at the gateway.
#[derive(Clone, Copy)]
pub enum By {
    Key(u64),
    Reference,
}

impl By {
    fn commit(self, purchase: &Purchase) -> Commit {
        match self {
            Self::Key(nth) => Commit::naming(&purchase.key).nth(nth),
            Self::Reference => Commit::naming("pi_"),
        }
    }
}

fn fired(shop: &Shop<'_>) -> u64 {
    shop.proxy.as_ref().expect("on Postgres").fired()
}

fn break_at(shop: &Shop<'_>, fault: Net) {
    shop.proxy.as_ref().expect("on Postgres").set(fault);
}

/// The network breaks at a commit and stays broken, and the process is killed.
pub fn killed_at(by: By, fault: fn(Commit) -> Net) -> Provoked {
    Box::new(move |shop, purchase| {
        break_at(shop, fault(by.commit(purchase).and_die()));
        let caller = shop.ask(purchase);
        until("the commit is broken", PATIENCE, || (fired(shop) == 1).then_some(()));
        shop.kill();
        drop(caller);
    })
}

/// The process is killed while it waits for the gateway.
pub fn killed_while(operation: Operation, fault: Fault) -> Provoked {
    Box::new(move |shop, purchase| {
        let caller = shop.with_fault(operation, fault, |shop| shop.ask(purchase));
        assert_eq!(shop.attempt(purchase), "opened");
        shop.kill();
        drop(caller);
    })
}

/// The process is killed while it waits for the write lock to begin the completion.
pub fn killed_at_the_lock() -> Provoked {
    Box::new(|shop, purchase| {
        shop.lock_checkout(purchase);
        let caller = shop.ask(purchase);
        let mut platform = shop.platform();
        until("the command waits", PATIENCE, || (platform.status_number("commands_in_flight") == 1).then_some(()));
        shop.kill();
        drop(caller);
        shop.release();
        assert_eq!(shop.attempt(purchase), "");
    })
}

/// The process is killed while it waits for the write lock to record the answer of the gateway. It logs `message` when
/// it has the answer.
pub fn killed_at_the_lock_after(operation: Operation, message: &'static str) -> Provoked {
    Box::new(move |shop, purchase| {
        let before = shop.count_logged(message);
        let caller = shop.with_fault(operation, SLOW, |shop| shop.ask(purchase));
        shop.lock_checkout(purchase);
        until(message, PATIENCE, || (shop.count_logged(message) > before).then_some(()));
        shop.kill();
        drop(caller);
        shop.release();
        assert_eq!(shop.attempt(purchase), "opened");
    })
}

/// Long enough for the test to take a lock meanwhile, and shorter than the timeout of a call.
const SLOW: Fault = Fault::Late { ms: 800 };

/// The process is killed after the settlement, before the caller reads the answer.
pub fn killed_after_the_settlement() -> Provoked {
    Box::new(|shop, purchase| {
        let caller = shop.ask(purchase);
        until("the payment is settled", PATIENCE, || (shop.attempt(purchase) == "confirmed").then_some(()));
        shop.kill();
        drop(caller);
    })
}

/// The answer to the charge is lost, and the process is killed while it reconciles the payment.
pub fn killed_while_reconciling(charge: Fault, operation: Operation, fault: Fault) -> Provoked {
    Box::new(move |shop, purchase| {
        shop.with_fault(operation, fault, |shop| {
            drop(shop.with_fault(Operation::IntentConfirm, charge, |shop| shop.ask(purchase)))
        });
        assert_eq!(shop.attempt(purchase), "unknown");
        shop.kill();
    })
}

fn answer_to(shop: &Shop<'_>, purchase: &Purchase) -> Reply {
    receive(&mut shop.ask(purchase)).expect("an answer")
}

/// The network breaks at a commit and stays broken. The caller gets one of these statuses.
pub fn fails_at(by: By, fault: fn(Commit) -> Net, statuses: &'static [u16]) -> Provoked {
    Box::new(move |shop, purchase| {
        break_at(shop, fault(by.commit(purchase).and_die()));
        let reply = answer_to(shop, purchase);
        assert_eq!(fired(shop), 1, "the commit was not broken");
        assert!(statuses.contains(&reply.status), "{reply:?}");
    })
}

/// The gateway answers with this fault once. The caller gets this status.
pub fn fails_while(operation: Operation, fault: Fault, status: u16) -> Provoked {
    Box::new(move |shop, purchase| {
        let reply = shop.with_fault(operation, fault, |shop| answer_to(shop, purchase));
        assert_eq!(reply.status, status, "{reply:?}");
        assert_ne!(reply.checkout_status(), "completed", "{reply:?}");
    })
}

/// The test holds the write lock for longer than the caller waits to begin.
pub fn refused_at_the_lock() -> Provoked {
    Box::new(|shop, purchase| {
        shop.lock_checkout(purchase);
        let reply = answer_to(shop, purchase);
        assert_eq!(reply.status, 503, "{reply:?}");
    })
}

/// The test holds the write lock for longer than the shop waits to record the answer of the gateway.
pub fn left_to_the_reconciler_after(operation: Operation) -> Provoked {
    const LEFT: &str = "completion is left to the reconciler";
    Box::new(move |shop, purchase| {
        let before = shop.count_logged(LEFT);
        let mut caller = shop.with_fault(operation, SLOW, |shop| shop.ask(purchase));
        shop.lock_checkout(purchase);
        let reply = receive(&mut caller).expect("an answer");
        assert_eq!((reply.status, reply.checkout_status()), (200, "complete_in_progress"), "{reply:?}");
        until(LEFT, PATIENCE, || (shop.count_logged(LEFT) > before).then_some(()));
    })
}

/// The caller disconnects while the gateway charges.
pub fn left_by_its_caller() -> Provoked {
    Box::new(|shop, purchase| {
        drop(shop.with_fault(Operation::IntentConfirm, SLOW, |shop| shop.ask(purchase)));
        until("the payment is settled", PATIENCE, || (shop.attempt(purchase) == "confirmed").then_some(()));
    })
}

/// The answer to the charge is lost, and the first reconciliation fails.
pub fn reconciling_fails() -> Provoked {
    Box::new(|shop, purchase| {
        let fault = Fault::HangWithoutEffect;
        let charge = Fault::HangAfterEffect;
        let reply = shop.with_fault(Operation::IntentRetrieve, fault, |shop| {
            shop.with_fault(Operation::IntentConfirm, charge, |shop| answer_to(shop, purchase))
        });
        assert_eq!((reply.status, reply.checkout_status()), (200, "complete_in_progress"), "{reply:?}");
    })
}

/// Sixteen callers send the same call at once. All get the same answer.
pub fn sixteen_callers() -> Provoked {
    Box::new(|shop, purchase| {
        let replies = sixteen_at_once(&[shop.server().address(); 16], &purchase.call);
        for reply in &replies {
            assert_eq!((reply.status, &reply.body), (200, &replies[0].body), "{reply:?}");
        }
    })
}

/// The outcome of a successful commit is unknown to the shop, which runs the commit again.
pub fn repeated_at(by: By) -> Provoked {
    const RESOLVED: &str = "commit outcome was unknown";
    Box::new(move |shop, purchase| {
        let before = shop.count_logged(RESOLVED);
        break_at(shop, Net::ResetAfterCommit(by.commit(purchase)));
        let reply = answer_to(shop, purchase);
        assert_eq!(fired(shop), 1, "the commit was not broken");
        assert!(matches!(reply.status, 200 | 402), "{reply:?}");
        until(RESOLVED, PATIENCE, || (shop.count_logged(RESOLVED) > before).then_some(()));
    })
}

/// The answer of the gateway is lost, and the shop repeats the call with the same key.
pub fn repeated_while(operation: Operation, fault: Fault) -> Provoked {
    Box::new(move |shop, purchase| {
        let reply = shop.with_fault(operation, fault, |shop| answer_to(shop, purchase));
        assert_eq!((reply.status, reply.checkout_status()), (200, "completed"), "{reply:?}");
    })
}

/// The lease of the owner ends while it waits for the gateway, and the reconciler settles first.
pub fn overtaken(fault: Fault) -> Provoked {
    Box::new(move |shop, purchase| {
        let mut caller = shop.with_fault(Operation::IntentConfirm, fault, |shop| shop.ask(purchase));
        shop.database.end_leases();
        until("the reconciler has settled", PATIENCE, || {
            (!matches!(shop.attempt(purchase).as_str(), "opened" | "unknown")).then_some(())
        });
        assert!(
            Platform::at(shop.server().address()).status_number("commands_in_flight") == 1,
            "the owner has already answered"
        );
        let reply = receive(&mut caller).expect("an answer");
        assert!(matches!(reply.status, 200 | 402 | 503), "{reply:?}");
    })
}

/// While one instance looks up a payment, its lease ends, and another instance looks it up too.
pub fn two_reconcilers() -> Provoked {
    Box::new(|shop, purchase| {
        let other = shop.launch();
        let reconciled = "payment attempt reconciled";
        let reconciliations = |shop: &Shop<'_>| {
            let lines = other.log().into_iter().filter(|line| line["msg"] == reconciled).count();
            shop.count_logged(reconciled) + lines
        };
        let before = reconciliations(shop);
        shop.with_fault(Operation::IntentRetrieve, SLOW, |shop| {
            drop(shop.with_fault(Operation::IntentConfirm, Fault::HangAfterEffect, |shop| shop.ask(purchase)));
        });
        shop.database.end_leases();
        until("both have settled", PATIENCE, || (reconciliations(shop) == before + 2).then_some(()));
        assert!(other.stop().status.success());
    })
}
