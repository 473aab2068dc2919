//! The outcome of a commit. Before the commit nothing has happened. During the commit its effect is unknown, and
//! waiting usually makes it known.
//!
//! A deferred trigger makes a commit wait for an advisory lock, so that a test controls how long the commit takes.

use std::sync::Arc;
use std::time::Duration;

use domain::checkout::CheckoutStore;
use domain::context::RequestContext;
use domain::fault::{Failure, FaultKind};
use domain::import::{Batch, Import};
use persistence::{Database, DatabaseConfig, Degraded};

use super::SOON;
use crate::kit::data::{
    ALICE, PATIENCE, alice, caller, create, hours, new_checkout, noon, product, recorded, request, stock, usd,
};
use crate::kit::logs::Logs;
use crate::kit::raw::Raw;
use crate::kit::{Expected, Place, Shop, until};
use crate::on_postgres;

on_postgres!(
    commit_under_way_is_awaited_past_the_deadline,
    commit_beyond_the_grace_has_an_unknown_outcome,
    commit_on_a_broken_connection_is_resolved_once,
    unresolved_commit_has_an_unknown_outcome,
    broken_commit_of_an_unrepeatable_write_has_an_unknown_outcome,
    broken_commit_of_an_import_is_repeated_unless_it_has_stock,
    caller_that_leaves_during_a_commit_sees_its_effect_later,
    long_commit_degrades_the_shop_until_it_ends,
);

const SLOW_COMMIT: &str = "
    CREATE FUNCTION wait_in_commit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON checkout
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_in_commit();";

/// A commit waits while the gate is closed.
struct Gate {
    holder: Raw,
    observer: Raw,
}

impl Gate {
    fn closed(place: &Place) -> Self {
        let mut gate = Self { holder: place.raw(), observer: place.raw() };
        gate.holder.execute(SLOW_COMMIT);
        gate.close();
        gate
    }

    fn close(&mut self) {
        self.holder.execute("SELECT pg_advisory_lock(1)");
    }

    async fn reached(&mut self) {
        let committing = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                          AND query = 'COMMIT' AND wait_event_type = 'Lock'";
        until("it commits", || self.observer.number(committing) == 1).await;
    }

    /// Ends the database session that is committing.
    fn end_it(&mut self) {
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND query = 'COMMIT' AND wait_event_type = 'Lock'";
        assert_eq!(self.observer.number(ended), 1);
    }

    fn open(&mut self) {
        self.holder.execute("SELECT pg_advisory_unlock(1)");
    }
}

async fn creating(
    shop: &Shop,
    ctx: &RequestContext,
) -> Result<domain::checkout::Answer, Failure<domain::checkout::CheckoutRefusal>> {
    shop.checkouts.create(ctx, create("k1"), new_checkout(request(&[("song", 1)]))).await
}

async fn commit_under_way_is_awaited_past_the_deadline(place: Place) {
    let shop = place.shop().await;
    let mut gate = Gate::closed(&place);
    // The time limits of the engine begin with the commit, the deadline with the request. The gate opens after the
    // deadline and before those limits.
    let (mut other, ctx) = (place.raw(), caller(ALICE, Duration::from_secs(3)));
    other.execute("BEGIN; LOCK TABLE checkout IN EXCLUSIVE MODE");
    let meanwhile = async {
        until("half of the time is gone", || ctx.deadline().remaining() < Duration::from_millis(1_500)).await;
        other.release();
        gate.reached().await;
        until("the deadline has passed", || ctx.deadline().remaining().is_zero()).await;
        gate.open();
    };
    let (created, ()) = tokio::join!(creating(&shop, &ctx), meanwhile);
    created.expect("created");
    assert_eq!(shop.database.abandoned(), 0);
    assert_eq!(place.raw().count("checkout"), 1);
}

async fn commit_beyond_the_grace_has_an_unknown_outcome(place: Place) {
    let shop = place.shop_with(|config| config.commit_grace = Duration::from_millis(200)).await;
    let mut gate = Gate::closed(&place);
    let ctx = alice();
    let meanwhile = async {
        gate.reached().await;
        ctx.cancellation().cancel();
    };
    let (created, ()) = tokio::join!(creating(&shop, &ctx), meanwhile);
    let fault = created.fault();
    assert_eq!(fault.kind(), FaultKind::OutcomeUnknown, "{}", fault.chain());
    // The commit takes effect later, so the fault must not say that nothing happened.
    gate.open();
    let mut raw = place.raw();
    until("it has committed", || raw.count("checkout") == 1).await;
}

async fn commit_on_a_broken_connection_is_resolved_once(place: Place) {
    let shop = place.shop().await;
    let mut gate = Gate::closed(&place);
    let (ctx, logs) = recorded(ALICE, PATIENCE);
    let meanwhile = async {
        gate.reached().await;
        gate.end_it();
        gate.open();
    };
    let (created, ()) = tokio::join!(creating(&shop, &ctx), meanwhile);
    created.expect("created, by the second run");
    assert_eq!(place.raw().count("checkout"), 1);
    assert_eq!(logs.count("commit outcome was unknown resolution=resolved"), 1, "{logs:?}");
}

