//! The limits of an import: no more rows than a checkout reads, and no duplicates of unique values. For an import of
//! any size, everything is checked before anything is stored.

use domain::checkout::CheckoutStore;
use domain::customer::{DestinationId, Email};
use domain::fault::Failure;
use domain::fulfillment::{FreeShipping, OptionId, ServiceLevel, ShippingRate};
use domain::import::{Batch, ImportRefusal, ImportedAddress, ImportedCustomer};
use domain::money::{Amount, Currency};
use domain::payment::PaymentOutcome;

use super::import::import;
use crate::kit::data::{about, address, alice, create, new_checkout, product, rich_request, usd};
use crate::kit::{Expected, Place, Shop};
use crate::on_both_engines;

on_both_engines!(
    import_over_a_limit_is_refused_before_anything_is_stored,
    rate_stored_under_another_id_is_refused_by_its_row,
    email_of_another_customer_is_refused_by_its_row,
    import_over_the_address_limit_is_refused,
    duplicates_from_earlier_programs_do_not_prevent_an_import,
);

fn rate(id: &str, country: Option<&str>, level: &str) -> ShippingRate {
    ShippingRate {
        id: OptionId(id.into()),
        country: country.map(Into::into),
        service_level: ServiceLevel(level.into()),
        price: Amount::new(1),
        title: "By rate".into(),
    }
}

fn rates(rates: &[(&str, Option<&str>, &str)]) -> Batch {
    let shipping_rates = rates.iter().map(|(id, country, level)| rate(id, *country, level)).collect();
    Batch { shipping_rates, ..Batch::empty(usd()) }
}

fn customer(id: &str, email: &str) -> ImportedCustomer {
    ImportedCustomer { id: id.into(), name: "A customer".into(), email: Email::parse(email).expect("an address") }
}

fn customers(customers: &[(&str, &str)]) -> Batch {
    Batch { customers: customers.iter().map(|(id, email)| customer(id, email)).collect(), ..Batch::empty(usd()) }
}

/// Replaces the products of the batch by so many products that it is stored in parts. The products are stored first.
fn large(batch: &Batch) -> Batch {
    let ids = (0..=Batch::ATOMIC_ROWS).map(|number| format!("part-{number}"));
    Batch { products: ids.map(|id| product(&id, 100, false)).collect(), ..batch.clone() }
}

/// Checks that the batch is refused both as a small and as a large import, and that nothing is stored. Returns the
/// message.
async fn refused(place: &Place, shop: &Shop, batch: &Batch) -> String {
    let before = place.raw().state();
    let mut messages = Vec::new();
    for batch in [batch.clone(), large(batch)] {
        messages.push(format!("{:?}", import(shop, batch).await.expect_err("refused")));
        assert_eq!(place.raw().state(), before, "{messages:?}");
    }
    assert_eq!(messages[0], messages[1]);
    messages.remove(0)
}

/// Checks that a buyer of an article that is shipped is served.
async fn is_served(place: &Place, shop: &Shop) {
    let key = format!("k{}", place.raw().count("checkout"));
    let answer = shop.checkouts.create(&alice(), create(&key), new_checkout(rich_request())).await.expect("created");
    assert!(about(&answer.outcome).details.fulfillment.as_ref().is_some_and(|arranged| arranged.option().is_some()));
}

