//! Currencies whose minor units at Stripe are not those of ISO 4217 are refused.

use domain::money::Currency;
use integrations::stripe::check_currency;

#[test]
fn currencies_with_other_minor_units_are_refused() {
    let agrees = |code| check_currency(Currency::parse(code).expect(code)).is_ok();
    for code in ["USD", "EUR", "GBP", "CHF", "HUF", "TWD", "JPY", "KRW", "CLP", "VND", "XOF"] {
        assert!(agrees(code), "{code}");
    }
    for code in ["ISK", "UGX", "MGA", "BHD", "JOD", "KWD", "OMR", "TND", "IQD", "LYD", "UYI"] {
        assert!(!agrees(code), "{code}");
    }
}
