//! More callers than connections, or no server at all: load shedding answers a caller that cannot be served soon.

use std::net::TcpListener;
use std::time::Duration;

use domain::checkout::{CheckoutId, CheckoutRefusal, CheckoutStore};
use domain::context::Stopwatch;
use domain::fault::{Failure, FaultKind};
use tokio::task::JoinSet;

use super::{SOON, THE_SONG};
use crate::kit::data::{ALICE, alice, begin, caller, create, new_checkout, noon, request};
use crate::kit::{Expected, Place, Shop, config, open, until};
use crate::{on_postgres, on_sqlite};

const POOL_WAIT: Duration = Duration::from_millis(300);

mod exhausted {
    use super::*;
    on_postgres!(
        caller_without_a_free_connection_is_shed,
        caller_with_a_short_deadline_exceeds_it_in_the_queue,
        caller_past_the_point_of_no_return_is_not_shed,
        connections_are_released_with_the_lock,
    );

    /// Opens a shop with two connections, on which two requests wait for the lock of the song.
    async fn all_taken(
        place: &Place,
        pool_wait: Duration,
    ) -> (std::sync::Arc<Shop>, JoinSet<()>, crate::kit::raw::Raw) {
        let shop = place.shop_with(|config| (config.pool_size, config.pool_wait) = (2, pool_wait)).await;
        let shop = std::sync::Arc::new(shop);
        let mut ids = Vec::new();
        for buyer in 0..2 {
            ids.push(shop.opened(&[("song", 1)], &format!("open-{buyer}")).await.id);
        }
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.hold(THE_SONG);
        let mut buyers = JoinSet::new();
        for id in ids {
            let shop = shop.clone();
            buyers.spawn(async move { drop(shop.begin(&id, &format!("pay-{id}")).await) });
        }
        until("both connections wait", || observer.waiting() == 2).await;
        (shop, buyers, other)
    }

    async fn caller_without_a_free_connection_is_shed(place: Place) {
        let (shop, _buyers, mut other) = all_taken(&place, POOL_WAIT).await;
        let watch = Stopwatch::start();
        let fault = shop.checkouts.read(&alice(), CheckoutId::generate(noon())).await.fault();
        assert_eq!(fault.kind(), FaultKind::Unavailable, "{}", fault.chain());
        assert!(watch.elapsed() >= POOL_WAIT && watch.elapsed() < SOON, "{:?}", watch.elapsed());
        other.release();
    }

    async fn caller_past_the_point_of_no_return_is_not_shed(place: Place) {
        let (shop, _buyers, mut other) = all_taken(&place, POOL_WAIT).await;
        let patient = alice().must_finish(Duration::from_secs(60));
        let nothing = CheckoutId::generate(noon());
        let waits = tokio::spawn(shop.checkouts.read(&patient, nothing.clone()));
        // These reads run one after the other, so that the patient read has waited longer than other callers may.
        for _ in 0..2 {
            let fault = shop.checkouts.read(&alice(), nothing.clone()).await.fault();
            assert_eq!(fault.kind(), FaultKind::Unavailable, "{}", fault.chain());
        }
        assert!(!waits.is_finished());
        other.release();
        let read = waits.await.expect("it ends");
        assert!(matches!(read, Err(Failure::Refused(CheckoutRefusal::NotFound))), "{read:?}");
    }

    async fn caller_with_a_short_deadline_exceeds_it_in_the_queue(place: Place) {
        let (shop, _buyers, mut other) = all_taken(&place, Duration::from_secs(10)).await;
        let watch = Stopwatch::start();
        let ctx = caller(ALICE, POOL_WAIT);
        let fault = shop.checkouts.read(&ctx, CheckoutId::generate(noon())).await.fault();
        assert_eq!(fault.kind(), FaultKind::DeadlineExceeded, "{}", fault.chain());
        assert!(watch.elapsed() < SOON, "{:?}", watch.elapsed());
        let leaving = alice();
        let (read, ()) = tokio::join!(shop.checkouts.read(&leaving, CheckoutId::generate(noon())), async {
            leaving.cancellation().cancel()
        });
        assert_eq!(read.fault().kind(), FaultKind::Cancelled);
        // The caller never had a connection, so no job is abandoned.
        assert_eq!(shop.database.abandoned(), 0);
        other.release();
    }

    async fn connections_are_released_with_the_lock(place: Place) {
        let (shop, buyers, mut other) = all_taken(&place, Duration::from_secs(10)).await;
        other.release();
        buyers.join_all().await;
        assert_eq!(place.raw().level("song"), (10, 2));
        shop.begun(&[("song", 1)], "k3").await;
    }
}

mod one_writer {
    use super::*;
    on_sqlite!(second_writer_is_shed_and_readers_are_served);

    async fn second_writer_is_shed_and_readers_are_served(place: Place) {
        let shop = place.shop_with(|config| (config.pool_size, config.pool_wait) = (2, POOL_WAIT)).await;
        let checkout = shop.opened(&[("song", 1)], "k1").await;
        let mut other = place.raw();
        other.hold(THE_SONG);
        let id = checkout.id.clone();
        let first = shop.checkouts.begin_completion(&alice(), begin(&id, "k2"));
        let others = async {
            let watch = Stopwatch::start();
            let new = new_checkout(request(&[("song", 1)]));
            let fault = shop.checkouts.create(&alice(), create("k3"), new).await.fault();
            assert_eq!(fault.kind(), FaultKind::Unavailable, "{}", fault.chain());
            assert!(watch.elapsed() >= POOL_WAIT && watch.elapsed() < SOON, "{:?}", watch.elapsed());
            assert_eq!(shop.checkouts.read(&alice(), id.clone()).await.expect("read"), checkout);
            other.release();
        };
        // The first future is polled first, so it gets the only write permit.
        let (begun, ()) = tokio::join!(biased; first, others);
        begun.expect("begun");
        let mut raw = place.raw();
        assert_eq!((raw.level("song"), raw.count("checkout")), ((10, 1), 1));
    }
}

