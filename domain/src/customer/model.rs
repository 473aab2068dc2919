//! Buyers, addresses and destinations.

use email_address::EmailAddress;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::country::Country;

/// An email address to which email can be sent. The part before the @ keeps its case, because only the receiving host
/// may decide whether the case matters (RFC 5321, section 2.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// The highest length of an email address in bytes, with its domain in ASCII. An SMTP path may have two bytes more,
    /// for its brackets (RFC 5321, section 4.5.3.1.3).
    pub const MAX_LENGTH: usize = 254;

    /// Parses an email address. `None` if no email can be sent to it. Non-ASCII characters before the @ are not
    /// accepted, because relays without SMTPUTF8 cannot transmit them. Quoted names are not accepted, because mail
    /// programs do not write them.
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

    /// The key by which a customer is found: the email address in lower case, because people vary the case of their
    /// address.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

/// Whether the last part of the domain begins with a digit, as in an IP address. No top-level domain begins with a
/// digit.
fn ends_in_a_number(domain: &str) -> bool {
    domain.rsplit('.').next().is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()))
}

/// The data about the buyer that the platform sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buyer {
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub email: Option<Email>,
    pub phone_number: Option<String>,
    pub consent: Option<Consent>,
}

/// The buyer's consents. `None` means that the platform sent no value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    pub analytics: Option<bool>,
    pub preferences: Option<bool>,
    pub marketing: Option<bool>,
    pub sale_of_data: Option<bool>,
}

/// A postal address. All parts are optional, because the required parts differ by country.
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
    /// Whether the address has a part that names a place within its country. The region is not such a part.
    pub fn names_a_place(&self) -> bool {
        [&self.street, &self.extended, &self.locality, &self.postal_code]
            .into_iter()
            .flatten()
            .any(|part| !part.trim().is_empty())
    }

    /// Whether both addresses name the same place. The recipient's name and telephone number are ignored.
    pub fn same_place(&self, other: &Self) -> bool {
        self.place_key() == other.place_key()
    }

    /// Whether both addresses name the same place and the same recipient.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        let recipient = |address: &Self| {
            [&address.first_name, &address.last_name]
                .map(|name| name.as_deref().unwrap_or_default().trim().to_lowercase())
        };
        recipient(self) == recipient(other) && self.same_place(other)
    }

    /// The parts of the address that name the place, trimmed and in lower case, so that they can be compared.
    fn place_key(&self) -> [String; 6] {
        let country = self.country.as_ref().map(Country::as_str);
        let parts = [&self.street, &self.extended, &self.locality, &self.region, &self.postal_code];
        let [street, extended, locality, region, postal_code] = parts.map(|part| part.as_deref());
        [street, extended, locality, region, postal_code, country]
            .map(|part| part.unwrap_or_default().trim().to_lowercase())
    }
}

/// The id of a destination, unique within one checkout.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DestinationId(pub String);

impl DestinationId {
    pub const MAX_LENGTH: usize = 128;

    /// Derives an id from the content of an address. The same place always gets the same id.
    pub fn derived(address: &Address) -> Self {
        let content = address.place_key().join("\u{1f}");
        Self(format!("dest_{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, content.as_bytes()).simple()))
    }
}

/// An address that the platform can select for the delivery, with its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub id: DestinationId,
    pub address: Address,
}

/// The address in `book` that names the same place as `address`, if there is one.
pub fn find_same_place<'a>(book: &'a [Destination], address: &Address) -> Option<&'a Destination> {
    book.iter().find(|known| known.address.same_place(address))
}
