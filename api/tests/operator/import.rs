//! `tuckshop import DIR`: it imports everything or nothing, and names errors by file and line.

use serde_json::Value;

use crate::kit::Place;
use crate::kit::basket::{basket, codes};
use crate::kit::command::{Finished, tuckshop_at};

const PRODUCTS: &str = "id,title,price,image_url,requires_shipping\n";

/// Imports these files, given as name and text.
fn import(place: &Place, files: &[(&str, &str)]) -> Finished {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).expect("a file");
    }
    tuckshop_at(place, &["import", directory.path().to_str().expect("text")], &[])
}

/// Imports two products, one of which is in stock.
fn import_two_products(place: &Place) {
    let products = format!("{PRODUCTS}apple,Apple,50,,false\npear,Pear,70,,false\n");
    let finished =
        import(place, &[("products.csv", &products), ("inventory.csv", "product_id,quantity\napple,3\npear,0\n")]);
    assert_eq!(finished.code, 0, "{}", finished.err);
    for shown in ["products.csv", "inventory.csv", "2 rows", "Imported."] {
        assert!(finished.out.contains(shown), "{}", finished.out);
    }
}

/// The item of the apple, as a checkout shows it.
async fn apple_item(place: &Place) -> Value {
    let server = place.serve().await;
    server.post("/checkout-sessions", &basket(&[("apple", 1)])).await.body(201)["line_items"][0]["item"].clone()
}

async fn imported_catalog_is_sold(place: Place) {
    import_two_products(&place);
    let server = place.serve().await;
    let checkout = server.post("/checkout-sessions", &basket(&[("apple", 3), ("pear", 1)])).await.body(201);
    assert_eq!(checkout["line_items"][0]["item"]["title"], "Apple");
    assert_eq!(checkout["line_items"][0]["item"]["price"], 50);
    assert_eq!(codes(&checkout), ["out_of_stock"]);
    let demo = server.post("/checkout-sessions", &basket(&[("eraser", 1)])).await.refused_in_band();
    assert_eq!(demo[0]["code"], "item_unavailable", "the demo catalogue was added to an imported one");
}

async fn import_replaces_existing_rows(place: Place) {
    import_two_products(&place);
    let products = format!("{PRODUCTS}apple,Big Apple,80,https://shop.example/apple.jpg,false\n");
    assert_eq!(import(&place, &[("products.csv", &products)]).code, 0);
    let apple = apple_item(&place).await;
    assert_eq!((&apple["title"], &apple["price"]), (&"Big Apple".into(), &80.into()));
    assert_eq!(apple["image_url"], "https://shop.example/apple.jpg");
}

/// Valid rows before, after and beside the invalid ones.
async fn bad_row_is_named_and_nothing_is_changed(place: Place) {
    import_two_products(&place);
    let before = apple_item(&place).await;
    let products = format!("{PRODUCTS}apple,Poisoned,1,,false\npear,Pear,7.5,,false\nplum,,9,,false\n");
    let finished = import(
        &place,
        &[
            ("products.csv", &products),
            ("inventory.csv", "product_id,quantity\napple,99\npear,-1\n"),
            ("customers.csv", "id,name,email\nc1,C,nowhere\n"),
        ],
    );
    assert_eq!(finished.code, 1, "{}", finished.out);
    for named in [
        "nothing was imported",
        "products.csv:3: price: ",
        "products.csv:4: title: ",
        "inventory.csv:3: quantity: ",
        "customers.csv:2: email: ",
    ] {
        assert!(finished.err.contains(named), "no {named} in\n{}", finished.err);
    }
    assert_eq!(apple_item(&place).await, before);
}

/// Errors that only the database detects are reported by line too.
async fn refused_row_is_named_and_nothing_is_changed(place: Place) {
    import_two_products(&place);
    let before = apple_item(&place).await;
    let products = format!("{PRODUCTS}apple,Poisoned,1,,false\n");
    let stock = "product_id,quantity\napple,99\nunicorn,5\n";
    let finished = import(&place, &[("products.csv", &products), ("inventory.csv", stock)]);
    assert_eq!(finished.code, 1, "{}", finished.out);
    assert!(finished.err.contains("inventory.csv:3: product_id: "), "{}", finished.err);
    assert_eq!(apple_item(&place).await, before);

    let stranger = "id,customer_id,street_address,city,state,postal_code,country\nhome,missing,1 High St,,,,US\n";
    let finished = import(&place, &[("addresses.csv", stranger)]);
    assert!(finished.code == 1 && finished.err.contains("addresses.csv:2: customer_id: "), "{}", finished.err);
}

/// A rate or an email address that is already stored under another id.
async fn conflict_with_existing_data_is_named_by_line(place: Place) {
    let rates = |row: &str| format!("id,country_code,service_level,price,title\n{row}\n");
    let customers = |row: &str| format!("id,name,email\n{row}\n");
    let (us, ada) = (rates("us,US,standard,5,US"), customers("ada,Ada,ada@example.com"));
    let first = import(&place, &[("shipping_rates.csv", &us), ("customers.csv", &ada)]);
    assert_eq!(first.code, 0, "{}", first.err);
    for (file, text, expected) in [
        (
            "shipping_rates.csv",
            rates("\nusa,USA,standard,9,US"),
            "shipping_rates.csv:3: country_code and service_level: is the same as that of the rate \"us\" in the shop: give this row the id \"us\", or name both rates in the file",
        ),
        (
            "customers.csv",
            customers("tom,Tom,tom@example.com\neve,Eve,ADA@example.com"),
            "customers.csv:3: email: is the same as that of the customer \"ada\" in the shop: give this row the id \"ada\", or name both customers in the file",
        ),
    ] {
        let finished = import(&place, &[(file, &text)]);
        assert!(finished.code == 1 && finished.err.contains(expected), "{}", finished.err);
        assert!(finished.err.contains("nothing was imported"), "{}", finished.err);
    }
    let again = import(&place, &[("shipping_rates.csv", &us), ("customers.csv", &ada)]);
    assert_eq!(again.code, 0, "{}", again.err);
}

async fn directory_without_known_files_is_refused(place: Place) {
    let nothing = import(&place, &[("readme.txt", "hello")]);
    assert!(nothing.code == 1 && nothing.err.contains("none of the files"), "{}", nothing.err);
    let misspelt = import(&place, &[("product.csv", PRODUCTS)]);
    assert!(misspelt.code == 1 && misspelt.err.contains("product.csv: is unknown"), "{}", misspelt.err);
    let nowhere = tuckshop_at(&place, &["import", "/nowhere/at/all"], &[]);
    assert!(nowhere.code == 1 && nowhere.err.contains("/nowhere/at/all"), "{}", nowhere.err);
}

async fn import_never_shows_a_token(place: Place) {
    let header = "id,type,brand,last_digits,token,handler_id\n";
    let bad = format!("{header}i1,card,Visa,4242,on_file_token,mock_payment_handler,extra\n,card,,x,on_file_token,\n");
    let finished = import(&place, &[("payment_instruments.csv", &bad)]);
    assert_eq!(finished.code, 1);
    assert!(finished.err.contains("payment_instruments.csv:2: "), "{}", finished.err);
    let shown = format!("{}{}", finished.err, finished.out);
    assert!(!shown.contains("on_file_token"), "{shown}");
}

crate::on_both_engines!(
    imported_catalog_is_sold,
    import_replaces_existing_rows,
    bad_row_is_named_and_nothing_is_changed,
    refused_row_is_named_and_nothing_is_changed,
    conflict_with_existing_data_is_named_by_line,
    directory_without_known_files_is_refused,
    import_never_shows_a_token,
);
