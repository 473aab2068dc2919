//! A small import is stored whole or not at all. A large import is stored in parts. Both can be repeated.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::checkout::CheckoutStore;
use domain::context::{PlatformId, Stopwatch};
use domain::customer::{Address, DestinationId};
use domain::fault::Failure;
use domain::fulfillment::{OptionId, ServiceLevel, ShippingRate};
use domain::import::{Batch, Import, ImportRefusal, ImportedAddress};
use domain::money::Amount;
use domain::page::Limit;
use domain::payment::PaymentOutcome;
use domain::promotion::Code;

use crate::kit::data::{
    about, address, alice, catalogue, create, new_checkout, noon, product, request, rich_request, stock, task, usd,
};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

on_both_engines!(
    an_import_fills_an_empty_shop,
    an_import_can_be_run_again,
    imported_pricing_data_is_used_at_once,
    an_import_replaces_what_it_names_and_leaves_the_rest,
    an_import_that_names_a_row_twice_keeps_the_last,
    stock_below_held_is_refused_and_nothing_changes,
    stock_may_fall_to_held,
    row_with_an_unknown_product_or_customer_is_refused,
    progress_ends_at_the_number_of_rows,
    fifty_thousand_rows_are_imported,
    shop_sells_during_a_large_import,
    a_large_import_is_refused_before_anything_is_stored,
);

pub async fn import(shop: &Shop, batch: Batch) -> Result<(), Failure<ImportRefusal>> {
    shop.import.import(&task(), batch, Arc::new(|_| ())).await
}

async fn an_import_fills_an_empty_shop(place: Place) {
    let shop = Shop::on(place.open());
    shop.database.migrate().expect("a schema");
    assert!(shop.import.is_empty(&task()).await.expect("asked"));
    let batch = catalogue();
    import(&shop, batch.clone()).await.expect("imported");
    assert!(!shop.import.is_empty(&task()).await.expect("asked"));
    shop.opened(&[("song", 1)], "k1").await;
}

/// Pricing data is kept in memory while its revision is the same, also by a process that did not import.
async fn imported_pricing_data_is_used_at_once(place: Place) {
    let shop = place.shop().await;
    let other = Shop::on(shop.database.clone());
    let priced = async |key: &str| {
        let answer =
            other.checkouts.create(&alice(), create(key), new_checkout(rich_request())).await.expect("created");
        let details = &about(&answer.outcome).details;
        let rates: Vec<_> = details.fulfillment.iter().flat_map(|delivery| &delivery.group.options).collect();
        // The other option is free for this order.
        (rates.iter().map(|option| option.price.minor()).max().expect("an option"), details.discounts.len())
    };
    let before = priced("k1").await;
    assert_eq!(priced("k2").await, before);
    let mut batch = catalogue();
    batch.shipping_rates.iter_mut().for_each(|rate| rate.price = Amount::new(rate.price.minor() + 7));
    batch.discounts.retain(|discount| discount.code.as_str() == "TENOFF");
    import(&shop, batch.clone()).await.expect("imported");
    let (rate, discounts) = priced("k3").await;
    assert_eq!((rate, discounts), (before.0 + 7, before.1));
    batch.discounts.iter_mut().for_each(|discount| discount.code = Code::new("nonsense"));
    import(&shop, batch).await.expect("imported");
    assert_eq!(priced("k4").await.1, before.1 + 1, "a code that was unknown before");
}

async fn an_import_can_be_run_again(place: Place) {
    let shop = place.shop().await;
    shop.begun(&[("song", 2)], "k1").await;
    let state = || {
        let mut state = place.raw().state();
        state.retain(|row| !row.starts_with("reference_revision "));
        state
    };
    let before = state();
    import(&shop, catalogue()).await.expect("imported");
    assert_eq!(state(), before);
}

