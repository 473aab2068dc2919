//! Tests of `field.rs`.

use super::*;

fn field(text: &str) -> Field<'_> {
    Field { column: "x", text, confidential: false }
}

#[test]
fn percentages_become_basis_points_without_floating_point() {
    for (text, expected) in [
        ("10", Some(1000)),
        ("100", Some(10_000)),
        ("100.00", Some(10_000)),
        ("12.5", Some(1250)),
        ("0.01", Some(1)),
        ("33.33", Some(3333)),
        ("0", None),
        ("0.00", None),
        ("100.01", None),
        ("1.005", None),
        ("-5", None),
        ("+5", None),
        ("5.", None),
        (".5", None),
        ("1.2.3", None),
        ("10%", None),
        ("1e1", None),
        ("", None),
    ] {
        assert_eq!(field(text).basis_points().ok(), expected, "{text:?}");
    }
}

#[test]
fn amounts_are_whole_and_bounded() {
    let most = Amount::MAX_PRICE;
    for (text, least, expected) in [
        ("0", 0, Ok(Amount::ZERO)),
        ("1000000000000", 0, Ok(Amount::new(most))),
        ("12.5", 0, Err(r#"must be a whole number of minor units, not "12.5""#)),
        ("-1", 0, Err(r#"must be a whole number of minor units, not "-1""#)),
        ("", 0, Err(r#"must be a whole number of minor units, not """#)),
        ("0", 1, Err(r#"must be between 1 and 1000000000000 minor units, not "0""#)),
        (
            "99999999999999999999",
            0,
            Err(r#"must be between 0 and 1000000000000 minor units, not "99999999999999999999""#),
        ),
    ] {
        assert_eq!(field(text).amount(least), expected.map_err(|message| field(text).bad(message)), "{text:?}");
    }
}

#[test]
fn addresses_of_the_web_and_of_people_are_checked() {
    for (text, expected) in [
        ("", Ok(None)),
        ("https://a.example/b c.jpg", Ok(Some("https://a.example/b%20c.jpg"))),
        ("HTTP://a.example", Ok(Some("http://a.example/"))),
        ("ftp://a.example/x", Err(())),
        ("javascript:alert(1)", Err(())),
        ("images/x.jpg", Err(())),
        ("https://", Err(())),
        ("https://a.example/\nx", Err(())),
        ("https://user:pw@a.example/x", Err(())),
        ("https://user@a.example/x", Err(())),
        ("https://:pw@a.example/x", Err(())),
        ("https://a.example/\"x\".jpg", Err(())),
        ("https://a.example/%22x%22.jpg", Ok(Some("https://a.example/%22x%22.jpg"))),
        ("https://a.example/user@x", Ok(Some("https://a.example/user@x"))),
    ] {
        let url = field(text).optional_url().map_err(drop);
        assert_eq!(url.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{text:?}");
    }
    for (text, valid) in [("a@example.com", true), ("a@b@example.com", false), ("a", false), ("", false)] {
        assert_eq!(field(text).email().is_ok(), valid, "{text:?}");
    }
}

#[test]
fn words_digits_and_lists_have_one_spelling() {
    let ids = |text| field(text).item_ids().map(|skus| skus.len()).ok();
    let long = format!("[{}]", vec![r#""a""#; MAX_ITEM_IDS + 1].join(","));
    for (text, expected) in [
        ("", Some(0)),
        (r#"["a"]"#, Some(1)),
        (r#"["a", "b"]"#, Some(2)),
        ("[]", None),
        ("[1]", None),
        (r#"[""]"#, None),
        ("a", None),
        (r#"["a""#, None),
        (&long, None),
    ] {
        assert_eq!(ids(text), expected, "{text:?}");
    }
    for (text, valid) in [("", true), ("12", true), ("1234", true), ("1", false), ("12345", false), ("12a4", false)] {
        assert_eq!(field(text).last_digits().is_ok(), valid, "{text:?}");
    }
    for (text, expected) in
        [("US", Some("US")), ("us", Some("US")), ("Germany", Some("DE")), ("XX", None), ("ÄÖ", None), ("", None)]
    {
        assert_eq!(field(text).country().ok().as_ref().map(Country::as_str), expected, "{text:?}");
    }
    for (text, expected) in [("", Some(true)), ("true", Some(true)), ("false", Some(false)), ("no", None)] {
        assert_eq!(field(text).flag(true).ok(), expected, "{text:?}");
    }
    let bad = field("c").one_of(&[("a", 1), ("b", 2)]).expect_err("neither");
    assert_eq!(bad.message, r#"must be a or b, not "c""#);
}

#[test]
fn text_is_bounded_and_messages_are_harmless() {
    let (fits, long) = ("é".repeat(64), "é".repeat(65));
    assert!(field(&fits).id().is_ok() && field(&fits).sku().is_ok());
    for (text, message) in [
        ("", "must not be empty"),
        ("a\u{7}b", "must not contain line breaks or other control characters"),
        (&long, "must not be longer than 128 bytes"),
        (&long.repeat(2), "must not be longer than 128 characters"),
    ] {
        assert_eq!(field(text).id().expect_err("bad").message, message, "{text:?}");
    }
    let nasty = format!("\u{1b}[31m{}", "x".repeat(100));
    let message = field(&nasty).flag(true).expect_err("bad").message;
    assert!(message.starts_with(r#"must be true or false, not "\u{1b}[31mxx"#) && message.ends_with(r#"x"..."#));
    let secret = Field { confidential: true, ..field("hunter2") };
    assert_eq!(secret.flag(true).expect_err("bad").message, "must be true or false");
}
