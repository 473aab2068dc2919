//! How a completion is stopped, broken or doubled at one of its steps, from outside. Each returns once the step is at
//! that point and what was to happen has happened; the shop is not mended yet.

use faultkit::{Commit, Fault as Net};
use paysim::{Fault, Operation};

use crate::extent::{PATIENCE, until};
use crate::platform::{Platform, Reply, receive};
use crate::races::sixteen_at_once;
use crate::steps_shop::{Purchase, Shop};

pub type Provoked = Box<dyn Fn(&mut Shop<'_>, &Purchase)>;

/// Which of the commits of a completion: those that name its key, the first of which begins it and the second of which
/// settles it, or the one that names the payment at the gateway.
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

/// The network breaks at a commit and stays broken, and the process dies there.
pub fn killed_at(by: By, fault: fn(Commit) -> Net) -> Provoked {
    Box::new(move |shop, purchase| {
        break_at(shop, fault(by.commit(purchase).and_die()));
        let caller = shop.ask(purchase);
        until("the commit is broken", PATIENCE, || (fired(shop) == 1).then_some(()));
        shop.kill();
        drop(caller);
    })
}

/// The process dies while it waits for the gateway.
pub fn killed_while(operation: Operation, fault: Fault) -> Provoked {
    Box::new(move |shop, purchase| {
        let caller = shop.dealt(operation, fault, |shop| shop.ask(purchase));
        assert_eq!(shop.attempt(purchase), "opened");
        shop.kill();
        drop(caller);
    })
}

/// The process dies while it waits for the writers' lock, with which the completion begins.
pub fn killed_at_the_lock() -> Provoked {
    Box::new(|shop, purchase| {
        shop.hold(purchase);
        let caller = shop.ask(purchase);
        let mut platform = shop.platform();
        until("it waits", PATIENCE, || (platform.status_number("commands_in_flight") == 1).then_some(()));
        shop.kill();
        drop(caller);
        shop.release();
        assert_eq!(shop.attempt(purchase), "");
    })
}

/// The process dies while it waits for the writers' lock, to write down what the gateway answered. It has the answer
/// when it says so.
pub fn killed_at_the_lock_after(operation: Operation, message: &'static str) -> Provoked {
    Box::new(move |shop, purchase| {
        let before = shop.said(message);
        let caller = shop.dealt(operation, SLOW, |shop| shop.ask(purchase));
        shop.hold(purchase);
        until(message, PATIENCE, || (shop.said(message) > before).then_some(()));
        shop.kill();
        drop(caller);
        shop.release();
        assert_eq!(shop.attempt(purchase), "opened");
    })
}

/// Time enough to take a lock in, and less than a call may take.
const SLOW: Fault = Fault::Late { ms: 800 };

/// The process dies when it has settled, and nobody reads its answer.
pub fn killed_when_it_is_settled() -> Provoked {
    Box::new(|shop, purchase| {
        let caller = shop.ask(purchase);
        until("it is settled", PATIENCE, || (shop.attempt(purchase) == "confirmed").then_some(()));
        shop.kill();
        drop(caller);
    })
}

/// The answer to the charge is lost, and the process dies while it looks into that.
pub fn killed_while_reconciling(charge: Fault, operation: Operation, fault: Fault) -> Provoked {
    Box::new(move |shop, purchase| {
        shop.dealt(operation, fault, |shop| {
            drop(shop.dealt(Operation::IntentConfirm, charge, |shop| shop.ask(purchase)))
        });
        assert_eq!(shop.attempt(purchase), "unknown");
        shop.kill();
    })
}

fn told(shop: &Shop<'_>, purchase: &Purchase) -> Reply {
    receive(&mut shop.ask(purchase)).expect("an answer")
}

/// The network breaks at a commit and stays broken; the caller is told one of these.
pub fn fails_at(by: By, fault: fn(Commit) -> Net, statuses: &'static [u16]) -> Provoked {
    Box::new(move |shop, purchase| {
        break_at(shop, fault(by.commit(purchase).and_die()));
        let reply = told(shop, purchase);
        assert_eq!(fired(shop), 1, "the commit was not broken");
        assert!(statuses.contains(&reply.status), "{reply:?}");
    })
}

/// The gateway answers so once, and the caller is told this.
pub fn fails_while(operation: Operation, fault: Fault, status: u16) -> Provoked {
    Box::new(move |shop, purchase| {
        let reply = shop.dealt(operation, fault, |shop| told(shop, purchase));
        assert_eq!(reply.status, status, "{reply:?}");
        assert_ne!(reply.checkout_status(), "completed", "{reply:?}");
    })
}

/// Somebody keeps the writers' lock for longer than the caller waits to begin.
pub fn refused_at_the_lock() -> Provoked {
    Box::new(|shop, purchase| {
        shop.hold(purchase);
        let reply = told(shop, purchase);
        assert_eq!(reply.status, 503, "{reply:?}");
    })
}

/// Somebody keeps the writers' lock for longer than the shop waits to write down what the gateway answered.
pub fn left_to_the_reconciler_after(operation: Operation) -> Provoked {
    const LEFT: &str = "completion is left to the reconciler";
    Box::new(move |shop, purchase| {
        let before = shop.said(LEFT);
        let mut caller = shop.dealt(operation, SLOW, |shop| shop.ask(purchase));
        shop.hold(purchase);
        let reply = receive(&mut caller).expect("an answer");
        assert_eq!((reply.status, reply.checkout_status()), (200, "complete_in_progress"), "{reply:?}");
        until(LEFT, PATIENCE, || (shop.said(LEFT) > before).then_some(()));
    })
}

/// The caller leaves while the gateway charges.
pub fn left_by_its_caller() -> Provoked {
    Box::new(|shop, purchase| {
        drop(shop.dealt(Operation::IntentConfirm, SLOW, |shop| shop.ask(purchase)));
        until("it is settled all the same", PATIENCE, || (shop.attempt(purchase) == "confirmed").then_some(()));
    })
}

/// The answer to the charge is lost, and the first look into that fails.
pub fn reconciling_fails() -> Provoked {
    Box::new(|shop, purchase| {
        let fault = Fault::HangWithoutEffect;
        let charge = Fault::HangAfterEffect;
        let reply = shop.dealt(Operation::IntentRetrieve, fault, |shop| {
            shop.dealt(Operation::IntentConfirm, charge, |shop| told(shop, purchase))
        });
        assert_eq!((reply.status, reply.checkout_status()), (200, "complete_in_progress"), "{reply:?}");
    })
}

/// The same call from sixteen callers at once. They all hear the same.
pub fn sixteen_callers() -> Provoked {
    Box::new(|shop, purchase| {
        let replies = sixteen_at_once(&[shop.server().address(); 16], &purchase.call);
        for reply in &replies {
            assert_eq!((reply.status, &reply.body), (200, &replies[0].body), "{reply:?}");
        }
    })
}

/// The shop does not hear of a commit that took place, and runs it again.
pub fn again_at(by: By) -> Provoked {
    const RESOLVED: &str = "commit outcome was unknown";
    Box::new(move |shop, purchase| {
        let before = shop.said(RESOLVED);
        break_at(shop, Net::ResetAfterCommit(by.commit(purchase)));
        let reply = told(shop, purchase);
        assert_eq!(fired(shop), 1, "the commit was not broken");
        assert!(matches!(reply.status, 200 | 402), "{reply:?}");
        until(RESOLVED, PATIENCE, || (shop.said(RESOLVED) > before).then_some(()));
    })
}

/// The gateway's answer is lost on its way, and the shop asks again with the same key.
pub fn again_while(operation: Operation, fault: Fault) -> Provoked {
    Box::new(move |shop, purchase| {
        let reply = shop.dealt(operation, fault, |shop| told(shop, purchase));
        assert_eq!((reply.status, reply.checkout_status()), (200, "completed"), "{reply:?}");
    })
}

/// While its owner waits for the gateway the reconciler takes it for dead, and settles first.
pub fn overtaken(fault: Fault) -> Provoked {
    Box::new(move |shop, purchase| {
        let mut caller = shop.dealt(Operation::IntentConfirm, fault, |shop| shop.ask(purchase));
        shop.books.end_leases();
        until("the reconciler has settled", PATIENCE, || {
            (!matches!(shop.attempt(purchase).as_str(), "opened" | "unknown")).then_some(())
        });
        assert!(Platform::at(shop.server().address()).status_number("commands_in_flight") == 1, "its owner was faster");
        let reply = receive(&mut caller).expect("an answer");
        assert!(matches!(reply.status, 200 | 402 | 503), "{reply:?}");
    })
}

/// While one instance asks the gateway what became of a payment, another takes it for dead and asks as well.
pub fn two_reconcilers() -> Provoked {
    Box::new(|shop, purchase| {
        let other = shop.launch();
        let reconciled = "payment attempt reconciled";
        let said = |shop: &Shop<'_>| {
            let lines = other.log().into_iter().filter(|line| line["msg"] == reconciled).count();
            shop.said(reconciled) + lines
        };
        let before = said(shop);
        shop.dealt(Operation::IntentRetrieve, SLOW, |shop| {
            drop(shop.dealt(Operation::IntentConfirm, Fault::HangAfterEffect, |shop| shop.ask(purchase)));
        });
        shop.books.end_leases();
        until("both have settled", PATIENCE, || (said(shop) == before + 2).then_some(()));
        assert!(other.stop().status.success());
    })
}
