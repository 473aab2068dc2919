//! Which currencies Stripe counts in the same minor units as the shop, which counts in those of ISO 4217.
//!
//! From <https://docs.stripe.com/currencies>, "zero-decimal" and "special cases". What differs is refused when the shop
//! starts, and never rounded or scaled: a wrong factor charges a hundred times too much.

use domain::money::Currency;

/// Whole units at Stripe.
const WHOLE: &[&str] =
    &["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// Whole units in ISO 4217, hundredths at Stripe.
const HUNDREDTHS_AT_STRIPE: &[&str] = &["ISK", "UGX"];

/// The gateway counts this currency otherwise than the shop does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has other minor units at the gateway than in ISO 4217: the shop cannot charge in it")]
pub struct UnsupportedCurrency(pub(super) Currency);

/// Whether amounts in this currency mean the same here and at Stripe.
pub fn check_currency(currency: Currency) -> Result<(), UnsupportedCurrency> {
    let is_whole = WHOLE.contains(&currency.code());
    let agrees = match currency.exponent() {
        0 => is_whole && !HUNDREDTHS_AT_STRIPE.contains(&currency.code()),
        2 => !is_whole,
        // Stripe wants the third digit of a dinar to be zero.
        _ => false,
    };
    if agrees { Ok(()) } else { Err(UnsupportedCurrency(currency)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_mean_the_same_on_both_sides_or_are_refused() {
        let agrees = |code| check_currency(Currency::parse(code).expect(code)).is_ok();
        for code in ["USD", "EUR", "GBP", "CHF", "HUF", "TWD", "JPY", "KRW", "CLP", "VND", "XOF"] {
            assert!(agrees(code), "{code}");
        }
        for code in ["ISK", "UGX", "MGA", "BHD", "JOD", "KWD", "OMR", "TND", "IQD", "LYD", "UYI"] {
            assert!(!agrees(code), "{code}");
        }
    }
}
