//! Buyers, addresses and destinations.

use email_address::EmailAddress;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::country::Country;

/// An e-mail address that can be mailed. The part before the @ is kept as it was given: only its own host may say
/// whether capital letters matter there (RFC 5321, section 2.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// Of a whole path in SMTP, without its brackets (RFC 5321, section 4.5.3.1.3).
    pub const MAX_LENGTH: usize = 254;

    /// Reads an address. `None` for one that could not be mailed. Among those are international names before the @,
    /// since relays without SMTPUTF8 have no spelling for them, and quoted ones, which mailers do not write.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@')?;
        let ascii = idna::domain_to_ascii_strict(domain).ok()?;
        let can_be_mailed = local.len() + 1 + ascii.len() <= Self::MAX_LENGTH
            && local.is_ascii()
            && !local.contains('"')
            && !text.contains(char::is_control)
            && EmailAddress::is_valid_local_part(local)
            && EmailAddress::is_valid_domain(&ascii)
            && !ends_in_a_number(&ascii);
        can_be_mailed.then(|| Self(format!("{local}@{}", domain.to_lowercase())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By which a customer is found: without regard to case, because people write their own address in more than one.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

/// Such a domain is, or looks like, a number of the Internet Protocol. No top-level domain begins with a digit.
fn ends_in_a_number(domain: &str) -> bool {
    domain.rsplit('.').next().is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()))
}

/// What a platform told about the person who buys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buyer {
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub email: Option<Email>,
    pub phone_number: Option<String>,
    pub consent: Option<Consent>,
}

/// What the buyer agreed to. `None` means that nothing was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    pub analytics: Option<bool>,
    pub preferences: Option<bool>,
    pub marketing: Option<bool>,
    pub sale_of_data: Option<bool>,
}

/// A postal address. All parts are optional: what a carrier needs differs by country.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub street: Option<String>,
    pub extended: Option<String>,
    pub locality: Option<String>,
    pub region: Option<String>,
    pub postal_code: Option<String>,
    pub country: Option<Country>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub phone_number: Option<String>,
}

impl Address {
    /// Whether it names a place within its country. Which parts a carrier needs beyond that differs by country.
    pub fn names_a_place(&self) -> bool {
        [&self.street, &self.extended, &self.locality, &self.postal_code]
            .into_iter()
            .flatten()
            .any(|part| !part.trim().is_empty())
    }

    /// Whether both name the same place. Names and telephone numbers of the recipient do not matter.
    pub fn same_place(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// Whether both name the same place and the same recipient there.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        let recipient = |address: &Self| {
            [&address.first_name, &address.last_name]
                .map(|name| name.as_deref().unwrap_or_default().trim().to_lowercase())
        };
        recipient(self) == recipient(other) && self.same_place(other)
    }

    fn place(&self) -> [String; 6] {
        let country = self.country.as_ref().map(Country::as_str);
        let parts = [&self.street, &self.extended, &self.locality, &self.region, &self.postal_code];
        let [street, extended, locality, region, postal_code] = parts.map(|part| part.as_deref());
        [street, extended, locality, region, postal_code, country]
            .map(|part| part.unwrap_or_default().trim().to_lowercase())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DestinationId(pub String);

impl DestinationId {
    pub const MAX_LENGTH: usize = 128;

    /// The id of an address that came without one: the same place always gets the same id.
    pub fn derived(address: &Address) -> Self {
        let content = address.place().join("\u{1f}");
        Self(format!("dest_{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, content.as_bytes()).simple()))
    }
}

/// An address that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub id: DestinationId,
    pub address: Address,
}

/// The address in `book` that names the same place as `address`, if any.
pub fn known_by<'a>(book: &'a [Destination], address: &Address) -> Option<&'a Destination> {
    book.iter().find(|known| known.address.same_place(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(street: &str) -> Address {
        Address { street: Some(street.into()), country: Some("US".into()), ..Address::default() }
    }

    #[test]
    fn addresses_that_cannot_be_mailed_are_refused() {
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
    fn the_same_place_keeps_its_id() {
        let (plain, shouted) = (address("123 Main St"), address(" 123 MAIN ST "));
        assert_eq!(DestinationId::derived(&plain), DestinationId::derived(&shouted));
        assert_ne!(DestinationId::derived(&plain), DestinationId::derived(&address("124 Main St")));
        let named = Address { first_name: Some("Ada".into()), ..plain.clone() };
        assert!(named.same_place(&plain));
        // Parts do not run into one another.
        let (split, joined) =
            (Address { locality: Some("b".into()), ..address("a") }, Address { locality: None, ..address("ab") });
        assert!(!split.same_place(&joined));
    }
}
