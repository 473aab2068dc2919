//! Money: whole minor units and a currency. No floating point anywhere.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Neg, Sub};

use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// A signed number of minor units (cents, for most currencies) in a currency known from its surroundings.
///
/// It cannot overflow: a price is at most [`Amount::MAX_PRICE`], a line at most [`Quantity::MAX`] units and a checkout
/// at most a hundred lines, which is 10^18 and fits 64 bits nine times over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(i64);

impl Amount {
    pub const ZERO: Self = Self(0);
    /// The highest unit price: ten thousand million major units at two decimals.
    pub const MAX_PRICE: i64 = 1_000_000_000_000;

    /// The highest subtotal of a checkout: with the price of a delivery, every total of it is within 2^53 - 1, which all
    /// readers of JSON read to the last unit.
    pub const MAX_SUBTOTAL: i64 = 9_007_199_254_740_991 - Self::MAX_PRICE;

    pub const fn new(minor: i64) -> Self {
        Self(minor)
    }

    /// A unit price: not negative, at most [`Amount::MAX_PRICE`].
    pub fn price(minor: i64) -> Result<Self, PriceError> {
        if (0..=Self::MAX_PRICE).contains(&minor) { Ok(Self(minor)) } else { Err(PriceError(minor)) }
    }

    pub const fn minor(self) -> i64 {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// This unit price, `quantity` times.
    #[must_use]
    pub fn times(self, quantity: Quantity) -> Self {
        Self(self.0 * i64::from(quantity.get()))
    }

    /// `numerator / denominator` of this amount, rounded half up to a whole minor unit (halves away from zero).
    #[must_use]
    pub fn fraction(self, numerator: i64, denominator: i64) -> Self {
        debug_assert!(numerator >= 0 && denominator > 0);
        let scaled = i128::from(self.0) * i128::from(numerator);
        let half = i128::from(denominator) / 2 * scaled.signum();
        let rounded = (scaled + half) / i128::from(denominator);
        Self(i64::try_from(rounded).unwrap_or(i64::MAX))
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}
impl Sub for Amount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}
impl Neg for Amount {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}
impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a price is between 0 and {max} minor units, not {0}", max = Amount::MAX_PRICE)]
pub struct PriceError(i64);

/// An ISO 4217 currency in use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    pub const USD: Self = Self(iso_currency::Currency::USD);

    /// Parses the three-letter code, capital letters only.
    pub fn parse(code: &str) -> Result<Self, CurrencyError> {
        iso_currency::Currency::from_code(code).map(Self).ok_or_else(|| CurrencyError(code.chars().take(16).collect()))
    }

    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    /// Whether people pay with it: it is neither withdrawn nor a fund, a metal or a code for tests.
    pub fn is_in_use(&self) -> bool {
        self.0.is_superseded().is_none() && !self.0.is_fund() && !self.0.is_special()
    }

    /// How many decimal digits the minor unit has: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn exponent(&self) -> u32 {
        u32::from(self.0.exponent().unwrap_or(0))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an ISO 4217 currency code")]
pub struct CurrencyError(String);

/// An amount with its currency, where it leaves its surroundings: at the payment gateway and on pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    pub amount: Amount,
    pub currency: Currency,
}

impl fmt::Display for Money {
    /// `USD 35.00`, `JPY 3500`: code, then major units with the currency's own number of decimals.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_round_half_up_and_stay_whole() {
        for (amount, basis_points, expected) in [
            (3500, 1000, 350),
            (5, 1000, 1),
            (4, 1000, 0),
            (15, 1000, 2),
            (999, 3333, 333),
            (1, 10_000, 1),
            (0, 5000, 0),
        ] {
            assert_eq!(Amount::new(amount).fraction(basis_points, 10_000), Amount::new(expected), "{amount}");
        }
        let most = Amount::new(1_000_000_000_000_000_000);
        assert_eq!(most.fraction(10_000, 10_000), most);
    }

    #[test]
    fn money_is_shown_with_the_digits_of_its_currency() {
        for (minor, code, text) in
            [(3500, "USD", "USD 35.00"), (5, "EUR", "EUR 0.05"), (3500, "JPY", "JPY 3500"), (-1, "KWD", "KWD -0.001")]
        {
            let money = Money { amount: Amount::new(minor), currency: Currency::parse(code).expect("valid") };
            assert_eq!(money.to_string(), text);
        }
    }

    #[test]
    fn unknown_currencies_and_impossible_prices_are_refused() {
        for code in ["", "usd", "US", "ABC", "USDX"] {
            assert!(Currency::parse(code).is_err(), "{code:?}");
        }
        assert!(Amount::price(-1).is_err());
        assert!(Amount::price(Amount::MAX_PRICE + 1).is_err());
        assert!(Amount::price(0).is_ok());
    }
}