async fn an_import_replaces_what_it_names_and_leaves_the_rest(place: Place) {
    let shop = place.shop().await;
    let before = shop.opened(&[("song", 1)], "k1").await;
    let moved = Address { first_name: Some("Ada".into()), ..address("9 New St") };
    let batch = Batch {
        products: vec![product("song", 900, false), product("poem", 100, false)],
        stock: vec![stock("song", 3), stock("poem", 1)],
        addresses: vec![ImportedAddress {
            id: DestinationId("addr_1".into()),
            customer: "cust_1".into(),
            address: moved,
        }],
        ..Batch::empty(usd())
    };
    import(&shop, batch).await.expect("imported");
    let mut raw = place.raw();
    assert_eq!((raw.level("song"), raw.level("poem"), raw.level("book")), ((3, 0), (1, 0), (10, 0)));
    let address = "SELECT street || ' ' || first_name AS value FROM address WHERE customer_id = 'cust_1'";
    assert_eq!(raw.texts(address), ["9 New St Ada"]);
    // An existing checkout keeps its price. A new checkout has the new price.
    assert_eq!(shop.checkouts.read(&alice(), before.id.clone()).await.expect("read"), before);
    let new = new_checkout(request(&[("song", 1)]));
    let answer = shop.checkouts.create(&alice(), create("k2"), new).await.expect("created");
    assert_eq!(about(&answer.outcome).details.totals.total(), Amount::new(900));
}

async fn an_import_that_names_a_row_twice_keeps_the_last(place: Place) {
    let shop = place.shop().await;
    let batch = Batch {
        products: vec![product("song", 900, false), product("song", 950, false)],
        stock: vec![stock("song", 3), stock("song", 4)],
        ..Batch::empty(usd())
    };
    import(&shop, batch).await.expect("imported");
    let mut raw = place.raw();
    assert_eq!(raw.level("song"), (4, 0));
    assert_eq!(raw.number("SELECT price FROM variant WHERE sku = 'song'"), 950);
}

async fn stock_below_held_is_refused_and_nothing_changes(place: Place) {
    let shop = place.shop().await;
    shop.begun(&[("song", 4)], "k1").await;
    let before = place.raw().state();
    let batch = Batch {
        products: vec![product("book", 9_999, false)],
        stock: vec![stock("book", 1), stock("song", 3)],
        ..Batch::empty(usd())
    };
    let refused = import(&shop, batch).await.expect_err("refused");
    assert!(matches!(&refused, Failure::Refused(ImportRefusal::StockBelowHeld { row: 1, held: 4 })), "{refused:?}");
    assert_eq!(place.raw().state(), before);
}

async fn stock_may_fall_to_held(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 4)], "k1").await;
    import(&shop, Batch { stock: vec![stock("song", 4)], ..Batch::empty(usd()) }).await.expect("imported");
    assert_eq!(place.raw().level("song"), (4, 4));
    shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    assert_eq!(place.raw().level("song"), (0, 0));
}

async fn row_with_an_unknown_product_or_customer_is_refused(place: Place) {
    let shop = place.shop().await;
    let before = place.raw().state();
    let batch = Batch { stock: vec![stock("song", 1), stock("ghost", 1)], ..Batch::empty(usd()) };
    let refused = import(&shop, batch).await;
    assert!(matches!(refused, Err(Failure::Refused(ImportRefusal::UnknownProduct(1)))), "{refused:?}");
    let unknown =
        ImportedAddress { id: DestinationId("a".into()), customer: "ghost".into(), address: address("1 Main St") };
    let refused = import(&shop, Batch { addresses: vec![unknown], ..Batch::empty(usd()) }).await;
    assert!(matches!(refused, Err(Failure::Refused(ImportRefusal::UnknownCustomer(0)))), "{refused:?}");
    assert_eq!(place.raw().state(), before);
}

async fn progress_ends_at_the_number_of_rows(place: Place) {
    let shop = Shop::on(place.open());
    shop.database.migrate().expect("a schema");
    let reported = Arc::new(Mutex::new(Vec::new()));
    let progress = {
        let reported = reported.clone();
        Arc::new(move |rows| reported.lock().expect("reported").push(rows))
    };
    let batch = catalogue();
    shop.import.import(&task(), batch.clone(), progress).await.expect("imported");
    let reported = reported.lock().expect("reported");
    assert!(reported.is_sorted(), "{reported:?}");
    assert_eq!(reported.last(), Some(&batch.rows()));
}

async fn fifty_thousand_rows_are_imported(place: Place) {
    let shop = place.shop().await;
    let ids: Vec<String> = (0..25_000).map(|number| format!("part-{number}")).collect();
    let batch = Batch {
        products: ids.iter().map(|id| product(id, 100, false)).collect(),
        stock: ids.iter().map(|id| stock(id, 7)).collect(),
        ..Batch::empty(usd())
    };
    assert_eq!(batch.rows(), 50_000);
    let watch = Stopwatch::start();
    import(&shop, batch).await.expect("imported");
    assert!(watch.elapsed() < Duration::from_secs(60), "{:?}", watch.elapsed());
    let mut raw = place.raw();
    assert_eq!(raw.number("SELECT count(*) FROM variant WHERE sku LIKE 'part-%'"), 25_000);
    assert_eq!(raw.number("SELECT sum(on_hand) FROM stock WHERE sku LIKE 'part-%'"), 25_000 * 7);
}

