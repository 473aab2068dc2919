//! Countries: all spellings of a country are parsed to one value.

use derive_more::Display;
use serde::{Deserialize, Serialize};

/// A country of ISO 3166-1, as its alpha-2 code in capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode(&'static str);

impl CountryCode {
    /// Parses an alpha-2 code, an alpha-3 code or an English name. Case, spaces and punctuation do not matter. Numeric
    /// codes are not parsed, because without their leading zeros they are ambiguous.
    pub fn parse(text: &str) -> Option<Self> {
        let letters: String = text.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
        let found = match letters.as_str() {
            // ISO 3166-1 reserves `UK` for the United Kingdom, whose code is `GB`.
            "uk" => celes::Country::from_alpha2("gb"),
            two if two.len() == 2 => celes::Country::from_alpha2(two),
            three if three.len() == 3 => celes::Country::from_alpha3(three),
            // Names are tried before aliases, because an alias of American Samoa is the name of Samoa. The first lookup
            // keeps punctuation, because some names contain it.
            name => celes::Country::from_name(text.replace([' ', '_'], ""))
                .or_else(|_| celes::Country::from_name(name))
                .or_else(|_| celes::Country::from_alias(name)),
        };
        found.ok().map(|country| Self(country.alpha2))
    }

    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// The country of an address or of a rate, parsed when it enters the shop. It is stored and shown as text: the alpha-2
/// code if the country is known, otherwise the given text.
#[derive(Clone, Debug, Display, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[display("{}", self.as_str())]
#[serde(from = "String", into = "String")]
pub enum Country {
    Known(CountryCode),
    /// Text that is not a country. It is stored and shown, but no rule uses it as a country.
    Unreadable(String),
}

impl Country {
    /// Parses an optional field. Blank text gives `None`.
    pub fn given(text: Option<String>) -> Option<Self> {
        text.filter(|text| !text.trim().is_empty()).map(Self::from)
    }

    /// The code of the country. `None` if the text is unreadable.
    pub fn code(&self) -> Option<CountryCode> {
        match self {
            Self::Known(code) => Some(*code),
            Self::Unreadable(_) => None,
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(code) => code.as_str(),
            Self::Unreadable(text) => text,
        }
    }
}

impl From<String> for Country {
    fn from(text: String) -> Self {
        CountryCode::parse(&text).map_or(Self::Unreadable(text), Self::Known)
    }
}
impl From<&str> for Country {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.as_str().to_owned()
    }
}
