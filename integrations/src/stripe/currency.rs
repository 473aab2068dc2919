//! The currencies in which the shop can charge with Stripe: their minor units at Stripe are those of ISO 4217.
//!
//! The lists come from <https://docs.stripe.com/currencies>, "zero-decimal" and "special cases". Other currencies are
//! refused when the shop starts. The shop never scales an amount, because a wrong factor could charge a hundred times
//! too much.

use domain::money::Currency;

/// Stripe's zero-decimal currencies.
const WHOLE: &[&str] =
    &["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// Currencies that have no decimals in ISO 4217 but two decimals at Stripe.
const HUNDREDTHS_AT_STRIPE: &[&str] = &["ISK", "UGX"];

/// The minor units of this currency at Stripe are not those of ISO 4217.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has other minor units at the gateway than in ISO 4217: the shop cannot charge in it")]
pub struct UnsupportedCurrency(pub(super) Currency);

/// Checks that an amount in this currency is the same number for the shop and for Stripe.
pub fn check_currency(currency: Currency) -> Result<(), UnsupportedCurrency> {
    let is_whole = WHOLE.contains(&currency.code());
    let agrees = match currency.exponent() {
        0 => is_whole && !HUNDREDTHS_AT_STRIPE.contains(&currency.code()),
        2 => !is_whole,
        // Stripe takes three-decimal amounts only if the last digit is zero.
        _ => false,
    };
    if agrees { Ok(()) } else { Err(UnsupportedCurrency(currency)) }
}
