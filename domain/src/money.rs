//! Money: whole minor units and a currency. No floating point.

use std::fmt;

use derive_more::{Add, Debug, Display, Neg, Sub, Sum};
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// A signed number of minor units (cents, for most currencies). The value that contains the amount determines the
/// currency.
///
/// Sums of amounts do not overflow, because a price is at most [`Amount::MAX_PRICE`], a line has at most
/// [`Quantity::MAX`] units and a checkout has at most a hundred lines. The highest sum is 10^18, a ninth of the highest
/// 64-bit integer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Add, Sub, Neg, Sum,
)]
#[serde(transparent)]
pub struct Amount(i64);

impl Amount {
    pub const ZERO: Self = Self(0);
    /// The highest unit price: 10 000 000 000 major units of a currency with two decimals.
    pub const MAX_PRICE: i64 = 1_000_000_000_000;

    /// The highest subtotal of a checkout. Together with the price of a delivery it is at most 2^53 - 1, the highest
    /// integer that every client reads exactly.
    pub const MAX_SUBTOTAL: i64 = 9_007_199_254_740_991 - Self::MAX_PRICE;

    pub const fn new(minor: i64) -> Self {
        Self(minor)
    }

    pub const fn minor(self) -> i64 {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// This unit price times `quantity`.
    #[must_use]
    pub fn times(self, quantity: Quantity) -> Self {
        Self(self.0 * i64::from(quantity.get()))
    }

    /// `numerator / denominator` of this amount, rounded to a whole minor unit. A half is rounded away from zero.
    #[must_use]
    pub fn fraction(self, numerator: i64, denominator: i64) -> Self {
        debug_assert!(numerator >= 0 && denominator > 0);
        let scaled = i128::from(self.0) * i128::from(numerator);
        let half = i128::from(denominator) / 2 * scaled.signum();
        let rounded = (scaled + half) / i128::from(denominator);
        Self(i64::try_from(rounded).unwrap_or(i64::MAX))
    }
}

/// A currency of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Display)]
#[debug("{}", self.code())]
#[display("{}", self.code())]
pub struct Currency(iso_currency::Currency);

impl Currency {
    pub const USD: Self = Self(iso_currency::Currency::USD);

    /// Parses the three-letter code in capital letters.
    pub fn parse(code: &str) -> Option<Self> {
        iso_currency::Currency::from_code(code).map(Self)
    }

    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    /// Whether people pay with the currency. False for a withdrawn currency, a fund, a metal and a test code.
    pub fn is_in_use(&self) -> bool {
        self.0.is_superseded().is_none() && !self.0.is_fund() && !self.0.is_special()
    }

    /// The number of decimal digits of the minor unit: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn exponent(&self) -> u32 {
        u32::from(self.0.exponent().unwrap_or(0))
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        let shown: String = code.chars().take(16).collect();
        let unknown = || serde::de::Error::custom(format!("{shown:?} is not an ISO 4217 currency code"));
        Self::parse(&code).ok_or_else(unknown)
    }
}

/// An amount with its currency, for places that do not know the currency: the payment gateway and pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    pub amount: Amount,
    pub currency: Currency,
}

impl fmt::Display for Money {
    /// Writes the code, then major units with the decimals of the currency: `USD 35.00`, `JPY 3500`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minor, digits) = (self.amount.minor(), self.currency.exponent());
        let scale = 10_u64.pow(digits);
        let (sign, value) = (if minor < 0 { "-" } else { "" }, minor.unsigned_abs());
        write!(f, "{} {sign}{}", self.currency, value / scale)?;
        if digits == 0 {
            return Ok(());
        }
        write!(f, ".{:0width$}", value % scale, width = digits as usize)
    }
}
