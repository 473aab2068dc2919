//! Products and variants.

use derive_more::{Debug, Display};
use serde::{Deserialize, Serialize};

use crate::money::Money;

/// The id of a product. Chosen by the merchant, at most [`Sku::MAX_LENGTH`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProductId(pub String);

/// A stock keeping unit: the id of a variant. Chosen by the merchant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug, Display)]
#[debug("{_0}")]
#[serde(transparent)]
pub struct Sku(String);

impl Sku {
    pub const MAX_LENGTH: usize = 128;

    /// Parses 1 to 128 bytes without control characters.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_LENGTH).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One sellable form of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    pub sku: Sku,
    pub title: String,
    pub image_url: Option<String>,
    /// Unit price, tax included.
    pub price: Money,
    /// Whether the variant must be shipped. A checkout needs a destination only if a line must be shipped.
    pub requires_shipping: bool,
}