async fn import_over_a_limit_is_refused_before_anything_is_stored(place: Place) {
    let shop = place.shop().await;
    let levels = |countries: &[&str], count: usize| {
        let rate = |number: usize| {
            let country = countries.get(number % countries.len().max(1)).copied();
            rate(&format!("rate-{number}"), country, &format!("level-{number}"))
        };
        Batch { shipping_rates: (0..count).map(rate).collect(), ..Batch::empty(usd()) }
    };
    let countries = ["CA", "DE", "FR", "GB", "IT", "JP", "MX", "NL", "SE", "CH", "AT"];
    let promotions = |count: usize| {
        let promotion = |number: usize| FreeShipping {
            id: format!("promotion-{number}"),
            min_subtotal: Some(Amount::new(1_000_000)),
            eligible_skus: Vec::new(),
            description: "Free".into(),
        };
        Batch { free_shipping: (0..count).map(promotion).collect(), ..Batch::empty(usd()) }
    };
    // The shop already has two rates and one promotion. A shop that delivers to two hundred countries has some thousand
    // rates.
    for (fits, too_many, limit) in [
        // Of the two stored rates, one is for the US and one is for every country.
        (levels(&["US"], 499), levels(&["US"], 500), 500),
        (levels(&[], 499), levels(&[], 500), 500),
        (levels(&countries, 4_998), levels(&countries, 4_999), 5_000),
        (promotions(499), promotions(500), 500),
    ] {
        let message = refused(&place, &shop, &too_many).await;
        assert!(message.starts_with("Refused(TooMany") && message.contains(&format!("limit: {limit}")), "{message}");
        for _ in 0..2 {
            // The second import replaces the stored rows, which do not count twice.
            import(&shop, fits.clone()).await.expect("imported");
        }
        is_served(&place, &shop).await;
        // Rates in another currency do not count, because a checkout does not read them.
        let euro =
            Batch { currency: Currency::parse("EUR").expect("a currency"), ..rates(&[("eur", None, "level-0")]) };
        import(&shop, euro).await.expect("imported");
    }
    // If rows are added by hand, the list is not cut off silently either.
    place.raw().execute("INSERT INTO shipping_rate VALUES ('by-hand', NULL, 'by-hand', 1, 'USD', 'By hand')");
    let fault = shop.checkouts.create(&alice(), create("cut"), new_checkout(rich_request())).await.fault();
    assert!(fault.chain().contains("more than 5000 shipping rates"), "{}", fault.chain());
}

async fn rate_stored_under_another_id_is_refused_by_its_row(place: Place) {
    let shop = place.shop().await;
    // The shop has `us-standard` for the US and `world-express` for every country.
    for batch in [
        rates(&[("a", Some("CA"), "standard"), ("b", Some("US"), "standard")]),
        rates(&[("a", Some("US"), "express"), ("b", Some("usa"), "standard")]),
        rates(&[("us-standard", Some("US"), "standard"), ("b", None, "express")]),
        rates(&[("world-express", None, "express"), ("b", Some("US"), "standard")]),
        // The first row replaces the stored rate `world-express`, and then the second row replaces that.
        rates(&[("world-express", None, "slow"), ("world-express", Some("US"), "standard")]),
    ] {
        let message = refused(&place, &shop, &batch).await;
        assert!(message.starts_with("Refused(SameRate { row: 1, "), "{message} {batch:?}");
    }
    // Two rates that exchange their services, and rates for another country, level or currency.
    for batch in [
        rates(&[("us-standard", None, "express"), ("world-express", Some("US"), "standard")]),
        rates(&[("us-standard", Some("US"), "standard"), ("world-express", None, "express")]),
        rates(&[("a", Some("CA"), "standard"), ("b", None, "standard"), ("c", Some("US"), "express")]),
        Batch { currency: Currency::parse("EUR").expect("a currency"), ..rates(&[("d", Some("US"), "standard")]) },
    ] {
        import(&shop, batch.clone()).await.unwrap_or_else(|error| panic!("{error:?} {batch:?}"));
    }
    is_served(&place, &shop).await;
}

async fn email_of_another_customer_is_refused_by_its_row(place: Place) {
    let shop = place.shop().await;
    for batch in [
        customers(&[("cust_2", "tom@example.com"), ("cust_3", "ada@example.com")]),
        customers(&[("cust_2", "tom@example.com"), ("cust_3", "ADA@example.com")]),
    ] {
        let message = refused(&place, &shop, &batch).await;
        assert!(message.starts_with("Refused(SameEmail { row: 1, id: \"cust_1\""), "{message}");
    }
    // The email address moves from one customer to another in one import.
    import(&shop, customers(&[("cust_2", "ada@example.com"), ("cust_1", "tom@example.com")])).await.expect("imported");

    // A customer that was created from an order does not block an import.
    let mut wanted = rich_request();
    wanted.buyer.as_mut().expect("a buyer").email = Email::parse("eve@example.com");
    let answer = shop.checkouts.create(&alice(), create("eve"), new_checkout(wanted)).await.expect("created");
    let (_, attempt) = shop.begin(&about(&answer.outcome).id, "pay").await;
    shop.settle(&attempt, PaymentOutcome::Confirmed).await;
    assert_eq!(place.raw().number("SELECT count(*) FROM customer WHERE email = 'eve@example.com'"), 1);
    for _ in 0..2 {
        import(&shop, customers(&[("cust_eve", "eve@example.com")])).await.expect("imported");
    }
}

