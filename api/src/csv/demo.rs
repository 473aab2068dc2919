//! The demo catalogue, which is built into the program.

use std::borrow::Cow;

use domain::import::Batch;
use domain::money::Currency;

use super::problem::ReadError;
use super::table::Reading;
use super::{read, rows};

const FILES: [(&str, &str); 8] = [
    (rows::ADDRESSES.file, include_str!("demo/addresses.csv")),
    (rows::CUSTOMERS.file, include_str!("demo/customers.csv")),
    (rows::DISCOUNTS.file, include_str!("demo/discounts.csv")),
    (rows::INVENTORY.file, include_str!("demo/inventory.csv")),
    (rows::INSTRUMENTS.file, include_str!("demo/payment_instruments.csv")),
    (rows::PRODUCTS.file, include_str!("demo/products.csv")),
    (rows::PROMOTIONS.file, include_str!("demo/promotions.csv")),
    (rows::SHIPPING_RATES.file, include_str!("demo/shipping_rates.csv")),
];

/// The demo catalogue, with prices in minor units of `currency`.
pub fn demo(currency: Currency) -> Result<Batch, ReadError> {
    let source = |file: &'static str| {
        let found = FILES.into_iter().find(|(name, _)| *name == file);
        Ok(found.map(|(_, text)| Cow::Borrowed(text.as_bytes())))
    };
    Ok(read(&source, Reading::new(currency))?.batch)
}

#[cfg(test)]
#[path = "demo_tests.rs"]
mod tests;