/// Tests with servers that do not answer. They need no database server.
mod unreachable {
    use super::*;

    #[test]
    fn server_that_is_down_fails_requests_and_not_the_start() {
        crate::kit::cases::run(Place::sqlite(), |_| async {
            let closed = faultkit::Port::keep();
            is_unavailable_soon(closed.address().port()).await;
        });
    }

    #[test]
    fn silent_server_fails_requests_soon() {
        crate::kit::cases::run(Place::sqlite(), |_| async {
            let silent = TcpListener::bind("127.0.0.1:0").expect("a listener");
            is_unavailable_soon(silent.local_addr().expect("a port").port()).await;
        });
    }

    async fn is_unavailable_soon(port: u16) {
        let mut config = config(&format!("postgres://nobody@127.0.0.1:{port}/nothing"));
        config.pool_wait = POOL_WAIT;
        let shop = Shop::on(open(config));
        for _ in 0..2 {
            let watch = Stopwatch::start();
            let fault = shop.checkouts.read(&alice(), CheckoutId::generate(noon())).await.fault();
            assert_eq!(fault.kind(), FaultKind::Unavailable, "{}", fault.chain());
            assert!(watch.elapsed() < SOON, "{:?}", watch.elapsed());
        }
        let watch = Stopwatch::start();
        assert_eq!(shop.database.ready(&alice()).await.fault().kind(), FaultKind::Unavailable);
        assert!(watch.elapsed() < SOON, "{:?}", watch.elapsed());
        let ctx = caller(ALICE, Duration::from_millis(100));
        let fault = shop.checkouts.read(&ctx, CheckoutId::generate(noon())).await.fault();
        assert_eq!(fault.kind(), FaultKind::DeadlineExceeded, "{}", fault.chain());
    }
}

mod hosts {
    use super::*;
    on_postgres!(first_answering_host_is_used);

    async fn first_answering_host_is_used(place: Place) {
        place.shop().await;
        let closed = faultkit::Port::keep();
        let free = closed.address().port();
        let url = place.url();
        let at = url.rfind('@').map_or("postgres://".len(), |at| at + 1);
        let end = at + url[at..].find('/').expect("a database");
        let (before, host, after) = (&url[..at], &url[at..end], &url[end..]);
        for hosts in [format!("127.0.0.1:{free},{host}"), format!("{host},[::1]:{free}")] {
            let database = open(config(&format!("{before}{hosts}{after}")));
            database.must_be_current().expect("reached");
            database.ready(&alice()).await.expect("ready");
        }
        let (name, port) = host.split_once(':').expect("a port");
        let by_parameter = format!("{before}{after}?host=127.0.0.1,{name}&port={free},{port}");
        open(config(&by_parameter)).ready(&alice()).await.expect("ready");
    }
}

mod session {
    use super::*;
    on_postgres!(
        write_is_read_committed_and_plans_each_statement_once,
        commit_waits_for_the_disk_if_the_server_would_not,
    );

    /// Sets these defaults of the database, and returns what `see` selects inside a purchase, in each of two.
    async fn seen_in_a_purchase(place: &Place, defaults: &[(&str, &str)], see: &str) -> Vec<String> {
        place.shop().await;
        let mut raw = place.raw();
        let database = raw.texts("SELECT current_database() AS value").remove(0);
        for (setting, value) in defaults {
            raw.execute(&format!("ALTER DATABASE \"{database}\" SET {setting} = {value}"));
        }
        raw.execute(&format!(
            "DROP TABLE IF EXISTS seen; CREATE TABLE seen (value TEXT);
             CREATE OR REPLACE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO seen {see}; RETURN NEW; END $$;
             CREATE OR REPLACE TRIGGER see BEFORE INSERT ON payment_attempt FOR EACH ROW EXECUTE FUNCTION see()",
        ));
        let shop = place.shop_with(|config| config.pool_size = 1).await;
        for _ in 0..2 {
            let id = shop.opened(&[("song", 1)], &uuid::Uuid::new_v4().to_string()).await.id;
            shop.begin(&id, &format!("pay-{id}")).await;
        }
        raw.texts("SELECT value FROM seen")
    }

    async fn write_is_read_committed_and_plans_each_statement_once(place: Place) {
        let defaults = [("default_transaction_isolation", "serializable"), ("plan_cache_mode", "force_custom_plan")];
        let see = "SELECT current_setting('transaction_isolation') || ', planned again ' || sum(custom_plans) \
                   FROM pg_prepared_statements";
        assert_eq!(seen_in_a_purchase(&place, &defaults, see).await, ["read committed, planned again 0"; 2]);
    }

    async fn commit_waits_for_the_disk_if_the_server_would_not(place: Place) {
        for (default, used) in [("off", "on"), ("local", "local"), ("on", "on"), ("remote_apply", "remote_apply")] {
            let see = "SELECT current_setting('synchronous_commit')";
            assert_eq!(seen_in_a_purchase(&place, &[("synchronous_commit", default)], see).await, [used; 2]);
        }
    }
}
