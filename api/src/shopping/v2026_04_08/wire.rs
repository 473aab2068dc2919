//! Shapes that requests and responses share, with the limits of their texts.
//!
//! A text that is longer than its limit is answered in-band with the code `limit_exceeded`. A hint that is longer than
//! its limit is left out instead, because a hint must not prevent a checkout. `docs/ERRORS.md` lists the limits.

use std::collections::HashSet;

use domain::checkout::BuyerContext;
use domain::customer::{Address, Buyer, Consent, Country, Email};
use domain::payment::InstrumentDisplay;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use validator::{Validate, ValidationError};

use crate::card::{are_last_digits, holds_card_number};
use crate::http::ObjectOnly;
use crate::http::validation::invalid;

/// `types/buyer.json`, with the consent extension.
#[skip_serializing_none]
#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
pub(super) struct BuyerDto {
    #[validate(length(max = 200))]
    first_name: Option<String>,
    #[validate(length(max = 200))]
    last_name: Option<String>,
    #[validate(length(max = 320), custom(function = "valid_email"))]
    email: Option<String>,
    #[validate(length(max = 50))]
    phone_number: Option<String>,
    consent: Option<ConsentDto>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[skip_serializing_none]
#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct ConsentDto {
    analytics: Option<bool>,
    preferences: Option<bool>,
    marketing: Option<bool>,
    sale_of_data: Option<bool>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

/// `types/context.json`.
#[skip_serializing_none]
#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct ContextDto {
    address_country: Option<String>,
    address_region: Option<String>,
    postal_code: Option<String>,
    language: Option<String>,
    currency: Option<String>,
    intent: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    eligibility: Vec<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

/// `types/postal_address.json`, and the id of a destination.
#[skip_serializing_none]
#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
pub(super) struct AddressDto {
    #[validate(length(max = 128))]
    pub id: Option<String>,
    #[validate(length(max = 300))]
    street_address: Option<String>,
    #[validate(length(max = 300))]
    extended_address: Option<String>,
    #[validate(length(max = 200))]
    address_locality: Option<String>,
    #[validate(length(max = 200))]
    address_region: Option<String>,
    #[validate(length(max = 50))]
    postal_code: Option<String>,
    #[validate(length(max = 100))]
    address_country: Option<String>,
    #[validate(length(max = 200))]
    first_name: Option<String>,
    #[validate(length(max = 200))]
    last_name: Option<String>,
    #[validate(length(max = 50))]
    phone_number: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

/// The public description of an instrument. It must not contain a card number.
#[skip_serializing_none]
#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
pub(super) struct DisplayDto {
    #[validate(length(max = 200), custom(function = "no_card_number"))]
    brand: Option<String>,
    #[validate(length(max = 200), custom(function = "valid_last_digits"))]
    last_digits: Option<String>,
    #[validate(length(max = 200), custom(function = "no_card_number"))]
    description: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

/// The id of the only group of a checkout.
pub(super) const GROUP_ID: &str = "group_1";

/// `types/item.json`.
#[skip_serializing_none]
#[derive(Serialize)]
pub(super) struct ItemDto {
    pub id: String,
    pub title: String,
    pub price: i64,
    pub image_url: Option<String>,
}

fn valid_email(text: &str) -> Result<(), ValidationError> {
    let is_valid = text.trim().is_empty() || Email::parse(text).is_some();
    if is_valid { Ok(()) } else { Err(invalid("is not an e-mail address")) }
}

pub(super) fn no_card_number(text: &str) -> Result<(), ValidationError> {
    if holds_card_number(text) { Err(invalid("must not hold a card number")) } else { Ok(()) }
}

fn valid_last_digits(text: &str) -> Result<(), ValidationError> {
    if are_last_digits(text) { Ok(()) } else { Err(invalid("must be two to four digits")) }
}

impl From<BuyerDto> for Buyer {
    /// Converts a validated buyer. An empty email address becomes `None`.
    fn from(dto: BuyerDto) -> Self {
        Self {
            first_name: dto.first_name,
            last_name: dto.last_name,
            email: dto.email.as_deref().and_then(Email::parse),
            phone_number: dto.phone_number,
            consent: dto.consent.map(|consent| Consent {
                analytics: consent.analytics,
                preferences: consent.preferences,
                marketing: consent.marketing,
                sale_of_data: consent.sale_of_data,
            }),
        }
    }
}

impl From<&Buyer> for BuyerDto {
    fn from(buyer: &Buyer) -> Self {
        Self {
            first_name: buyer.first_name.clone(),
            last_name: buyer.last_name.clone(),
            email: buyer.email.as_ref().map(|email| email.as_str().to_owned()),
            phone_number: buyer.phone_number.clone(),
            consent: buyer.consent.map(|consent| ConsentDto {
                analytics: consent.analytics,
                preferences: consent.preferences,
                marketing: consent.marketing,
                sale_of_data: consent.sale_of_data,
                _object: ObjectOnly {},
            }),
            _object: ObjectOnly {},
        }
    }
}

/// The most eligibility claims that the shop keeps.
const MAX_CLAIMS: usize = 20;

impl From<ContextDto> for BuyerContext {
    /// Converts the hints, and leaves out each hint that is beyond its limit.
    fn from(dto: ContextDto) -> Self {
        let hint = |text: Option<String>, most| text.filter(|text| is_at_most(text, most));
        Self {
            country: hint(dto.address_country, 100),
            region: hint(dto.address_region, 100),
            postal_code: hint(dto.postal_code, 50),
            language: hint(dto.language, 50),
            currency: hint(dto.currency, 10),
            intent: hint(dto.intent, 2_000),
            eligibility: claims(dto.eligibility),
        }
    }
}

/// The first [`MAX_CLAIMS`] claims that have a valid name, each once.
fn claims(eligibility: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let valid = eligibility.into_iter().filter(|claim| is_at_most(claim, 200) && is_reverse_domain_name(claim));
    valid.filter(|claim| seen.insert(claim.clone())).take(MAX_CLAIMS).collect()
}

/// Whether a text is a name of `types/reverse_domain_name.json`.
fn is_reverse_domain_name(text: &str) -> bool {
    let begins_with_letter = |part: &str| part.starts_with(|first: char| first.is_ascii_lowercase());
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.split_once('.').is_some_and(|(domain, names)| {
        begins_with_letter(domain)
            && domain.bytes().all(is_plain)
            && names
                .split('.')
                .all(|name| begins_with_letter(name) && name.bytes().all(|byte| is_plain(byte) || byte == b'_'))
    })
}

/// Whether a text has at most this many characters.
pub(super) fn is_at_most(text: &str, most: usize) -> bool {
    text.chars().count() <= most
}

impl From<&BuyerContext> for ContextDto {
    fn from(context: &BuyerContext) -> Self {
        Self {
            address_country: context.country.clone(),
            address_region: context.region.clone(),
            postal_code: context.postal_code.clone(),
            language: context.language.clone(),
            currency: context.currency.clone(),
            intent: context.intent.clone(),
            eligibility: context.eligibility.clone(),
            _object: ObjectOnly {},
        }
    }
}

impl From<AddressDto> for Address {
    fn from(dto: AddressDto) -> Self {
        Self {
            street: dto.street_address,
            extended: dto.extended_address,
            locality: dto.address_locality,
            region: dto.address_region,
            postal_code: dto.postal_code,
            country: Country::given(dto.address_country),
            first_name: dto.first_name,
            last_name: dto.last_name,
            phone_number: dto.phone_number,
        }
    }
}

impl AddressDto {
    /// Converts an address. `id` is the id of a destination, or `None` if the address is not a destination.
    pub fn of(id: Option<String>, address: &Address) -> Self {
        Self {
            id,
            street_address: address.street.clone(),
            extended_address: address.extended.clone(),
            address_locality: address.locality.clone(),
            address_region: address.region.clone(),
            postal_code: address.postal_code.clone(),
            address_country: address.country.clone().map(Into::into),
            first_name: address.first_name.clone(),
            last_name: address.last_name.clone(),
            phone_number: address.phone_number.clone(),
            _object: ObjectOnly {},
        }
    }
}

impl From<DisplayDto> for InstrumentDisplay {
    fn from(dto: DisplayDto) -> Self {
        Self { brand: dto.brand, last_digits: dto.last_digits, description: dto.description }
    }
}

impl From<&InstrumentDisplay> for DisplayDto {
    fn from(display: &InstrumentDisplay) -> Self {
        Self {
            brand: display.brand.clone(),
            last_digits: display.last_digits.clone(),
            description: display.description.clone(),
            _object: ObjectOnly {},
        }
    }
}
