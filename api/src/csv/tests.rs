//! Tests of this module.

use domain::fulfillment::OptionId;
use domain::money::Currency;

use super::*;

fn read_texts(texts: &'static [(&'static str, &'static str)]) -> Result<Read, ReadError> {
    let source = |file: &'static str| {
        let found = texts.iter().find(|(name, _)| *name == file);
        Ok(found.map(|(_, text)| Cow::Borrowed(text.as_bytes())))
    };
    read(&source, Reading::new(Currency::parse("USD").expect("valid")))
}

#[test]
fn customers_with_one_address_and_rates_for_one_country_are_refused_by_line() {
    let customers = "id,name,email\na,Ann,ann@shop.example\nb,Bob,bob@shop.example\nc,Cat,ANN@shop.example\n";
    let rates = "id,country_code,service_level,price,title\n\
                     std,default,standard,5,S\nus,US,standard,5,S\nexp,US,express,5,E\nusa,USA,standard,9,T\nall,default,standard,9,T\n";
    let Err(ReadError::Problems(problems)) =
        read_texts(Box::leak(Box::new([("customers.csv", customers), ("shipping_rates.csv", rates)])))
    else {
        panic!("both files have conflicting rows")
    };
    assert_eq!(
        problems.to_string(),
        "customers.csv:4: email: is the same as in line 2\n\
             shipping_rates.csv:5: country_code and service_level: is the same as in line 3\n\
             shipping_rates.csv:6: country_code and service_level: is the same as in line 2"
    );
}

#[test]
fn refusal_of_the_shop_is_reported_by_line() {
    let read = read_texts(&[
        ("inventory.csv", "product_id,quantity\na,1\n\nb,2\n"),
        ("addresses.csv", "id,customer_id,street_address,city,state,postal_code,country\n\n\nx,y,,,,,US\n"),
    ]);
    let Ok(read) = read else { panic!("both are good") };
    assert_eq!((read.batch.rows(), read.batch.stock.len(), read.batch.addresses.len()), (3, 2, 1));
    assert_eq!(read.positions.files().collect::<Vec<_>>(), [("addresses.csv", 1), ("inventory.csv", 2)]);
    for (refused, shown) in [
        (ImportRefusal::UnknownProduct(1), "inventory.csv:4: product_id: names a product that is neither "),
        (ImportRefusal::UnknownCustomer(0), "addresses.csv:4: customer_id: names a customer who is neither "),
        (
            ImportRefusal::StockBelowHeld { row: 0, held: 7 },
            "inventory.csv:2: quantity: must be at least 7: that many ",
        ),
    ] {
        let problem = read.positions.problem(&refused).expect("a row's fault").to_string();
        assert!(problem.starts_with(shown), "{problem}");
    }
    assert_eq!(read.positions.problem(&ImportRefusal::UnknownProduct(2)), None);
}

#[test]
fn conflict_with_a_stored_row_is_reported_by_line() {
    let read = read_texts(&[
        ("addresses.csv", "id,customer_id,street_address,city,state,postal_code,country\nx,c,,,,,US\n"),
        ("customers.csv", "id,name,email\na,A,a@shop.example\n\nc,C,c@shop.example\n"),
        ("shipping_rates.csv", "id,country_code,service_level,price,title\nstd,default,standard,5,S\n"),
    ]);
    let Ok(read) = read else { panic!("all are good") };
    for (refused, shown) in [
        (
            ImportRefusal::SameRate { row: 0, id: OptionId("old".into()) },
            "shipping_rates.csv:2: country_code and service_level: is the same as that of the rate \"old\" in the shop: give this row the id \"old\", or name both rates in the file",
        ),
        (
            ImportRefusal::SameEmail { row: 1, id: "b".into() },
            "customers.csv:4: email: is the same as that of the customer \"b\" in the shop: give this row the id \"b\", or name both customers in the file",
        ),
        (
            ImportRefusal::TooManyAddresses { row: 0, limit: 50 },
            "addresses.csv:2: customer_id: would have more than 50 addresses, those in the shop included: leave some out",
        ),
    ] {
        assert_eq!(read.positions.problem(&refused).expect("a row's fault").to_string(), shown);
    }
}

#[test]
fn problems_of_all_files_are_reported_together() {
    let read = read_texts(&[
        ("products.csv", "id,title,price,image_url\na,A,1,\nb,,1,\n"),
        ("customers.csv", "id,name,email\nc,C,c@example.com\nd,D,d\n"),
        ("promotions.csv", "id\n"),
    ]);
    let Err(error) = read else { panic!("three are bad") };
    let shown = error.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], r#"customers.csv:3: email: must be an e-mail address, not "d""#);
    assert_eq!(lines[1], "products.csv:3: title: must not be empty");
    assert_eq!(lines.len(), 2 + 4, "{shown}");
}