/// Buyers are served during the import, even on SQLite, where only one transaction writes at a time.
async fn shop_sells_during_a_large_import(place: Place) {
    let shop = place.shop_with(|config| config.pool_wait = Duration::from_secs(2)).await;
    let ids: Vec<String> = (0..10_000).map(|number| format!("part-{number}")).collect();
    let batch = Batch {
        products: ids.iter().map(|id| product(id, 100, false)).collect(),
        stock: ids.iter().map(|id| stock(id, 7)).chain([stock("song", 10)]).collect(),
        ..Batch::empty(usd())
    };
    // Enough stock for the purchases that are made before the first row is stored.
    place.raw().execute("UPDATE stock SET on_hand = 1000000 WHERE sku = 'gift'");
    let (rows, stored) = (batch.rows(), Arc::new(AtomicUsize::new(0)));
    let progress = {
        let stored = stored.clone();
        Arc::new(move |rows| stored.store(rows, Ordering::Release))
    };
    let far = || stored.load(Ordering::Acquire);
    let ctx = task();
    let buying = async {
        let mut beside = 0;
        for purchase in 0.. {
            let (before, bought) = (far(), shop.bought(&[("gift", 1)], &format!("p{purchase}")).await);
            assert!(bought.order.is_some());
            // Counts a purchase that began and ended while rows were stored.
            beside += usize::from(before > 0 && far() < rows);
            if beside == 3 || far() == rows {
                return beside;
            }
        }
        unreachable!("purchases are counted without end")
    };
    let (imported, beside) = tokio::join!(shop.import.import(&ctx, batch, progress), buying);
    imported.expect("imported");
    assert_eq!(beside, 3, "purchases beside the import");
    assert_eq!(far(), rows);
}

async fn a_large_import_is_refused_before_anything_is_stored(place: Place) {
    let shop = place.shop().await;
    shop.begun(&[("song", 4)], "k1").await;
    let before = place.raw().state();
    let ids: Vec<String> = (0..Batch::ATOMIC_ROWS).map(|number| format!("part-{number}")).collect();
    let products: Vec<_> = ids.iter().map(|id| product(id, 100, false)).collect();
    let stocked: Vec<_> = ids.iter().map(|id| stock(id, 7)).collect();
    let row = stocked.len();
    for (last, expected) in [("song", "StockBelowHeld"), ("ghost", "UnknownProduct")] {
        let stock = stocked.iter().cloned().chain([stock(last, 3)]).collect();
        let refused = import(&shop, Batch { products: products.clone(), stock, ..Batch::empty(usd()) }).await;
        let refused = format!("{:?}", refused.expect_err("refused"));
        assert!(refused.contains(expected) && refused.contains(&row.to_string()), "{refused}");
        assert_eq!(place.raw().state(), before);
    }
}

mod order {
    use super::*;
    use domain::customer::DestinationId;
    use domain::platform::{PinnedPlatform, PlatformStore};

    crate::on_both_engines!(lists_are_in_the_order_of_their_bytes);
    crate::on_collated_postgres!(
        lists_are_in_the_order_of_their_bytes,
        buyers_and_an_import_of_any_names_never_deadlock,
    );

    /// The names sorted by their bytes, which is not the order of any language.
    const NAMES: [&str; 6] = ["A-b", "B", "_", "a", "a-a", "aB"];

