//! Customers: email addresses and postal addresses.

use domain::customer::{Address, DestinationId, Email};

use crate::kit;

fn address(street: &str) -> Address {
    kit::address("US", street)
}

#[test]
fn address_that_cannot_be_mailed_is_not_parsed() {
    for (text, expected) in [
        ("ada@example.com", Some("ada@example.com")),
        (" Ada.Byron+sweets@EXAMPLE.com ", Some("Ada.Byron+sweets@example.com")),
        ("o'brien@example.com", Some("o'brien@example.com")),
        ("ada@bücher.example", Some("ada@bücher.example")),
        ("ada..b@example.com", None),
        (".ada@example.com", None),
        ("ada.@example.com", None),
        ("ada@example..com", None),
        ("ada@-example.com", None),
        ("ädä@example.com", None),
        ("a@b@example.com", None),
        ("ada b@example.com", None),
        ("ada\r\nBcc: eve@example.com", None),
        ("ada@exam ple.com", None),
        ("ada@[127.0.0.1]", None),
        ("ada@a_b.example", None),
        ("ada@127.0.0.1", None),
        ("ada@1.example", Some("ada@1.example")),
        ("\"ada\"@example.com", None),
        ("ada", None),
        ("ada@", None),
        ("@example.com", None),
        ("", None),
        (&format!("{}@example.com", "a".repeat(65)), None),
        (&format!("ada@{}.com", "a".repeat(64)), None),
        (&format!("{}@{}com", "a".repeat(64), "abcdefg.".repeat(30)), None),
    ] {
        assert_eq!(Email::parse(text).as_ref().map(Email::as_str), expected, "{text:?}");
    }
    let longest = format!("{}@{}abcde", "a".repeat(64), "abcdefg.".repeat(23));
    assert_eq!(longest.len(), Email::MAX_LENGTH);
    assert!(Email::parse(&longest).is_some() && Email::parse(&format!("{longest}f")).is_none());
    assert_eq!(Email::parse("Ada@Example.com").expect("valid").key(), "ada@example.com");
}

#[test]
fn same_place_gets_the_same_id() {
    let (plain, shouted) = (address("123 Main St"), address(" 123 MAIN ST "));
    assert_eq!(DestinationId::derived(&plain), DestinationId::derived(&shouted));
    assert_ne!(DestinationId::derived(&plain), DestinationId::derived(&address("124 Main St")));
    let named = Address { first_name: Some("Ada".into()), ..plain.clone() };
    assert!(named.same_place(&plain));
    // The parts of an address are compared one by one, so the same text in other parts is another place.
    let (split, joined) =
        (Address { locality: Some("b".into()), ..address("a") }, Address { locality: None, ..address("ab") });
    assert!(!split.same_place(&joined));
}