/// The gate stays closed, so the second run cannot commit either.
async fn unresolved_commit_has_an_unknown_outcome(place: Place) {
    let shop = place.shop_with(|config| config.commit_grace = Duration::from_secs(1)).await;
    let mut gate = Gate::closed(&place);
    let (ctx, logs) = recorded(ALICE, PATIENCE);
    let meanwhile = async {
        gate.reached().await;
        gate.end_it();
    };
    let watch = domain::context::Stopwatch::start();
    let (created, ()) = tokio::join!(creating(&shop, &ctx), meanwhile);
    let fault = created.fault();
    assert_eq!(fault.kind(), FaultKind::OutcomeUnknown, "{}", fault.chain());
    assert!(watch.elapsed() < SOON + SOON, "{:?}", watch.elapsed());
    assert_eq!(logs.count("commit outcome was unknown resolution=deferred"), 1, "{logs:?}");
    // The same request, sent again, runs or replays the outcome.
    gate.open();
    let answer = creating(&shop, &alice()).await.expect("answered");
    assert_eq!(place.raw().count("checkout"), 1, "{answer:?}");
}

async fn broken_commit_of_an_unrepeatable_write_has_an_unknown_outcome(place: Place) {
    let shop = place.shop().await;
    shop.opened(&[("song", 1)], "k1").await;
    let mut gate = Gate::closed(&place);
    gate.holder.execute(
        "CREATE CONSTRAINT TRIGGER slow_update AFTER UPDATE ON checkout
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_in_commit();",
    );
    let (ctx, logs) = recorded(ALICE, PATIENCE);
    let meanwhile = async {
        gate.reached().await;
        gate.end_it();
        gate.open();
    };
    let expiring = shop.checkouts.expire(&ctx, noon() + hours(24), noon(), 10);
    let (expired, ()) = tokio::join!(expiring, meanwhile);
    assert_eq!(expired.fault().kind(), FaultKind::OutcomeUnknown);
    assert_eq!(logs.count("commit outcome was unknown resolution=deferred"), 1, "{logs:?}");
    assert_eq!(place.raw().number("SELECT count(*) FROM checkout WHERE status = 'canceled'"), 0);
}

/// Units may be sold between the two runs, and the second run would put them back on hand.
async fn broken_commit_of_an_import_is_repeated_unless_it_has_stock(place: Place) {
    let shop = place.shop().await;
    let mut gate = Gate::closed(&place);
    gate.holder.execute(
        "CREATE CONSTRAINT TRIGGER slow_import AFTER INSERT OR UPDATE ON variant
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_in_commit();",
    );
    for (levels, expected) in [(vec![], None), (vec![stock("kite", 5)], Some(FaultKind::OutcomeUnknown))] {
        let batch = Batch { products: vec![product("kite", 900, false)], stock: levels, ..Batch::empty(usd()) };
        let ctx = alice();
        let meanwhile = async {
            gate.reached().await;
            gate.end_it();
            gate.open();
        };
        let (stored, ()) = tokio::join!(shop.import.import(&ctx, batch, Arc::new(|_| ())), meanwhile);
        gate.close();
        let kind = stored.err().map(|error| match error {
            Failure::Fault(fault) => fault.kind(),
            Failure::Refused(refusal) => panic!("{refusal:?}"),
        });
        assert_eq!(kind, expected);
    }
}

async fn caller_that_leaves_during_a_commit_sees_its_effect_later(place: Place) {
    let shop = place.shop().await;
    let mut gate = Gate::closed(&place);
    let ctx = alice();
    let meanwhile = async {
        gate.reached().await;
        ctx.cancellation().cancel();
        gate.open();
    };
    let (created, ()) = tokio::join!(creating(&shop, &ctx), meanwhile);
    created.expect("created");
    assert_eq!(place.raw().count("checkout"), 1);
}

/// A commit also takes long if a synchronous standby hangs.
async fn long_commit_degrades_the_shop_until_it_ends(place: Place) {
    drop(place.shop().await);
    let logs = Logs::default();
    let config = DatabaseConfig { commit_grace: Duration::from_secs(30), ..place.config() };
    let shop = Shop::on(Database::open(config, tokio::runtime::Handle::current(), &logs.logger()).expect("opened"));
    let mut gate = Gate::closed(&place);
    let ctx = alice();
    let committing = shop.checkouts.create(&ctx, create("k1"), new_checkout(request(&[("song", 1)])));
    let watching = async {
        gate.reached().await;
        let age = || shop.database.oldest_commit();
        assert!(age().is_some());
        assert_eq!(shop.database.degraded(), None, "not yet");
        until("it takes long", || age().is_some_and(|age| age >= Duration::from_secs(2))).await;
        shop.database.ready(&alice()).await.expect("reads go on");
        for _ in 0..3 {
            assert_eq!(shop.database.degraded(), Some(Degraded::CommitsStalled));
        }
        gate.open();
    };
    let (created, ()) = tokio::join!(committing, watching);
    created.expect("created");
    assert_eq!((shop.database.oldest_commit(), shop.database.degraded()), (None, None));
    for line in ["a commit takes long", "commits are in time again"] {
        assert_eq!(logs.count(line), 1, "{line}: {:?}", logs.lines());
    }
}