    async fn lists_are_in_the_order_of_their_bytes(place: Place) {
        let shop = place.shop().await;
        let mut batch = Batch::empty(usd());
        for name in NAMES.into_iter().rev() {
            batch.shipping_rates.push(ShippingRate {
                id: OptionId(name.into()),
                country: Some("US".into()),
                service_level: ServiceLevel(name.into()),
                price: Amount::new(1),
                title: name.into(),
            });
            batch.addresses.push(ImportedAddress {
                id: DestinationId(name.into()),
                customer: "cust_1".into(),
                address: address(name),
            });
            let pinned = PinnedPlatform { id: PlatformId(name.into()), profile: "{}".into(), pinned_at: noon() };
            shop.platforms.pin(&task(), pinned).await.expect("pinned");
        }
        import(&shop, batch).await.expect("imported");
        let pinned = shop.platforms.list(&task(), None, Limit::new(10)).await.expect("listed").items;
        assert_eq!(pinned.iter().map(|platform| platform.id.0.as_str()).collect::<Vec<_>>(), NAMES);
        let mut wanted = rich_request();
        wanted.fulfillment.as_mut().expect("wanted").destinations.clear();
        let answer = shop.checkouts.create(&alice(), create("k1"), new_checkout(wanted)).await.expect("created");
        let shown = format!("{:?}", about(&answer.outcome).details.fulfillment);
        let places: Vec<_> = NAMES.iter().map(|name| shown.find(&format!("DestinationId(\"{name}\")"))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {shown}");
    }

    async fn buyers_and_an_import_of_any_names_never_deadlock(place: Place) {
        let names = ["A-1", "B1", "a-1", "a1", "aB", "b1"];
        let shop = place.shop_with(|config| config.pool_size = 8).await;
        let batch = move || Batch {
            products: names.iter().map(|name| product(name, 100, false)).collect(),
            stock: names.iter().rev().map(|name| stock(name, 1_000)).collect(),
            ..Batch::empty(usd())
        };
        import(&shop, batch()).await.expect("imported");
        let shop = Arc::new(shop);
        let mut all = tokio::task::JoinSet::new();
        for buyer in 0..6 {
            let shop = shop.clone();
            let lines: Vec<_> = (0..6).map(|line| (names[(line + buyer) % 6], 1)).collect();
            all.spawn(async move {
                for purchase in 0..5 {
                    shop.bought(&lines, &format!("b{buyer}-{purchase}")).await;
                }
            });
        }
        let importing = shop.clone();
        all.spawn(async move {
            for _ in 0..10 {
                // The import sets the stock on hand, which buyers change meanwhile. It never sets less than the held
                // stock.
                import(&importing, batch()).await.expect("imported");
            }
        });
        all.join_all().await;
        // A transaction with a deadlock runs again, so only the statistics of Postgres show the deadlock. A session
        // reports its statistics when it ends.
        drop(shop);
        let mut raw = place.raw();
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
        crate::kit::until("all sessions have ended", || raw.number(sessions) == 1).await;
        assert_eq!(raw.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
    }
}

mod locked {
    use super::*;
    use crate::kit::until;

    crate::on_postgres!(stock_held_during_the_import_check_counts, waiting_import_delays_no_buyer_of_other_goods,);

    /// The import waits for a row of its last part. The rows of its earlier parts are no longer locked.
    async fn waiting_import_delays_no_buyer_of_other_goods(place: Place) {
        let shop = place.shop().await;
        let (_, paid) = shop.begun(&[("song", 1)], "paid").await;
        let id = shop.opened(&[("song", 1)], "k1").await.id;
        let ids: Vec<String> = (0..1_000).map(|number| format!("part-{number}")).collect();
        let batch = Batch {
            products: ids.iter().map(|id| product(id, 100, false)).collect(),
            stock: [stock("song", 10)]
                .into_iter()
                .chain(ids.iter().map(|id| stock(id, 7)))
                .chain([stock("gift", 9)])
                .collect(),
            ..Batch::empty(usd())
        };
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.hold("SELECT sku FROM stock WHERE sku = 'gift'");
        let ctx = task();
        let selling = async {
            until("the import waits", || observer.waiting() == 1).await;
            shop.settle(&paid, PaymentOutcome::Confirmed).await;
            shop.begin(&id, "k2").await;
            assert_eq!(observer.waiting(), 1, "it still waits");
            other.release();
        };
        let (imported, ()) = tokio::join!(shop.import.import(&ctx, batch, Arc::new(|_| ())), selling);
        imported.expect("imported");
    }

    async fn stock_held_during_the_import_check_counts(place: Place) {
        let shop = place.shop().await;
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.execute("BEGIN; UPDATE stock SET held = 5 WHERE sku = 'song'");
        let batch = Batch { stock: vec![stock("song", 3)], ..Batch::empty(usd()) };
        let holding = async {
            until("the import waits for the shelf", || observer.waiting() == 1).await;
            other.execute("COMMIT");
        };
        let (imported, ()) = tokio::join!(import(&shop, batch), holding);
        let refused = imported.expect_err("refused");
        assert!(matches!(&refused, Failure::Refused(ImportRefusal::StockBelowHeld { held: 5, .. })), "{refused:?}");
        assert_eq!(place.raw().level("song"), (10, 5));
    }
}
