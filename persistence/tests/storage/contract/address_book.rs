//! The stored addresses of a buyer: imported addresses, and addresses from orders up to a limit, always including the
//! newest.

use domain::checkout::CheckoutStore;
use domain::customer::{Address, Buyer, Destination, DestinationId, Email};
use domain::import::{Batch, ImportedAddress, ImportedCustomer};
use domain::payment::PaymentOutcome;

use super::import::import;
use crate::kit::data::{about, address, alice, create, new_checkout, rich_request, usd};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

const IMPORTED: usize = 50;
const LEARNED: usize = 20;

on_both_engines!(
    full_address_book_keeps_imported_addresses_and_the_latest,
    address_with_a_known_id_is_replaced_everywhere,
    address_of_an_order_is_offered_beside_excess_imported_ones,
    customer_of_another_email_gets_no_address_by_its_id,
);

fn buyer(email: &str) -> Option<Buyer> {
    Some(Buyer { email: Email::parse(email), ..Buyer::default() })
}

/// Returns the addresses that a registered platform is offered for this buyer, in order.
async fn offered(place: &Place, shop: &Shop, email: &str) -> Vec<Destination> {
    let mut wanted = rich_request();
    wanted.buyer = buyer(email);
    wanted.fulfillment.as_mut().expect("a delivery").destinations.clear();
    let key = format!("offered{}", place.raw().count("checkout"));
    let answer = shop.checkouts.create(&alice(), create(&key), new_checkout(wanted)).await.expect("created");
    about(&answer.outcome).details.fulfillment.clone().expect("a delivery").destinations
}

/// Places an order with this delivery address.
async fn bought(place: &Place, shop: &Shop, email: &str, id: &str, to: Address) {
    let mut wanted = rich_request();
    wanted.buyer = buyer(email);
    let delivery = wanted.fulfillment.as_mut().expect("a delivery");
    delivery.destinations = vec![(Some(DestinationId(id.into())), to)];
    delivery.selected_destination = Some(DestinationId(id.into()));
    let number = place.raw().count("checkout");
    let new = new_checkout(wanted);
    let answer = shop.checkouts.create(&alice(), create(&format!("k{number}")), new).await.expect("created");
    let (_, attempt) = shop.begin(&about(&answer.outcome).id, &format!("pay{number}")).await;
    shop.settle(&attempt, PaymentOutcome::Confirmed).await;
}

fn has(offered: &[Destination], id: &str) -> bool {
    offered.iter().any(|one| one.id.0 == id)
}

async fn full_address_book_keeps_imported_addresses_and_the_latest(place: Place) {
    let shop = place.shop().await;
    place.raw().execute("UPDATE stock SET on_hand = 1000");
    let addresses = (1..IMPORTED).map(|number| ImportedAddress {
        id: DestinationId(format!("imported-{number:02}")),
        customer: "cust_1".into(),
        address: address(&format!("{number} Main Road")),
    });
    import(&shop, Batch { addresses: addresses.collect(), ..Batch::empty(usd()) }).await.expect("imported");

    for (email, imported) in [("ada@example.com", IMPORTED), ("eve@example.com", 0)] {
        // The ids rise first and fall later, so that no address is kept only because of its id.
        let ids = (0..=LEARNED).map(|number| format!("m{number:02}")).chain((0..3).rev().map(|n| format!("a{n:02}")));
        for (number, id) in ids.enumerate() {
            bought(&place, &shop, email, &id, address(&format!("{number} Side St"))).await;
            let book = offered(&place, &shop, email).await;
            assert!(has(&book, &id), "{email} {id}");
            assert_eq!(book.len(), imported + (number + 1).min(LEARNED), "{email} {id}");
            assert_eq!(book.iter().filter(|one| one.id.0.starts_with("imported")).count(), imported.saturating_sub(1));
        }
        let stored = format!("SELECT count(*) FROM address WHERE customer_id = 'cust_{email}'");
        assert_eq!(place.raw().number(&stored), LEARNED as i64);
    }
    // The merchant imports a customer with the same email address, and an address of that customer.
    let customers = vec![ImportedCustomer {
        id: "eve".into(),
        name: "Eve".into(),
        email: Email::parse("eve@example.com").expect("one"),
    }];
    let addresses =
        vec![ImportedAddress { id: DestinationId("home".into()), customer: "eve".into(), address: address("9 Z St") }];
    import(&shop, Batch { customers, addresses, ..Batch::empty(usd()) }).await.expect("imported");
    let book = offered(&place, &shop, "eve@example.com").await;
    assert!(has(&book, "home") && book.len() == LEARNED + 1, "{book:?}");
}

async fn address_with_a_known_id_is_replaced_everywhere(place: Place) {
    let shop = place.shop().await;
    let mut raw = place.raw();
    raw.execute("INSERT INTO customer (id, name, email) VALUES ('cust_2', 'Ada', 'ada@example.com')");
    for customer in ["cust_1", "cust_2"] {
        raw.execute(&format!(
            "INSERT INTO address (customer_id, id, street) VALUES ('{customer}', 'home', '{customer}')"
        ));
    }
    bought(&place, &shop, "ada@example.com", "home", address("5 New St")).await;
    assert_eq!(raw.texts("SELECT street AS value FROM address WHERE id = 'home'"), ["5 New St", "5 New St"]);
    assert_eq!(raw.number("SELECT count(*) FROM customer WHERE email = 'ada@example.com'"), 2);
    let book = offered(&place, &shop, "ada@example.com").await;
    assert_eq!(book.iter().filter(|one| one.id.0 == "home").count(), 1, "{book:?}");
}

async fn address_of_an_order_is_offered_beside_excess_imported_ones(place: Place) {
    let shop = place.shop().await;
    // An earlier release imported addresses without a limit. The id of its customer sorts first.
    let mut raw = place.raw();
    raw.execute("INSERT INTO customer (id, name, email) VALUES ('aaa', 'Eve', 'eve@example.com')");
    for number in 0..IMPORTED + LEARNED + 5 {
        raw.execute(&format!(
            "INSERT INTO address (customer_id, id, street) VALUES ('aaa', 'old{number:03}', 'Old St')"
        ));
    }
    bought(&place, &shop, "eve@example.com", "home", address("1 New St")).await;
    let book = offered(&place, &shop, "eve@example.com").await;
    assert!(has(&book, "home"), "{book:?}");
}

async fn customer_of_another_email_gets_no_address_by_its_id(place: Place) {
    let shop = place.shop().await;
    let sql = "INSERT INTO customer (id, name, email) VALUES ('cust_eve@example.com', 'Eve', 'eve@new.example')";
    place.raw().execute(sql);
    bought(&place, &shop, "eve@example.com", "home", address("1 New St")).await;
    assert!(!has(&offered(&place, &shop, "eve@new.example").await, "home"));
    assert_eq!(place.raw().number("SELECT count(*) FROM address WHERE id = 'home'"), 0);
}
