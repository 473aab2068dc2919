//! Tests of `rows.rs`.

use super::super::table::Reading;
use super::*;

/// Reads `text` as a file of this table. Returns the first row, or the problems.
fn first<T, const N: usize>(table: &Table<T, N>, text: &str) -> Result<T, String> {
    let mut reading = Reading::new(Currency::parse("USD").expect("valid"));
    let rows = table.read(text.as_bytes(), &mut reading);
    rows.into_iter().next().ok_or(reading.problems.to_string())
}

#[test]
fn product_requires_shipping_by_default() {
    let header = "id,title,price,image_url";
    for (text, ships) in [
        (format!("{header}\na,A,5,\n"), true),
        (format!("{header},requires_shipping\na,A,5,,\n"), true),
        (format!("requires_shipping,{header}\nfalse,a,A,5,\n"), false),
    ] {
        let product = first(&PRODUCTS, &text).expect("good");
        assert_eq!((product.id.0.as_str(), product.variant.sku.as_str()), ("a", "a"));
        assert_eq!((product.variant.requires_shipping, product.variant.image_url), (ships, None), "{text}");
    }
    let problem = first(&PRODUCTS, "id,title,price,image_url\n\na,A,12.5,\n").expect_err("bad");
    assert_eq!(problem, r#"products.csv:3: price: must be a whole number of minor units, not "12.5""#);
}

#[test]
fn addresses_are_told_apart_by_customer_and_id() {
    let mut reading = Reading::new(Currency::parse("USD").expect("valid"));
    let text = "id,customer_id,street_address,city,state,postal_code,country\n\
                    home,ada,,,,,US\nhome,tom,1 High St,,,,GB\nhome,ada,,,,,US\nwork,ada,,,,,\n";
    let rows = ADDRESSES.read(text.as_bytes(), &mut reading);
    let street = |row: &ImportedAddress| row.address.street.clone();
    assert_eq!(rows.iter().map(street).collect::<Vec<_>>(), [None, Some("1 High St".to_owned())]);
    let expected = "addresses.csv:4: id: is the same as in line 2\n\
                        addresses.csv:5: country: must be a country of ISO 3166-1, such as US, not \"\"";
    assert_eq!(reading.problems.to_string(), expected);
}

#[test]
fn discounts_are_of_the_order_or_of_lines() {
    let header = "code,type,value,description,eligible_item_ids";
    let read = |row: &str| first(&DISCOUNTS, &format!("{header}\n{row}\n"));
    let discount = read(r#"ten,percentage,12.5,T,"[""a"",""b""]""#).expect("good");
    assert_eq!(discount.code.as_str(), "TEN");
    assert_eq!(discount.value, DiscountValue::Percentage { basis_points: 1250 });
    assert!(matches!(discount.scope, DiscountScope::Lines(skus) if skus.len() == 2));
    let discount = read("X,fixed_amount,500,T,").expect("good");
    assert!(matches!(discount.value, DiscountValue::Fixed(amount) if amount.minor() == 500));
    assert_eq!(discount.scope, DiscountScope::Order);
    let long = format!("{},percentage,1,T,", "ß".repeat(40));
    for (row, column) in [
        ("X,percent,5,T,", "type"),
        ("X,percentage,101,T,", "value"),
        ("X,fixed_amount,0,T,", "value"),
        ("X,fixed_amount,1.50,T,", "value"),
        ("X,percentage,5,,", "description"),
        ("X,percentage,5,T,[]", "eligible_item_ids"),
        (&long, "code"),
    ] {
        let problem = read(row).expect_err("bad");
        assert!(problem.starts_with(&format!("discounts.csv:2: {column}: ")), "{row}: {problem}");
    }
    assert!(first(&DISCOUNTS, "code,type,value,description\nX,percentage,5,T\n").is_ok());
    let mut reading = Reading::new(Currency::parse("USD").expect("valid"));
    DISCOUNTS.read(format!("{header}\nx,percentage,5,T,\nX,percentage,5,T,\n").as_bytes(), &mut reading);
    assert_eq!(reading.problems.to_string(), "discounts.csv:3: code: is the same as in line 2");
}

#[test]
fn promotion_without_a_condition_is_refused() {
    let header = "id,type,min_subtotal,eligible_item_ids,description";
    let read = |row: &str| first(&PROMOTIONS, &format!("{header}\n{row}\n"));
    let promotion = read(r#"promo_2,free_shipping,,["bouquet_roses"],Free Shipping"#).expect("good");
    assert_eq!((promotion.min_subtotal, promotion.eligible_skus.len()), (None, 1));
    let promotion = read("p,free_shipping,0,,T").expect("good");
    assert_eq!(promotion.min_subtotal.map(|amount| amount.minor()), Some(0));
    for row in ["p,free_shipping,,,T", "p,half_price,5,,T", "p,free_shipping,-5,,T", "p,free_shipping,,a,T"] {
        assert!(read(row).is_err(), "{row}");
    }
}

#[test]
fn error_of_a_row_with_a_token_omits_the_token() {
    let header = "id,type,brand,last_digits,token,handler_id";
    let control = "tok_\u{7}hunter2";
    let long = "hunter2".repeat(100);
    for text in [
        format!("{header}\ni,card,Visa,1234,{control},h\n"),
        format!("{header}\ni,card,Visa,1234,{long},h\n"),
        format!("{header}\ni,card,Visa,hunter2,1234,h\n"),
        format!("{header}\ni,card,Visa,1234,hunter2,h,extra\n"),
        "i,card,Visa,1234,hunter2,h\n".to_owned(),
    ] {
        let problems = first(&INSTRUMENTS, &text).expect_err("bad");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
    for (row, column) in [
        ("4242424242424242,card,Visa,4242,t,h", "id"),
        ("i,4242424242424242,Visa,4242,t,h", "type"),
        ("i,card,4242 4242 4242 4242,4242,t,h", "brand"),
        ("i,card,Visa,4242,t,4242424242424242", "handler_id"),
    ] {
        let problems = first(&INSTRUMENTS, &format!("{header}\n{row}\n")).expect_err("bad");
        assert_eq!(problems, format!("payment_instruments.csv:2: {column}: must not hold a card number"));
    }
    let instrument = first(&INSTRUMENTS, &format!("{header}\ni,wallet,,,hunter2,h\n")).expect("good");
    assert_eq!((instrument.token.as_str(), instrument.brand.as_str()), ("hunter2", ""));
}

#[test]
fn files_are_in_the_order_of_their_names() {
    assert!(FILES.is_sorted());
}