async fn import_over_the_address_limit_is_refused(place: Place) {
    let shop = place.shop().await;
    let addresses = |customer: &str, count: usize| {
        let one = |number: usize| ImportedAddress {
            id: DestinationId(format!("a{number}")),
            customer: customer.into(),
            address: address(&format!("{number} Main St")),
        };
        Batch { addresses: (0..count).map(one).collect(), ..Batch::empty(usd()) }
    };
    // The customer already has one address.
    let message = refused(&place, &shop, &addresses("cust_1", 50)).await;
    assert_eq!(message, "Refused(TooManyAddresses { row: 49, limit: 50 })");
    for _ in 0..2 {
        import(&shop, addresses("cust_1", 49)).await.expect("imported");
    }
    let both = Batch {
        addresses: [addresses("cust_2", 50).addresses, addresses("cust_1", 49).addresses].concat(),
        ..customers(&[("cust_2", "tom@example.com")])
    };
    import(&shop, both).await.expect("imported");

    // The buyer is offered each of the addresses.
    let mut wanted = rich_request();
    wanted.fulfillment.as_mut().expect("wanted").destinations.clear();
    let answer = shop.checkouts.create(&alice(), create("k1"), new_checkout(wanted)).await.expect("created");
    let offered = about(&answer.outcome).details.fulfillment.clone().expect("a delivery").destinations;
    // `a1` is the same place as `addr_1`.
    assert_eq!(offered.len(), 49);
}

/// A repeated import of stored rows succeeds, even if there are duplicates among the stored rows.
async fn duplicates_from_earlier_programs_do_not_prevent_an_import(place: Place) {
    let shop = place.shop().await;
    let mut raw = place.raw();
    raw.execute("INSERT INTO customer (id, name, email) VALUES ('cust_0', 'Ada', 'ada@example.com')");
    raw.execute("INSERT INTO shipping_rate VALUES ('zz-old', 'usa', 'standard', 1, 'USD', 'Old')");
    let addresses = (0..60).map(|number| ImportedAddress {
        id: DestinationId(format!("a{number}")),
        customer: "cust_1".into(),
        address: address(&format!("{number} Main St")),
    });
    let mut batch = Batch { addresses: addresses.collect(), ..customers(&[("cust_1", "ada@example.com")]) };
    for row in &batch.addresses {
        let (id, street) = (&row.id.0, row.address.street.as_deref().expect("a street"));
        raw.execute(&format!(
            "INSERT INTO address (customer_id, id, street, country) VALUES ('cust_1', '{id}', '{street}', 'US')"
        ));
    }
    batch.shipping_rates = vec![rate("us-standard", Some("US"), "standard")];
    import(&shop, batch.clone()).await.expect("imported");
    import(&shop, large(&batch)).await.expect("imported");
    batch.addresses[0].id = DestinationId("one more".into());
    let message = format!("{:?}", import(&shop, batch).await.expect_err("refused"));
    assert_eq!(message, "Refused(TooManyAddresses { row: 0, limit: 50 })");
    is_served(&place, &shop).await;
}

mod beside_another {
    use super::*;
    use crate::kit::until;

    crate::on_postgres!(concurrent_imports_do_not_exceed_the_limit_together);

    /// Each of the two imports alone would fit. The test stores the rows of the other import by hand, and does not
    /// commit them at first.
    async fn concurrent_imports_do_not_exceed_the_limit_together(place: Place) {
        let shop = place.shop().await;
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.execute(
            "BEGIN; INSERT INTO shipping_rate SELECT 'other-' || n, NULL, 'other-' || n, 1, 'USD', 'Other' \
             FROM generate_series(1, 4998) AS n",
        );
        let importing = import(&shop, rates(&[("one more", None, "slow")]));
        let committing = async {
            until("the import waits", || observer.waiting() == 1).await;
            other.execute("COMMIT");
        };
        let (imported, ()) = tokio::join!(importing, committing);
        let error = imported.expect_err("refused");
        assert!(matches!(error, Failure::Refused(ImportRefusal::TooMany { limit: 5_000, .. })), "{error:?}");
        is_served(&place, &shop).await;
    }
}
