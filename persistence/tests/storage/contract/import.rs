//! An import is stored whole or not at all, and can be run again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::checkout::CheckoutBook;
use domain::context::Stopwatch;
use domain::customer::{Address, DestinationId};
use domain::import::{Batch, Import, ImportError, Imported, ImportedAddress, StockBelowHeld};
use domain::money::Amount;
use domain::payment::PaymentOutcome;

use crate::kit::data::{
    about, address, alice, catalogue, create, new_checkout, product, request, sku, stock, task, usd,
};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

on_both_engines!(
    an_import_fills_an_empty_shop,
    an_import_can_be_run_again,
    an_import_replaces_what_it_names_and_leaves_the_rest,
    an_import_that_names_a_row_twice_keeps_the_last,
    stock_below_what_is_held_is_refused_and_nothing_changes,
    stock_may_fall_to_what_is_held,
    what_names_an_unknown_product_or_customer_is_refused,
    progress_ends_at_the_number_of_rows,
    fifty_thousand_rows_go_in_at_once,
);

async fn import(shop: &Shop, batch: Batch) -> Result<Imported, ImportError> {
    shop.import.import(&task(), batch, Arc::new(|_| ())).await
}

async fn an_import_fills_an_empty_shop(place: Place) {
    let shop = Shop::on(place.open());
    shop.database.migrate().expect("a schema");
    assert!(shop.import.is_empty(&task()).await.expect("asked"));
    let batch = catalogue();
    assert_eq!(import(&shop, batch.clone()).await.expect("imported").rows, batch.rows());
    assert!(!shop.import.is_empty(&task()).await.expect("asked"));
    shop.opened(&[("song", 1)], "k1").await;
}

async fn an_import_can_be_run_again(place: Place) {
    let shop = place.shop().await;
    shop.begun(&[("song", 2)], "k1").await;
    let before = place.raw().state();
    import(&shop, catalogue()).await.expect("imported");
    assert_eq!(place.raw().state(), before);
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
    // A checkout keeps the price it was quoted; a new one has the new price.
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

async fn stock_below_what_is_held_is_refused_and_nothing_changes(place: Place) {
    let shop = place.shop().await;
    shop.begun(&[("song", 4)], "k1").await;
    let before = place.raw().state();
    let batch = Batch {
        products: vec![product("book", 9_999, false)],
        stock: vec![stock("book", 1), stock("song", 3)],
        ..Batch::empty(usd())
    };
    let refused = import(&shop, batch).await.expect_err("refused");
    let expected = StockBelowHeld { row: 1, sku: sku("song"), held: 4 };
    assert!(matches!(&refused, ImportError::StockBelowHeld(why) if *why == expected), "{refused:?}");
    assert_eq!(place.raw().state(), before);
}

async fn stock_may_fall_to_what_is_held(place: Place) {
    let shop = place.shop().await;
    let (_, attempt) = shop.begun(&[("song", 4)], "k1").await;
    import(&shop, Batch { stock: vec![stock("song", 4)], ..Batch::empty(usd()) }).await.expect("imported");
    assert_eq!(place.raw().level("song"), (4, 4));
    shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    assert_eq!(place.raw().level("song"), (0, 0));
}

async fn what_names_an_unknown_product_or_customer_is_refused(place: Place) {
    let shop = place.shop().await;
    let before = place.raw().state();
    let batch = Batch { stock: vec![stock("song", 1), stock("ghost", 1)], ..Batch::empty(usd()) };
    let refused = import(&shop, batch).await;
    assert!(matches!(refused, Err(ImportError::UnknownProduct(1))), "{refused:?}");
    let nobody =
        ImportedAddress { id: DestinationId("a".into()), customer: "ghost".into(), address: address("1 Main St") };
    let refused = import(&shop, Batch { addresses: vec![nobody], ..Batch::empty(usd()) }).await;
    assert!(matches!(refused, Err(ImportError::UnknownCustomer(0))), "{refused:?}");
    assert_eq!(place.raw().state(), before);
}

async fn progress_ends_at_the_number_of_rows(place: Place) {
    let shop = Shop::on(place.open());
    shop.database.migrate().expect("a schema");
    let told = Arc::new(Mutex::new(Vec::new()));
    let progress = {
        let told = told.clone();
        Arc::new(move |rows| told.lock().expect("told").push(rows))
    };
    let batch = catalogue();
    shop.import.import(&task(), batch.clone(), progress).await.expect("imported");
    let told = told.lock().expect("told");
    assert!(told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&batch.rows()));
}

async fn fifty_thousand_rows_go_in_at_once(place: Place) {
    let shop = place.shop().await;
    let ids: Vec<String> = (0..25_000).map(|number| format!("part-{number}")).collect();
    let batch = Batch {
        products: ids.iter().map(|id| product(id, 100, false)).collect(),
        stock: ids.iter().map(|id| stock(id, 7)).collect(),
        ..Batch::empty(usd())
    };
    assert_eq!(batch.rows(), 50_000);
    let watch = Stopwatch::start();
    assert_eq!(import(&shop, batch).await.expect("imported").rows, 50_000);
    assert!(watch.elapsed() < Duration::from_secs(60), "{:?}", watch.elapsed());
    let mut raw = place.raw();
    assert_eq!(raw.number("SELECT count(*) FROM variant WHERE sku LIKE 'part-%'"), 25_000);
    assert_eq!(raw.number("SELECT sum(on_hand) FROM stock WHERE sku LIKE 'part-%'"), 25_000 * 7);
}

mod locked {
    use super::*;
    use crate::kit::until;

    crate::on_postgres!(what_is_held_while_an_import_looks_counts);

    async fn what_is_held_while_an_import_looks_counts(place: Place) {
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
        assert!(matches!(&refused, ImportError::StockBelowHeld(why) if why.held == 5), "{refused:?}");
        assert_eq!(place.raw().level("song"), (10, 5));
    }
}
